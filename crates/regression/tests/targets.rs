//! Targets made of others.

use certus_linalg::factor::singular_values;
use certus_linalg::view::view;
use certus_numeric::Array;
use certus_regression::{Form, Link, Problem, Solver};

use crate::support::{Data, Design, PAIRS, difference, distance, kind, largest, link_value, matrix, moved, pair_name, random, vector};

/// The residual by its definition.
fn residual(data: &Data, x: &[f64], b: &[f64]) -> Vec<f64> {
    let u: Vec<f64> = data.predictor(x).iter().map(|z| link_value(data.link, *z)).collect();
    let sum: f64 = u.iter().sum();
    let row = |(u, b): (&f64, &f64)| match data.form {
        Form::Plain => u - b,
        Form::Rescaled => u - sum * b,
        Form::Normalised => u / sum - b,
    };
    u.iter().zip(b).map(row).collect()
}

#[test]
fn an_equivalent_target_has_the_residual_of_the_step() {
    for pair in PAIRS {
        for seed in 0..10 {
            let (data, truth) = random(seed, pair, 9, 3);
            // Where the sum of sinh is far from zero.
            let from = truth.iter().map(|x| 0.5 + 0.3 * x.abs()).collect::<Vec<_>>();
            let to = moved(&from, 0.2, &vector(seed ^ 5, 3));
            let Ok(target) = data.problem().equivalent_target(&from, &to) else { panic!("{} {seed}", pair_name(pair)) };
            let (before, after) = (residual(&data, &from, &target), residual(&data, &to, &data.b));
            let u: Vec<f64> = data.predictor(&from).iter().map(|z| link_value(data.link, *z)).collect();
            let cancels = if data.link == Link::Sinh { largest(&u) / u.iter().sum::<f64>().abs() } else { 1.0 };
            let size = largest(&after) + largest(&target) + largest(&u);
            let error = difference(&before, &after);
            assert!(error <= 1e-13 * (1.0 + cancels) * size * 9.0, "{} {seed}: off by {error:e} of {size:e}", pair_name(pair));
        }
    }
}

#[test]
fn an_equivalent_target_of_the_softmax_moves_by_at_most_half_of_the_step() {
    for seed in 0..50 {
        let (a, b) = (matrix(seed, 12, 4), vec![1.0 / 12.0; 12]);
        let data = Data::new(Design::Dense(a.clone()), b.clone(), (Link::Exp, Form::Normalised));
        let (from, step) = (vector(seed ^ 3, 4), vector(seed ^ 4, 4));
        let norm = singular_values(view(&a)).unwrap()[0];
        for length in [1e-6, 0.1, 1.0, 30.0] {
            let to = moved(&from, length, &step);
            let moved_target = distance(&data.problem().equivalent_target(&from, &to).unwrap(), &b);
            let bound = 0.5 * norm * distance(&from, &to);
            assert!(moved_target <= bound * (1.0 + 1e-9), "seed {seed}: {moved_target:e} above {bound:e}");
        }
    }
    // Two rows: nearly attained.
    let (a, b) = (Array::matrix(2, 1, vec![1.0, -1.0]).unwrap(), [0.5, 0.5]);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Normalised).unwrap();
    let target = problem.equivalent_target(&[0.0], &[1e-3]).unwrap();
    let ratio = distance(&target, &b) / (0.5 * 2f64.sqrt() * 1e-3);
    assert!(ratio <= 1.0 && ratio > 0.999_999, "{ratio}");
}

#[test]
fn targets_that_do_not_exist_are_refused_by_name() {
    let (a, b) = (Array::matrix(2, 1, vec![1.0, -1.0]).unwrap(), [0.5, 0.5]);
    let sinh = |form| Problem::new(&a, &b, Link::Sinh, form).unwrap();
    for form in [Form::Rescaled, Form::Normalised] {
        assert_eq!(kind(sinh(form).equivalent_target(&[0.0], &[1.0])), "ZeroNormaliser");
        assert_eq!(kind(sinh(form).equivalent_target(&[0.5], &[1.0])), "ZeroNormaliser");
    }
    let plain = sinh(Form::Plain);
    assert_eq!(kind(plain.equivalent_target(&[0.0], &[1e4])), "InvalidParameter");
    assert_eq!(kind(plain.equivalent_target(&[0.0, 1.0], &[1.0])), "DimensionMismatch");
    assert_eq!(kind(plain.equivalent_target(&[0.0], &[f64::NAN])), "NonFinite");
    // The exponents of a softmax cancel.
    let exp = Problem::new(&a, &b, Link::Exp, Form::Normalised).unwrap();
    let target = exp.equivalent_target(&[5e3], &[-5e3]).unwrap();
    assert_eq!(target, [1.5, -0.5]);
}

#[test]
fn a_normalised_target_adds_up_to_one_and_is_reached() {
    let a = matrix(7, 10, 3);
    let (truth, data) = (vector(8, 3), Design::Dense(a.clone()));
    let shares = Data::new(data, vec![0.0; 10], (Link::Exp, Form::Plain)).fitted(&truth);
    let target = Problem::normalised_target(&shares.iter().map(|b| 17.0 * b).collect::<Vec<_>>()).unwrap();
    assert!((target.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    let fit = Solver::default().solve(&Problem::new(&a, &target, Link::Exp, Form::Normalised).unwrap()).unwrap();
    assert!(fit.warnings.is_empty() && difference(&fit.x, &truth) < 1e-7, "{:?} {:?}", fit.warnings, fit.x);
    let of = |b: &[f64]| kind(Problem::normalised_target(b));
    assert_eq!(of(&[]), "EmptyProblem");
    assert_eq!(of(&[1.0, f64::NAN]), "NonFinite");
    assert_eq!(of(&[1.0, -1.0]), "InvalidParameter");
    assert_eq!(of(&[1.0, -2.0]), "InvalidParameter");
    assert_eq!(of(&[1e308, 1e308]), "InvalidParameter");
    assert_eq!(of(&[1e308, -1e308, 1e-300]), "InvalidParameter");
}
