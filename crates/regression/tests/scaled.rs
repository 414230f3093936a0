//! Fits with a scale and an offset.

use certus_contract::Verdict;
use certus_numeric::{Array, Csr};
use certus_regression::{Error, Form, Link, Problem, ScaledFacts, ScaledSolution, Scaling, Solver, Start, scaled_certificate};

use crate::support::{difference, kind, largest, matrix, vector};

const EACH: [Scaling; 3] = [Scaling::Scale, Scaling::ScaleAndOffset, Scaling::Rise];

/// NIST StRD, y = b1 (1 - e^(-b2 x)).
const MISRA1A: [(f64, f64); 14] = [
    (77.6, 10.07),
    (114.9, 14.73),
    (141.1, 17.94),
    (190.8, 23.93),
    (239.9, 29.61),
    (289.0, 35.18),
    (332.8, 40.02),
    (378.4, 44.82),
    (434.8, 50.76),
    (477.3, 55.05),
    (536.8, 61.01),
    (593.1, 66.40),
    (689.1, 75.47),
    (760.0, 81.78),
];
const BOXBOD: [(f64, f64); 6] = [(1.0, 109.0), (2.0, 149.0), (3.0, 149.0), (5.0, 191.0), (7.0, 213.0), (10.0, 224.0)];

#[track_caller]
fn assert_sound(fit: &ScaledSolution, label: &str) {
    assert_eq!(fit.facts.status, fit.status, "{label}");
    assert_eq!(fit.facts.loss, fit.loss, "{label}");
    let numbers = [fit.scale, fit.offset, fit.loss, fit.facts.gradient_inf, fit.facts.least_scaled, fit.facts.rounding];
    assert!(fit.x.iter().chain(&fit.trace).chain(&numbers).all(|v| v.is_finite()), "{label}: {fit:?}");
    assert_ne!(fit.certificate.verdict(), Verdict::Violated, "{label}:\n{}", fit.certificate);
}

/// Asserts the certified values (11 digits), from the solver's own start and from those of the NIST.
#[track_caller]
fn is_certified(data: &[(f64, f64)], starts: &[f64], [b1, b2]: [f64; 2], squares: f64) {
    let a = Array::matrix(data.len(), 1, data.iter().map(|(x, _)| *x).collect()).unwrap();
    let y = data.iter().map(|(_, y)| *y).collect::<Vec<_>>();
    let problem = Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap();
    let given = starts.iter().map(|b2| Start::Given(vec![-b2]));
    for start in [Start::Auto, Start::MultiStart { count: 5 }].into_iter().chain(given) {
        for (gradient_tolerance, tolerance) in [(1e-10, 1e-9), (1e-14, 1e-10)] {
            let solver = Solver::default().with_gradient_tolerance(gradient_tolerance).with_start(start.clone());
            let fit = solver.solve_scaled(&problem, Scaling::Rise).unwrap();
            assert_sound(&fit, "nist");
            assert!(fit.status.reached(), "{start:?}: {}", fit.status);
            let errors = [fit.scale / b1 - 1.0, fit.x[0] / -b2 - 1.0, 2.0 * fit.loss / squares - 1.0];
            assert!(errors.iter().all(|e| e.abs() <= tolerance), "{start:?}: relative errors {errors:?}\n{}", fit.certificate);
            assert_eq!(fit.certificate.verdict(), Verdict::Holds, "{start:?}:\n{}", fit.certificate);
            assert_eq!(fit.offset, 0.0);
        }
    }
}

#[test]
fn misra1a_is_fitted_to_the_certified_values() {
    is_certified(&MISRA1A, &[0.0001, 0.0005], [2.3894212918e2, 5.5015643181e-4], 1.2455138894e-1);
}

#[test]
fn boxbod_is_fitted_to_the_certified_values() {
    is_certified(&BOXBOD, &[1.0, 0.75], [2.1380940889e2, 5.4723748542e-1], 1.1680088766e3);
}

/// c φ(Ax) + k.
fn model(a: &Array, x: &[f64], link: Link, scaling: Scaling, c: f64, k: f64) -> Vec<f64> {
    let value = |i: usize| {
        let z = a.row(i).iter().zip(x).fold(0.0, |z, (a, x)| z + a * x);
        let u = match link {
            Link::Exp => z.exp(),
            Link::Cosh => z.cosh(),
            Link::Sinh => z.sinh(),
        };
        c * if scaling == Scaling::Rise { 1.0 - u } else { u } + k
    };
    (0..a.rows()).map(value).collect()
}

#[test]
fn what_made_the_data_is_found_by_every_link_and_scaling() {
    for link in [Link::Exp, Link::Cosh, Link::Sinh] {
        for scaling in EACH {
            for seed in 0..5 {
                let (a, truth) = (matrix(seed, 40, 3), vector(seed ^ 77, 3).iter().map(|v| 1.5 * v).collect::<Vec<_>>());
                let (c, k) = (if seed % 2 == 0 { 7.0 } else { -0.3 }, if scaling == Scaling::ScaleAndOffset { 11.0 } else { 0.0 });
                let y = model(&a, &truth, link, scaling, c, k);
                let fit = Solver::default().solve_scaled(&Problem::new(&a, &y, link, Form::Plain).unwrap(), scaling).unwrap();
                let label = format!("{link} {scaling:?} {seed}: {} x {:?} for {truth:?}", fit.scale, fit.x);
                assert_sound(&fit, &label);
                assert!(fit.status.reached(), "{label}: {}", fit.status);
                assert!(fit.loss < 1e-18 * (c * c + k * k), "{label}: loss {:e}", fit.loss);
                // What is even, or odd, in x does not tell its sign.
                let sign = if link == Link::Exp || fit.x[0] * truth[0] > 0.0 { 1.0 } else { -1.0 };
                let x = fit.x.iter().map(|x| sign * x).collect::<Vec<_>>();
                assert!(difference(&x, &truth) <= 1e-6 * largest(&truth), "{label}");
                assert!((fit.scale.abs() - c.abs()).abs() <= 1e-6 * c.abs() && (fit.offset - k).abs() <= 1e-5, "{label} {}", fit.offset);
            }
        }
    }
}

/// The joint loss of a weighted problem with all regularisers, plainly.
fn joint_loss(a: &Array, y: &[f64], w: &[f64], fitted: &[f64], x: &[f64]) -> f64 {
    let row = |i: usize| {
        let z = a.row(i).iter().zip(x).fold(0.0, |z, (a, x)| z + a * x);
        w[i] * (fitted[i] - y[i]).powi(2) + (0.1 * z).powi(2)
    };
    0.5 * ((0..y.len()).map(row).sum::<f64>() + 0.2 * x.iter().map(|x| x * x).sum::<f64>())
}

#[test]
fn at_the_answer_the_joint_loss_is_stationary_with_weights_and_regularisers() {
    for scaling in EACH {
        let a = matrix(3, 30, 2);
        let (truth, w) = ([0.9, -0.6], (0..30).map(|i| 0.5 + 0.1 * (i % 7) as f64).collect::<Vec<_>>());
        let noise = vector(5, 30);
        let y = model(&a, &truth, Link::Exp, scaling, 2.0, 0.5).iter().zip(&noise).map(|(y, e)| y + 0.2 * e).collect::<Vec<_>>();
        let problem = Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap();
        let problem = problem.with_data_weights(&w).unwrap().with_ridge(0.2).unwrap().with_uniform_row_reg(0.1).unwrap();
        let fit = Solver::default().solve_scaled(&problem, scaling).unwrap();
        assert_sound(&fit, "stationary");
        assert!(fit.status.reached(), "{scaling:?}: {}", fit.status);
        let at = |x: &[f64], c: f64, k: f64| joint_loss(&a, &y, &w, &model(&a, x, Link::Exp, scaling, c, k), x);
        assert!((at(&fit.x, fit.scale, fit.offset) / fit.loss - 1.0).abs() < 1e-12);
        let h = 1e-4;
        for p in 0..4 {
            if p == 3 && scaling != Scaling::ScaleAndOffset {
                continue;
            }
            let moved = |by: f64| {
                let (mut x, mut c, mut k) = (fit.x.clone(), fit.scale, fit.offset);
                match p {
                    0 | 1 => x[p] += by,
                    2 => c += by,
                    _ => k += by,
                }
                at(&x, c, k)
            };
            let slope = (moved(h) - moved(-h)) / (2.0 * h);
            assert!(slope.abs() < 1e-6, "{scaling:?}: the slope along parameter {p} is {slope:e}");
            assert!(moved(h) > fit.loss && moved(-h) > fit.loss, "{scaling:?}: no minimum along parameter {p}");
        }
        assert_eq!(fit.certificate.verdict(), Verdict::Holds, "{}", fit.certificate);
    }
}

#[test]
fn a_dense_and_a_sparse_matrix_give_the_same_fit() {
    let a = Array::matrix(6, 1, BOXBOD.iter().map(|(x, _)| *x).collect()).unwrap();
    let sparse = Csr::new(6, 1, (0..=6).collect(), vec![0; 6], a.as_slice().to_vec()).unwrap();
    let y = BOXBOD.map(|(_, y)| y);
    let dense = Solver::default().solve_scaled(&Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap(), Scaling::Rise).unwrap();
    let sparse = Solver::default().solve_scaled(&Problem::new(&sparse, &y, Link::Exp, Form::Plain).unwrap(), Scaling::Rise).unwrap();
    assert!((dense.x[0] / sparse.x[0] - 1.0).abs() < 1e-9);
}

#[test]
fn powers_beyond_the_range_of_f64_are_fitted_where_the_scale_is_not() {
    // e^(z - 600) for z from 600 to 608: the squares of e^z overflow.
    let a = Array::from_fn(9, 1, |i, _| 600.0 + i as f64);
    let y = (0..9).map(|i| f64::from(i).exp()).collect::<Vec<_>>();
    let fit = Solver::default().solve_scaled(&Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap(), Scaling::Scale).unwrap();
    assert_sound(&fit, "far");
    assert!((fit.x[0] - 1.0).abs() < 1e-8 && (fit.scale.ln() + 600.0).abs() < 1e-5, "{} {:?}", fit.scale, fit.x);
}

#[test]
fn a_scale_that_the_data_do_not_tell_is_not_certified() {
    // A constant column beside exp says what the scale says.
    let a = Array::from_fn(12, 2, |i, j| if j == 0 { 1.0 } else { 0.2 * i as f64 });
    let y = (0..12).map(|i| 3.0 * (0.1 * i as f64).exp() + 0.01 * (i as f64).cos()).collect::<Vec<_>>();
    let fit = Solver::default().solve_scaled(&Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap(), Scaling::Scale).unwrap();
    assert_sound(&fit, "gauge");
    assert!(fit.status.reached(), "{}", fit.status);
    assert_eq!(fit.certificate.verdict(), Verdict::NotApplicable, "{}", fit.certificate);
    assert!((fit.x[1] - 0.5).abs() < 0.01, "{:?}", fit.x);
}

#[test]
fn what_cannot_be_fitted_is_refused_by_name() {
    let (a, b) = (Array::matrix(3, 1, vec![1.0, 2.0, 3.0]).unwrap(), [1.0, 2.0, 4.0]);
    let solve = |form, start: Start, scaling| -> Result<ScaledSolution, Error> {
        Solver::default().with_start(start).solve_scaled(&Problem::new(&a, &b, Link::Exp, form)?, scaling)
    };
    assert_eq!(kind(solve(Form::Normalised, Start::Auto, Scaling::Scale)), "InvalidParameter");
    // At zero a rise is zero, and an exp constant.
    assert_eq!(kind(solve(Form::Plain, Start::Zero, Scaling::Rise)), "InvalidParameter");
    assert_eq!(kind(solve(Form::Plain, Start::Zero, Scaling::ScaleAndOffset)), "InvalidParameter");
    assert_eq!(kind(solve(Form::Plain, Start::Zero, Scaling::Scale)), "accepted");
    assert_eq!(kind(solve(Form::Plain, Start::Given(vec![1e306]), Scaling::Rise)), "InvalidParameter");
    assert_eq!(kind(solve(Form::Plain, Start::Given(vec![]), Scaling::Rise)), "DimensionMismatch");
    assert_eq!(kind(solve(Form::Plain, Start::Given(vec![f64::NAN]), Scaling::Rise)), "NonFinite");
}

#[test]
fn hostile_data_give_a_typed_error_or_finite_numbers() {
    let matrices = [
        Array::matrix(3, 1, vec![1.0, 2.0, 3.0]).unwrap(),
        Array::matrix(3, 1, vec![0.0, 0.0, 0.0]).unwrap(),
        Array::matrix(3, 2, vec![1.0, 0.0, 2.0, 0.0, -3.0, 0.0]).unwrap(),
        Array::matrix(3, 1, vec![1e150, -1e150, 1.0]).unwrap(),
        Array::matrix(3, 1, vec![1e-300, 2e-300, 3e-300]).unwrap(),
        Array::matrix(3, 4, (0..12).map(f64::from).collect()).unwrap(),
    ];
    let targets = [[1.0, 2.0, 4.0], [0.0; 3], [5.0; 3], [-1.0, 0.0, 1.0], [1e150, -1e150, 1.0], [1e-310, 2e-310, 5e-310]];
    for a in &matrices {
        for b in &targets {
            for link in [Link::Exp, Link::Cosh, Link::Sinh] {
                for scaling in EACH {
                    let problem = Problem::new(a, b, link, Form::Plain).unwrap();
                    if let Ok(fit) = Solver::default().solve_scaled(&problem, scaling) {
                        assert_sound(&fit, &format!("{link} {scaling:?} {b:?} {:?}", a.as_slice()));
                    }
                }
            }
        }
    }
}

#[test]
fn every_check_of_the_certificate_of_a_scaled_fit_can_fail() {
    let a = Array::matrix(6, 1, BOXBOD.iter().map(|(x, _)| *x).collect()).unwrap();
    let y = BOXBOD.map(|(_, y)| y);
    let good = Solver::default().solve_scaled(&Problem::new(&a, &y, Link::Exp, Form::Plain).unwrap(), Scaling::Rise).unwrap().facts;
    certus_testkit::certificates::must_fail_once(
        scaled_certificate,
        good,
        &[
            ("positive_curvature", |f: &mut ScaledFacts| f.positive = false),
            ("small_decrement", |f: &mut ScaledFacts| f.newton_decrement = Some(f.loss)),
            ("fall_of_a_newton_step", |f: &mut ScaledFacts| f.fall = Some(f.loss)),
        ],
    );
}
