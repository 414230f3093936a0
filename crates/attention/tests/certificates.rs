//! What certificates say: each check can fail, and the worked numbers of the proofs.

use certus_attention::layer::{Curvature, JointCurvature, Params, Solver};
use certus_attention::map::{self, Form};
use certus_attention::{Certify, Facts, Kantorovich, Method, Norms, bounds, certificate};
use certus_contract::{Basis, Status, Verdict};
use certus_numeric::Array;
use certus_testkit::certificates::must_fail_once;

use crate::support::{FORMS, Layer, LayerSequence, Map, Masked, eigenvalues, matrix};

fn good() -> Facts {
    let kantorovich = Kantorovich {
        mu: Some(0.5),
        curvature: Some(3.1),
        lipschitz: Some(1.0),
        lipschitz_to_start: Some(1.5),
        eta: Some(0.01),
        h: Some(0.02),
        logit_radius: Some(0.0102),
        gap: Some(1e-4),
        logit_distance: Some(0.003),
        loss_gap: Some(0.9e-4),
        estimated: false,
        directions_left_out: false,
    };
    Facts {
        queries: 10,
        dead_rows: 0,
        moves: true,
        has_values: true,
        rescaled: false,
        unknowns: 8,
        targets: 100,
        loss_start: 2.0,
        iterations: 2,
        other_steps: 0,
        start_distance: Some(0.02),
        status: Status::Converged,
        sketch: None,
        method: Method::DenseNewton,
        gradient: (1e-9, 1e-10),
        values_singular: false,
        constant_in_keys: false,
        kantorovich: Some(kantorovich),
        convex_here: Some(0.1),
        convex_everywhere: Some(2.0),
        logit_reg_x: 3.0,
        heads: 1,
        norms: Norms { a1: 3.0, a2: 2.0, a3: 1.0, x: 2.0, y: 1.0, target: 2.5, largest_target: 1.5, largest_logit: 9.0, least: (0.1, 0.2) },
        joint: Some(JointCurvature { scores: 1.0, values: 2.0, mixed: 0.5, reduced: 0.7, together: 0.8 }),
    }
}

fn joint(facts: &mut Facts) -> &mut JointCurvature {
    facts.joint.as_mut().expect("a curvature")
}

fn test(facts: &mut Facts) -> &mut Kantorovich {
    facts.kantorovich.as_mut().expect("a test")
}

#[test]
fn every_check_can_fail() {
    let exempt = must_fail_once(
        certificate,
        good(),
        &[
            ("positive_curvature", |facts| test(facts).mu = Some(0.0)),
            ("positive_curvature", |facts| test(facts).mu = None),
            ("positive_curvature", |facts| facts.kantorovich = None),
            ("kantorovich", |facts| test(facts).h = Some(0.5000001)),
            ("kantorovich", |facts| test(facts).h = None),
            ("logit_distance", |facts| test(facts).logit_distance = Some(0.011)),
            ("loss_gap", |facts| test(facts).loss_gap = Some(1.1e-4)),
            ("logit_reg_x", |facts| facts.logit_reg_x = 1.9),
            ("curvature", |facts| test(facts).curvature = Some(-0.1)),
            ("log10_lipschitz", |facts| test(facts).lipschitz = Some(1e9)),
            ("norms", |facts| facts.norms.largest_target = 3.1),
            ("good_start", |facts| test(facts).lipschitz_to_start = Some(2.0)),
            ("other_steps", |facts| facts.other_steps = 1),
            ("contraction", |facts| test(facts).logit_distance = Some(0.0101)),
            ("iterations", |facts| facts.iterations = 3),
            ("values_curvature", |facts| joint(facts).values = 0.0),
            ("reduced_curvature", |facts| joint(facts).reduced = -1e-9),
            ("joint_curvature", |facts| joint(facts).together = 0.0),
            ("block_bound", |facts| joint(facts).together = 0.79),
        ],
    );
    assert!(exempt.is_empty(), "{exempt:?}");
}

/// At h = 1/2 the stationary point is proven, and need not be a minimum: phi'(t) = (t - a)² has a double root.
#[test]
fn a_half_is_a_stationary_point_and_no_proven_minimum() {
    let mut facts = good();
    assert!(test(&mut facts).is_minimum());
    test(&mut facts).h = Some(0.5);
    assert!(!test(&mut facts).is_minimum());
    assert_eq!(certificate(&facts).verdict(), Verdict::Holds, "{}", certificate(&facts));
}

/// The theorem's own iteration from a start in its ball, in X alone: at least as fast as its rate, and the claim says so. Where Y moves as
/// well, or steps are not Newton's, nothing is claimed.
#[test]
fn the_rate_of_the_literature_is_kept_from_a_good_start() {
    let layer = Layer { logit_reg: (1.0, 1.0), ..Layer::random(1, [12, 6, 2, 2, 2, 2]) };
    let problem = layer.problem();
    let fit = Solver::default().with_start(layer.params(1, 0.5)).solve(&problem).unwrap();
    let near = Params { x: fit.params.x.map(|v| v + 1e-3), y: fit.params.y.clone() };
    for method in [Method::Plain, Method::DenseNewton, Method::Krylov] {
        let solver = Solver::default().with_method(method).with_start(near.clone());
        let claim = |fit: &certus_attention::layer::Solution| {
            let claims = fit.certificate.claims.iter().filter(|c| c.guarantees.iter().any(|check| check.name == "contraction"));
            claims.map(|claim| (claim.verdict(), claim.guarantees[0].measured)).collect::<Vec<_>>()
        };
        let (alone, joint) = (solver.fit_scores(&problem).unwrap(), solver.solve(&problem).unwrap());
        let expected = if method == Method::Krylov { Verdict::NotApplicable } else { Verdict::Holds };
        assert!(matches!(claim(&alone)[..], [(verdict, Some(rate))] if verdict == expected && rate < 0.4), "{}", alone.certificate);
        assert!(matches!(claim(&joint)[..], [(Verdict::NotApplicable, _)]), "{}", joint.certificate);
        assert!(alone.facts.start_distance.is_some_and(|d| d > 1e-4) && alone.facts.iterations > 0);
    }
}

#[test]
fn norms_are_bounds_and_the_curvature_of_the_whole_is_above_that_of_its_blocks() {
    for seed in 0..10 {
        let layer = Layer { logit_reg: (0.5, 0.5), ..Layer::random(seed, [12, 9, 3, 2, 2, 3]) };
        let (problem, at) = (layer.problem(), layer.params(seed ^ 3, 0.7));
        let facts = problem.certify(&at, Certify::Full).unwrap().facts;
        let [a1, a2, a3] = &layer.sequences[0].heads[0];
        let root = |a: &Array| eigenvalues(&crate::support::times(&a.transposed(), a)).into_iter().fold(0.0, f64::max).sqrt();
        let n = facts.norms;
        for (found, a) in [(n.a1, a1), (n.a2, a2), (n.a3, a3), (n.x, &at.x), (n.y, &at.y)] {
            assert!(found >= root(a) * (1.0 - 1e-14) && found <= root(a) * (1.0 + 1e-9), "{found} for {}", root(a));
        }
        let logits = crate::support::logits(a1, &at.x, a2, layer.scale);
        assert!(logits.as_slice().iter().all(|s| s.abs() <= n.largest_logit));
        let joint = facts.joint.unwrap();
        let hessian = problem.evaluate(&at).unwrap().hessian(Curvature::Exact).unwrap();
        let least = eigenvalues(&hessian)[0];
        assert!((joint.together - least).abs() < 1e-6 * (1.0 + least.abs()), "{joint:?}: {least}");
        assert!(joint.by_blocks() <= least + 1e-9 && (joint.reduced > 0.0) == (least > 0.0), "{joint:?}: {least}");
    }
    let map = Map::random(3, Form::Normalised, [8, 6, 2, 2], Masked::All);
    let facts = map::Solver::default().solve(&map.problem()).unwrap().facts;
    assert!(facts.norms.a3 == 0.0 && facts.norms.y == 0.0 && facts.norms.a1 > 0.0 && facts.joint.is_none());
}

/// Logits that are differences of huge products are off by more than beta itself says.
#[test]
fn the_rounding_of_logits_counts_in_the_curvature_of_a_row() {
    let huge = 2f64.powi(45);
    let column = |v: &[f64]| Array::matrix(v.len(), 1, v.to_vec()).unwrap();
    let heads = vec![[Array::matrix(1, 3, vec![1.0; 3]).unwrap(), column(&[1.0, 0.0]), column(&[1.0, 0.0])]];
    let layer = Layer::new(vec![LayerSequence { heads, target: column(&[-3.0]), mask: Masked::All }]);
    let beta = |x: [f64; 3]| {
        let at = Params { x: column(&x), y: column(&[1.0]) };
        layer.problem().evaluate(&at).unwrap().row_beta().unwrap()[0]
    };
    // The true logit is 0.4, the computed ones are above and below it.
    let truth = beta([0.4, 0.0, 0.0]);
    for x in [[0.4, huge, -huge], [0.4, -huge, huge], [huge, 0.4, -huge], [-huge, 0.4, huge]] {
        assert!(beta(x) >= truth, "{x:?}: {} for {truth}", beta(x));
    }
}

#[test]
fn what_a_threshold_left_out_is_only_estimated() {
    let basis = |facts: &Facts| certificate(facts).principal().expect("a claim").assumptions.iter().map(|c| c.basis).collect::<Vec<_>>();
    let mut facts = good();
    assert!(basis(&facts).iter().all(|b| *b == Basis::Bounded));
    test(&mut facts).directions_left_out = true;
    assert!(basis(&facts).iter().all(|b| *b == Basis::Estimated));
}

#[test]
fn the_claims_of_curvature_come_with_full_certification() {
    let mut facts = good();
    let full = certificate(&facts).claims.len();
    (facts.convex_here, facts.convex_everywhere, facts.joint, facts.start_distance) = (None, None, None, None);
    assert_eq!(certificate(&facts).claims.len(), full - 5);
    let layer = Layer { logit_reg: (0.1, 0.0), ..Layer::random(1, [8, 5, 2, 2, 2, 2]) };
    let problem = layer.problem();
    let at = layer.params(2, 0.5);
    let [cheap, complete] = [Certify::Cheap, Certify::Full].map(|c| problem.certify(&at, c).unwrap());
    assert!(cheap.facts.convex_here.is_none() && complete.facts.convex_here.is_some());
    // A point that was not come to has no rate.
    assert_eq!(complete.certificate.claims.len(), full - 1);
    let estimated = |fit: &certus_attention::layer::Solution| fit.facts.kantorovich.map(|test| test.estimated);
    assert_eq!((estimated(&cheap), estimated(&complete)), (Some(true), Some(false)));
}

#[test]
fn several_heads_are_certified_by_products() {
    let mut layer = Layer { logit_reg: (0.1, 0.1), ..Layer::random(1, [8, 5, 2, 2, 2, 2]) };
    layer.sequences[0].heads.push([matrix(3, 8, 2), matrix(4, 5, 2), matrix(5, 5, 2)]);
    let fit = Solver::default().with_start(layer.params(1, 0.5)).with_certify(Certify::Full).solve(&layer.problem()).unwrap();
    assert!(fit.facts.kantorovich.is_some_and(|test| test.estimated), "{}", fit.certificate);
    assert_eq!(fit.certificate.verdict(), Verdict::Holds, "{}", fit.certificate);
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} for {expected}");
}

/// Section 7: one row of three keys.
#[test]
fn the_worked_row_of_the_proofs() {
    let f = [0.5f64, 0.3, 0.2];
    let values = Array::matrix(3, 2, vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0]).unwrap();
    let heads = vec![[Array::identity(1), Array::identity(3), values]];
    let target = Array::matrix(1, 2, vec![0.2, 0.1]).unwrap();
    let layer = Layer::new(vec![LayerSequence { heads, target, mask: Masked::All }]);
    let problem = layer.problem();
    let at = Params { x: Array::matrix(1, 3, f.map(f64::ln).to_vec()).unwrap(), y: Array::identity(2) };
    let evaluation = problem.evaluate(&at).unwrap();
    close(evaluation.loss, 0.05, 1e-13);
    for (found, p) in evaluation.gradient.x.as_slice().iter().zip([0.005, 0.033, -0.038]) {
        close(*found, 2.0 * p, 1e-12);
    }
    let joint = evaluation.hessian(Curvature::Exact).unwrap();
    let values = eigenvalues(&Array::from_fn(3, 3, |i, j| joint.row(i)[j]));
    assert!(values[0].abs() < 1e-15);
    close(values[1], 0.08015666819, 1e-9);
    close(values[2], 0.43744333184, 1e-9);
    close(evaluation.row_beta().unwrap()[0], 0.14795511206, 1e-9);
    close(bounds::lipschitz(2.0, 1.20415945788), 3.33593179845, 1e-11);
    let facts = problem.certify(&at, Certify::Full).unwrap().facts;
    close(facts.convex_here.unwrap(), 0.14795511206, 1e-9);
    let everywhere = 2.0 / 27f64.sqrt() * 1.20415945788 * 2.0;
    let found = facts.convex_everywhere.unwrap();
    assert!(found >= everywhere * (1.0 - 1e-11) && found <= 4.0 * everywhere, "{found} for {everywhere}");
}

/// Section 7: theorem 7 in the plain metric.
#[test]
fn the_worked_numbers_of_the_kantorovich_test() {
    let column = |v: &[f64]| Array::matrix(v.len(), 1, v.to_vec()).unwrap();
    let heads = vec![[column(&[1.0]), column(&[1.0, 0.0]), column(&[1.0, 0.0])]];
    let layer = Layer::new(vec![LayerSequence { heads, target: column(&[0.6]), mask: Masked::All }]);
    let problem = layer.problem();
    let at = Params { x: column(&[0.4]), y: column(&[1.0]) };
    let evaluation = problem.evaluate(&at).unwrap();
    close(evaluation.gradient.x.as_slice()[0], -0.000630607520, 1e-8);
    close(evaluation.hessian(Curvature::Exact).unwrap().row(0)[0], 0.115574918250, 1e-10);
    let solution = problem.certify(&at, Certify::Full).unwrap();
    let k = solution.facts.kantorovich.unwrap();
    close(k.eta.unwrap(), 0.005456266201, 1e-6);
    let mu = k.mu.unwrap();
    assert!((0.9 * 0.115574918250..=0.115574918250 * (1.0 + 1e-10)).contains(&mu), "{mu}");
    // The library's K may be the local one, below the stated one of all X; no lower than the local one with sharp D and R.
    let residual = (0.4f64.exp() / (1.0 + 0.4f64.exp()) - 0.6).abs();
    let local = bounds::lipschitz(1.0, residual + 2.0 * 0.005456266201 / 8f64.sqrt());
    let lipschitz = k.lipschitz.unwrap();
    assert!(lipschitz >= local * (1.0 - 1e-6) && lipschitz <= 4.0 * 0.832512359176, "{lipschitz}, local {local}");
    let h = k.h.unwrap();
    assert!(h >= local * 0.005456266201 / 0.11557491825 * (1.0 - 1e-6) && h <= 4.0 * 0.0393027234, "{h}");
    let (radius, gap) = (k.logit_radius.unwrap(), k.gap.unwrap());
    assert!((0.0054651081..=0.0055679226 * (1.0 + 1e-6)).contains(&radius), "{radius}");
    assert!((1.72224e-6 * (1.0 - 1e-5)..=1.74369e-6 * (1.0 + 1e-5)).contains(&gap), "{gap}");
    // The distance and the gap by further Newton steps.
    close(k.logit_distance.unwrap(), 0.0054651081, 1e-4);
    close(k.loss_gap.unwrap(), 1.72224e-6, 1e-2);
    assert_eq!(solution.certificate.verdict(), Verdict::Holds);
    assert!(!k.directions_left_out);
}

/// Logits of order 1 that are differences of huge products: their rounding moves the minimum further than a radius of Newton's
/// step says.
#[test]
fn the_rounding_of_logits_counts() {
    let huge = 2f64.powi(45);
    let a1 = Array::matrix(3, 3, vec![1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).unwrap();
    let column = |v: &[f64]| Array::matrix(v.len(), 1, v.to_vec()).unwrap();
    let (a2, a3) = (column(&[1.0, 0.0]), column(&[1.0, 0.0]));
    let mask = Masked::Dense(Array::from_fn(3, 2, |i, _| i == 0));
    let x = column(&[0.4, huge, -huge]);
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        let a1 = Array::from_fn(3, 3, |i, j| a1.row(i)[order[j]]);
        let x = column(&order.map(|k| x.as_slice()[k]));
        let computed = (0..3).fold(0.0, |sum: f64, k| sum + x.as_slice()[k]);
        // The target is the output at the logit as computed, so that the gradient vanishes there, or nearly.
        let target = column(&[computed.exp() / (1.0 + computed.exp()), 0.0, 0.0]);
        let heads = vec![[a1.clone(), a2.clone(), a3.clone()]];
        let mut layer = Layer::new(vec![LayerSequence { heads, target, mask: mask.clone() }]);
        let at = Params { x, y: column(&[1.0]) };
        (layer.logit_reg, layer.reference) = ((1e-6, 0.0), Some(at.clone()));
        let found = layer.problem().certify(&at, Certify::Full).unwrap().facts.kantorovich.unwrap();
        // The true logit is 0.4, the minimum at the computed one.
        let off = (computed - 0.4).abs();
        if let Some(radius) = found.logit_radius {
            assert!(radius >= 0.9 * off, "{order:?}: the minimum is {off:e} away, the radius {radius:e}");
        }
    }
}

#[test]
fn far_from_a_minimum_nothing_is_certified() {
    for seed in 0..20 {
        let layer = Layer::random(seed, [8, 6, 2, 2, 2, 2]);
        let problem = layer.problem();
        let fit = Solver::default().with_start(layer.params(seed ^ 5, 0.5)).with_max_iterations(100).solve(&problem).unwrap();
        let far = Params { x: fit.params.x.map(|v| v + 3.0 * (1.0 + v.abs())), y: fit.params.y.clone() };
        let certified = problem.certify(&far, Certify::Full).unwrap();
        assert_eq!(certified.certificate.verdict(), Verdict::NotApplicable, "seed {seed}: {}", certified.certificate);
    }
    // Cross-entropy is convex, but far from its minimum the test does not fire either.
    for form in FORMS {
        let mut map = Map::random(3, form, [8, 6, 2, 2], Masked::All);
        map.ridge = if form == Form::Rescaled { 1e-3 } else { 0.0 };
        let certified = map.problem().certify(&map.point(4, 8.0), Certify::Full).unwrap();
        assert_eq!(certified.certificate.verdict(), Verdict::NotApplicable, "{form:?}: {}", certified.certificate);
    }
}

/// The gradient of a strong regulariser rounds by more than Newton's step is off.
#[test]
fn the_rounding_of_the_regulariser_counts() {
    let layer = Layer { logit_reg: (1e3, 1e3), ..Layer::random(2, [1, 4, 2, 3, 2, 2]) };
    let fit = Solver::default().with_max_iterations(15).with_start(layer.params(5, 0.7)).solve(&layer.problem()).unwrap();
    assert_ne!(fit.certificate.verdict(), Verdict::Violated, "{}", fit.certificate);
}
