//! Keys of which some columns make a constant, as behind a LayerNorm: X has directions that no row of attention sees.

use certus_attention::layer::{Params, Problem, Sequence, Solver};
use certus_attention::map::{self, Form};
use certus_attention::{Certify, Method};
use certus_numeric::Array;

use crate::support::{Masked, apply, logits, matrix, norm, softmax, times, warns};

/// Hidden states behind a LayerNorm with these weights and biases: `hidden (1 / gamma)` is one constant.
fn hidden(seed: u64, n: usize, d: usize) -> Array {
    let raw = matrix(seed, n, d);
    let (gamma, beta) = (matrix(seed + 1, 1, d).map(|v| 1.0 + 0.5 * v), matrix(seed + 2, 1, d).map(|v| 0.3 * v));
    Array::from_fn(n, d, |i, j| {
        let row = raw.row(i);
        let mean = row.iter().sum::<f64>() / d as f64;
        let deviation = (row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64).sqrt();
        gamma.row(0)[j] * (row[j] - mean) / deviation + beta.row(0)[j]
    })
}

#[test]
fn a_layer_behind_a_layer_norm_is_certified_without_a_regulariser_and_steps_are_shortest() {
    let (a, y, noise) = (hidden(1, 60, 4), matrix(7, 4, 3), matrix(8, 60, 3));
    let f = softmax(&logits(&a, &matrix(5, 4, 4), &a, 0.5), &Masked::All);
    let exact = times(&times(&f, &a), &y);
    let target = Array::from_fn(60, 3, |i, j| exact.row(i)[j] + 0.01 * noise.row(i)[j]);
    let problem = Problem::new(vec![Sequence::new(&a, &a, &a, &target)]).unwrap().with_scale(0.5).unwrap();
    let start = Params { x: matrix(5, 4, 4).map(|v| 0.9 * v), y };
    for method in [Method::DenseNewton, Method::Krylov, Method::Sketched] {
        for certify in [Certify::Cheap, Certify::Full] {
            let solver = Solver::default().with_method(method).with_gradient_tolerance(1e-11).with_certify(certify);
            let fit = solver.with_start(start.clone()).solve(&problem).unwrap();
            assert!(fit.facts.constant_in_keys && warns(&fit.warnings, "GaugeDirections"), "{:?}", fit.warnings);
            let test = fit.facts.kantorovich.expect("a test");
            assert!(test.h.is_some_and(|h| h < 0.5) && test.logit_radius.is_some_and(|radius| radius < 1e-5), "{method:?}: {test:?}");
            let change = Array::from_fn(4, 4, |i, j| fit.params.x.row(i)[j] - start.x.row(i)[j]);
            // The gauge directions are v wᵀ with w = 1 / gamma, for any v.
            let w = matrix(2, 1, 4).map(|v| 1.0 / (1.0 + 0.5 * v));
            let along = norm(&apply(&change, w.row(0))) / norm(w.row(0));
            assert!(norm(change.as_slice()) > 0.1 && along < 1e-5 * norm(change.as_slice()), "{method:?}: {along}");
        }
    }
}

#[test]
fn a_map_behind_a_layer_norm_is_certified_without_a_regulariser() {
    let a = hidden(1, 40, 4);
    let b = softmax(&logits(&a, &matrix(5, 4, 4), &a, 0.5), &Masked::Causal);
    let sequences = || vec![map::Sequence::new(&a, &a, &b).with_mask(certus_attention::Mask::Causal)];
    for form in [Form::Normalised, Form::CrossEntropy] {
        let problem = map::Problem::new(sequences(), form).unwrap().with_scale(0.5).unwrap();
        let start = matrix(5, 4, 4).map(|v| 0.9 * v);
        let fit = map::Solver::default().with_start(start).with_gradient_tolerance(1e-11).solve(&problem).unwrap();
        assert!(warns(&fit.warnings, "GaugeDirections"));
        let test = fit.facts.kantorovich.expect("a test");
        assert!(test.h.is_some_and(|h| h < 0.5) && test.logit_radius.is_some_and(|radius| radius < 1e-5), "{form:?}: {test:?}");
    }
    // Of the exponentials themselves a shift is seen: nothing is centred, and without a regulariser the problem is refused.
    let problem = map::Problem::new(sequences(), Form::Rescaled).unwrap();
    assert_eq!(map::Solver::default().solve(&problem).unwrap_err().kind(), "UnboundedRescaled");
}
