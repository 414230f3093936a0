//! The sampled Hessian: its error over many seeds, what it claims of a run, and scores that are carried from point to point.

use certus_contract::{Claim, Verdict};
use certus_linalg::factor::generalized_symmetric_eigen;
use certus_linalg::leverage::leverage_scores;
use certus_linalg::product::weighted_gram;
use certus_numeric::Seed;
use certus_regression::{Certify, Facts, Form, Hessian, Link, Sampling, Solution, Solver, Start, carried_scores, certificate, sample_rows};
use certus_testkit::same_bits::same_bits;
use proptest::prelude::*;

use crate::support::{Data, Design, assert_sound, kind, largest, matrix, moved, random, tight, vector};

const COLUMNS: usize = 12;
/// That the figures are about.
const DELTA: f64 = 0.01;

/// 20000 rows of 12 columns, plain exp with noise of 20 per cent, `|x|` of about 1; and the x behind it.
fn tall() -> (Data, Vec<f64>) {
    let n = 20_000;
    let truth: Vec<f64> = vector(31, COLUMNS).iter().map(|v| SIZE * v).collect();
    let mut data = Data::new(Design::Dense(matrix(30, n, COLUMNS).map(|v| 3f64.sqrt() * v)), vec![0.0; n], (Link::Exp, Form::Plain));
    data.b = data.fitted(&truth).iter().zip(vector(32, n)).map(|(u, noise)| u * (1.0 + 0.35 * noise)).collect();
    (data, truth)
}

const SIZE: f64 = 0.5;

/// With the least row weights, and a little more, that make the loss convex everywhere: then no curvature is ever negative.
fn convex() -> (Data, Vec<f64>) {
    let (mut data, truth) = tall();
    data.row_reg = Some(data.b.iter().map(|b| (1.1 * b * b / 8.0).sqrt()).collect());
    let minimum = tight().with_start(Start::Given(truth)).solve(&data.problem()).unwrap();
    (data, minimum.x)
}

fn sampled(eps0: f64) -> Solver {
    Solver::default().with_hessian(Hessian::Sampled).with_sampling(Sampling { eps0, ..Sampling::default() }).with_certify(Certify::Full)
}

/// The claim of Theorem 3.
fn contraction(solution: &Solution) -> Option<&Claim> {
    solution.certificate.claims.iter().find(|claim| claim.theorem.starts_with("Linear convergence"))
}

/// How many rows are kept on average; with 200 samples, of which no more than δ allows may have an error above eps0.
#[track_caller]
fn kept_rows(data: &Data, x: &[f64], eps0: f64) -> f64 {
    let a = data.a.matrix();
    let h = data.problem().evaluate(x).unwrap().row_derivatives().h.iter().map(|h| h.max(0.0)).collect::<Vec<_>>();
    let (scores, whole) = (leverage_scores(a, Some(&h)).unwrap().scores, weighted_gram(a, &h));
    let (mut missed, mut kept, mut worst, mut expected) = (0, 0, 0.0, 0.0);
    for seed in 0..200 {
        let sample = sample_rows(&scores, COLUMNS, eps0, DELTA, Seed(seed)).unwrap();
        let mut weights = vec![0.0; h.len()];
        sample.rows.iter().zip(&sample.factors).for_each(|(&i, factor)| weights[i] = factor * h[i]);
        let values = generalized_symmetric_eigen(weighted_gram(a, &weights).as_ref(), whole.as_ref()).unwrap().values;
        let error = largest(&values.iter().map(|value| value - 1.0).collect::<Vec<_>>());
        missed += usize::from(error > eps0);
        kept += sample.rows.len();
        (worst, expected) = (f64::max(worst, error), sample.expected);
    }
    assert!(missed as f64 <= DELTA * 200.0, "eps0 {eps0}: {missed} of 200 samples missed it, by up to {worst}");
    assert!((kept as f64 / 200.0 - expected).abs() <= 0.01 * expected, "eps0 {eps0}: {kept} rows kept of 200 times {expected}");
    expected
}

#[test]
fn samples_are_as_near_as_the_theorem_says() {
    let (data, truth) = tall();
    for eps0 in [0.5, 0.3, 0.1] {
        let most = 4.0 * COLUMNS as f64 * (2.0 * COLUMNS as f64 / DELTA).ln() / (eps0 * eps0);
        assert!(kept_rows(&data, &truth, eps0) <= most);
    }
}

#[test]
fn samples_keep_the_rows_of_the_worked_figures() {
    // Of which the rows are not known; seven that hold a direction each, and even ones, keep as many at all three errors.
    let (mut data, truth) = tall();
    data.omega = Some((0..data.rows()).map(|i| if i < 7 { 1e6 } else { 1.0 }).collect());
    for (eps0, rows) in [(0.5, 660.0), (0.3, 1700.0), (0.1, 8400.0)] {
        let expected = kept_rows(&data, &truth, eps0);
        assert!((expected - rows).abs() <= 0.15 * rows, "eps0 {eps0}: {expected} rows expected, not about {rows}");
    }
}

#[test]
fn a_sampled_run_contracts_as_claimed() {
    let (data, minimum) = convex();
    let start = moved(&minimum, 1e-3, &vector(5, COLUMNS));
    let solution = sampled(0.3).with_start(Start::Given(start)).solve(&data.problem()).unwrap();
    assert_sound(&solution, "convex");
    assert_eq!(solution.facts.hessian_choice, Hessian::Sampled);
    let error = solution.facts.sampling_error.expect("an error");
    assert_eq!(error.requested, 0.3);
    assert!(error.measured.is_some_and(|measured| measured > 0.0 && measured <= 0.3), "{error:?}");
    let claim = contraction(&solution).expect("a claim");
    assert_eq!(claim.verdict(), Verdict::Holds, "{}", solution.certificate);
    let factor = solution.facts.contraction.expect("a contraction").factor;
    // At least eps0 / (1 - eps0).
    assert!(factor > 0.3 / 0.7 && factor < 1.0, "{factor}");

    // The claim fails with the error of the sample.
    let mut facts: Facts = solution.facts.clone();
    for measured in [None, Some(0.31)] {
        facts.sampling_error = Some(certus_regression::SamplingError { requested: 0.3, measured });
        let claims = certificate(&facts).claims;
        assert!(claims.iter().any(|claim| claim.theorem.starts_with("Linear") && claim.verdict() == Verdict::NotApplicable));
    }
}

#[test]
fn nothing_is_said_of_sampling_where_all_rows_are_taken() {
    let (data, truth) = random(5, (Link::Exp, Form::Plain), 300, 8);
    let problem = data.problem();
    let solver = sampled(0.1).with_start(Start::Given(moved(&truth, 0.01, &vector(3, 8))));
    let solution = solver.solve(&problem).unwrap();
    assert_eq!((solution.facts.hessian_choice, solution.facts.sampling_error), (Hessian::Exact, None));
    assert_eq!(solution.x, solver.with_hessian(Hessian::Exact).solve(&problem).unwrap().x);
    let claim = contraction(&solution).expect("a claim");
    assert!(claim.assumptions.iter().all(|check| check.name != "hessian_error"), "{}", solution.certificate);
}

#[test]
fn accuracies_that_make_no_sense_are_refused() {
    let (data, _) = random(5, (Link::Exp, Form::Plain), 30, 3);
    let bad = [(0.0, 0.1), (-0.1, 0.1), (1.1, 0.1), (f64::NAN, 0.1), (0.1, 0.0), (0.1, 1.0), (0.1, -1.0), (0.1, f64::NAN)];
    for (eps0, delta) in bad {
        let solver = sampled(0.1).with_sampling(Sampling { eps0, delta });
        assert_eq!(kind(solver.solve(&data.problem())), "InvalidParameter", "{eps0} {delta}");
        assert_eq!(sample_rows(&[0.1], 1, eps0, delta, Seed(0)).unwrap_err().kind(), "InvalidParameter", "{eps0} {delta}");
    }
    assert_eq!(sample_rows(&[0.1], 0, 0.1, 0.1, Seed(0)).unwrap_err().kind(), "InvalidParameter");
    assert_eq!(sample_rows(&[0.1, -0.1], 1, 0.1, 0.1, Seed(0)).unwrap_err().kind(), "InvalidParameter");
    assert_eq!(sample_rows(&[f64::NAN], 1, 0.1, 0.1, Seed(0)).unwrap_err().kind(), "NonFinite");
    assert_eq!(carried_scores(&[0.1], &[1.0, 1.0], &[1.0]).unwrap_err().kind(), "DimensionMismatch");
    assert!(sample_rows(&[], 1, 0.1, 0.1, Seed(0)).unwrap().rows.is_empty());
    assert_eq!(sample_rows(&[1.0, 0.0], 1, 1e-200, 1e-320, Seed(0)).unwrap().factors[0], 1.0);
}

#[test]
fn samples_have_the_same_bits_on_any_number_of_threads() {
    let (data, truth) = tall();
    same_bits(|| {
        let solver = sampled(0.5).with_seed(Seed(9)).with_start(Start::Given(moved(&truth, 0.1, &vector(7, COLUMNS))));
        let solution = solver.solve(&data.problem()).unwrap();
        assert_eq!(solution.facts.hessian_choice, Hessian::Sampled);
        let mut all = solution.x;
        all.extend(solution.trace);
        all.extend(solution.facts.sampling_error.and_then(|error| error.measured));
        all
    });
    let solve = |seed| sampled(0.5).with_seed(Seed(seed)).with_start(Start::Given(truth.clone())).solve(&data.problem()).unwrap();
    assert_ne!(solve(1).trace, solve(2).trace, "two seeds toss the same coins");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn carried_scores_are_at_least_the_new_ones(seed in any::<u64>(), size in 0.0f64..3.0, unit in -20.0f64..20.0) {
        let a = matrix(seed, 80, 5);
        let positive = |seed: u64, size: f64| vector(seed, 80).iter().map(|v| (size * v).exp()).collect::<Vec<_>>();
        let from = positive(seed ^ 1, 2.0);
        let to = from.iter().zip(positive(seed ^ 2, size)).map(|(from, change)| unit.exp() * from * change).collect::<Vec<_>>();
        let scores = |weights: &[f64]| leverage_scores((&a).into(), Some(weights)).unwrap().scores;
        let (carried, growth) = carried_scores(&scores(&from), &from, &to).unwrap();
        let new = scores(&to);
        for (carried, new) in carried.iter().zip(&new) {
            prop_assert!(*carried >= new * (1.0 - 1e-9) && *carried <= 1.0, "{carried} for {new}");
        }
        // The unit of the weights does not matter: the scores have none.
        prop_assert!(growth >= 1.0 - 1e-12 && growth <= (2.0 * size).exp() * (1.0 + 1e-9), "{growth}");
        // A row that comes or goes is bounded by nothing but 1.
        for (from, to) in [(&from, 0.0), (&to, 1.0)] {
            let (mut before, mut after) = (from.clone(), from.clone());
            after[3] = to;
            before[3] = 1.0 - to;
            let (_, growth) = carried_scores(&new, &before, &after).unwrap();
            prop_assert_eq!(growth, f64::INFINITY);
        }
    }
}
