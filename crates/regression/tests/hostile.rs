//! Inputs at the edge of the numbers, degenerate ones and bad ones: a typed error or finite numbers, never a panic.

use certus_numeric::{Array, Csr};
use certus_regression::{Certify, Error, Form, Hessian, Link, Problem, Sensitivity, Solver, Start};
use certus_testkit::hostile;

use crate::support::{Data, Design, PAIRS, assert_sound, is_finite_log, kind, matrix, pair_name, random, vector, warns};

/// The kinds of error that a regression may give.
const KINDS: [&str; 8] = [
    "EmptyProblem",
    "DimensionMismatch",
    "NonFinite",
    "InvalidParameter",
    "InvalidSparsity",
    "ZeroNormaliser",
    "UnboundedGauge",
    "SingularSystem",
];

#[track_caller]
fn assert_typed(error: &Error, label: &str) {
    assert!(KINDS.contains(&error.kind()), "{label}: an error of kind {}", error.kind());
    assert!(!error.to_string().is_empty() && !error.hint().is_empty(), "{label}: {} says nothing", error.kind());
}

/// Solves, evaluates and differentiates the problem from and at many points.
#[track_caller]
fn survives(data: &Data, label: &str) {
    let problem = match data.try_problem() {
        Ok(problem) => problem,
        Err(error) => return assert_typed(&error, label),
    };
    let d = data.cols();
    let points = [vec![0.0; d], vec![1.0; d], vec![-1e4; d], vec![1e300; d], vec![5e-324; d]];
    let given = points.iter().map(|point| (Start::Given(point.clone()), Certify::Cheap));
    for (start, certify) in [(Start::Auto, Certify::Full), (Start::Zero, Certify::Full)].into_iter().chain(given) {
        match Solver::default().with_max_iterations(40).with_start(start).with_certify(certify).solve(&problem) {
            Ok(solution) => {
                assert_sound(&solution, label);
                assert_eq!(solution.x.len(), d, "{label}");
            }
            Err(error) => assert_typed(&error, label),
        }
    }
    for x in &points {
        match problem.evaluate(x) {
            Ok(evaluation) => {
                assert!(is_finite_log(evaluation.loss.mantissa(), evaluation.loss.ln()), "{label}: the loss is {:?}", evaluation.loss);
                assert!(evaluation.log_scale.is_finite(), "{label}: the scale is {}", evaluation.log_scale);
                assert!(evaluation.gradient.iter().all(|g| g.is_finite()), "{label}: the gradient is {:?}", evaluation.gradient);
                assert!(evaluation.hessian().as_slice().iter().all(|h| h.is_finite()), "{label}: the Hessian is not finite");
            }
            Err(error) => assert_typed(&error, label),
        }
        match Sensitivity::new(&problem, x) {
            Ok(sensitivity) => assert!(sensitivity.to_target(&data.b).unwrap().iter().all(|dx| dx.is_finite()), "{label}: a sensitivity"),
            Err(error) => assert_typed(&error, label),
        }
    }
}

/// Problems at the edge, with what is odd about them.
fn edges(pair: (Link, Form)) -> Vec<(String, Data)> {
    let a = matrix(7, 6, 2);
    let b: Vec<f64> = vector(8, 6).iter().map(|v| 0.3 + 0.2 * v).collect();
    let plain = Data::new(Design::Dense(a.clone()), b.clone(), pair);
    let dense = |a: Array| Data { a: Design::Dense(a), ..plain.clone() };
    let edit = |f: &dyn Fn(usize, usize, f64) -> f64| dense(Array::from_fn(6, 2, |i, j| f(i, j, a.row(i)[j])));
    let sized = |n: usize, d: usize| Data::new(Design::Dense(matrix(9, n, d)), vector(10, n).iter().map(|v| 0.3 + 0.2 * v).collect(), pair);
    let mut edges = vec![
        ("all zero".to_owned(), edit(&|_, _, _| 0.0)),
        ("all one".to_owned(), edit(&|_, _, _| 1.0)),
        ("zero rows".to_owned(), edit(&|i, _, v| if i % 2 == 0 { 0.0 } else { v })),
        ("one row that is not zero".to_owned(), edit(&|i, _, v| if i == 3 { v } else { 0.0 })),
        ("a zero column".to_owned(), edit(&|_, j, v| if j == 1 { 0.0 } else { v })),
        ("equal columns".to_owned(), dense(Array::from_fn(6, 2, |i, _| a.row(i)[0]))),
        ("opposite columns".to_owned(), edit(&|i, j, _| if j == 0 { a.row(i)[0] } else { -a.row(i)[0] })),
        ("nearly equal columns".to_owned(), edit(&|i, j, _| a.row(i)[0] * (1.0 + if j == 1 { 1e-13 * i as f64 } else { 0.0 }))),
        ("a constant column".to_owned(), edit(&|_, j, v| if j == 1 { 1.0 } else { v })),
        ("rows in pairs of opposite sign".to_owned(), edit(&|i, j, _| if i % 2 == 0 { a.row(i)[j] } else { -a.row(i - 1)[j] })),
        ("one huge row".to_owned(), edit(&|i, _, v| if i == 2 { 1e8 * v } else { v })),
        ("columns from 1e-150 to 1e150".to_owned(), edit(&|_, j, v| v * if j == 0 { 1e-150 } else { 1e150 })),
        ("n = d = 1".to_owned(), sized(1, 1)),
        ("n = 1".to_owned(), sized(1, 3)),
        ("d = 1".to_owned(), sized(6, 1)),
        ("n < d".to_owned(), sized(3, 5)),
        ("b of all sizes".to_owned(), Data { b: vec![1e150, -1e150, 0.0, 5e-324, 1.0, -1.0], ..plain.clone() }),
        ("some omega zero".to_owned(), Data { omega: Some(vec![0.0, 1.0, 0.0, 1.0, 1.0, 0.0]), ..plain.clone() }),
        ("one omega not zero".to_owned(), Data { omega: Some(vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0]), ..plain.clone() }),
        ("omega of all sizes".to_owned(), Data { omega: Some(vec![1e150, 1e-150, 0.0, 1.0, 5e-324, 1e10]), ..plain.clone() }),
        ("omega zero".to_owned(), Data { omega: Some(vec![0.0; 6]), ..plain.clone() }),
        ("row weights of all sizes".to_owned(), Data { row_reg: Some(vec![1e150, 1e-150, 0.0, 1.0, 5e-324, 1e10]), ..plain.clone() }),
        ("a mixed offset".to_owned(), Data { offset: Some(vec![1e4, -1e4, 0.0, 700.0, -700.0, 1.0]), ..plain.clone() }),
    ];
    for scale in [1e3, 1e4, 1e8, 1e150, 1e300, 1e-8, 1e-150, 1e-300, 5e-324] {
        edges.push((format!("A times {scale:e}"), edit(&|_, _, v| v * scale)));
    }
    for scale in [0.0, 5e-324, 1e-300, 1e-150, 1e10, 1e150, -1.0, -1e150, 1e300, f64::MAX] {
        edges.push((format!("b times {scale:e}"), Data { b: b.iter().map(|v| v * scale).collect(), ..plain.clone() }));
    }
    for value in [1e-300, 1e-8, 1e8, 1e150, 1e300, f64::MAX] {
        edges.push((format!("ridge {value:e}"), Data { ridge: value, ..plain.clone() }));
        edges.push((format!("omega {value:e}"), Data { omega: Some(vec![value; 6]), ..plain.clone() }));
        edges.push((format!("row weights {value:e}"), Data { row_reg: Some(vec![value; 6]), ..plain.clone() }));
        edges.push((format!("reference {value:e}"), Data { reference: Some(vec![value, -value]), ridge: 1.0, ..plain.clone() }));
        edges.push((format!("offset {value:e}"), Data { offset: Some(vec![value; 6]), ..plain.clone() }));
    }
    edges
}

fn every_edge_is_survived(link: Link) {
    for pair in PAIRS.into_iter().filter(|pair| pair.0.to_string() == link.to_string()) {
        for (label, data) in edges(pair) {
            survives(&data, &format!("{}: {label}", pair_name(pair)));
            survives(&data.sparse(), &format!("{} sparse: {label}", pair_name(pair)));
        }
    }
}

#[test]
fn exponentials_survive_every_edge() {
    every_edge_is_survived(Link::Exp);
}

#[test]
fn hyperbolic_cosines_survive_every_edge() {
    every_edge_is_survived(Link::Cosh);
}

#[test]
fn hyperbolic_sines_survive_every_edge() {
    every_edge_is_survived(Link::Sinh);
}

#[test]
fn every_way_to_the_hessian_survives_predictors_of_ten_thousand() {
    for pair in PAIRS {
        let (data, truth) = random(3, pair, 200, 4);
        let a = data.a.to_dense().map(|v| 5e3 * v);
        let data = Data { a: Design::Dense(a), ..data };
        let problem = data.problem();
        for near in [false, true] {
            for hessian in [Hessian::Exact, Hessian::Sampled, Hessian::MatrixFree] {
                let start = if near { Start::Given(truth.clone()) } else { Start::Auto };
                match Solver::default().with_max_iterations(40).with_hessian(hessian).with_start(start).solve(&problem) {
                    Ok(solution) => assert_sound(&solution, &pair_name(pair)),
                    Err(error) => assert_typed(&error, &pair_name(pair)),
                }
            }
        }
    }
}

#[test]
fn bad_entries_of_every_array_are_refused() {
    let (data, x) = random(1, (Link::Exp, Form::Normalised), 6, 2);
    let (a, problem) = (data.a.to_dense(), data.problem());
    let reference = [0.0; 2];
    for (name, array, expected) in hostile::arrays(&a) {
        let found = kind(Problem::new(&array, &data.b, data.link, data.form).and_then(|problem| problem.with_reference(&reference)));
        // Without rows, the target is too long as well.
        assert!(found == expected || (name == "no_rows" && found == "DimensionMismatch"), "{name}: {found}, but must be {expected}");
    }
    let flat = Array::vector(vec![0.5; 6]);
    assert_eq!(kind(Problem::new(&flat, &data.b, data.link, data.form)), "DimensionMismatch");
    let sensitivity = Sensitivity::new(&problem, &x).unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for place in [0, 1, 5] {
            let with = |v: &[f64]| v.iter().enumerate().map(|(i, v)| if i == place { bad } else { *v }).collect::<Vec<f64>>();
            let ones = with(&[1.0; 6]);
            let mut sparse = Csr::from_dense(&a);
            sparse.values_mut()[place] = bad;
            let dense = Array::matrix(6, 2, with(a.as_slice())).expect("a matrix");
            let targets = Array::matrix(6, 1, ones.clone()).expect("a matrix");
            let positive = if bad < 0.0 { ["NonFinite", "InvalidParameter"] } else { ["NonFinite", "NonFinite"] };
            for (what, found, expected) in [
                ("a sparse matrix", kind(Problem::new(&sparse, &data.b, data.link, data.form)), ["NonFinite"; 2]),
                ("a dense matrix", kind(Problem::new(&dense, &data.b, data.link, data.form)), ["NonFinite"; 2]),
                ("b", kind(Problem::new(&a, &ones, data.link, data.form)), ["NonFinite"; 2]),
                ("omega", kind(data.problem().with_data_weights(&ones)), positive),
                ("row weights", kind(data.problem().with_row_reg(&ones)), positive),
                ("the offset", kind(data.problem().with_offset(&ones)), ["NonFinite"; 2]),
                ("the ridge", kind(data.problem().with_ridge(bad)), positive),
                ("targets", kind(Solver::default().solve_many(&problem, &targets)), ["NonFinite"; 2]),
                ("a change of the matrix", kind(sensitivity.to_design(&dense)), ["NonFinite"; 2]),
            ] {
                assert!(expected.contains(&found), "{what} with {bad}: {found}");
            }
            if place < 2 {
                let x = with(&[0.5; 2]);
                assert_eq!(kind(data.problem().with_reference(&x)), "NonFinite");
                assert_eq!(kind(problem.evaluate(&x)), "NonFinite");
                assert_eq!(kind(Solver::default().with_start(Start::Given(x.clone())).solve(&problem)), "NonFinite");
                assert_eq!(kind(Sensitivity::new(&problem, &x)), "NonFinite");
            }
        }
    }
    for length in [0, 1, 3, 7] {
        let v = vec![0.5; length];
        assert_eq!(kind(problem.evaluate(&v)), "DimensionMismatch");
        assert_eq!(kind(Solver::default().with_start(Start::Given(v.clone())).solve(&problem)), "DimensionMismatch");
        assert_eq!(kind(Sensitivity::new(&problem, &v)), "DimensionMismatch");
        assert_eq!(kind(data.problem().with_reference(&v)), "DimensionMismatch");
        for result in [data.problem().with_data_weights(&v), data.problem().with_row_reg(&v), data.problem().with_offset(&v)] {
            assert_eq!(kind(result), "DimensionMismatch");
        }
    }
    assert_eq!(kind(Solver::default().solve_many(&problem, &matrix(1, 5, 2))), "DimensionMismatch");
    assert_eq!(kind(sensitivity.to_design(&matrix(1, 2, 6))), "DimensionMismatch");
    for solver in [
        Solver::default().with_gradient_tolerance(f64::NAN),
        Solver::default().with_gradient_tolerance(f64::NEG_INFINITY),
        Solver::default().with_max_iterations(0),
    ] {
        let found = kind(solver.solve(&problem));
        assert!(["InvalidParameter", "NonFinite"].contains(&found), "{found}");
    }
}

#[test]
fn a_column_of_zeros_leaves_its_coefficient_at_the_reference() {
    for link in [Link::Exp, Link::Cosh, Link::Sinh] {
        let (mut data, _) = random(11, (link, Form::Plain), 12, 3);
        let a = data.a.to_dense();
        data.a = Design::Dense(Array::from_fn(12, 3, |i, j| if j == 1 { 0.0 } else { a.row(i)[j] }));
        data.ridge = 0.0;
        let reference = data.reference.clone().expect("a reference");
        for data in [data.clone(), data.sparse()] {
            let solution = Solver::default().solve(&data.problem()).unwrap();
            assert_sound(&solution, &pair_name(data.pair()));
            assert!(solution.status.reached(), "{}: {}", pair_name(data.pair()), solution.status);
            let error = (solution.x[1] - reference[1]).abs();
            assert!(error <= 1e-12, "{}: {} for {}", pair_name(data.pair()), solution.x[1], reference[1]);
        }
    }
}

#[test]
fn one_row_tells_a_normalised_form_nothing() {
    for link in [Link::Exp, Link::Cosh] {
        let a = Array::matrix(1, 2, vec![1.0, 2.0]).expect("a matrix");
        let data = Data::new(Design::Dense(a), vec![1.0], (link, Form::Normalised));
        let solution = Solver::default().solve(&data.problem()).unwrap();
        assert_sound(&solution, &pair_name(data.pair()));
        assert!(solution.x.iter().all(|x| x.abs() <= 1e-12), "{}: {:?}", pair_name(data.pair()), solution.x);
        assert!(!solution.warnings.is_empty(), "{}: no warning", pair_name(data.pair()));
    }
}

#[test]
fn a_gauge_that_is_no_single_column_is_refused_too() {
    // One-hot columns add up to a column of ones.
    let a = Array::from_fn(9, 3, |i, j| if i % 3 == j { 1.0 } else { 0.0 });
    let data = Data::new(Design::Dense(a), vec![1.0 / 9.0; 9], (Link::Exp, Form::Rescaled));
    for data in [data.clone(), data.sparse()] {
        assert_eq!(kind(Solver::default().solve(&data.problem())), "UnboundedGauge");
        // Any regulariser that sees the gauge holds it.
        let ridge = Data { ridge: 1e-2, ..data.clone() };
        assert!(Solver::default().solve(&ridge.problem()).unwrap().status.reached());
        let weighted = Data { row_reg: Some(vec![0.1; 9]), ..data.clone() };
        assert!(Solver::default().solve(&weighted.problem()).unwrap().status.reached());
        // The other forms have a solution.
        for pair in [(Link::Exp, Form::Plain), (Link::Exp, Form::Normalised)] {
            let other = Data { link: pair.0, form: pair.1, ..data.clone() };
            let solution = Solver::default().solve(&other.problem()).unwrap();
            assert_sound(&solution, &pair_name(pair));
            assert!(solution.status.reached());
            assert_eq!(solution.facts.rank, if matches!(pair.1, Form::Plain) { 3 } else { 2 });
        }
    }
}

#[test]
fn odd_problems_are_warned_about_by_name_and_sound_ones_are_not() {
    let (clean, truth) = random(2, (Link::Exp, Form::Plain), 20, 3);
    let solution = Solver::default().with_start(Start::Given(truth)).solve(&clean.problem()).unwrap();
    assert!(solution.warnings.is_empty(), "{:?}", solution.warnings);

    let of = |pair: (Link, Form)| Data::new(Design::Dense(matrix(12, 10, 2)), vec![0.1; 10], pair);
    let column = |v: Vec<f64>, b: Vec<f64>, pair: (Link, Form)| {
        let a = Array::matrix(v.len(), 1, v).expect("a matrix");
        Data::new(Design::Dense(a), b, pair)
    };
    let edited = |pair: (Link, Form), f: &dyn Fn(usize, usize, f64) -> f64| {
        let a = matrix(12, 10, 2);
        Data { a: Design::Dense(Array::from_fn(10, 2, |i, j| f(i, j, a.row(i)[j]))), ..of(pair) }
    };
    let (exp, cosh, sinh) = (Link::Exp, Link::Cosh, Link::Sinh);
    let cases: [(&str, Data, Start); 12] = [
        ("TargetSumNotOne", Data { b: vec![0.05; 10], ridge: 0.1, ..of((exp, Form::Normalised)) }, Start::Auto),
        ("TargetSumNotOne", Data { b: vec![0.2; 10], ridge: 0.1, ..of((cosh, Form::Rescaled)) }, Start::Auto),
        ("UnidentifiedDirections", edited((exp, Form::Normalised), &|_, j, v| if j == 0 { 1.0 } else { v }), Start::Auto),
        ("SignSymmetric", Data { b: vec![2.0; 10], ..of((cosh, Form::Plain)) }, Start::Auto),
        ("SignSymmetric", Data { ridge: 0.1, ..of((cosh, Form::Normalised)) }, Start::Auto),
        ("TrivialMinimiser", Data { ridge: 0.1, ..of((sinh, Form::Rescaled)) }, Start::Given(vec![0.5; 2])),
        // A ridge of that size keeps x near 1, where the sum cancels to eight digits.
        (
            "NearZeroNormaliser",
            Data { ridge: 1e20, reference: Some(vec![1.0]), ..column(vec![1.0, -1.0 - 1e-8], vec![0.6, 0.4], (sinh, Form::Normalised)) },
            Start::Given(vec![1.0]),
        ),
        ("OverflowAtStart", column(vec![900.0, 1.0], vec![2.0, 1.0], (exp, Form::Plain)), Start::Given(vec![1.0])),
        ("ZeroRows", edited((exp, Form::Plain), &|i, _, v| if i == 4 { 0.0 } else { v }), Start::Auto),
        ("RankDeficient", edited((exp, Form::Plain), &|i, _, _| matrix(12, 10, 2).row(i)[0]), Start::Auto),
        ("NegativeTargetsUnreachable", Data { b: vec![-0.5; 10], ridge: 0.1, ..of((exp, Form::Plain)) }, Start::Auto),
        ("TargetsBelowOne", Data { b: vec![0.5; 10], ridge: 0.1, ..of((cosh, Form::Plain)) }, Start::Auto),
    ];
    for (name, data, start) in cases {
        let solution = Solver::default().with_start(start).solve(&data.problem()).unwrap();
        assert_sound(&solution, name);
        assert!(warns(&solution, name), "{name}: {:?}", solution.warnings);
    }
}

#[test]
fn a_start_that_overflows_is_left_for_the_solution() {
    let a = Array::matrix(4, 2, vec![900.0, 0.0, 700.0, 0.0, 0.0, 1.0, 0.0, 2.0]).expect("a matrix");
    let b: Vec<f64> = [0.9f64, 0.7, 1.0, 2.0].iter().map(|z| z.exp()).collect();
    let data = Data::new(Design::Dense(a), b, (Link::Exp, Form::Plain));
    for start in [vec![1.0, 0.0], vec![10.0, 0.0], vec![2.0, 50.0], vec![11.0, 400.0]] {
        for data in [data.clone(), data.sparse()] {
            let label = format!("{start:?}");
            let solution = Solver::default().with_start(Start::Given(start.clone())).solve(&data.problem()).unwrap();
            assert_sound(&solution, &label);
            assert!(solution.status.reached(), "{label}: {}", solution.status);
            assert!((solution.x[0] - 1e-3).abs() <= 1e-9 && (solution.x[1] - 1.0).abs() <= 1e-6, "{label}: {:?}", solution.x);
        }
    }
}
