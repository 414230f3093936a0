//! Every reference case, at the tolerance that the folder's README states.

use certus_attention::layer::{Curvature, Head, Params, Problem, Sequence, Solver};
use certus_attention::map::{self, Form};
use certus_attention::{Mask, Method};

use crate::support::{Case, difference};

#[test]
fn derivatives_of_a_layer_are_those_of_automatic_differentiation() {
    for (name, tolerance) in [
        ("attn_square", 1e-11),
        ("attn_causal", 1e-11),
        ("attn_rect", 1e-11),
        ("attn_pad", 1e-11),
        ("attn_deadrow", 1e-11),
        ("attn_sharp", 1e-9),
    ] {
        let case = Case::open(name);
        let (a1, a2, a3, b) = (case.array("A1"), case.array("A2"), case.array("A3"), case.array("B"));
        let mask = case.mask();
        let mut sequence = Sequence::new(&a1, &a2, &a3, &b);
        if let Some(mask) = &mask {
            sequence = sequence.with_mask(Mask::Dense(mask));
        }
        let problem = Problem::new(vec![sequence]).expect(name).with_scale(case.number("tau")).expect(name);
        let at = Params { x: case.array("X"), y: case.array("Y") };
        let evaluation = problem.linearise(&at).expect(name);
        assert!(difference(&[evaluation.loss], &[case.number("loss")]) < tolerance, "{name}: loss {}", evaluation.loss);
        let close = |found: &[f64], expected: &str| {
            let worst = difference(found, case.array(expected).as_slice());
            assert!(worst < tolerance, "{name}: {expected} is {worst:e} off");
        };
        close(evaluation.gradient.x.as_slice(), "gX");
        close(evaluation.gradient.y.as_slice(), "gY");
        let product = evaluation.hessian_times(&Params { x: case.array("dX"), y: case.array("dY") }, Curvature::Exact).expect(name);
        close(product.x.as_slice(), "hvX");
        close(product.y.as_slice(), "hvY");
        let hessian = evaluation.hessian(Curvature::Exact).expect(name);
        let (of_x, of_y) = (at.x.len(), at.y.len());
        let part = |rows: std::ops::Range<usize>, cols: std::ops::Range<usize>| -> Vec<f64> {
            rows.flat_map(|i| hessian.row(i)[cols.clone()].to_vec()).collect()
        };
        close(&part(0..of_x, 0..of_x), "Hxx");
        close(&part(0..of_x, of_x..of_x + of_y), "Hxy");
        close(&part(of_x..of_x + of_y, of_x..of_x + of_y), "Hyy");
        let (beta, extremes) = (evaluation.row_beta().expect(name), case.array("row_eig_min_max"));
        for (i, beta) in beta.iter().enumerate() {
            assert!(extremes.row(i)[0] >= -beta - 1e-12, "{name}: row {i} has {} below -{beta}", extremes.row(i)[0]);
        }
    }
}

#[test]
fn several_heads_and_sequences_add_up() {
    let case = Case::open("multihead_causal");
    let inputs = (0..2)
        .map(|s| {
            let [a1, a2, a3] = ["A1", "A2", "A3"].map(|a| case.heads(&format!("{a}_{s}")));
            (a1, a2, a3, case.array(&format!("B_{s}")))
        })
        .collect::<Vec<_>>();
    let sequences = inputs.iter().map(|(a1, a2, a3, b)| {
        let heads = (0..a1.len()).map(|h| Head { a1: &a1[h], a2: &a2[h], a3: &a3[h] }).collect();
        Sequence::of_heads(heads, b).with_mask(Mask::Causal)
    });
    let problem = Problem::new(sequences.collect()).expect("a problem").with_scale(case.number("tau")).expect("tau");
    let evaluation = problem.evaluate(&Params { x: case.array("X"), y: case.array("Y") }).expect("an evaluation");
    let product = evaluation.hessian_times(&Params { x: case.array("dX"), y: case.array("dY") }, Curvature::Exact).expect("a product");
    assert!(difference(&[evaluation.loss], &[case.number("loss")]) < 1e-11);
    for (found, expected) in [(&evaluation.gradient.x, "gX"), (&evaluation.gradient.y, "gY"), (&product.x, "hvX"), (&product.y, "hvY")] {
        let worst = difference(found.as_slice(), case.array(expected).as_slice());
        assert!(worst < 1e-11, "{expected} is {worst:e} off");
    }
}

#[test]
fn minimisers_of_a_layer_are_no_worse_than_the_best_known() {
    for name in ["attn_min_plain", "attn_min_causal"] {
        let case = Case::open(name);
        let (a1, a2, a3, b) = (case.array("A1"), case.array("A2"), case.array("A3"), case.array("B"));
        let mask = case.mask();
        let mut sequence = Sequence::new(&a1, &a2, &a3, &b);
        if let Some(mask) = &mask {
            sequence = sequence.with_mask(Mask::Dense(mask));
        }
        let reference = Params { x: case.array("X0"), y: case.array("Y0") };
        let problem = Problem::new(vec![sequence]).expect(name).with_scale(case.number("tau")).expect(name);
        let problem = problem.with_logit_reg(case.number("lx"), case.number("ly")).expect(name).with_reference(&reference).expect(name);
        let evaluation = problem.evaluate(&reference).expect(name);
        assert!(difference(&[evaluation.loss], &[case.number("loss_start")]) < 1e-9);
        for method in [Method::DenseNewton, Method::Krylov] {
            let fit = Solver::default().with_method(method).with_gradient_tolerance(1e-10).solve(&problem).expect(name);
            assert!(fit.loss <= case.number("loss_star") * (1.0 + 1e-9), "{name} {method:?}: {} {}", fit.loss, case.number("loss_star"));
            if (fit.loss / case.number("loss_star") - 1.0).abs() < 1e-9 {
                let off = |found: &certus_numeric::Array, expected: &str| {
                    let expected = case.array(expected);
                    found.as_slice().iter().zip(expected.as_slice()).fold(0.0f64, |d, (a, b)| d.max((a - b).abs()))
                };
                assert!(off(&fit.params.x, "X_star") < 1e-6 && off(&fit.params.y, "Y_star") < 1e-6, "{name} {method:?}");
            }
        }
    }
}

#[test]
fn a_real_head_is_refitted_after_rounding() {
    let case = Case::open("real/refit_head");
    let (a1, a2, a3, b) = (case.array("A1"), case.array("A2"), case.array("A3"), case.array("B"));
    let identity = Params { x: certus_numeric::Array::identity(32), y: certus_numeric::Array::identity(32) };
    let problem = Problem::new(vec![Sequence::new(&a1, &a2, &a3, &b)]).expect("a problem").with_scale(case.number("tau")).expect("tau");
    let evaluation = problem.evaluate(&identity).expect("an evaluation");
    assert!(difference(&[evaluation.loss], &[case.number("loss_identity")]) < 1e-10);
    assert!(difference(evaluation.gradient.x.as_slice(), case.array("gX_identity").as_slice()) < 1e-10);
    assert!(difference(evaluation.gradient.y.as_slice(), case.array("gY_identity").as_slice()) < 1e-10);
    let problem =
        problem.with_logit_reg(case.number("lx"), case.number("ly")).expect("weights").with_reference(&identity).expect("identity");
    for method in [Method::Krylov, Method::DenseNewton] {
        let fit = Solver::default().with_method(method).with_gradient_tolerance(1e-6).solve(&problem).expect("a fit");
        assert!(fit.loss <= case.number("reg_loss_star") * (1.0 + 1e-8));
    }
}

#[test]
fn map_problems_agree_with_automatic_differentiation_and_reach_the_known_minimum() {
    for (name, form) in
        [("norm", Form::Normalised), ("norm_causal", Form::Normalised), ("resc", Form::Rescaled), ("resc_causal", Form::Rescaled)]
    {
        let case = Case::open(name);
        let (a1, a2, b) = (case.array("A1"), case.array("A2"), case.array("B"));
        let mask = case.mask();
        let mut sequence = map::Sequence::new(&a1, &a2, &b);
        if let Some(mask) = &mask {
            sequence = sequence.with_mask(Mask::Dense(mask));
        }
        let problem = map::Problem::new(vec![sequence], form).expect(name).with_scale(case.number("tau")).expect(name);
        let evaluation = problem.evaluate(&case.array("X")).expect(name);
        assert_eq!(evaluation.log_scale, 0.0);
        assert!(difference(&[evaluation.loss.to_f64().expect("a loss")], &[case.number("loss")]) < 1e-11, "{name}");
        assert!(difference(evaluation.gradient.as_slice(), case.array("gX").as_slice()) < 1e-11, "{name}");
        assert!(difference(evaluation.hessian().expect(name).as_slice(), case.array("Hxx").as_slice()) < 1e-11, "{name}");
        let direction = certus_numeric::Array::matrix(3, 3, a1.as_slice()[..9].to_vec()).expect("a direction");
        let (product, hessian) = (evaluation.hessian_times(&direction).expect(name), case.array("Hxx"));
        let expected = (0..9).map(|i| hessian.row(i).iter().zip(direction.as_slice()).map(|(h, d)| h * d).sum()).collect::<Vec<f64>>();
        assert!(difference(product.as_slice(), &expected) < 1e-11, "{name}");
        let problem = problem.with_logit_reg(case.number("lx")).expect(name).with_reference(&case.array("X0")).expect(name);
        for method in [Method::DenseNewton, Method::Krylov] {
            let fit = map::Solver::default().with_method(method).with_gradient_tolerance(1e-10).solve(&problem).expect(name);
            let loss = fit.loss.to_f64().expect("a loss");
            assert!(loss <= case.number("loss_star") * (1.0 + 1e-9), "{name} {method:?}: {loss} above {}", case.number("loss_star"));
            let expected = case.array("X_star");
            let off = fit.x.as_slice().iter().zip(expected.as_slice()).fold(0.0f64, |d, (a, b)| d.max((a - b).abs()));
            assert!(off < 1e-6, "{name} {method:?}: X is {off:e} off");
        }
    }
}
