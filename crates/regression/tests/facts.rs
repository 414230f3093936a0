//! The certificate follows the facts.

use certus_numeric::Array;
use certus_numeric::seed::{hash64, unit_interval};
use certus_regression::{Certify, Facts, Form, Link, Problem, SamplingError, Solver, Start, certificate};

#[test]
fn every_check_of_the_certificate_can_fail() {
    let entry = |k: usize| unit_interval(hash64(1, k as u64)) - 0.5;
    let a = Array::from_fn(40, 3, |i, j| entry(3 * i + j));
    let (b, w) = ((0..40).map(|i| 1.0 + entry(1000 + i)).collect::<Vec<_>>(), vec![1.0; 40]);
    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap().with_row_reg(&w).unwrap();
    let near = Solver::default().solve(&problem).unwrap().x.iter().map(|x| x + 1e-3).collect();
    let mut good = Solver::default().with_certify(Certify::Full).with_start(Start::Given(near)).solve(&problem).unwrap().facts;
    good.sampling_error = Some(SamplingError { requested: 0.1, measured: Some(0.05) });
    certus_testkit::certificates::must_fail_once(
        certificate,
        good,
        &[
            ("positive_curvature", |f: &mut Facts| (f.positive, f.lambda_min) = (false, Some(-1.0))),
            ("newton_kantorovich", |f: &mut Facts| f.kantorovich = Some(0.6)),
            ("distance_to_stationary_point", |f: &mut Facts| f.distance = Some(1.0)),
            ("slack", |f: &mut Facts| (f.modulus, f.least_slack) = (None, Some(-1.0))),
            ("modulus", |f: &mut Facts| f.modulus = None),
            ("distance_to_minimum", |f: &mut Facts| f.euclidean_distance = Some(1.0)),
            ("minimum", |f: &mut Facts| f.lambda_min = Some(-1.0)),
            ("start", |f: &mut Facts| {
                if let Some(contraction) = &mut f.contraction {
                    contraction.a = 2.0;
                }
            }),
            ("factor", |f: &mut Facts| {
                if let Some(contraction) = &mut f.contraction {
                    contraction.factor = 1.5;
                }
            }),
            ("whole_steps", |f: &mut Facts| {
                if let Some(contraction) = &mut f.contraction {
                    contraction.held_back = 1;
                }
            }),
            ("hessian_error", |f: &mut Facts| f.sampling_error = Some(SamplingError { requested: 0.1, measured: Some(0.2) })),
            ("error_at_the_end", |f: &mut Facts| f.distance = Some(1.0)),
            ("log10_lipschitz", |f: &mut Facts| f.lipschitz_log10 = Some((200.0, 100.0))),
        ],
    );
}
