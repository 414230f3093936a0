//! `certus regression` on real and small data.

use std::path::Path;

use certus_io::{Npz, read_array, read_vector, write_npy};
use certus_numeric::Array;

use crate::support::{examples, run_json};

fn near(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()))
}

fn vector(dir: &Path, name: &str, values: &[f64]) {
    write_npy(dir.join(name), &Array::vector(values.to_vec())).unwrap();
}

/// NIST StRD DanWood, y = b1 x^b2, as exp(log b1 + b2 log x).
fn danwood(dir: &Path) {
    let x = [1.309, 1.471, 1.490, 1.565, 1.611, 1.680f64];
    vector(dir, "y.npy", &[2.138, 3.421, 3.597, 4.340, 4.882, 5.660]);
    write_npy(dir.join("logs.npy"), &Array::from_fn(6, 2, |i, j| if j == 0 { 1.0 } else { x[i].ln() })).unwrap();
}

#[test]
fn a_nist_problem_has_its_certified_solution_from_every_start_and_by_every_hessian() {
    let dir = examples();
    danwood(dir.path());
    vector(dir.path(), "start.npy", &[0.0, 5.0]);
    for options in
        ["", "--start zero", "--start start.npy", "--hessian exact", "--hessian sampled", "--hessian matrix-free", "--certify full"]
    {
        let line = format!("certus regression fit --a logs.npy --b y.npy --link exp --form plain --out x.npy {options}");
        let (code, value) = run_json(dir.path(), &line);
        assert_eq!(code, 0, "{options}");
        let x = read_vector(dir.path().join("x.npy")).unwrap();
        assert!(near(&[x[0].exp(), x[1]], &[0.76886226176, 3.8604055871], 1e-9), "{options}: {x:?}");
        let metrics = &value["metrics"];
        assert!((2.0 * metrics["loss"].as_f64().unwrap() / 0.0043173084083 - 1.0).abs() < 1e-9);
        assert_eq!((&value["outcome"], &metrics["rank"]), (&"proven_local_minimum".into(), &2.into()), "{options}");
        assert!(metrics["proven_radius"].as_f64().unwrap() < 1e-8 && metrics["lambda_min"].as_f64().unwrap() > 0.3);
        for name in ["log_loss", "gradient_inf", "iterations", "newton_decrement"] {
            assert!(metrics[name].is_number(), "{options}: {name}");
        }
        assert_eq!(value["certificate"]["claims"][0]["guarantees"][0]["name"], "distance_to_stationary_point");
    }
}

#[test]
fn evaluate_gives_the_derivatives_of_the_fitted_point_and_certifies_it() {
    let dir = examples();
    let line = "certus regression evaluate --a design.npy --b b.npy --link exp --form plain --x fitted.npy --out d.npz";
    let (code, value) = run_json(dir.path(), line);
    assert_eq!((code, &value["certificate"], &value["metrics"]["log_scale"]), (0, &serde_json::Value::Null, &0.0.into()));
    let mut file = Npz::open(dir.path().join("d.npz")).unwrap();
    let (gradient, hessian) = (file.array::<f64>("gradient").unwrap(), file.array::<f64>("hessian").unwrap());
    assert_eq!((gradient.shape(), hessian.shape()), (&[11][..], &[11, 11][..]));
    let scale = (0..11).map(|j| hessian.row(j)[j]).fold(0.0, f64::max);
    assert!(gradient.as_slice().iter().all(|g| g.abs() < 1e-10 * scale));
    for certify in ["--certify", "--certify full"] {
        let (_, value) = run_json(dir.path(), &format!("{line} {certify}"));
        assert_eq!((&value["outcome"], &value["certificate"]["verdict"]), (&"proven_local_minimum".into(), &"holds".into()));
    }
}

#[test]
fn a_number_and_a_file_regularise_alike_and_sensitivities_add_up() {
    let dir = examples();
    danwood(dir.path());
    vector(dir.path(), "w.npy", &[0.3; 6]);
    vector(dir.path(), "db.npy", &[1.0, 0.0, -1.0, 0.5, 0.0, 0.0]);
    write_npy(dir.path().join("da.npy"), &Array::from_fn(6, 2, |i, j| if i == j { 0.1 } else { 0.0 })).unwrap();
    let problem = "--a logs.npy --b y.npy --link exp --form plain";
    let solve = |options: &str| {
        assert_eq!(run_json(dir.path(), &format!("certus regression fit {problem} {options} --out x.npy")).0, 0);
        read_vector(dir.path().join("x.npy")).unwrap()
    };
    assert_eq!(solve("--row-reg 0.3"), solve("--row-reg w.npy"));
    solve("");
    let moved = |options: &str| {
        let (code, _) = run_json(dir.path(), &format!("certus regression sensitivity {problem} --x x.npy {options} --out dx.npy"));
        assert_eq!(code, 0, "{options}");
        read_vector(dir.path().join("dx.npy")).unwrap()
    };
    let (by_b, by_a, both) = (moved("--d-target db.npy"), moved("--d-design da.npy"), moved("--d-target db.npy --d-design da.npy"));
    assert!(near(&both, &[by_b[0] + by_a[0], by_b[1] + by_a[1]], 1e-12));
    let (code, value) = run_json(dir.path(), &format!("certus regression sensitivity {problem} --x x.npy --out dx.npy"));
    assert_eq!((code, &value["error"]["kind"]), (2, &"Usage".into()));
}

#[test]
fn many_targets_are_fitted_as_one_by_one() {
    let dir = examples();
    let options = "--a sparse.npz --link exp --form normalised --ridge 0.01";
    let (code, value) = run_json(dir.path(), &format!("certus regression fit-many {options} --targets each-digit.npy --out all.npy"));
    assert_eq!((code, &value["metrics"]["fits"], &value["metrics"]["proven"]), (0, &10.into(), &10.into()));
    run_json(dir.path(), &format!("certus regression fit {options} --b threes.npy --out one.npy"));
    let (all, one) = (read_array(dir.path().join("all.npy")).unwrap(), read_vector(dir.path().join("one.npy")).unwrap());
    assert_eq!(all.shape(), [61, 10]);
    assert_eq!((0..61).map(|j| all.row(j)[3]).collect::<Vec<_>>(), one);
}

#[test]
fn what_cannot_be_fitted_is_refused_by_kind_and_what_was_not_reached_exits_with_3() {
    let dir = examples();
    danwood(dir.path());
    vector(dir.path(), "short.npy", &[1.0; 5]);
    vector(dir.path(), "negative.npy", &[1.0, -1.0, 1.0, 1.0, 1.0, 1.0]);
    vector(dir.path(), "nan.npy", &[1.0, f64::NAN, 1.0, 1.0, 1.0, 1.0]);
    vector(dir.path(), "zeros.npy", &[0.0, 0.0]);
    vector(dir.path(), "pair.npy", &[0.5, 0.5]);
    write_npy(dir.path().join("opposite.npy"), &Array::matrix(2, 1, vec![1.0, -1.0]).unwrap()).unwrap();
    let problem = "--a logs.npy --b y.npy --link exp --form plain";
    for (line, kind) in [
        ("fit --a logs.npy --b y.npy --link exp --form rescaled".to_owned(), "UnboundedGauge"),
        ("fit --a opposite.npy --b pair.npy --link sinh --form normalised".to_owned(), "ZeroNormaliser"),
        ("fit --a logs.npy --b short.npy --link exp --form plain".to_owned(), "DimensionMismatch"),
        ("fit --a logs.npy --b nan.npy --link exp --form plain".to_owned(), "NonFinite"),
        ("fit --a logs.npy --b y.npy --link tan --form plain".to_owned(), "InvalidParameter"),
        (format!("fit {problem} --data-weights negative.npy"), "InvalidParameter"),
        (format!("fit {problem} --row-reg negative.npy"), "InvalidParameter"),
        (format!("fit {problem} --row-reg=-1"), "InvalidParameter"),
        (format!("fit {problem} --ridge=-1"), "InvalidParameter"),
        (format!("fit {problem} --offset short.npy"), "DimensionMismatch"),
        (format!("fit {problem} --start short.npy"), "DimensionMismatch"),
        (format!("fit {problem} --gtol 0"), "InvalidParameter"),
        (format!("fit {problem} --gtol 2"), "InvalidParameter"),
        (format!("fit {problem} --max-iter 0"), "InvalidParameter"),
    ] {
        let (code, value) = run_json(dir.path(), &format!("certus regression {line} --out x.npy"));
        assert_eq!((code, &value["error"]["kind"]), (2, &kind.into()), "{line}: {value}");
        assert!(!dir.path().join("x.npy").exists(), "{line}");
    }
    let (code, value) = run_json(dir.path(), &format!("certus regression fit {problem} --start zeros.npy --max-iter 1 --out x.npy"));
    assert_eq!((code, &value["status"]), (3, &"max_iterations".into()));
    assert!(dir.path().join("x.npy").is_file() && value["certificate"]["claims"].is_array());
}
