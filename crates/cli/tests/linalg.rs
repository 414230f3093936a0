//! `certus linalg`: answers that are known.

use std::path::Path;

use certus_io::{read_vector, write_npy};
use certus_numeric::Array;

use crate::support::{examples, run_json};

/// A 4 x 2 problem whose solution is (4/3, 2), with residual 1/sqrt 3.
fn small(dir: &Path) {
    let a = Array::matrix(4, 2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0]).unwrap();
    write_npy(dir.join("a4.npy"), &a).unwrap();
    write_npy(dir.join("b4.npy"), &Array::vector(vec![1.0, 2.0, 3.0, 5.0])).unwrap();
}

fn near(found: &[f64], expected: &[f64], error: f64) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= error)
}

#[test]
fn least_squares_finds_the_known_solution_in_either_format() {
    let dir = examples();
    small(dir.path());
    for out in ["x.npy", "x.npz"] {
        let (code, value) = run_json(dir.path(), &format!("certus linalg least-squares --a a4.npy --b b4.npy --out {out}"));
        assert_eq!((code, value["outputs"]["out"].as_str()), (0, Some(out)));
        assert!(near(&[value["metrics"]["residual"].as_f64().unwrap()], &[3f64.sqrt().recip()], 1e-14), "{value}");
        assert!(near(&read_vector(dir.path().join(out)).unwrap(), &[4.0 / 3.0, 2.0], 1e-14));
    }
}

#[test]
fn all_methods_and_sketches_agree_on_real_data() {
    let dir = examples();
    let solve = |options: &str| {
        let line = format!("certus linalg least-squares --a sparse.npz --b labels.npy --out x.npy {options}");
        let (code, value) = run_json(dir.path(), &line);
        assert_eq!(code, 0, "{line}: {value}");
        (read_vector(dir.path().join("x.npy")).unwrap(), value["metrics"]["sketch_rows"].as_u64().unwrap())
    };
    let (expected, _) = solve("--method qr");
    let (plain, _) = solve("--method lsmr");
    assert!(near(&plain, &expected, 1e-8));
    for sketch in ["countsketch", "osnap", "srht", "gaussian"] {
        let (x, rows) = solve(&format!("--method sketch --sketch {sketch} --sketch-rows 500 --seed 3"));
        assert!(near(&x, &expected, 1e-8), "{sketch}");
        assert_eq!(rows, 500);
    }
}

#[test]
fn leverage_finds_the_known_scores_and_approximates_them() {
    let dir = examples();
    small(dir.path());
    let (code, value) = run_json(dir.path(), "certus linalg leverage --a a4.npy --out tau.npy");
    assert_eq!((code, &value["metrics"]["rank"]), (0, &2.into()));
    // a_i (A'A)^-1 a_i' with (A'A)^-1 = [[1, -1], [-1, 2]] / 3.
    assert!(near(&read_vector(dir.path().join("tau.npy")).unwrap(), &[1.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0], 1e-14));

    let scores = |options: &str| {
        let (code, _) = run_json(dir.path(), &format!("certus linalg leverage --a digits.npz:x --out tau.npy {options}"));
        assert_eq!(code, 0);
        read_vector(dir.path().join("tau.npy")).unwrap()
    };
    let (exact, rough) = (scores("--certify full"), scores("--approximate --epsilon 0.5 --seed 1"));
    assert!((exact.iter().sum::<f64>() - 61.0).abs() < 1e-9, "three pixels of the digits are never dark");
    assert!(exact.iter().zip(&rough).all(|(exact, rough)| (rough / exact - 1.0).abs() <= 0.5));
}

#[test]
fn weights_of_zero_take_rows_out() {
    let dir = examples();
    small(dir.path());
    write_npy(dir.path().join("h.npy"), &Array::vector(vec![1.0, 1.0, 0.0, 0.0])).unwrap();
    run_json(dir.path(), "certus linalg leverage --a a4.npy --weights h.npy --out tau.npy");
    assert!(near(&read_vector(dir.path().join("tau.npy")).unwrap(), &[1.0, 1.0, 0.0, 0.0], 1e-14));
}
