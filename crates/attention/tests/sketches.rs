//! Sketched Hessians against those that they stand for.

use certus_attention::layer::{Curvature, Params, Problem, Sequence, Solver};
use certus_attention::map::{self, Form};
use certus_attention::{Sketch, SketchFacts};
use certus_contract::Status;
use certus_linalg::factor::generalized_symmetric_eigen;
use certus_linalg::view::view;
use certus_numeric::{Array, Seed};
use certus_testkit::same_bits;

use crate::support::{Case, difference, matrix};

const TENSOR: [Sketch; 2] = [Sketch::TensorSketch, Sketch::TensorSrht];

/// The block in X of a Hessian in X and Y.
fn block_in_x(hessian: &Array, of_x: usize) -> Array {
    Array::from_fn(of_x, of_x, |i, j| hessian.row(i)[j])
}

/// `Σ_seed` of the sketched Hessians over their number.
fn mean(count: u64, of: impl Fn(Seed) -> Array) -> Array {
    let mut sum = of(Seed(1));
    for seed in 2..=count {
        sum.as_mut_slice().iter_mut().zip(of(Seed(seed)).as_slice()).for_each(|(s, v)| *s += v);
    }
    sum.map(|v| v / count as f64)
}

/// Problem data whose logits are small, so that all queries look at the keys in about the same way.
fn inputs(n: usize) -> [Array; 4] {
    [matrix(1, n, 3).map(|v| 0.3 * v), matrix(2, 9, 3), matrix(3, 9, 2), matrix(4, n, 2)]
}

#[test]
fn the_mean_of_the_sketches_is_what_they_stand_for() {
    let [a1, a2, a3, b] = inputs(60);
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.1, 0.1).unwrap();
    let at = Params { x: matrix(5, 3, 3), y: matrix(6, 2, 2) };
    let evaluation = problem.linearise(&at).unwrap();
    let sketched = |sketch, seed| evaluation.sketched_hessian(sketch, seed).unwrap().hessian;
    let gauss_newton = block_in_x(&evaluation.hessian(Curvature::GaussNewton).unwrap(), 9);
    let rank_one = sketched(Sketch::RankOne, Seed(1));
    // Each is off by some half of its size; the mean of 400 by a twentieth of that.
    for (sketch, expected) in [(Sketch::Rows, &gauss_newton), (TENSOR[0], &rank_one), (TENSOR[1], &rank_one)] {
        let off = |found: &Array| difference(found.as_slice(), expected.as_slice());
        let (one, all) = (off(&sketched(sketch, Seed(1))), off(&mean(400, |seed| sketched(sketch, seed))));
        assert!(all < 0.04 && one > 2.0 * all, "{sketch:?}: {one} {all}");
    }
}

#[test]
fn weights_of_rank_one_give_the_curvature_of_the_cross_entropy_exactly() {
    // At X = 0 all queries look at all keys alike.
    let [a1, a2, _, _] = inputs(40);
    let b = Array::from_fn(40, 9, |_, _| 1.0 / 9.0);
    let twice = vec![map::Sequence::new(&a1, &a2, &b); 2];
    let problem = map::Problem::new(twice, Form::CrossEntropy).unwrap().with_scale(0.7).unwrap().with_ridge(0.01).unwrap();
    let evaluation = problem.linearise(&Array::zeros([3, 3])).unwrap();
    let found = evaluation.sketched_hessian(Sketch::Auto, Seed(3)).unwrap();
    assert_eq!(found.facts.sketch, Sketch::RankOne);
    assert!(found.facts.distance.unwrap() < 1e-7);
    assert!(difference(found.hessian.as_slice(), evaluation.hessian().unwrap().as_slice()) < 1e-12);
    // Off by the thousandth of the metric that is added, and no more.
    assert!(found.facts.epsilon() < 0.02, "{:?}", found.facts);
}

/// What is reported is the spectrum of the pencil.
#[test]
fn the_measured_eigenvalues_are_those_of_the_hessian_before_the_sketch() {
    let [a1, a2, a3, b] = inputs(300);
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.1, 0.1).unwrap();
    let evaluation = problem.linearise(&Params { x: matrix(5, 3, 3), y: matrix(6, 2, 2) }).unwrap();
    let exact = block_in_x(&evaluation.hessian(Curvature::Exact).unwrap(), 9);
    for sketch in [Sketch::Rows, Sketch::RankOne, Sketch::TensorSketch, Sketch::TensorSrht] {
        for seed in 0..20 {
            let found = evaluation.sketched_hessian(sketch, Seed(seed)).unwrap();
            let pencil = generalized_symmetric_eigen(view(&exact), view(&found.hessian)).unwrap().values;
            let (least, most) = found.facts.eigenvalues;
            // A thousandth of the metric is added to what is measured.
            assert!((least / pencil[0] - 1.0).abs() < 0.05 && (most / pencil[8] - 1.0).abs() < 0.05, "{:?} {pencil:?}", found.facts);
            assert!(found.facts.epsilon() < 3.0, "{:?}", found.facts);
        }
    }
}

#[test]
fn all_sketches_lead_to_the_same_fit_with_the_same_bits_on_any_number_of_threads() {
    let [a1, a2, a3, b] = inputs(400);
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.05, 0.05).unwrap();
    let exact = Solver::default().with_gradient_tolerance(1e-10).solve(&problem).unwrap();
    for sketch in [Sketch::Auto, Sketch::Rows, Sketch::RankOne, Sketch::TensorSketch, Sketch::TensorSrht] {
        let fit = same_bits(|| {
            let fit = Solver::default().with_sketch(sketch).with_gradient_tolerance(1e-10).solve(&problem).unwrap();
            let facts = fit.facts.sketch.expect("a sketch");
            assert!(facts.epsilon() < 3.0 && (sketch == Sketch::Auto || facts.sketch == sketch), "{facts:?}");
            (fit.params.x.into_vec(), fit.loss, facts.epsilon())
        });
        assert!((fit.1 / exact.loss - 1.0).abs() < 1e-12, "{sketch:?}: {} {}", fit.1, exact.loss);
    }
}

#[test]
fn weights_that_are_not_of_rank_one_are_refused_or_left_to_the_sampled_queries() {
    let [_, a2, a3, b] = inputs(30);
    let a1 = matrix(1, 30, 3).map(|v| 40.0 * v);
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_logit_reg(0.05, 0.05).unwrap();
    let start = Params { x: Array::identity(3), y: Array::identity(2) };
    for sketch in [Sketch::RankOne, Sketch::TensorSketch, Sketch::TensorSrht] {
        let error = Solver::default().with_start(start.clone()).with_sketch(sketch).solve(&problem).unwrap_err();
        assert_eq!(error.kind(), "NotRankOne");
        assert!(error.to_string().contains(sketch.name()) && error.hint().contains("rows"), "{error}");
    }
    let found = problem.linearise(&start).unwrap().sketched_hessian(Sketch::Auto, Seed(1)).unwrap().facts;
    assert!(found.sketch == Sketch::Rows && found.distance.unwrap() > Sketch::NEAR);
    let fit = Solver::default().with_start(start).with_sketch(Sketch::Auto).solve(&problem).unwrap();
    assert_eq!(fit.status, Status::Converged);
    let error = Solver { sketch: Sketch::Rows, ..Solver::default() }.solve(&problem).unwrap_err();
    assert_eq!(error.kind(), "InvalidParameter");
}

/// On the real head the weights are near rank one at small logits, and not at its own.
#[test]
fn the_real_heads_weights_leave_rank_one_as_its_logits_grow() {
    let case = Case::open("real/refit_head");
    let narrow = |name: &str| {
        let a = case.array(name);
        Array::from_fn(a.rows(), 8, |i, j| a.row(i)[j])
    };
    let (a1, a2, a3, b) = (narrow("A1"), narrow("A2"), case.array("A3"), case.array("B"));
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).unwrap().with_scale(case.number("tau")).unwrap();
    let problem = problem.with_logit_reg(1e-2, 1e-2).unwrap();
    let facts = |size: f64| {
        let at = Params { x: Array::identity(8).map(|v| size * v), y: Array::identity(32) };
        problem.linearise(&at).unwrap().sketched_hessian(Sketch::Auto, Seed(1)).unwrap().facts
    };
    let (flat, near, far) = (facts(0.0), facts(0.3), facts(3.0));
    assert!(flat.distance.unwrap() < 1e-6 && near.distance.unwrap() < 0.3 && far.distance.unwrap() > 0.7);
    assert_eq!((flat.sketch, near.sketch, far.sketch), (Sketch::RankOne, Sketch::RankOne, Sketch::Rows));
    let condition = |facts: SketchFacts| facts.eigenvalues.1 / facts.eigenvalues.0;
    assert!(condition(near) > 1.0 && condition(near) < 15.0, "{near:?}");
}
