//! Every reference case, at the tolerance that its file states.

use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::leverage::{approximate_leverage_scores, leverage_scores};
use certus_linalg::view::view;
use certus_numeric::{Array, Csr, Seed};
use certus_regression::{Certify, Error, Form, Link, Problem, Sensitivity, Solution, Solver, Start};
use certus_testkit::cases::{existing, external, json, numbers, shipped};

use crate::support::{
    Case, Data, Design, assert_sound, difference, distance, family, gradient, hessian, kind, largest, parse_pair, radius, tight, vector,
    warns,
};

/// The families of shipped cases, and how many there are of each.
const FAMILIES: [(&str, usize); 10] = [
    ("convex_a_", 4),
    ("deriv_a_", 9),
    ("errors", 1),
    ("hard_a_", 11),
    ("leverage_a", 1),
    ("nist_", 2),
    ("overflow_a", 1),
    ("real_", 2),
    ("sens_a_", 4),
    ("solve_a_", 9),
];

/// Those that may not be shipped.
const EXTERNAL: [&str; 6] = [
    "real_haireye_rescaled",
    "real_haireye_softmax",
    "real_indometh_decay",
    "real_returns_a_cosh",
    "real_returns_a_cosh_normalised",
    "real_returns_a_sinh",
];

fn path(name: &str) -> std::path::PathBuf {
    shipped(env!("CARGO_MANIFEST_DIR"), &format!("{name}.json"))
}

#[test]
fn every_shipped_file_belongs_to_a_family_that_is_tested() {
    for (prefix, count) in FAMILIES {
        assert_eq!(family(prefix).len(), count, "{prefix}");
    }
    assert_eq!(family("").len(), FAMILIES.iter().map(|(_, count)| count).sum::<usize>());
}

#[test]
fn losses_gradients_and_hessians_are_those_of_60_digit_differences() {
    for name in family("deriv_a_") {
        let (case, file) = (Case::read(&path(&name)), json(path(&name)));
        let tolerance = |key: &str| file["tolerance"][key].as_f64().expect("a tolerance");
        let points = file["eval"].as_array().expect("points");
        assert_eq!(points.len(), 3);
        for data in [case.data.clone(), case.data.sparse()] {
            let problem = data.problem();
            for point in points {
                let x = numbers(&point["x"]);
                let evaluation = problem.evaluate(&x).unwrap();
                let loss = point["loss"].as_f64().expect("a loss");
                let error = (evaluation.loss.to_f64().expect("a loss in range") - loss).abs();
                assert!(error <= tolerance("loss_rel") * loss.abs(), "{name}: the loss is off by {error:e}");
                assert_eq!(evaluation.log_scale, 0.0, "{name}");
                let listed = numbers(&point["grad"]);
                let error = difference(&evaluation.gradient, &listed) / largest(&listed);
                assert!(error <= tolerance("grad_rel_inf"), "{name}: the gradient is off by {error:e}");
                let listed = numbers(&point["hess"]);
                let found = evaluation.hessian();
                assert_eq!(found.shape(), [data.cols(), data.cols()]);
                let error = difference(found.as_slice(), &listed) / largest(&listed);
                assert!(error <= tolerance("hess_rel_inf"), "{name}: the Hessian is off by {error:e}");
            }
        }
    }
}

#[test]
fn losses_and_gradients_beyond_the_range_of_f64_are_those_of_80_digits() {
    let file = json(path("overflow_a"));
    let tolerance = |key: &str| file["tolerance"][key].as_f64().expect("a tolerance");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let pair = parse_pair(case["link"].as_str().unwrap_or_default(), case["form"].as_str().unwrap_or_default());
        let label = format!("{} {}", pair.0, pair.1);
        let (b, x) = (numbers(&case["b"]), numbers(&case["x"]));
        let a = Array::matrix(b.len(), x.len(), numbers(&case["A"])).expect("a matrix");
        let data = Data::new(Design::Dense(a), b, pair);
        for data in [data.clone(), data.sparse()] {
            let problem = data.problem();
            let evaluation = problem.evaluate(&x).unwrap();
            let log_loss = case["log_loss"].as_f64().expect("a loss");
            assert!((evaluation.loss.ln() - log_loss).abs() <= tolerance("log_loss_abs"), "{label}: {:?}", evaluation.loss);
            if let Some(loss) = case["loss"].as_f64() {
                let found = evaluation.loss.to_f64().expect("a loss in range");
                assert!((found - loss).abs() <= tolerance("log_loss_abs") * loss, "{label}: {found}");
            }
            let norm = distance(&evaluation.gradient, &vec![0.0; x.len()]);
            assert!(norm.is_finite() && evaluation.log_scale.is_finite(), "{label}: {:?}", evaluation.gradient);
            assert!(evaluation.hessian().as_slice().iter().all(|h| h.is_finite()), "{label}");
            // Neither is listed where the gradient is below 1e-250.
            let Some(log_norm) = case["log_grad_norm"].as_f64() else {
                assert!(norm.ln() + evaluation.log_scale < -500.0, "{label}: the gradient is {:?}", evaluation.gradient);
                continue;
            };
            let direction: Vec<f64> = evaluation.gradient.iter().map(|g| g / norm).collect();
            let error = difference(&direction, &numbers(&case["grad_direction"]));
            assert!(error <= tolerance("direction_abs"), "{label}: the direction of the gradient is off by {error:e}");
            let error = (norm.ln() + evaluation.log_scale - log_norm).abs();
            assert!(error <= tolerance("direction_abs"), "{label}: the logarithm of the gradient is off by {error:e}");
        }
    }
}

/// Asserts what a case says of a solution from its listed start, and that the solver's own start leads to no higher loss.
#[track_caller]
fn fits(case: &Case) {
    let (name, listed) = (&case.name, case.listed());
    let problem = case.data.problem();
    let at_listed = problem.evaluate(&listed.x).unwrap();
    let error = (at_listed.loss.to_f64().expect("a loss in range") - listed.loss).abs();
    assert!(error <= case.loss_allowance(), "{name}: the loss of the listed solution is off by {error:e}");

    let start = case.start.clone().expect("a start");
    let given = Solver::default().with_start(Start::Given(start)).with_certify(Certify::Full).solve(&problem).unwrap();
    assert_sound(&given, name);
    assert!(given.status.reached(), "{name}: {} from the listed start", given.status);
    if case.assert_loss(&given) {
        assert_listed(case, &given);
    }
    let own = Solver::default().solve(&problem).unwrap();
    assert_sound(&own, name);
    assert!(own.status.reached(), "{name}: {} from the solver's own start", own.status);
    case.assert_loss(&own);
}

/// Asserts that x and what it fits are the listed ones, as far as the case has tolerances for them, and that a proven radius
/// contains the listed solution.
#[track_caller]
fn assert_listed(case: &Case, solution: &Solution) {
    let (name, listed) = (&case.name, case.listed());
    let nearest = case.nearest_listed(&solution.x);
    if let Some(tolerance) = case.tolerance.x_relative {
        let error = difference(&solution.x, &nearest) / size(&nearest);
        assert!(error <= tolerance, "{name}: x is {:?}, off by {error:e}", solution.x);
    }
    if let Some(fitted) = &listed.fitted {
        for (found, listed) in case.data.fitted(&solution.x).iter().zip(fitted) {
            let tolerance = &case.tolerance;
            let allowed = tolerance.fitted_relative.unwrap_or(0.0) * listed.abs() + tolerance.fitted_absolute.unwrap_or(0.0);
            assert!((found - listed).abs() <= allowed, "{name}: fits {found} for {listed}");
        }
    }
    // Not along directions that the data do not see; beyond what the listed solution itself may be off by.
    if let Some(radius) = radius(solution)
        && listed.lambda_min > 1e-13 * listed.lambda_max
        && case.tolerance.x_relative.is_some()
    {
        let listed_error = (nearest.len() as f64).sqrt() * listed.gradient_inf / listed.lambda_min + 1e-12 * (1.0 + size(&nearest));
        let error = distance(&solution.x, &nearest);
        assert!(error <= radius + listed_error, "{name}: the radius {radius:e} does not contain the error {error:e}");
    }
}

/// The largest entry, or 1 for a solution that is zero but for rounding.
fn size(x: &[f64]) -> f64 {
    let size = largest(x);
    if size < 1e-100 { 1.0 } else { size }
}

#[test]
fn small_problems_of_every_link_and_form_are_solved() {
    family("solve_a_").iter().for_each(|name| fits(&Case::shipped(name)));
}

#[test]
fn real_data_are_fitted() {
    family("real_").iter().for_each(|name| fits(&Case::shipped(name)));
}

#[test]
fn real_data_that_may_not_be_shipped_are_fitted() {
    let Some(folder) = external("regression") else { return };
    for name in EXTERNAL {
        let case = Case::read(&existing(folder.join(format!("{name}.json"))));
        fits(&case);
        let file = json(folder.join(format!("{name}.json")));
        let zero = Solver::default().with_start(Start::Zero).solve(&case.data.problem()).unwrap();
        assert_sound(&zero, name);
        if file["sign_symmetric"].as_bool() == Some(true) {
            assert!(warns(&zero, "SignSymmetric"), "{name}: {:?}", zero.warnings);
            // Zero is stationary, but no minimiser.
            assert!(largest(&zero.x) > 1e-3, "{name} stays at zero");
        }
    }
}

#[test]
fn the_curvature_of_returns_at_zero_is_the_listed_one() {
    let Some(folder) = external("regression") else { return };
    let path = existing(folder.join("real_returns_a_cosh.json"));
    let listed = numbers(&json(&path)["hess_eigs_at_zero"]);
    let (case, zero) = (Case::read(&path), [0.0; 3]);
    let problem = case.data.problem();
    let evaluation = problem.evaluate(&zero).unwrap();
    assert_eq!(largest(&evaluation.gradient), 0.0);
    let found = symmetric_eigenvalues(view(&hessian(&evaluation))).unwrap();
    assert!(difference(&found, &listed) <= 1e-9 * largest(&listed), "{found:?}");
}

#[test]
fn nist_problems_are_fitted_to_the_certified_values_from_every_start() {
    for name in family("nist_") {
        let (case, file) = (Case::shipped(&name), json(path(&name)));
        fits(&case);
        let certified = |key: &str| file["nist_certified"][key].as_f64().expect("a certified value");
        let problem = case.data.problem();
        let starts = file["nist_starts_b"].as_array().expect("starts");
        assert_eq!(starts.len(), 2);
        for start in starts {
            let b = numbers(start);
            let danwood = b.len() == 2;
            let x = if danwood {
                vec![b[0].ln(), b[1]]
            } else {
                // (b1/b2) exp(-(50 t + 450 - b3)^2 / (2 b2^2)), t = (x - 450) / 50
                let (shift, square) = (450.0 - b[2], b[1] * b[1]);
                vec![(b[0] / b[1]).ln() - 0.5 * shift * shift / square, -50.0 * shift / square, -1250.0 / square]
            };
            let solution = Solver::default().with_start(Start::Given(x)).solve(&problem).unwrap();
            assert_sound(&solution, &name);
            assert!(solution.status.reached(), "{name}: {}", solution.status);
            case.assert_loss(&solution);
            assert_listed(&case, &solution);
            let x = &solution.x;
            let found = if danwood {
                vec![("b1", x[0].exp()), ("b2", x[1])]
            } else {
                let b2 = 50.0 * (-0.5 / x[2]).sqrt();
                let b3 = 450.0 + 50.0 * (-0.5 * x[1] / x[2]);
                vec![("b1", b2 * (x[0] - 0.25 * x[1] * x[1] / x[2]).exp()), ("b2", b2), ("b3", b3)]
            };
            let rss = 2.0 * solution.loss.to_f64().expect("a loss in range");
            // The certified values have eleven digits.
            for (key, found) in found.into_iter().chain([("rss", rss)]) {
                let error = (found / certified(key) - 1.0).abs();
                assert!(error <= 10.0 * case.tolerance.x_relative.expect("a tolerance"), "{name}: {key} is {found}, off by {error:e}");
            }
        }
    }
}

#[test]
fn convex_problems_reach_one_solution_from_twenty_starts() {
    for name in family("convex_a_") {
        let case = Case::shipped(&name);
        assert_eq!(case.listed().kind, "global");
        fits(&case);
        let problem = case.data.problem();
        for seed in 0..20 {
            let start = vector(seed, case.data.cols()).iter().map(|v| 3.0 * v).collect();
            let solution = Solver::default().with_gradient_tolerance(1e-12).with_start(Start::Given(start)).solve(&problem).unwrap();
            assert_sound(&solution, &name);
            assert!(solution.status.reached(), "{name}: {} from start {seed}", solution.status);
            assert!(case.assert_loss(&solution), "{name}: the loss is below the minimum");
            assert_listed(&case, &solution);
        }
    }
}

#[test]
fn hard_problems_are_solved() {
    for name in family("hard_a_") {
        let case = Case::shipped(&name);
        if case.solution.is_some() {
            fits(&case);
        }
    }
}

/// A solution of the shipped case from its listed start.
fn from_listed_start(case: &Case) -> Solution {
    let start = case.start.clone().expect("a start");
    Solver::default().with_start(Start::Given(start)).solve(&case.data.problem()).unwrap()
}

#[test]
fn badly_scaled_columns_cost_no_digits_of_any_entry() {
    let case = Case::shipped("hard_a_badly_scaled");
    for solution in [from_listed_start(&case), Solver::default().solve(&case.data.problem()).unwrap()] {
        for (found, listed) in solution.x.iter().zip(&case.listed().x) {
            let error = (found / listed - 1.0).abs();
            assert!(error <= case.tolerance.x_relative.expect("a tolerance"), "{found} for {listed}");
        }
    }
}

#[test]
fn collinear_columns_are_told_and_fitted() {
    let case = Case::shipped("hard_a_collinear_minnorm");
    let rank = json(path(&case.name))["rank"].as_u64().expect("a rank") as usize;
    for solution in [from_listed_start(&case), Solver::default().solve(&case.data.problem()).unwrap()] {
        assert_eq!(solution.facts.rank, rank);
        assert!(warns(&solution, "RankDeficient"), "{:?}", solution.warnings);
    }
}

#[test]
fn a_constant_that_the_normalised_form_does_not_see_is_told_and_left_at_zero() {
    let case = Case::shipped("hard_a_intercept_gauge");
    let rank = json(path(&case.name))["rank_identified"].as_u64().expect("a rank") as usize;
    let shifted = Solver::default().with_start(Start::Given(vec![5.0, 0.0, 0.0])).solve(&case.data.problem()).unwrap();
    for solution in [from_listed_start(&case), shifted, Solver::default().solve(&case.data.problem()).unwrap()] {
        assert_sound(&solution, &case.name);
        assert_listed(&case, &solution);
        assert_eq!(solution.facts.rank, rank);
        assert!(solution.x[0].abs() <= 1e-10, "{:?}", solution.x);
        assert!(warns(&solution, "UnidentifiedDirections"), "{:?}", solution.warnings);
    }
}

#[test]
fn hard_problems_are_warned_about_by_name() {
    for (name, warning) in [
        ("hard_a_negative_target_exp", "NegativeTargetsUnreachable"),
        ("hard_a_overflow_start", "OverflowAtStart"),
        ("hard_a_sinh_rescaled_trivial", "TrivialMinimiser"),
        ("hard_a_zero_rows", "ZeroRows"),
    ] {
        let solution = from_listed_start(&Case::shipped(name));
        assert!(warns(&solution, warning), "{name}: {:?}", solution.warnings);
    }
}

#[test]
fn problems_without_a_solution_are_refused_with_the_listed_error() {
    let mut refused = 0;
    for name in family("hard_a_") {
        let file = json(path(&name));
        let Some(expected) = file["expect_error"].as_str() else { continue };
        let case = Case::shipped(&name);
        for start in [Start::Auto, Start::Zero, Start::Given(vec![0.3; case.data.cols()])] {
            let result = case.data.try_problem().and_then(|problem| Solver::default().with_start(start).solve(&problem));
            assert_eq!(kind(result), expected, "{name}");
        }
        // A problem whose loss only tends to zero can be evaluated, and solved with a regulariser.
        if let Some(points) = file["loss_at"].as_array() {
            for point in points {
                let (x, listed) = (numbers(&point["x"]), point["loss"].as_f64().expect("a loss"));
                let found = case.data.problem().evaluate(&x).unwrap().loss.to_f64().expect("a loss in range");
                assert!((found / listed - 1.0).abs() <= 1e-12, "{name}: {found} for {listed}");
            }
            let held = Data { ridge: 1e-3, ..case.data.clone() };
            assert!(Solver::default().solve(&held.problem()).unwrap().status.reached());
        }
        refused += 1;
    }
    assert_eq!(refused, 2);
}

#[test]
fn leverage_scores_are_the_listed_ones() {
    let file = json(path("leverage_a"));
    let integers = |key: &str| numbers(&file["A"][key]).iter().map(|v| *v as usize).collect::<Vec<usize>>();
    let size = |key: &str| file[key].as_u64().expect("a size") as usize;
    let indices = integers("indices").iter().map(|&j| j as u32).collect();
    let a = Csr::new(size("n"), size("d"), integers("indptr"), indices, numbers(&file["A"]["data"])).unwrap();
    let (weights, listed) = (numbers(&file["h"]), numbers(&file["leverage"]));
    let tolerance = |key: &str| file["tolerance"][key].as_f64().expect("a tolerance");
    let dense = a.to_dense();
    for found in [leverage_scores((&a).into(), Some(&weights)).unwrap(), leverage_scores((&dense).into(), Some(&weights)).unwrap()] {
        assert_eq!(found.rank, size("rank"));
        assert!(difference(&found.scores, &listed) <= tolerance("abs"));
        assert!((found.scores[9] - 1.0).abs() <= tolerance("abs") && found.scores[7] == 0.0);
    }
    let factor = tolerance("approx_factor");
    let near = approximate_leverage_scores((&a).into(), Some(&weights), 0.5, 1e-10, Seed(0)).unwrap();
    for (found, listed) in near.scores.iter().zip(&listed) {
        let within = *found <= factor * listed && *listed <= factor * found;
        assert!(within || (found - listed).abs() <= tolerance("abs"), "{found} for {listed}");
    }
}

#[test]
fn sensitivities_are_those_of_problems_solved_again() {
    for name in family("sens_a_") {
        let (case, file) = (Case::shipped(&name), json(path(&name)));
        fits(&case);
        let (n, d) = (case.data.rows(), case.data.cols());
        let tolerance = file["tolerance"]["dx_rel"].as_f64().expect("a tolerance");
        let (db, listed_db, listed_da) = (numbers(&file["db"]), numbers(&file["dx_db"]), numbers(&file["dx_dA"]));
        let da = Array::matrix(n, d, numbers(&file["dA"])).expect("a matrix");
        let problem = case.data.problem();
        let found = tight().with_start(Start::Given(case.listed().x.clone())).solve(&problem).unwrap().x;
        for x in [&case.listed().x, &found] {
            let sensitivity = Sensitivity::new(&problem, x).unwrap();
            let check = |found: &[f64], listed: &[f64], what: &str| {
                let error = difference(found, listed) / largest(listed);
                assert!(error <= tolerance, "{name}: the derivative along {what} is off by {error:e}");
            };
            check(&sensitivity.to_target(&db).unwrap(), &listed_db, "db");
            check(&sensitivity.to_design(&da).unwrap(), &listed_da, "dA");
            check(&sensitivity.to_design(&Csr::from_dense(&da)).unwrap(), &listed_da, "a sparse dA");
        }
    }
}

#[test]
fn the_listed_solutions_are_stationary() {
    for name in ["solve_a_", "convex_a_", "nist_", "real_", "sens_a_"].iter().flat_map(|prefix| family(prefix)) {
        let case = Case::shipped(&name);
        let (listed, problem) = (case.listed(), case.data.problem());
        let evaluation = problem.evaluate(&listed.x).unwrap();
        let found = largest(&gradient(&evaluation));
        assert!(found <= 1e-14 * listed.lambda_max * (1.0 + largest(&listed.x)) + 10.0 * listed.gradient_inf, "{name}: {found:e}");
    }
}

#[test]
fn every_invalid_input_gives_the_listed_error() {
    let (n, d) = (4, 2);
    let a = Array::from_fn(n, d, |i, j| 0.1 * (i + j) as f64);
    let b = vec![0.25; n];
    let new = |a: &Array, b: &[f64]| kind(Problem::new(a, b, Link::Exp, Form::Normalised));
    let problem = || Problem::new(&a, &b, Link::Exp, Form::Normalised).unwrap();
    let from = |x: Vec<f64>| kind(Solver::default().with_start(Start::Given(x)).solve(&problem()));
    let csr = |indptr: &[usize], indices: &[u32]| {
        let values = vec![1.0; indices.len()];
        Csr::new(2, 3, indptr.to_vec(), indices.to_vec(), values).map_or_else(|error| error.kind(), |_| "accepted")
    };
    let solver = |solver: Solver| kind(solver.solve(&problem()));
    let with = |place: usize, value: f64, length: usize| {
        let mut values = vec![0.25; length];
        values[place] = value;
        values
    };
    let bad_matrix = |value: f64| Array::matrix(n, d, with(3, value, n * d)).unwrap();
    let mut non_finite = Vec::new();
    for bad in [f64::NAN, f64::INFINITY] {
        non_finite.extend([
            new(&bad_matrix(bad), &b),
            new(&a, &with(1, bad, n)),
            kind(problem().with_row_reg(&with(2, bad, n))),
            kind(problem().with_data_weights(&with(3, bad, n))),
            kind(problem().with_reference(&with(0, bad, d))),
            kind(problem().with_offset(&with(0, bad, n))),
            kind(problem().with_ridge(bad)),
            from(with(1, bad, d)),
            kind(problem().evaluate(&with(1, bad, d))),
        ]);
    }
    // Sinh of rows in pairs of opposite sign, and of zero.
    let pairs = Array::matrix(4, 1, vec![1.0, -1.0, 2.0, -2.0]).unwrap();
    let cancelling = Problem::new(&pairs, &b, Link::Sinh, Form::Normalised).unwrap();
    let sinh = Problem::new(&a, &b, Link::Sinh, Form::Normalised).unwrap();
    let at = |problem: &Problem<'_>, start: Start| kind(Solver::default().with_start(start).solve(problem));
    let found: Vec<(&str, Vec<&str>)> = vec![
        ("n=0 or d=0", vec![new(&Array::zeros([0, d]), &[]), new(&Array::zeros([n, 0]), &b)]),
        (
            "len(b) != n, len(w) != n, len(omega) != n, len(x_ref) != d, len(x0) != d",
            vec![
                new(&a, &b[1..]),
                kind(problem().with_row_reg(&b[1..])),
                kind(problem().with_data_weights(&b[1..])),
                kind(problem().with_reference(&b)),
                kind(problem().with_offset(&b[1..])),
                from(vec![0.0; d + 1]),
                kind(problem().evaluate(&b)),
            ],
        ),
        ("NaN or infinity in A, b, w, omega, x_ref, x0, ridge", non_finite),
        (
            "omega_i < 0 or ridge < 0 or w_i < 0",
            vec![
                kind(problem().with_data_weights(&with(2, -1.0, n))),
                kind(problem().with_ridge(-1e-3)),
                kind(problem().with_row_reg(&with(2, -1.0, n))),
            ],
        ),
        ("all omega_i = 0", vec![kind(problem().with_data_weights(&[0.0; 4]))]),
        (
            "CSR with unsorted, duplicate or out-of-range indices, or indptr not monotone",
            vec![csr(&[0, 2, 2], &[2, 1]), csr(&[0, 2, 2], &[1, 1]), csr(&[0, 1, 2], &[0, 3]), csr(&[0, 2, 1], &[0, 1])],
        ),
        (
            "normalised sinh with sum(u)=0 at x0",
            vec![
                at(&cancelling, Start::Given(vec![0.7])),
                at(&cancelling, Start::Auto),
                at(&sinh, Start::Given(vec![0.0; d])),
                at(&sinh, Start::Zero),
                kind(sinh.evaluate(&[0.0; 2])),
            ],
        ),
        (
            // The two probabilities are not options of this solver.
            "tolerance <= 0, max_iter = 0, eps0 outside (0,1), delta outside (0,1)",
            vec![
                solver(Solver::default().with_gradient_tolerance(0.0)),
                solver(Solver::default().with_gradient_tolerance(-1e-9)),
                solver(Solver::default().with_max_iterations(0)),
            ],
        ),
    ];
    let file = json(path("errors"));
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), found.len());
    for case in cases {
        let (what, error) = (case["what"].as_str().unwrap_or_default(), case["error"].as_str().unwrap_or_default());
        let Some((_, kinds)) = found.iter().find(|(name, _)| *name == what) else { panic!("no test of {what:?}") };
        assert!(kinds.iter().all(|kind| *kind == error), "{what}: {kinds:?}, but must be {error}");
    }
}

#[test]
fn errors_say_where_and_what_was_needed() {
    let a = Array::from_fn(3, 2, |i, j| (i + j) as f64);
    let message = |result: Result<Problem<'_>, Error>| match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    let bad = message(Problem::new(&a, &[1.0, f64::NAN, 0.0], Link::Exp, Form::Plain));
    assert!(bad.contains("[1]") && bad.contains("NaN"), "{bad}");
    let short = message(Problem::new(&a, &[1.0; 3], Link::Exp, Form::Plain).and_then(|problem| problem.with_row_reg(&[1.0; 2])));
    assert!(short.contains('3') && short.contains('2'), "{short}");
}
