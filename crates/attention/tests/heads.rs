//! Several heads: their Hessian as a matrix, the blocks of pairs included.

use certus_attention::Method;
use certus_attention::layer::{Curvature, Solver};
use certus_contract::Status;
use certus_testkit::same_bits;

use crate::support::{Layer, Masked, difference, flat, matrix, moved, unflat};

/// Three heads on two sequences, one of them masked; all dimensions differ.
fn three_heads() -> Layer {
    let mut layer = Layer::random(1, [13, 9, 3, 2, 4, 2]);
    layer.sequences.push(Layer::random(2, [7, 11, 3, 2, 4, 2]).with_mask(Masked::Causal).sequences.remove(0));
    for (s, sequence) in layer.sequences.iter_mut().enumerate() {
        let [n, m] = [sequence.target.rows(), sequence.heads[0][1].rows()];
        for h in 1..3 {
            let seed = (100 * s + 10 * h) as u64;
            sequence.heads.push([matrix(seed, n, 3), matrix(seed + 1, m, 2), matrix(seed + 2, m, 4)]);
        }
    }
    (layer.scale, layer.logit_reg, layer.ridge, layer.block_rows) = (0.8, (0.3, 0.2), (0.1, 0.05), Some(4));
    layer
}

#[test]
fn the_matrix_of_several_heads_is_that_of_the_products() {
    let layer = three_heads();
    let (problem, at) = (layer.problem(), layer.params(3, 1.0));
    let evaluation = problem.linearise(&at).unwrap();
    for curvature in [Curvature::Exact, Curvature::GaussNewton] {
        let hessian = evaluation.hessian(curvature).unwrap();
        for k in 0..hessian.rows() {
            let mut unit = vec![0.0; hessian.rows()];
            unit[k] = 1.0;
            let product = flat(&evaluation.hessian_times(&unflat(&at, &unit), curvature).unwrap());
            assert!(difference(hessian.row(k), &product) < 1e-12, "{curvature:?} {k}");
        }
    }
}

/// Second derivatives across heads have no part but Gauss and Newton's: a head's attention depends on its own X alone.
#[test]
fn the_blocks_of_pairs_of_heads_are_exact() {
    let layer = three_heads();
    let (problem, at) = (layer.problem(), layer.params(3, 1.0));
    let evaluation = problem.linearise(&at).unwrap();
    let [exact, gauss_newton] = [Curvature::Exact, Curvature::GaussNewton].map(|curvature| evaluation.hessian(curvature).unwrap());
    let (of_head, of_x) = (6, 18);
    let across = |i: usize, j: usize| i / of_head != j / of_head;
    for i in 0..of_x {
        for j in (0..of_x).filter(|&j| across(i, j)) {
            assert!((exact.row(i)[j] - gauss_newton.row(i)[j]).abs() < 1e-13);
        }
    }
    assert!((0..of_x).any(|i| (0..of_x).any(|j| !across(i, j) && (exact.row(i)[j] - gauss_newton.row(i)[j]).abs() > 1e-3)));
    let (x, step) = (flat(&at), 1e-5);
    for k in 0..x.len() {
        let gradient = |t: f64| {
            let mut unit = vec![0.0; x.len()];
            unit[k] = 1.0;
            flat(&problem.evaluate(&unflat(&at, &moved(&x, t, &unit))).unwrap().gradient)
        };
        let slope = moved(&gradient(step), -1.0, &gradient(-step)).iter().map(|d| d / (2.0 * step)).collect::<Vec<_>>();
        assert!(difference(exact.row(k), &slope) < 1e-7, "{k}");
    }
}

#[test]
fn few_numbers_in_several_heads_are_fitted_with_the_matrix_and_as_with_products() {
    let layer = three_heads();
    let problem = layer.problem();
    let solve =
        |method| Solver::default().with_start(layer.params(5, 0.1)).with_method(method).with_gradient_tolerance(1e-11).solve(&problem);
    let (auto, dense, krylov) = (solve(Method::Auto).unwrap(), solve(Method::DenseNewton).unwrap(), solve(Method::Krylov).unwrap());
    assert_eq!((auto.facts.method, dense.status), (Method::DenseNewton, Status::Converged));
    assert_eq!(auto.params, dense.params);
    assert!((dense.loss / krylov.loss - 1.0).abs() < 1e-12, "{} {}", dense.loss, krylov.loss);
    assert!(difference(&flat(&dense.params), &flat(&krylov.params)) < 1e-7);
    same_bits(|| solve(Method::DenseNewton).map(|fit| (fit.params.x.into_vec(), fit.params.y.into_vec())).unwrap());
    let fixed = Solver::default().with_start(dense.params.clone()).with_method(Method::Plain).fit_scores(&problem).unwrap();
    assert!((fixed.loss / dense.loss - 1.0).abs() < 1e-13);
}
