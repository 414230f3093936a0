//! What certificates say: each outcome on a problem made for it, and the worked numbers of the proofs.

use std::ops::ControlFlow;

use certus_contract::{Check, Status, Verdict};
use certus_numeric::Array;
use certus_regression::{Certify, Form, Hessian, Link, Outcome, Problem, Solution, Solver, Start};

use crate::support::{
    Case, Data, Design, PAIRS, assert_sound, distance, dual_norm, energy_norm, family, few_rows, hessian, hessian_slope, is_global,
    largest, least_eigenvalue, matrix, moved, pair_name, radius, random, tight, vector, warns,
};

/// A run that its observer stops at once: where the certificate is about a point near the start.
#[track_caller]
fn stopped(problem: &Problem<'_>, start: &[f64], certify: Certify) -> Solution {
    let solver = Solver::default().with_start(Start::Given(start.to_vec())).with_certify(certify);
    let solution = solver.solve_with(problem, |_| ControlFlow::Break(())).unwrap();
    assert_sound(&solution, "stopped");
    assert_eq!(solution.status, Status::Stopped);
    solution
}

#[track_caller]
fn certified(data: &Data) -> Solution {
    let solution = Solver::default().with_certify(Certify::Full).solve(&data.problem()).unwrap();
    assert_sound(&solution, &pair_name(data.pair()));
    assert!(solution.status.reached(), "{}: {}", pair_name(data.pair()), solution.status);
    solution
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} for {expected}");
}

#[track_caller]
fn principal_check(solution: &Solution, name: &str) -> Check {
    let claim = solution.certificate.principal().expect("a principal claim");
    let found = claim.assumptions.iter().chain(&claim.guarantees).find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check {name} in\n{}", solution.certificate)).clone()
}

/// Plain exp with A = (1, 2)^T and b = (3, 7): the numbers of the a-posteriori theorem at x.
struct Worked {
    gradient: f64,
    hessian: f64,
    decrement: f64,
    /// From the largest third derivative of each row on the ball: by interval arithmetic, from V (4 U + |b|), and the latter in
    /// the form with the ratio.
    lipschitz: [f64; 3],
}

impl Worked {
    fn at(x: f64) -> Worked {
        let rows = [(1.0, 3.0), (2.0, 7.0)];
        let gradient: f64 = rows.iter().map(|(a, b): &(f64, f64)| a * (a * x).exp() * ((a * x).exp() - b)).sum();
        let curvature = |a: f64, b: f64| 2.0 * (2.0 * a * x).exp() - b * (a * x).exp();
        let hessian: f64 = rows.iter().map(|&(a, b)| a * a * curvature(a, b)).sum();
        let decrement = gradient.abs() / hessian.sqrt();
        let mut lipschitz = [0.0f64; 3];
        for (a, b) in rows {
            let ell = a / hessian.sqrt();
            let (low, high) = ((a * x - 2.0 * ell * decrement).exp(), (a * x + 2.0 * ell * decrement).exp());
            let third = |u: f64| (u * (4.0 * u - b)).abs();
            let inside = if low < b / 8.0 && b / 8.0 < high { third(b / 8.0) } else { 0.0 };
            let general = high * (4.0 * high + b);
            lipschitz[0] += third(low).max(third(high)).max(inside) * ell * a * a / hessian;
            lipschitz[1] += general * ell * a * a / hessian;
            lipschitz[2] = lipschitz[2].max(general * ell / curvature(a, b));
        }
        Worked { gradient, hessian, decrement, lipschitz }
    }

    /// The bound of the energy distance with one of the three constants; infinite where the theorem does not apply.
    fn distance(&self, k: usize) -> f64 {
        let h = self.lipschitz[k] * self.decrement;
        if h <= 0.5 { 2.0 * self.decrement / (1.0 + (1.0 - 2.0 * h).sqrt()) } else { f64::INFINITY }
    }
}

#[test]
fn the_worked_numbers_of_the_proofs_are_found() {
    const MINIMISER: f64 = 0.977531090519;
    let at_one = Worked::at(1.0);
    close(at_one.gradient, 4.983725294813, 1e-11);
    close(at_one.hessian, 236.514896207580, 1e-11);
    close(at_one.decrement, 0.324059566307, 1e-11);
    close(at_one.lipschitz[0], 0.451263520, 2e-9);
    close(at_one.lipschitz[1], 0.703468367317, 1e-11);
    close(at_one.lipschitz[2], 0.712234753, 2e-9);
    close(at_one.distance(0), 0.352019312, 2e-9);
    close(at_one.distance(1), 0.372994565605, 1e-11);
    close(at_one.hessian.sqrt() * (1.0 - MINIMISER), 0.345550275848, 1e-9);

    let a = Array::matrix(2, 1, vec![1.0, 2.0]).expect("a matrix");
    let data = Data::new(Design::Dense(a), vec![3.0, 7.0], (Link::Exp, Form::Plain));
    let problem = data.problem();
    let evaluation = problem.evaluate(&[1.0]).unwrap();
    close(evaluation.gradient[0], 4.983725294813, 1e-11);
    close(evaluation.hessian().row(0)[0], 236.514896207580, 1e-11);
    let minimum = tight().with_start(Start::Given(vec![1.0])).solve(&problem).unwrap();
    close(minimum.x[0], MINIMISER, 1e-11);

    for certify in [Certify::Cheap, Certify::Full] {
        let solution = stopped(&problem, &[1.0], certify);
        let (x, facts) = (solution.x[0], &solution.facts);
        let worked = Worked::at(x);
        // What is proven is rounded upwards, and any of the three constants is a right one.
        let decrement = facts.newton_decrement.expect("a decrement");
        assert!(decrement >= worked.decrement * (1.0 - 1e-12) && decrement <= worked.decrement * (1.0 + 1e-8) + 1e-12, "{decrement}");
        let lipschitz = facts.lipschitz.expect("a Lipschitz constant");
        let largest = worked.lipschitz[1].max(worked.lipschitz[2]);
        assert!(lipschitz >= worked.lipschitz[0] * (1.0 - 1e-9) && lipschitz <= largest * (1.0 + 1e-8), "{lipschitz} at {x}");
        close(facts.lambda_min.expect("an eigenvalue"), worked.hessian, 1e-9);
        assert!(matches!(solution.outcome, Outcome::ProvenLocalMinimum { .. }), "{}", solution.certificate);
        let found = radius(&solution).expect("a radius");
        let bounds = [0, 1, 2].map(|k| worked.distance(k) / worked.hessian.sqrt());
        assert!(found >= bounds[0] * (1.0 - 1e-8) && found <= bounds[1].max(bounds[2]) * (1.0 + 1e-7) + 1e-12, "{found} at {x}");
        assert!((x - minimum.x[0]).abs() <= found);
        let gap = solution.loss.to_f64().expect("a loss in range") - minimum.loss.to_f64().expect("a loss in range");
        assert!(gap <= 0.75 * decrement * decrement, "{gap}");
    }
}

#[test]
fn the_principal_claim_is_the_one_that_was_agreed() {
    let case = Case::shipped("solve_a_exp_plain");
    for certify in [Certify::Cheap, Certify::Full] {
        let solution = Solver::default().with_certify(certify).solve(&case.data.problem()).unwrap();
        assert_sound(&solution, &case.name);
        let curvature = principal_check(&solution, "positive_curvature");
        assert_eq!(curvature.holds(), Some(true));
        let kantorovich = principal_check(&solution, "newton_kantorovich");
        assert!(kantorovich.holds() == Some(true) && kantorovich.limit == Some(0.5), "{}", solution.certificate);
        let distance = principal_check(&solution, "distance_to_stationary_point");
        assert!(distance.limit.is_some_and(f64::is_finite), "{}", solution.certificate);
        assert!(!distance.is_violated());
    }
}

#[test]
fn a_local_minimum_is_proven_where_no_more_is_true() {
    for name in ["solve_a_exp_plain", "solve_a_cosh_plain", "solve_a_exp_normalised", "solve_a_cosh_normalised"] {
        let case = Case::shipped(name);
        let solution = certified(&case.data);
        assert!(matches!(solution.outcome, Outcome::ProvenLocalMinimum { .. }), "{name}:\n{}", solution.certificate);
        assert_eq!(solution.certificate.verdict(), Verdict::Holds);
        let found = radius(&solution).expect("a radius");
        assert!(found <= 1e-6, "{name}: {found}");
        let h = hessian(&case.data.problem().evaluate(&solution.x).unwrap());
        let (least, told) = (least_eigenvalue(&h), solution.facts.lambda_min.expect("an eigenvalue"));
        assert!(told <= least * (1.0 + 1e-9) && told >= least * (1.0 - 1e-3), "{name}: {told} for {least}");
    }
}

#[test]
fn nothing_is_proven_at_a_saddle_or_where_the_curvature_is_negative() {
    // At zero the Hessian is diag(-4, 4).
    let a = Array::matrix(3, 2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).expect("a matrix");
    let saddle = Data::new(Design::Dense(a), vec![5.0, -3.0, 1.0], (Link::Cosh, Form::Plain));
    let problem = saddle.problem();
    let curvature = |x: &[f64]| least_eigenvalue(&hessian(&problem.evaluate(x).unwrap()));
    close(curvature(&[0.0; 2]), -4.0, 1e-14);
    let solution = stopped(&problem, &[0.0; 2], Certify::Full);
    if curvature(&solution.x) < 0.0 {
        assert!(matches!(solution.outcome, Outcome::NotProven { .. }), "{}", solution.certificate);
    }
    // Left alone, the solver leaves it.
    let solution = Solver::default().with_start(Start::Given(vec![0.0; 2])).solve(&problem).unwrap();
    assert_sound(&solution, "saddle");
    assert!(solution.status.reached() && curvature(&solution.x) > 0.0, "{} at {:?}", solution.status, solution.x);

    // (cosh z - b)^2 curves downwards as far as cosh z < b / 2: no single step leaves that.
    let a = Array::matrix(1, 1, vec![1.0]).expect("a matrix");
    let hill = Data::new(Design::Dense(a), vec![1e60], (Link::Cosh, Form::Plain));
    let problem = hill.problem();
    for certify in [Certify::Cheap, Certify::Full] {
        let solver = Solver::default().with_start(Start::Given(vec![0.01])).with_max_iterations(1).with_certify(certify);
        let solution = solver.solve(&problem).unwrap();
        assert_sound(&solution, "hill");
        assert_eq!(solution.status, Status::MaxIterations);
        assert!(least_eigenvalue(&hessian(&problem.evaluate(&solution.x).unwrap())) < 0.0, "one step came to {:?}", solution.x);
        assert!(matches!(&solution.outcome, Outcome::NotProven { reason } if !reason.is_empty()));
        assert_eq!(solution.certificate.verdict(), Verdict::NotApplicable, "{}", solution.certificate);
        assert!(!principal_check(&solution, "positive_curvature").is_met_as_assumption(), "{}", solution.certificate);
        assert_eq!(principal_check(&solution, "distance_to_stationary_point").limit, None, "{}", solution.certificate);
    }
}

#[test]
fn a_loss_without_a_minimiser_is_never_proven_to_have_one() {
    // exp(z) - b falls for ever towards z = -infinity.
    for b in [-1.0, 0.0] {
        let a = Array::matrix(1, 1, vec![1.0]).expect("a matrix");
        let data = Data::new(Design::Dense(a), vec![b], (Link::Exp, Form::Plain));
        let problem = data.problem();
        for start in [Start::Auto, Start::Given(vec![-3.0]), Start::Given(vec![2.0])] {
            for certify in [Certify::Cheap, Certify::Full] {
                let start = match &start {
                    Start::Given(x) => Start::Given(x.clone()),
                    _ => Start::Auto,
                };
                let solution = Solver::default().with_start(start).with_certify(certify).solve(&problem).unwrap();
                assert_sound(&solution, "no minimiser");
                assert_eq!(radius(&solution), None, "b = {b}, x = {:?}:\n{}", solution.x, solution.certificate);
            }
        }
        // Any ridge makes a minimiser, and for b <= 0 the only one.
        let held = Data { ridge: 1e-2, ..data.clone() };
        let solution = certified(&held);
        assert!(is_global(&solution), "b = {b}:\n{}", solution.certificate);
    }
}

#[test]
fn global_minima_are_proven_for_convex_problems() {
    // In the last one a row alone curves downwards, but not all rows together.
    let more = ["hard_a_negative_target_exp", "solve_a_sinh_plain"].map(str::to_owned);
    for name in family("convex_a_").into_iter().chain(more) {
        let case = Case::shipped(&name);
        let solution = certified(&case.data);
        assert!(is_global(&solution), "{name}:\n{}", solution.certificate);
        let (listed, proven) = (case.listed(), radius(&solution).expect("a radius"));
        let allowed = proven + 2.0 * listed.gradient_inf / listed.lambda_min + 1e-12;
        assert!(distance(&solution.x, &listed.x) <= allowed, "{name}: {:?}", solution.x);
        if case.data.is_even() {
            // Convex and even: the minimiser is zero, and it must be said.
            assert!(largest(&solution.x) <= 1e-8, "{name}: {:?}", solution.x);
            assert!(warns(&solution, "SignSymmetric"), "{name}: {:?}", solution.warnings);
        }
        // From far away, strong convexity alone proves it.
        let start = vec![2.0; case.data.cols()];
        let early = stopped(&case.data.problem(), &start, Certify::Full);
        if let Some(proven) = radius(&early) {
            assert!(distance(&early.x, &listed.x) <= proven * (1.0 + 1e-9), "{name}: {proven}");
        }
    }
}

#[test]
fn a_loss_of_zero_is_a_global_minimum() {
    let case = Case::shipped("hard_a_sinh_rescaled_trivial");
    let start = case.start.clone().expect("a start");
    let solution = Solver::default().with_start(Start::Given(start)).solve(&case.data.problem()).unwrap();
    assert_sound(&solution, &case.name);
    assert_eq!(solution.loss.mantissa(), 0.0);
    assert!(is_global(&solution), "{}", solution.certificate);
}

/// One row with a = 1 and the square of its weight.
fn one_row(link: Link, b: f64, omega: f64, square: f64) -> Data {
    let mut data = Data::new(Design::Dense(Array::matrix(1, 1, vec![1.0]).expect("a matrix")), vec![b], (link, Form::Plain));
    data.omega = Some(vec![omega]);
    data.row_reg = Some(vec![square.sqrt()]);
    data
}

#[test]
fn convexity_of_plain_forms_begins_at_the_exact_weight() {
    for (link, b, threshold) in [(Link::Cosh, 3.0, 2.0), (Link::Cosh, 5.0, 4.125), (Link::Sinh, 4.0, 1.0), (Link::Exp, 4.0, 2.0)] {
        for omega in [1.0, 2.0] {
            let above = certified(&one_row(link, b, omega, omega * threshold * 1.001));
            assert!(is_global(&above), "{link} {b} {omega}:\n{}", above.certificate);
            let below = certified(&one_row(link, b, omega, omega * threshold * 0.999));
            assert!(!is_global(&below), "{link} {b} {omega}:\n{}", below.certificate);
        }
    }
}

/// The corners of a square, with a target of sum 1.
fn square(weight: f64) -> Data {
    let a = Array::matrix(4, 2, vec![0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).expect("a matrix");
    let mut data = Data::new(Design::Dense(a), vec![0.4, 0.3, 0.2, 0.1], (Link::Exp, Form::Normalised));
    data.row_reg = Some(vec![weight.sqrt(); 4]);
    data
}

#[test]
fn convexity_of_the_normalised_exponential_begins_at_the_proven_weight() {
    let threshold = 1.3 / (3.0 * 3f64.sqrt());
    close(threshold, 0.250185116649, 1e-11);
    let above = certified(&square(threshold + 2e-4));
    assert!(is_global(&above), "{}", above.certificate);
    // Beyond the weight that is only conjectured to be enough, and below the proven one.
    let below = certified(&square(0.2455));
    assert!(!is_global(&below), "{}", below.certificate);
    // The conjecture is about omega = 1 alone.
    let mut weighted = square(threshold + 2e-4);
    weighted.omega = Some(vec![3.0; 4]);
    assert!(!is_global(&certified(&weighted)));
}

#[test]
fn the_lipschitz_constant_of_the_normalised_exponential_is_the_global_one_or_a_smaller_one() {
    let k = 1.0 / (4.0 * 3f64.sqrt()) + 1.3 / 8.0;
    close(k * 2f64.powf(1.5), 0.867867698235, 1e-11);
    let data = square(0.01);
    let solution = certified(&data);
    let h = hessian(&data.problem().evaluate(&solution.x).unwrap());
    let a = data.a.to_dense();
    let pairs = (0..4).flat_map(|i| (0..i).map(move |j| (i, j)));
    let diameter = pairs.map(|(i, j)| dual_norm(&h, &moved(a.row(i), -1.0, a.row(j)))).fold(0.0, f64::max);
    let found = solution.facts.lipschitz.expect("a Lipschitz constant");
    // Twice the largest distance from a centre may stand for the diameter.
    assert!(found <= k * (2.0 * diameter).powi(3) * (1.0 + 1e-9), "{found} for a diameter of {diameter}");
    for seed in 0..20 {
        let slope = hessian_slope(&data, &solution.x, &vector(seed, 2), 1e-4);
        assert!(slope <= found * (1.0 + 1e-3), "the Hessian changes at {slope}, not {found}");
    }
}

#[test]
fn full_certificates_add_claims_and_contradict_nothing() {
    for pair in PAIRS {
        let (data, truth) = random(17, pair, 15, 3);
        let problem = data.problem();
        let solve = |certify: Certify| {
            let solution = Solver::default().with_start(Start::Given(truth.clone())).with_certify(certify).solve(&problem).unwrap();
            assert_sound(&solution, &pair_name(pair));
            solution
        };
        let (cheap, full) = (solve(Certify::Cheap), solve(Certify::Full));
        assert_eq!(cheap.x, full.x, "{}: the certificate changes the answer", pair_name(pair));
        assert!(full.certificate.claims.len() > cheap.certificate.claims.len(), "{}:\n{}", pair_name(pair), full.certificate);
        assert_eq!(cheap.certificate.principal().map(|claim| claim.verdict()), full.certificate.principal().map(|claim| claim.verdict()));
        for claim in &full.certificate.claims {
            assert!(!claim.theorem.is_empty() && !claim.source.is_empty() && !claim.guarantees.is_empty(), "{}", full.certificate);
            for check in claim.assumptions.iter().chain(&claim.guarantees) {
                assert!(!check.name.is_empty() && !check.statement.is_empty(), "{}", full.certificate);
                assert!(check.limit.is_none_or(|limit| !limit.is_nan()), "{}", full.certificate);
            }
        }
    }
}

#[test]
fn a_bound_that_says_nothing_is_called_vacuous() {
    // The generic bound of the literature is the exponential of the square of the norm of A, here above e^400.
    let a = matrix(23, 30, 2).map(|v| 10.0 * v);
    let x = [0.05, -0.03];
    let b = (0..30).map(|i| (a.row(i)[0] * x[0] + a.row(i)[1] * x[1]).exp() * if i % 2 == 0 { 1.1 } else { 0.9 }).collect();
    let data = Data::new(Design::Dense(a), b, (Link::Exp, Form::Plain));
    let solution = certified(&data);
    assert!(radius(&solution).is_some(), "{}", solution.certificate);
    let vacuous = solution.certificate.claims.iter().any(|claim| claim.verdict() == Verdict::Vacuous);
    assert!(vacuous || warns(&solution, "VacuousBound"), "{:?}\n{}", solution.warnings, solution.certificate);
    assert_eq!(solution.certificate.verdict(), Verdict::Holds, "a further claim does not change the verdict");
}

/// The problem of the sampler's worked figures: 20000 rows, 12 columns, plain exp, noise of 20 per cent.
fn tall() -> (Data, Vec<f64>) {
    let (n, d) = (20_000, 12);
    let truth: Vec<f64> = vector(31, d).iter().map(|v| 0.4 * v).collect();
    let mut data = Data::new(Design::Dense(matrix(30, n, d)), vec![0.0; n], (Link::Exp, Form::Plain));
    data.b = data.fitted(&truth).iter().zip(vector(32, n)).map(|(u, noise)| u * (1.0 + 0.35 * noise)).collect();
    (data, truth)
}

#[test]
fn the_radius_near_a_minimum_is_hardly_larger_than_the_error() {
    let (data, truth) = tall();
    let problem = data.problem();
    let minimum = tight().with_start(Start::Given(truth)).solve(&problem).unwrap();
    let start: Vec<f64> = minimum.x.iter().map(|x| x + 1e-5).collect();
    let solution = stopped(&problem, &start, Certify::Cheap);
    let h = hessian(&problem.evaluate(&solution.x).unwrap());
    let error = energy_norm(&h, &moved(&solution.x, -1.0, &minimum.x));
    let (decrement, lipschitz) = (solution.facts.newton_decrement.expect("a decrement"), solution.facts.lipschitz.expect("a constant"));
    // In the worked figures: 0.0059, and a radius of 0.01436 for an error of 0.014322.
    assert!(lipschitz * decrement <= 0.05, "{lipschitz} {decrement}");
    let bound = 2.0 * decrement / (1.0 + (1.0 - 2.0 * lipschitz * decrement).sqrt());
    assert!(error <= bound * (1.0 + 1e-6) + 1e-10 && bound <= 1.05 * error + 1e-8, "{bound} for {error}");
    let (proven, least) = (radius(&solution).expect("a radius"), solution.facts.lambda_min.expect("an eigenvalue"));
    assert!(proven <= bound / least.sqrt() * (1.0 + 1e-3), "{proven}");
    assert!(distance(&solution.x, &minimum.x) <= proven + 1e-11);
}

#[test]
fn a_sampled_hessian_leads_to_the_same_certified_solution() {
    let (data, _) = tall();
    let problem = data.problem();
    let solve = |hessian: Hessian| {
        let solution = Solver::default().with_hessian(hessian).with_sampling(few_rows()).with_start(Start::Zero).solve(&problem).unwrap();
        assert_sound(&solution, "tall");
        assert!(solution.status.reached() && radius(&solution).is_some(), "{}\n{}", solution.status, solution.certificate);
        assert!(solution.facts.iterations <= 40, "{} iterations", solution.facts.iterations);
        solution
    };
    let exact = solve(Hessian::Exact);
    for other in [solve(Hessian::Sampled), solve(Hessian::MatrixFree), solve(Hessian::Auto)] {
        let allowed = radius(&exact).expect("a radius") + radius(&other).expect("a radius");
        let error = distance(&exact.x, &other.x);
        assert!(error <= allowed, "{error:e}, but both are proven within {allowed:e}");
        assert!(error <= 1e-6);
    }
}

#[test]
fn raw_columns_of_a_bad_condition_are_fitted() {
    // Eckerle4 in powers of the wavelength itself; common tools return an infinite loss here.
    let case = Case::shipped("nist_eckerle4_centred");
    let a = case.data.a.to_dense();
    let raw = Array::from_fn(a.rows(), 3, |i, j| (450.0 + 50.0 * a.row(i)[1]).powi(j as i32));
    let data = Data { a: Design::Dense(raw), ..case.data.clone() };
    let solution = Solver::default().solve(&data.problem()).unwrap();
    assert_sound(&solution, "raw");
    assert!(solution.status.reached(), "{}", solution.status);
    let loss = solution.loss.to_f64().expect("a loss in range");
    assert!(loss <= case.listed().loss * (1.0 + 1e-6), "{loss}");
}

#[test]
fn directions_that_are_only_nearly_flat_prove_nothing_beyond_them() {
    // A ridge of almost nothing still has one minimiser, far from the given point.
    let a = Array::matrix(2, 2, vec![1.0, 1.0, 2.0, 2.0]).expect("a matrix");
    let b = [0.5f64.sinh(), 1f64.sinh()];
    let held = Problem::new(&a, &b, Link::Sinh, Form::Plain).unwrap().with_ridge(1e-20).unwrap();
    let far = held.certify(&[1.25, -0.75], Certify::Full).unwrap();
    assert!(radius(&far).is_none_or(|radius| radius > 1.0), "{}", far.certificate);

    // Columns that differ by 1e-8 are two columns.
    let a = Array::from_fn(20, 2, |i, j| {
        let t = i as f64 / 20.0;
        if j == 0 { t } else { t + if i % 2 == 0 { 1e-8 } else { -1e-8 } }
    });
    let b = (0..20).map(|i| (0.49 * a.row(i)[0] + 0.51 * a.row(i)[1]).exp()).collect::<Vec<_>>();
    let near = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap();
    for solution in [near.certify(&[0.5, 0.5], Certify::Full).unwrap(), Solver::default().solve(&near).unwrap()] {
        let error = distance(&solution.x, &[0.49, 0.51]);
        assert!(radius(&solution).is_none_or(|radius| radius >= error), "{error}\n{}", solution.certificate);
    }
}

#[test]
fn a_heavy_row_that_fits_does_not_make_a_minimum_global() {
    let a = Array::matrix(3, 1, vec![0.0, 1.0, -1.0]).expect("a matrix");
    let problem = Problem::new(&a, &[1.0, 5.0, 6.0], Link::Exp, Form::Plain).unwrap().with_data_weights(&[1e30, 1.0, 1.0]).unwrap();
    let solution = Solver::default().with_start(Start::Given(vec![5f64.ln()])).solve(&problem).unwrap();
    if solution.x[0] > 0.0 {
        assert!(!matches!(solution.outcome, Outcome::ProvenGlobalMinimum { .. }), "{}", solution.certificate);
    }
}

#[test]
fn a_target_that_sets_the_scale_costs_digits_that_the_radius_counts() {
    let a = Array::matrix(2, 1, vec![1.0, 0.0]).expect("a matrix");
    let b = [1.029_392_558_103_245_7, 1e120];
    let x = 0.028_968_878_856_603_066;
    let solution = Problem::new(&a, &b, Link::Exp, Form::Plain).unwrap().certify(&[x], Certify::Cheap).unwrap();
    let error = (x - b[0].ln()).abs();
    assert!(radius(&solution).is_none_or(|radius| radius >= error), "{error:e}\n{}", solution.certificate);
}

#[test]
fn nothing_is_proven_of_rows_whose_curvature_underflows() {
    // The second row's u² is below the least number with all its digits, and its gradient, which is not zero, rounds to zero: x is 1e-13
    // from the stationary point, and all that rounding is relative to has vanished.
    let a = Array::matrix(2, 2, vec![1.0, 0.0, 0.0, 1e10]).expect("a matrix");
    let z: f64 = -372.5;
    let b = [0.0, 1.001 * z.exp()];
    let problem = Problem::new(&a, &b, Link::Exp, Form::Plain).expect("a problem");
    let problem = problem.with_data_weights(&[0.0, 1.0]).and_then(|p| p.with_row_reg(&[1.0, 0.0])).expect("a problem");
    let solution = problem.certify(&[0.0, z / 1e10], Certify::Cheap).expect("a value");
    if let Outcome::ProvenLocalMinimum { radius } | Outcome::ProvenGlobalMinimum { radius } = solution.outcome {
        assert!(radius >= 0.9e-13, "within {radius}: {}", solution.certificate);
    }
}
