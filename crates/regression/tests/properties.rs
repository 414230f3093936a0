//! What must hold whatever the data: derivatives, identities, invariances, and radii that contain the true error.

use std::ops::ControlFlow;

use certus_contract::Status;
use certus_numeric::seed::hash64;
use certus_numeric::{Array, Csr, Seed};
use certus_regression::{Certify, Form, Hessian, Link, Sensitivity, Solution, Solver, Start};
use certus_testkit::derivative::{self, TOLERANCE};
use certus_testkit::same_bits;
use proptest::prelude::*;

use crate::support::{
    Data, Design, PAIRS, assert_sound, difference, distance, few_rows, gradient, hessian, hessian_slope, is_global, largest,
    least_eigenvalue, matrix, moved, pair_name, radius, random, tight, times, vector,
};

/// A solution from this start, to nearly full precision.
#[track_caller]
fn solve_from(data: &Data, start: &[f64]) -> Solution {
    let solver = Solver::default().with_gradient_tolerance(1e-12).with_start(Start::Given(start.to_vec()));
    let solution = solver.solve(&data.problem()).unwrap();
    assert_sound(&solution, &pair_name(data.pair()));
    solution
}

/// A point of moderate z; where the problem needs it, with S away from zero.
fn point(seed: u64, data: &Data, truth: &[f64]) -> Vec<f64> {
    let away = vector(seed ^ 9, truth.len());
    if matches!(data.link, Link::Sinh) && !matches!(data.form, Form::Plain) {
        away.iter().map(|v| 0.6 + 0.4 * v).collect()
    } else {
        moved(truth, 0.5, &away)
    }
}

/// The loss, or NaN where it is not defined or overflows.
fn loss_at(data: &Data, x: &[f64]) -> f64 {
    data.problem().evaluate(x).ok().and_then(|evaluation| evaluation.loss.to_f64()).unwrap_or(f64::NAN)
}

/// The gradient, or NaNs where it is not defined.
fn gradient_at(data: &Data, x: &[f64]) -> Vec<f64> {
    data.problem().evaluate(x).map_or_else(|_| vec![f64::NAN; x.len()], |evaluation| gradient(&evaluation))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn derivatives_are_those_of_the_loss_and_the_loss_is_as_defined(seed in any::<u64>(), n in 1usize..12, d in 1usize..5) {
        for pair in PAIRS {
            let (mut data, truth) = random(seed, pair, n, d);
            if n > 2 && seed.is_multiple_of(2) {
                // A row without weight leaves the loss, but not S.
                data.omega.as_mut().expect("weights")[1] = 0.0;
            }
            let x = point(seed, &data, &truth);
            let problem = data.problem();
            let evaluation = problem.evaluate(&x).unwrap();
            let (loss, defined) = (evaluation.loss.to_f64().expect("a loss in range"), data.defined_loss(&x));
            prop_assert!((loss - defined).abs() <= 1e-12 * defined, "{}: {loss} for {defined}", pair_name(pair));
            let g = gradient(&evaluation);
            derivative::gradient(|x| loss_at(&data, x), &x, &g, TOLERANCE);
            let h = hessian(&evaluation);
            prop_assert_eq!(h.shape(), [d, d]);
            derivative::hessian(|x| gradient_at(&data, x), |v| times(&h, v), &x, TOLERANCE);
            prop_assert!(difference(h.as_slice(), h.transposed().as_slice()) <= 1e-14 * largest(h.as_slice()), "not symmetric");
        }
    }

    #[test]
    fn the_rescaled_loss_is_the_normalised_loss_times_the_square_of_the_sum(seed in any::<u64>(), size in 0.0f64..2.5) {
        for link in [Link::Exp, Link::Cosh, Link::Sinh] {
            // Entries above zero for all three: S of sinh stays away from zero.
            let a = matrix(seed, 9, 3).map(|v| 10f64.powf(size) * (0.5 + 0.5 * v));
            let b = vector(seed ^ 1, 9).iter().map(|v| 0.1 + 0.1 * v).collect();
            let x: Vec<f64> = vector(seed ^ 2, 3).iter().map(|v| 0.6 + 0.4 * v).collect();
            let mut rescaled = Data::new(Design::Dense(a), b, (link, Form::Rescaled));
            rescaled.omega = Some(vector(seed ^ 3, 9).iter().map(|v| 1.0 + 0.5 * v).collect());
            let normalised = Data { form: Form::Normalised, ..rescaled.clone() };
            let log = |data: &Data| data.problem().evaluate(&x).unwrap().loss.ln();
            let expected = log(&normalised) + 2.0 * rescaled.log_normaliser(&x);
            prop_assert!((log(&rescaled) - expected).abs() <= 1e-10 * (1.0 + expected.abs()), "{link}: {} for {expected}", log(&rescaled));
        }
    }

    #[test]
    fn the_normalised_exponential_does_not_see_a_constant(seed in any::<u64>(), shift in -200.0f64..200.0) {
        let (data, truth) = random(seed, (Link::Exp, Form::Normalised), 10, 3);
        let x = point(seed, &data, &truth);
        let offset = data.offset.as_ref().expect("an offset");
        let shifted = Data { offset: Some(offset.iter().map(|o| o + shift).collect()), ..data.clone() };
        // The same shift by a column of ones, where no regulariser sees it.
        let bare = Data { row_reg: None, ridge: 0.0, ..data.clone() };
        let a = data.a.to_dense();
        let column = Data {
            a: Design::Dense(Array::from_fn(10, 4, |i, j| if j == 3 { 1.0 } else { a.row(i)[j] })),
            reference: None,
            ..bare.clone()
        };
        let longer: Vec<f64> = x.iter().copied().chain([shift]).collect();
        for (one, at, other, at_other) in [(&data, &x, &shifted, &x), (&bare, &x, &column, &longer)] {
            let (loss, other_loss) = (loss_at(one, at), loss_at(other, at_other));
            prop_assert!((loss - other_loss).abs() <= 1e-11 * loss, "{loss} and {other_loss}");
            let (g, other_g) = (gradient_at(one, at), gradient_at(other, at_other));
            prop_assert!(difference(&g, &other_g[..3]) <= 1e-11, "{g:?} and {other_g:?}");
            prop_assert!(other_g.iter().skip(3).all(|g| g.abs() <= 1e-14));
        }
    }

    #[test]
    fn even_losses_are_even(seed in any::<u64>()) {
        for pair in PAIRS {
            let (mut data, truth) = random(seed, pair, 8, 3);
            data.reference = None;
            data.offset = None;
            if !data.is_even() {
                continue;
            }
            let x = point(seed, &data, &truth);
            let negative: Vec<f64> = x.iter().map(|v| -v).collect();
            let (loss, other) = (loss_at(&data, &x), loss_at(&data, &negative));
            prop_assert!((loss - other).abs() <= 1e-13 * loss, "{}: {loss} and {other}", pair_name(pair));
            let (g, other) = (gradient_at(&data, &x), gradient_at(&data, &negative));
            let odd: Vec<f64> = other.iter().map(|g| -g).collect();
            prop_assert!(difference(&g, &odd) <= 1e-13 * largest(&g), "{}: {g:?} and {other:?}", pair_name(pair));
        }
    }

    #[test]
    fn an_offset_in_the_range_of_the_matrix_is_a_shift_of_x(seed in any::<u64>()) {
        for pair in PAIRS {
            let (mut data, truth) = random(seed, pair, 8, 3);
            (data.row_reg, data.ridge, data.reference, data.offset) = (None, 0.0, None, None);
            let x = point(seed, &data, &truth);
            let shift = vector(seed ^ 11, 3).iter().map(|v| 0.05 * (1.0 + v)).collect::<Vec<_>>();
            let offset = Data { offset: Some(times(&data.a.to_dense(), &shift)), ..data.clone() };
            let there = moved(&x, 1.0, &shift);
            let (loss, other) = (loss_at(&offset, &x), loss_at(&data, &there));
            prop_assert!((loss - other).abs() <= 1e-12 * loss, "{}: {loss} and {other}", pair_name(pair));
            let (g, other) = (gradient_at(&offset, &x), gradient_at(&data, &there));
            prop_assert!(difference(&g, &other) <= 1e-11 * (largest(&g) + loss), "{}: {g:?} and {other:?}", pair_name(pair));
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter_nor_does_halving_the_weight_of_doubled_rows(seed in any::<u64>()) {
        const N: usize = 14;
        for pair in PAIRS {
            let (data, truth) = random(seed, pair, N, 3);
            let expected = solve_from(&data, &truth).x;
            let mut order: Vec<usize> = (0..N).collect();
            order.sort_by_key(|&i| hash64(seed ^ 77, i as u64));
            let permuted = solve_from(&data.with_rows(&order), &truth).x;
            prop_assert!(difference(&permuted, &expected) <= 1e-7, "{}: {permuted:?} for {expected:?}", pair_name(pair));
            if matches!(data.form, Form::Plain) {
                order.extend(0..N);
                let mut doubled = data.with_rows(&order);
                doubled.omega.as_mut().expect("weights").iter_mut().for_each(|omega| *omega *= 0.5);
                doubled.row_reg.as_mut().expect("weights").iter_mut().for_each(|w| *w *= 0.5f64.sqrt());
                let doubled = solve_from(&doubled, &truth).x;
                prop_assert!(difference(&doubled, &expected) <= 1e-7, "{}: {doubled:?} for {expected:?}", pair_name(pair));
            }
        }
    }

    #[test]
    fn scaling_a_column_divides_its_coefficient(seed in any::<u64>(), column in 0usize..3, exponent in -8.0f64..8.0) {
        let factor = 10f64.powf(exponent);
        for pair in PAIRS {
            let (mut data, truth) = random(seed, pair, 20, 3);
            if matches!(data.form, Form::Rescaled) {
                continue;
            }
            // A ridge is not invariant; weights of rows are.
            data.ridge = 0.0;
            data.row_reg = Some(vec![0.2; 20]);
            let a = data.a.to_dense();
            let divided = |x: &[f64]| x.iter().enumerate().map(|(j, x)| if j == column { x / factor } else { *x }).collect::<Vec<f64>>();
            let scaled = Data {
                a: Design::Dense(Array::from_fn(20, 3, |i, j| if j == column { a.row(i)[j] * factor } else { a.row(i)[j] })),
                reference: data.reference.as_deref().map(divided),
                ..data.clone()
            };
            let expected = solve_from(&data, &truth).x;
            let found = Solver::default().with_start(Start::Given(divided(&truth))).solve(&scaled.problem()).unwrap();
            prop_assert!(found.status.reached(), "{}: {}", pair_name(pair), found.status);
            for j in 0..3 {
                let x = if j == column { found.x[j] * factor } else { found.x[j] };
                prop_assert!((x - expected[j]).abs() <= 1e-6, "{} by {factor:e}: {x} for {}", pair_name(pair), expected[j]);
            }
        }
    }

    #[test]
    fn dense_and_sparse_matrices_of_the_same_entries_agree(seed in any::<u64>()) {
        for pair in PAIRS {
            let (mut data, truth) = random(seed, pair, 15, 3);
            let full = data.a.to_dense();
            let hole = |i: usize, j: usize| hash64(seed ^ 13, (3 * i + j) as u64).is_multiple_of(3);
            data.a = Design::Dense(Array::from_fn(15, 3, |i, j| if hole(i, j) { 0.0 } else { full.row(i)[j] }));
            let sparse = data.sparse();
            let x = point(seed, &data, &truth);
            let (dense_problem, sparse_problem) = (data.problem(), sparse.problem());
            let (one, other) = (dense_problem.evaluate(&x).unwrap(), sparse_problem.evaluate(&x).unwrap());
            prop_assert!((one.loss.ln() - other.loss.ln()).abs() <= 1e-12, "{}", pair_name(pair));
            let (g, other_g) = (gradient(&one), gradient(&other));
            prop_assert!(difference(&g, &other_g) <= 1e-11 * (1.0 + largest(&g)), "{}: {g:?} and {other_g:?}", pair_name(pair));
            let (h, other_h) = (hessian(&one), hessian(&other));
            prop_assert!(difference(h.as_slice(), other_h.as_slice()) <= 1e-11 * (1.0 + largest(h.as_slice())), "{}", pair_name(pair));
            let (found, expected) = (solve_from(&sparse, &truth).x, solve_from(&data, &truth).x);
            prop_assert!(difference(&found, &expected) <= 1e-7, "{}: {found:?} for {expected:?}", pair_name(pair));
        }
    }

    #[test]
    fn no_start_of_its_own_ends_above_the_reference_or_zero(seed in any::<u64>()) {
        for pair in PAIRS {
            let (data, _) = random(seed, pair, 12, 3);
            let problem = data.problem();
            let solution = Solver::default().with_seed(Seed(seed)).solve(&problem).unwrap();
            assert_sound(&solution, &pair_name(pair));
            prop_assert!(solution.status.reached(), "{}: {}", pair_name(pair), solution.status);
            let reference = data.reference.clone().expect("a reference");
            // Zero is no start for cosh, and where the sum of sinh vanishes.
            let zero = if matches!(data.link, Link::Cosh) { reference.clone() } else { vec![0.0; 3] };
            for start in [&reference, &zero] {
                if let Ok(evaluation) = problem.evaluate(start) {
                    let (found, limit) = (solution.loss.ln(), evaluation.loss.ln());
                    prop_assert!(found <= limit + 1e-9 * (1.0 + limit.abs()), "{}: {found} above {limit}", pair_name(pair));
                }
            }
        }
    }
}

/// The limit of w_i^2 above which the theorems say that a plain, or a normalised exp or cosh, problem is convex.
fn convexity_threshold(data: &Data, i: usize) -> f64 {
    let (omega, b) = (data.omega.as_ref().map_or(1.0, |omega| omega[i]), data.b[i]);
    let top = |f: &dyn Fn(usize) -> f64| (0..data.rows()).map(f).fold(f64::NEG_INFINITY, f64::max);
    let weight = |i: usize| data.omega.as_ref().map_or(1.0, |omega| omega[i]);
    let c = top(&|i| weight(i) * (1.0 - data.b[i])) + top(&|i| weight(i) * data.b[i]);
    match (data.link, data.form) {
        (Link::Exp, Form::Plain) => omega * if b > 0.0 { b * b / 8.0 } else { 0.0 },
        (Link::Cosh, Form::Plain) => omega * if b <= 4.0 { b - 1.0 } else { 1.0 + b * b / 8.0 },
        (Link::Sinh, Form::Plain) => omega * (b * b / 8.0 - 1.0),
        (Link::Exp, _) => c / (3.0 * 3f64.sqrt()),
        _ => 2.0 * c / (3.0 * 3f64.sqrt()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn problems_made_convex_have_one_solution_from_twenty_starts(seed in any::<u64>()) {
        for pair in PAIRS {
            if matches!(pair.1, Form::Rescaled) || matches!(pair, (Link::Sinh, Form::Normalised)) {
                continue;
            }
            let (mut data, truth) = random(seed, pair, 12, 3);
            data.row_reg = Some((0..12).map(|i| (convexity_threshold(&data, i).max(0.0) + 0.1).sqrt()).collect());
            let problem = data.problem();
            let solver = || tight().with_gradient_tolerance(1e-12).with_certify(Certify::Full);
            let first = solver().with_start(Start::Given(truth.clone())).solve(&problem).unwrap();
            prop_assert!(is_global(&first), "{}\n{}", pair_name(pair), first.certificate);
            for start in 0..20 {
                let start = vector(seed ^ (100 + start), 3).iter().map(|v| 2.0 * v).collect();
                let other = solver().with_start(Start::Given(start)).solve(&problem).unwrap();
                assert_sound(&other, &pair_name(pair));
                prop_assert!(difference(&other.x, &first.x) <= 1e-8, "{}: {:?} and {:?}", pair_name(pair), other.x, first.x);
                prop_assert!(is_global(&other), "{}\n{}", pair_name(pair), other.certificate);
            }
        }
    }

    #[test]
    fn proven_radii_contain_the_true_error(seed in any::<u64>(), exponent in 2.0f64..6.0) {
        for pair in PAIRS {
            let name = pair_name(pair);
            let (data, truth) = random(seed, pair, 12, 3);
            let problem = data.problem();
            let minimiser = tight().with_start(Start::Given(truth.clone())).solve(&problem).unwrap();
            assert_sound(&minimiser, &name);
            let proven = radius(&minimiser);
            prop_assert!(proven.is_some_and(|radius| radius <= 1e-8), "{name}: {proven:?}\n{}", minimiser.certificate);
            let away = vector(seed ^ 21, 3);
            let start = moved(&minimiser.x, 10f64.powf(-exponent) / largest(&away), &away);
            let solver = |certify: Certify| tight().with_start(Start::Given(start.clone())).with_certify(certify);
            let runs = [
                solver(Certify::Cheap).with_max_iterations(1).solve(&problem).unwrap(),
                solver(Certify::Full).with_max_iterations(2).solve(&problem).unwrap(),
                solver(Certify::Cheap).with_max_iterations(3).solve(&problem).unwrap(),
                solver(Certify::Full).solve_with(&problem, |_| ControlFlow::Break(())).unwrap(),
            ];
            for run in &runs {
                assert_sound(run, &name);
                let Some(radius) = radius(run) else { continue };
                let reference = tight().with_start(Start::Given(run.x.clone())).solve(&problem).unwrap();
                let error = distance(&run.x, &reference.x);
                let allowed = radius * (1.0 + 1e-9) + 1e-11;
                prop_assert!(error <= allowed, "{name}: the error {error:e} is outside {radius:e}\n{}", run.certificate);
                if let (Some(decrement), Some(lipschitz)) = (run.facts.newton_decrement, run.facts.lipschitz) {
                    check_lipschitz(&data, &run.x, decrement, lipschitz, seed);
                }
            }
            prop_assert!(radius(&runs[2]).is_some(), "{name}: nothing is proven after three steps\n{}", runs[2].certificate);
        }
    }

    #[test]
    fn sensitivities_are_differences_of_problems_solved_again(seed in any::<u64>()) {
        const STEP: f64 = 1e-4;
        for pair in PAIRS {
            let (data, truth) = random(seed, pair, 12, 3);
            let x = solve_from(&data, &truth).x;
            let problem = data.problem();
            let sensitivity = Sensitivity::new(&problem, &x).unwrap();
            let db: Vec<f64> = data.b.iter().zip(vector(seed ^ 31, 12)).map(|(b, v)| b * v).collect();
            let da = matrix(seed ^ 32, 12, 3).map(|v| 0.1 * v);
            let resolved = |along_b: f64, along_a: f64| {
                let a = data.a.to_dense();
                let a = Array::from_fn(12, 3, |i, j| a.row(i)[j] + along_a * da.row(i)[j]);
                solve_from(&Data { a: Design::Dense(a), b: moved(&data.b, along_b, &db), ..data.clone() }, &x).x
            };
            // Fourth order: the minimiser of a flat loss bends.
            let slope = |at: &dyn Fn(f64) -> Vec<f64>| {
                let odd = |step: f64| moved(&at(step), -1.0, &at(-step));
                let (near, far) = (odd(STEP), odd(2.0 * STEP));
                near.iter().zip(&far).map(|(near, far)| (8.0 * near - far) / (12.0 * STEP)).collect::<Vec<f64>>()
            };
            let by_b = slope(&|step| resolved(step, 0.0));
            let found = sensitivity.to_target(&db).unwrap();
            prop_assert!(difference(&found, &by_b) <= 1e-4 * (1.0 + largest(&by_b)), "{}: {found:?} for {by_b:?}", pair_name(pair));
            let by_a = slope(&|step| resolved(0.0, step));
            let found = sensitivity.to_design(&da).unwrap();
            prop_assert!(difference(&found, &by_a) <= 1e-4 * (1.0 + largest(&by_a)), "{}: {found:?} for {by_a:?}", pair_name(pair));
        }
    }

    #[test]
    fn many_targets_are_solved_as_one_by_one(seed in any::<u64>()) {
        const TARGETS: usize = 4;
        for pair in [(Link::Exp, Form::Plain), (Link::Sinh, Form::Plain), (Link::Exp, Form::Normalised)] {
            let (data, _) = random(seed, pair, 15, 3);
            let noise = matrix(seed ^ 41, 15, TARGETS);
            let targets = Array::from_fn(15, TARGETS, |i, k| data.b[i] * (1.0 + 0.2 * noise.row(i)[k]));
            // The problem's own target is not used.
            let other = Data { b: vec![0.7; 15], ..data.clone() };
            let all = Solver::default().with_gradient_tolerance(1e-12).solve_many(&other.problem(), &targets).unwrap();
            prop_assert_eq!(all.len(), TARGETS);
            for (k, found) in all.iter().enumerate() {
                assert_sound(found, &pair_name(pair));
                let one = Data { b: (0..15).map(|i| targets.row(i)[k]).collect(), ..data.clone() };
                let expected = Solver::default().with_gradient_tolerance(1e-12).solve(&one.problem()).unwrap();
                prop_assert!(found.status.reached(), "{}: {}", pair_name(pair), found.status);
                prop_assert!(difference(&found.x, &expected.x) <= 1e-8, "{}: {:?} for {:?}", pair_name(pair), found.x, expected.x);
                prop_assert!((found.loss.ln() - expected.loss.ln()).abs() <= 1e-8);
            }
        }
    }
}

/// Asserts that the Hessian changes by no more than the constant allows, in the energy norm on the ball of twice the decrement.
#[track_caller]
fn check_lipschitz(data: &Data, x: &[f64], decrement: f64, lipschitz: f64, seed: u64) {
    // Below that, differences of Hessians are rounding.
    if decrement < 1e-4 {
        return;
    }
    for k in 0..6 {
        let slope = hessian_slope(data, x, &vector(seed ^ (200 + k), x.len()), 1.9 * decrement);
        assert!(slope <= lipschitz * (1.0 + 1e-6) + 1e-6, "{}: the Hessian changes at {slope}, not {lipschitz}", pair_name(data.pair()));
    }
}

#[test]
fn a_start_at_zero_is_left_where_zero_is_no_minimum() {
    for pair in PAIRS.into_iter().filter(|pair| matches!(pair.0, Link::Cosh)) {
        let mut left = 0;
        for seed in 0..12 {
            let (mut data, truth) = random(seed, pair, 14, 3);
            // Even: without reference and offset, and with little that holds x at zero.
            (data.reference, data.offset, data.row_reg, data.ridge) = (None, None, None, 1e-6);
            let fitted = data.fitted(&moved(&truth, 1.0, &truth));
            let sum: f64 = fitted.iter().sum();
            data.b = if matches!(data.form, Form::Plain) { fitted } else { fitted.iter().map(|u| u / sum).collect() };
            let problem = data.problem();
            let zero = [0.0; 3];
            let at_zero = problem.evaluate(&zero).unwrap();
            assert_eq!(largest(&at_zero.gradient), 0.0);
            if least_eigenvalue(&hessian(&at_zero)) > -1e-6 {
                continue;
            }
            left += 1;
            for start in [Start::Zero, Start::Given(zero.to_vec())] {
                let solution = Solver::default().with_start(start).solve(&problem).unwrap();
                assert_sound(&solution, &pair_name(pair));
                assert!(solution.status.reached(), "{}: {}", pair_name(pair), solution.status);
                assert!(largest(&solution.x) > 1e-3 && solution.loss < at_zero.loss, "{} stays at zero", pair_name(pair));
                let curvature = least_eigenvalue(&hessian(&problem.evaluate(&solution.x).unwrap()));
                assert!(curvature > 0.0, "{}: ends at a saddle, curvature {curvature}", pair_name(pair));
            }
        }
        assert!(left >= 10, "{}: zero is a saddle in {left} of 12 problems only", pair_name(pair));
    }
}

#[test]
fn every_way_to_the_hessian_leads_to_one_solution() {
    for pair in PAIRS {
        let (data, truth) = random(5, pair, 3000, 8);
        for data in [data.clone(), data.sparse()] {
            let problem = data.problem();
            let solve = |hessian: Hessian| {
                let solver = Solver::default().with_hessian(hessian).with_sampling(few_rows()).with_start(Start::Given(truth.clone()));
                let solution = solver.solve(&problem).unwrap();
                assert_sound(&solution, &pair_name(pair));
                assert!(solution.status.reached(), "{}: {}", pair_name(pair), solution.status);
                assert!(!matches!(solution.facts.hessian_choice, Hessian::Auto), "{}: no choice is told", pair_name(pair));
                solution
            };
            let exact = solve(Hessian::Exact);
            assert!(matches!(exact.facts.hessian_choice, Hessian::Exact));
            let free = solve(Hessian::MatrixFree);
            assert!(matches!(free.facts.hessian_choice, Hessian::MatrixFree));
            let sampled = solve(Hessian::Sampled);
            assert!(matches!(sampled.facts.hessian_choice, Hessian::Sampled), "{}", pair_name(pair));
            for other in [free, sampled, solve(Hessian::Auto)] {
                // The ridge alone gives a curvature of 1e-2 to the normalised forms of so many rows.
                assert!(difference(&other.x, &exact.x) <= 1e-6, "{}: {:?} for {:?}", pair_name(pair), other.x, exact.x);
            }
        }
    }
}

#[test]
fn an_observer_sees_every_iteration_and_may_stop_the_run() {
    let (data, _) = random(1, (Link::Exp, Form::Plain), 40, 3);
    let problem = data.problem();
    let far = Solver::default().with_start(Start::Given(vec![-2.0, 3.0, 2.0]));
    let mut seen = 0;
    let solution = far
        .solve_with(&problem, |event| {
            seen += 1;
            assert!(!event.phase.is_empty() && event.value.is_none_or(|value| value.is_finite()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(solution.status, Status::Converged);
    assert!(seen >= solution.facts.iterations && solution.facts.iterations > 2, "{seen} events of {}", solution.facts.iterations);
    let start = problem.evaluate(&[-2.0, 3.0, 2.0]).unwrap().loss;
    for after in 1..4 {
        let mut seen = 0;
        let solver = Solver::default().with_start(Start::Given(vec![-2.0, 3.0, 2.0]));
        let stopped = solver
            .solve_with(&problem, |_| {
                seen += 1;
                if seen == after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        assert_sound(&stopped, "stopped");
        assert_eq!((stopped.status, seen), (Status::Stopped, after));
        assert!(stopped.loss <= start, "a stopped run gives its best answer");
    }
    let limited = Solver::default().with_start(Start::Given(vec![-2.0, 3.0, 2.0])).with_max_iterations(2).solve(&problem).unwrap();
    assert_sound(&limited, "limited");
    assert_eq!((limited.status, limited.facts.iterations), (Status::MaxIterations, 2));
}

#[test]
fn solutions_have_the_same_bits_on_any_number_of_threads() {
    let pairs = [(Link::Exp, Form::Plain), (Link::Exp, Form::Normalised), (Link::Cosh, Form::Plain), (Link::Sinh, Form::Rescaled)];
    for pair in pairs {
        let (data, _) = random(3, pair, 5000, 10);
        let holes = data.a.to_dense().map(|v| if v.abs() < 0.4 { 0.0 } else { *v });
        let sparse = Data { a: Design::Sparse(Csr::from_dense(&holes)), ..data.clone() };
        let x = vector(1, 10);
        same_bits(|| {
            let mut all = Vec::new();
            for data in [&data, &sparse] {
                let problem = data.problem();
                for hessian in [Hessian::Exact, Hessian::Sampled, Hessian::MatrixFree] {
                    let solver =
                        Solver::default().with_hessian(hessian).with_sampling(few_rows()).with_seed(Seed(7)).with_max_iterations(12);
                    let solution = solver.solve(&problem).unwrap();
                    all.extend_from_slice(&solution.x);
                    all.extend_from_slice(&solution.trace);
                    all.extend([solution.loss.mantissa(), solution.loss.log_scale(), solution.facts.gradient_inf]);
                    let facts = [solution.facts.newton_decrement, solution.facts.lambda_min, solution.facts.lipschitz, radius(&solution)];
                    all.extend(facts.into_iter().map(|fact| fact.unwrap_or(-1.0)));
                }
                let evaluation = problem.evaluate(&x).unwrap();
                all.extend_from_slice(&evaluation.gradient);
                all.extend_from_slice(evaluation.hessian().as_slice());
                all.extend([evaluation.loss.mantissa(), evaluation.loss.log_scale(), evaluation.log_scale]);
            }
            all
        });
    }
}

#[test]
fn many_targets_and_sensitivities_have_the_same_bits_on_any_number_of_threads() {
    let (data, truth) = random(4, (Link::Exp, Form::Plain), 2000, 6);
    let noise = matrix(41, 2000, 5);
    let targets = Array::from_fn(2000, 5, |i, k| data.b[i] * (1.0 + 0.2 * noise.row(i)[k]));
    let da = matrix(42, 2000, 6);
    same_bits(|| {
        let problem = data.problem();
        let many = Solver::default().solve_many(&problem, &targets).unwrap();
        let mut all: Vec<f64> = many.into_iter().flat_map(|solution| solution.x).collect();
        let x = Solver::default().with_start(Start::Given(truth.clone())).with_certify(Certify::Full).solve(&problem).unwrap().x;
        let sensitivity = Sensitivity::new(&problem, &x).unwrap();
        all.extend(sensitivity.to_target(&data.b).unwrap());
        all.extend(sensitivity.to_design(&da).unwrap());
        all
    });
}

#[test]
fn a_saddle_is_left_also_where_the_hessian_is_only_applied() {
    let a = matrix(5, 400, 200);
    let b = (0..400).map(|i| 2.0 + (i % 3) as f64).collect::<Vec<_>>();
    let problem = certus_regression::Problem::new(&a, &b, Link::Cosh, Form::Plain).unwrap();
    let solution = Solver::default().with_start(Start::Zero).solve(&problem).unwrap();
    assert!(solution.x.iter().any(|x| *x != 0.0) && solution.facts.iterations > 0);
}
