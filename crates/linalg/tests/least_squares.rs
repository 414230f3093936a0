use certus_contract::{InputError, Status, Verdict};
use certus_linalg::factor::svd;
use certus_linalg::least_squares::{Certify, Facts, Method, Problem, Solver, backward_error, certificate};
use certus_linalg::product::{matmul, matvec};
use certus_linalg::sketch::SketchKind;
use certus_linalg::view::{to_array, view};
use certus_linalg::{Error, Mat};
use certus_numeric::{Array, Csr, Seed};
use proptest::prelude::*;
use std::ops::ControlFlow;

use crate::operator::{both, numbers};
use crate::product::random;

/// A matrix with singular values from 1 down to 1 / condition, dense.
fn conditioned(seed: u64, n: usize, d: usize, condition: f64) -> Array {
    let (left, right) = (svd(random(seed, n, d).as_ref()).unwrap().u, svd(random(seed ^ 1, d, d).as_ref()).unwrap().u);
    let scaled = Mat::from_fn(n, d, |i, j| left[(i, j)] * condition.powf(-(j as f64) / (d as f64 - 1.0).max(1.0)));
    to_array(matmul(scaled.as_ref(), right.transpose()).as_ref())
}

/// The minimum-norm solution by the singular value decomposition.
fn reference(a: &Array, b: &[f64]) -> Vec<f64> {
    let s = svd(view(a)).unwrap();
    let tolerance = s.values[0] * 1e-13 * a.rows() as f64;
    let c = matvec(s.u.transpose(), b);
    let y = c.iter().zip(&s.values).map(|(c, v)| if *v > tolerance { c / v } else { 0.0 }).collect::<Vec<_>>();
    matvec(s.v.as_ref(), &y)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(f64::MIN_POSITIVE)
}

const METHODS: [Method; 4] = [Method::Auto, Method::Qr, Method::Sketch, Method::Lsmr];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn every_method_finds_the_minimiser(n in 1usize..400, d in 1usize..12, seed in any::<u64>()) {
        let (dense, sparse) = both(seed, n.max(d), d);
        let b = numbers(seed ^ 5, n.max(d));
        let expected = reference(&dense, &b);
        let condition = { let s = svd(view(&dense)).unwrap().values; s[0] / s[d - 1] };
        for problem in [Problem::new(&dense, &b).unwrap(), Problem::new(&sparse, &b).unwrap()] {
            for method in METHODS {
                let solution = Solver::default().with_method(method).solve(&problem).unwrap();
                prop_assert_eq!(solution.status, Status::Converged);
                prop_assert!(solution.facts.backward_error <= 1e-12);
                if condition < 1e3 {
                    prop_assert!(backward_error(&problem, &solution.x) <= 1e-11);
                }
                if condition < 1e4 {
                    let error = distance(&solution.x, &expected);
                    prop_assert!(error <= 1e-10 * condition * condition, "{method:?} {error} {condition}");
                    // What is promised is kept.
                    if let Some(bound) = solution.facts.forward_bound {
                        prop_assert!(error <= bound + 1e-13 * condition * condition, "{method:?} {error} {bound}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_sketch_of_an_ill_conditioned_matrix_converges_at_the_same_rate(kind in 0usize..4, seed in 0u64..1000) {
        let a = conditioned(seed, 600, 10, 1e8);
        let b = numbers(seed ^ 9, 600);
        let problem = Problem::new(&a, &b).unwrap();
        let solver = Solver { sketch_rows: Some(160), ..Solver::default().with_method(Method::Sketch).with_sketch(SketchKind::ALL[kind]).with_seed(Seed(seed)) };
        let solution = solver.solve(&problem).unwrap();
        prop_assert_eq!(solution.status, Status::Converged);
        prop_assert!(solution.facts.iterations <= 40, "{}", solution.facts.iterations);
    }
}

#[test]
fn full_certification_holds_on_good_problems_and_its_bounds_contain_the_error() {
    for seed in 0..10 {
        let a = conditioned(seed, 3000, 20, 1e3);
        let b = numbers(seed + 50, 3000);
        let problem = Problem::new(&a, &b).unwrap();
        for method in METHODS {
            let solution = Solver::default().with_method(method).with_certify(Certify::Full).solve(&problem).unwrap();
            let expected = reference(&a, &b);
            assert_eq!(solution.certificate.verdict(), Verdict::Holds, "{method:?}\n{}", solution.certificate);
            let (error, bound) = (distance(&solution.x, &expected), solution.facts.forward_bound.unwrap());
            assert!(error <= bound && bound < 1e-3, "{method:?}: {error} against {bound}");
        }
    }
}

#[test]
fn estimates_from_inside_come_near_the_exact_spectrum() {
    let a = conditioned(3, 4000, 30, 1e6);
    let b = numbers(4, 4000);
    let problem = Problem::new(&a, &b).unwrap();
    let solver = Solver::default().with_method(Method::Sketch);
    let cheap = solver.solve(&problem).unwrap().facts;
    let full = solver.with_certify(Certify::Full).solve(&problem).unwrap().facts;
    let ((low, high), (exact_low, exact_high)) = (cheap.preconditioned.unwrap(), full.preconditioned.unwrap());
    assert!(exact_low <= low * (1.0 + 1e-6) && high <= exact_high * (1.0 + 1e-6));
    assert!(low < 1.1 * exact_low && high > 0.9 * exact_high, "{low} {exact_low} {high} {exact_high}");
}

#[test]
fn rank_deficient_problems_give_the_solution_of_minimum_norm() {
    let thin = conditioned(1, 500, 6, 10.0);
    // Two more columns that depend on the others, and one of zeros.
    let a = Array::from_fn(500, 9, |i, j| match j {
        0..6 => thin.row(i)[j],
        6 => thin.row(i)[0] + thin.row(i)[1],
        7 => -2.0 * thin.row(i)[3],
        _ => 0.0,
    });
    let b = numbers(2, 500);
    let expected = reference(&a, &b);
    let sparse = Csr::from_dense(&a);
    for problem in [Problem::new(&a, &b).unwrap(), Problem::new(&sparse, &b).unwrap()] {
        for method in METHODS {
            let solution = Solver::default().with_method(method).solve(&problem).unwrap();
            assert_eq!(solution.status, Status::Converged, "{method:?}");
            assert!(solution.x[8].abs() < 1e-12);
            if matches!(method, Method::Qr | Method::Sketch) {
                assert_eq!(solution.facts.rank, 6);
                assert!(solution.warnings.iter().any(|w| w.starts_with("RankDeficient: ")));
                assert!(distance(&solution.x, &expected) < 1e-9, "{method:?} {}", distance(&solution.x, &expected));
            }
        }
    }
}

#[test]
fn a_direction_that_only_the_sketch_loses_is_not_lost() {
    // Sixty rows carry all of A, so that a CountSketch of few rows puts two of them in one place.
    let (n, d) = (2000, 60);
    let mut b = numbers(3, n);
    let dense = Array::from_fn(n, d, |i, j| if i % 33 == 0 && i / 33 == j { 2.0 } else { 0.0 });
    b[0] += 5.0;
    let a = Csr::from_dense(&dense);
    let problem = Problem::new(&a, &b).unwrap();
    for seed in 0..5 {
        let solver = Solver { sketch_rows: Some(240), ..Solver::default().with_method(Method::Sketch).with_seed(Seed(seed)) };
        let solution = solver.solve(&problem).unwrap();
        assert_eq!((solution.facts.rank, solution.status), (d, Status::Converged));
        assert!(distance(&solution.x, &reference(&dense, &b)) < 1e-9);
    }
}

#[test]
fn a_factor_too_large_for_memory_is_refused() {
    let (n, d) = (40_000, 30_000);
    let indices = (0..n as u32).map(|i| i % d as u32).collect();
    let a = Csr::new(n, d, (0..=n).collect(), indices, vec![1.0; n]).unwrap();
    let b = vec![1.0; n];
    let problem = Problem::new(&a, &b).unwrap();
    assert_eq!(Solver::default().with_method(Method::Qr).solve(&problem).unwrap_err().kind(), "TooLarge");
    assert_eq!(Solver::default().with_method(Method::Sketch).solve(&problem).unwrap_err().kind(), "TooLarge");
    assert_eq!(Solver::default().solve(&problem).unwrap().status, Status::Converged);
}

#[test]
fn the_size_of_the_numbers_does_not_matter_up_to_a_limit() {
    let solve = |method, scale_a: f64, scale_b: f64| {
        let a = conditioned(1, 60, 4, 10.0).map(|v| v * scale_a);
        let b = numbers(2, 60).iter().map(|v| v * scale_b).collect::<Vec<_>>();
        let problem = Problem::new(&a, &b).map_err(Error::from)?;
        Solver::default().with_method(method).solve(&problem)
    };
    for method in METHODS {
        let expected = solve(method, 1.0, 1.0).unwrap().x;
        for (scale_a, scale_b) in [(1e99, 1.0), (1e-99, 1.0), (1.0, 1e99), (1e99, 1e-99), (1e-99, 1e99)] {
            let solution = solve(method, scale_a, scale_b).unwrap();
            assert_eq!(solution.status, Status::Converged);
            let x = solution.x.iter().map(|x| x * (scale_a / scale_b)).collect::<Vec<_>>();
            assert!(distance(&x, &expected) < 1e-9, "{method:?} {scale_a} {scale_b}");
        }
        for (scale_a, scale_b) in [(0.0, 1.0), (1.0, 0.0)] {
            assert_eq!(solve(method, scale_a, scale_b).unwrap().x, [0.0; 4]);
        }
        for (scale_a, scale_b) in [(1e150, 1.0), (1e-150, 1.0), (1.0, 1e150), (1.0, 1e-170)] {
            let error = solve(method, scale_a, scale_b).unwrap_err();
            assert!(error.kind() == "InvalidParameter" && error.to_string().contains("power of two"), "{error}");
        }
    }
}

#[test]
fn a_sketch_that_is_not_used_is_told() {
    let a = conditioned(1, 60, 4, 10.0);
    let b = numbers(2, 60);
    let problem = Problem::new(&a, &b).unwrap();
    let warnings = |solver: Solver| solver.solve(&problem).unwrap().warnings;
    let large = Solver { sketch_rows: Some(60), ..Solver::default().with_method(Method::Sketch) };
    assert!(warnings(large)[0].starts_with("SketchNotUsed: "));
    assert!(warnings(Solver { sketch_rows: Some(30), ..large }).is_empty());
    assert!(warnings(Solver::default()).is_empty());
}

#[test]
fn bad_problems_and_options_are_refused_by_kind() {
    let a = Array::from_fn(4, 2, |i, j| (i + j) as f64);
    let kind = |r: Result<Problem<'_>, InputError>| r.unwrap_err().kind();
    assert_eq!(kind(Problem::new(&a, &[1.0; 3])), "DimensionMismatch");
    assert_eq!(kind(Problem::new(&a, &[1.0, f64::NAN, 0.0, 0.0])), "NonFinite");
    assert_eq!(kind(Problem::new(&Array::zeros([0, 2]), &[])), "EmptyProblem");
    assert_eq!(kind(Problem::new(&Array::zeros([2, 3]), &[1.0; 2])), "DimensionMismatch");
    assert_eq!(kind(Problem::new(&Array::vector(vec![1.0; 4]), &[1.0; 4])), "DimensionMismatch");
    let mut bad = a.clone();
    bad.row_mut(2)[1] = f64::INFINITY;
    assert_eq!(Problem::new(&bad, &[1.0; 4]).unwrap_err().to_string(), "a[2, 1] is inf, but every entry must be finite");
    let problem = Problem::new(&a, &[1.0; 4]).unwrap();
    for tolerance in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(Solver::default().with_tolerance(tolerance).solve(&problem).unwrap_err().kind(), "InvalidParameter");
    }
    let few = Solver { sketch_rows: Some(1), ..Solver::default() };
    assert_eq!(few.solve(&problem).unwrap_err().kind(), "InvalidParameter");
}

#[test]
fn a_run_that_did_not_reach_its_tolerance_says_so() {
    let a = conditioned(1, 3000, 30, 1e7);
    let b = numbers(2, 3000);
    let problem = Problem::new(&a, &b).unwrap();
    let limited = Solver { max_iterations: 3, ..Solver::default().with_method(Method::Lsmr) }.solve(&problem).unwrap();
    assert_eq!((limited.status, limited.facts.iterations), (Status::MaxIterations, 3));
    assert!(!limited.facts.converged && limited.facts.backward_error > 1e-12);
    assert_eq!(limited.certificate.claims[1].verdict(), Verdict::NotApplicable);
    let beyond = Solver::default().with_tolerance(1e-18).with_method(Method::Sketch).solve(&problem).unwrap();
    assert_eq!(beyond.status, Status::Stalled);
    let stopped = Solver::default()
        .with_method(Method::Lsmr)
        .solve_with(&problem, |event| if event.done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    assert_eq!(stopped.unwrap().status, Status::Stopped);
}

#[test]
fn the_automatic_choice_turns_to_a_sketch_when_plain_iteration_is_slow() {
    let sparse = |condition: f64| {
        let a = conditioned(5, 6000, 20, condition);
        Csr::from_dense(&a)
    };
    let b = numbers(6, 6000);
    let (easy, hard) = (sparse(1.3), sparse(1e6));
    let easy = Solver::default().solve(&Problem::new(&easy, &b).unwrap()).unwrap();
    let hard = Solver::default().solve(&Problem::new(&hard, &b).unwrap()).unwrap();
    assert_eq!((easy.status, easy.facts.sketch_rows), (Status::Converged, 0));
    assert_eq!(hard.status, Status::Converged);
    assert!(hard.facts.sketch_rows > 0 && hard.facts.iterations < 100, "{:?}", hard.facts);
}

#[test]
fn every_check_of_the_certificate_can_fail() {
    let a = conditioned(1, 3000, 6, 100.0);
    let b = numbers(2, 3000);
    let solver = Solver {
        sketch_rows: Some(1500),
        ..Solver::default().with_method(Method::Sketch).with_sketch(SketchKind::Gaussian).with_certify(Certify::Full)
    };
    let good = solver.solve(&Problem::new(&a, &b).unwrap()).unwrap().facts;
    certus_testkit::certificates::must_fail_once(
        certificate,
        good,
        &[
            ("clear_rank", |f: &mut Facts| f.reciprocal_condition = 1e-16),
            ("embedding", |f: &mut Facts| f.preconditioned = Some((0.0, 1.0))),
            ("forward_error", |f: &mut Facts| f.forward_error = Some(0.1)),
            ("converged", |f: &mut Facts| f.converged = false),
            ("backward_error", |f: &mut Facts| f.backward_error = 1e-9),
            ("distortion", |f: &mut Facts| f.distortion = Some(0.9)),
            ("contraction", |f: &mut Facts| f.contraction = Some((0.5, 10))),
        ],
    );
}

#[test]
fn solutions_have_the_same_bits_on_any_number_of_threads() {
    let (dense, sparse) = both(3, 6000, 25);
    let b = numbers(4, 6000);
    certus_testkit::same_bits(|| {
        let mut all = Vec::new();
        for problem in [Problem::new(&dense, &b).unwrap(), Problem::new(&sparse, &b).unwrap()] {
            for method in METHODS {
                for kind in SketchKind::ALL {
                    let solver = Solver::default().with_method(method).with_sketch(kind).with_certify(Certify::Full);
                    let solution = solver.solve(&problem).unwrap();
                    all.extend(solution.x);
                    all.extend([solution.facts.residual, solution.facts.backward_error, solution.facts.forward_bound.unwrap_or(-1.0)]);
                }
            }
        }
        all
    });
}
