//! `certus attention` on a real head and on small data.

use std::path::Path;

use certus_io::{Npz, write_npy};
use certus_numeric::Array;
use serde_json::Value;

use crate::support::{examples, run_json};

const PROBLEM: &str = "--a1 rounded.npz:q --a2 rounded.npz:k --a3 rounded.npz:v --target output.npy --scale 0.1767767 --x-ref identity.npy \
                       --y-ref identity.npy --logit-reg-x 1e-2 --logit-reg-y 1e-2";

const AT: &str = "--x identity.npy --y identity.npy";

const MAP: &str = "--a1 rounded.npz:q --a2 rounded.npz:k --target head.npz:probs --scale 0.1767767 --x-ref identity.npy --logit-reg-x 1e-3";

fn ok(dir: &Path, line: &str) -> Value {
    let (code, value) = run_json(dir, &format!("certus attention {line}"));
    assert_eq!(code, 0, "{line}: {value}");
    value
}

fn array(dir: &Path, file: &str, name: &str) -> Array {
    Npz::open(dir.join(file)).unwrap().array::<f64>(name).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// An entry of an array of three ways, heads first.
fn save(dir: &Path, name: &str, shape: &[usize], f: impl Fn(usize) -> f64) {
    let mut array = Array::zeros(shape.to_vec());
    array.as_mut_slice().iter_mut().enumerate().for_each(|(k, v)| *v = f(k));
    write_npy(dir.join(name), &array).unwrap();
}

#[test]
fn a_rounded_head_is_recovered_by_every_method_and_certified() {
    let dir = examples();
    let dir = dir.path();
    let mut losses = Vec::new();
    for method in ["auto", "dense-newton", "krylov", "sketched"] {
        let value = ok(dir, &format!("fit {PROBLEM} --method {method} --out {method}.npz"));
        assert_eq!(value["certificate"]["verdict"], "holds", "{method}");
        assert!(number(&value, "iterations") <= 15.0 && number(&value, "kantorovich_h") < 0.5, "{method}: {value}");
        assert!(value["metrics"]["holdout_loss"].is_null());
        let claim = &value["certificate"]["claims"][0];
        let names = |kind: &str| claim[kind].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(names("assumptions"), ["positive_curvature", "kantorovich"]);
        assert_eq!(names("guarantees"), ["logit_distance", "loss_gap"]);
        losses.push(number(&value, "loss"));
    }
    for sketch in ["rows", "auto"] {
        let value = ok(dir, &format!("fit {PROBLEM} --method sketched --sketch {sketch} --out {sketch}.npz"));
        assert_eq!(value["metrics"]["sketch"], "rows");
        assert!(
            number(&value, "sketch_epsilon") < 20.0 && value["metrics"]["rank_one_distance"].is_null() == (sketch == "rows"),
            "{value}"
        );
        losses.push(number(&value, "loss"));
    }
    assert!(losses.iter().all(|loss| (loss / losses[0] - 1.0).abs() < 1e-8), "{losses:?}");
    let (code, value) = run_json(dir, &format!("certus attention fit {PROBLEM} --method sketched --sketch tensor-srht --out t.npz"));
    assert_eq!((code, &value["error"]["kind"]), (2, &"NotRankOne".into()));
    // What is commonly used is not there after as many steps.
    let (code, value) = run_json(dir, &format!("certus attention fit {PROBLEM} --method lbfgs --out lbfgs.npz"));
    assert_eq!((code, &value["status"]), (3, &"max_iterations".into()));
    assert!(number(&value, "loss") > 1.05 * losses[0] && dir.join("lbfgs.npz").is_file());
}

#[test]
fn recovery_gives_errors_before_and_after_and_on_what_was_set_aside() {
    let dir = examples();
    let dir = dir.path();
    let head = "recover --q head.npz:q --k head.npz:k --v head.npz:v";
    let value = ok(dir, &format!("{head} --bits 4 --out a.npz"));
    let [rounded, values, fitted] = ["error_rounded", "error_values_only", "error_fitted"].map(|name| number(&value, name));
    assert!(rounded > values && values > fitted && fitted > 0.0 && fitted < 0.1 * rounded, "{rounded} {values} {fitted}");
    assert!(value["metrics"]["error_fitted_holdout"].is_null());
    // The same, rounded by the caller.
    let again = ok(dir, &format!("{head} --rounded-q rounded.npz:q --rounded-k rounded.npz:k --rounded-v rounded.npz:v --out b.npz"));
    assert_eq!(number(&again, "error_fitted"), fitted);
    assert_eq!(array(dir, "a.npz", "x"), array(dir, "b.npz", "x"));
    let weights = "--rounded-q head.npz:q_4bit --rounded-k head.npz:k_4bit --rounded-v head.npz:v_4bit --logit-reg-x 1 --logit-reg-y 1";
    let aside = ok(dir, &format!("{head} {weights} --holdout 0.25 --out c.npz"));
    assert!(number(&aside, "error_fitted_holdout") < number(&aside, "error_rounded_holdout"), "{aside}");
    let causal = ok(dir, &format!("{head} --bits 3 --mask causal --out d.npz"));
    assert!(number(&causal, "error_fitted") < number(&causal, "error_rounded"));
}

#[test]
fn evaluation_agrees_with_itself_and_certifies_the_fitted_point_and_no_other() {
    let dir = examples();
    let dir = dir.path();
    let fitted = "--x fitted-head.npz:x --y fitted-head.npz:y";
    let value = ok(dir, &format!("evaluate --problem fit {PROBLEM} {fitted} --direction-y identity.npy --certify --out d.npz"));
    assert_eq!(value["certificate"]["verdict"], "holds");
    let (x, beta) = (array(dir, "d.npz", "gradient_x"), array(dir, "d.npz", "row_beta"));
    assert_eq!((x.shape(), beta.shape(), array(dir, "d.npz", "hvp_x").shape()), (&[32, 32][..], &[63][..], &[32, 32][..]));
    let fit = ok(dir, &format!("fit {PROBLEM} --x0 fitted-head.npz:x --y0 fitted-head.npz:y --out fit.npz"));
    assert!((number(&value, "loss") / number(&fit, "loss_start") - 1.0).abs() < 1e-12);
    let other = ok(dir, &format!("evaluate --problem fit {PROBLEM} --x identity.npy --y identity.npy --certify --out e.npz"));
    assert_eq!(other["certificate"]["verdict"], "not_applicable");
    // A small problem with two heads, two sequences, masks of both kinds.
    for (name, shape) in [("a1", [2, 4, 3]), ("a2", [2, 5, 3]), ("a3", [2, 5, 2]), ("x", [2, 3, 3]), ("y", [2, 2, 2])] {
        save(dir, &format!("{name}.npy"), &shape, |k| (0.7 * k as f64 + name.len() as f64).sin());
    }
    save(dir, "b.npy", &[4, 2], |k| (1.3 * k as f64).cos());
    save(dir, "mask.npy", &[4, 5], |k| f64::from(k % 3 != 0));
    let sequence = "--a1 a1.npy --a2 a2.npy --a3 a3.npy --target b.npy";
    let at = "--x x.npy --y y.npy --direction-x x.npy";
    let one = ok(dir, &format!("evaluate --problem fit {sequence} --mask mask.npy {at} --out one.npz"));
    let two = ok(dir, &format!("evaluate --problem fit {sequence} {sequence} --mask mask.npy --mask mask.npy {at} --out two.npz"));
    assert!((number(&two, "loss") / number(&one, "loss") - 2.0).abs() < 1e-12);
    let (one, two) = (array(dir, "one.npz", "hvp_x"), array(dir, "two.npz", "hvp_x"));
    assert_eq!(one.shape(), [2, 3, 3]);
    assert!(one.as_slice().iter().zip(two.as_slice()).all(|(a, b)| (2.0 * a - b).abs() < 1e-12));
    let fit = ok(dir, &format!("fit {sequence} --mask causal --logit-reg-x 0.1 --logit-reg-y 0.1 --x0 x.npy --y0 y.npy --out fit2.npz"));
    assert!(number(&fit, "loss") < number(&fit, "loss_start"));
    assert_eq!(array(dir, "fit2.npz", "y").shape(), [2, 2, 2]);
}

#[test]
fn maps_are_fitted_in_three_forms() {
    let dir = examples();
    let dir = dir.path();
    let problem = MAP;
    for form in ["normalised", "rescaled", "cross-entropy"] {
        let value = ok(dir, &format!("map --form {form} {problem} --out fit.npz"));
        assert!(number(&value, "loss") < number(&value, "loss_start"), "{form}: {value}");
        assert_eq!(array(dir, "fit.npz", "x").shape(), [32, 32]);
        let at = ok(
            dir,
            &format!("evaluate --problem map --form {form} {problem} --x fit.npz:x --direction-x identity.npy --certify --out d.npz"),
        );
        assert!((number(&at, "loss") / number(&value, "loss") - 1.0).abs() < 1e-12);
        assert!(at["metrics"]["kantorovich_h"].is_number() || at["certificate"]["verdict"] != "holds");
        assert_eq!(array(dir, "d.npz", "hvp_x").shape(), [32, 32]);
    }
    let value = ok(dir, &format!("map --form normalised {problem} --convex-start --out fit.npz"));
    assert_eq!(value["certificate"]["verdict"], "holds");
    assert!(value["metrics"]["holdout_loss"].is_null());
    // The last quarter of the queries is not fitted; its loss is that of the rows alone, without regularisers.
    let value = ok(dir, &format!("map --form normalised {problem} --holdout 0.25 --out aside.npz"));
    let (x, rows) = (array(dir, "aside.npz", "x"), 63 - 16..63);
    let part = |a: Array| Array::from_fn(rows.len(), a.cols(), |i, j| a.row(rows.start + i)[j]);
    write_npy(dir.join("a1.npy"), &part(array(dir, "rounded.npz", "q"))).unwrap();
    write_npy(dir.join("b.npy"), &part(array(dir, "head.npz", "probs"))).unwrap();
    write_npy(dir.join("x.npy"), &x).unwrap();
    let aside = "--a1 a1.npy --a2 rounded.npz:k --target b.npy --scale 0.1767767";
    let at = ok(dir, &format!("evaluate --problem map --form normalised {aside} --x x.npy --out d.npz"));
    assert!((number(&value, "holdout_loss") / number(&at, "loss") - 1.0).abs() < 1e-12, "{value}");
    assert_eq!(at["metrics"]["loss"].as_f64().map(|loss| loss > 0.0), Some(true));
}

#[test]
fn stability_keeps_its_two_bounds() {
    let dir = examples();
    let dir = dir.path();
    let before = "stability --a1 head.npz:q --a2 head.npz:k --x identity.npy --scale 0.1767767";
    let still = ok(dir, before);
    assert_eq!((number(&still, "map_change"), number(&still, "logit_change")), (0.0, 0.0));
    let value = ok(dir, &format!("{before} --new-a1 rounded.npz:q --new-a2 rounded.npz:k --new-x fitted-head.npz:x --mask causal"));
    let guarantees = value["certificate"]["claims"][0]["guarantees"].as_array().unwrap();
    assert_eq!(guarantees.iter().map(|c| c["name"].as_str().unwrap()).collect::<Vec<_>>(), ["half_logit_change", "half_norm_product"]);
    for check in guarantees {
        assert_eq!(check["measured"].as_f64().unwrap(), number(&value, "map_change"));
        assert!(check["holds"].as_bool().unwrap());
    }
}

#[test]
fn what_cannot_be_fitted_is_refused_by_kind() {
    let dir = examples();
    let dir = dir.path();
    save(dir, "ones.npy", &[5, 1], |_| 1.0);
    save(dir, "negative.npy", &[5, 5], |k| if k == 7 { -1.0 } else { 0.2 });
    save(dir, "uniform.npy", &[5, 5], |_| 0.2);
    save(dir, "nan.npy", &[63, 32], |k| if k == 33 { f64::NAN } else { 1.0 });
    save(dir, "short.npy", &[62, 32], |k| k as f64);
    save(dir, "three.npy", &[2, 63, 32], |k| (k as f64).sin());
    let ones = "--a1 ones.npy --a2 ones.npy";
    for (line, kind) in [
        (format!("map --form cross-entropy {ones} --target negative.npy"), "NotStochastic"),
        (format!("map --form rescaled {ones} --target uniform.npy"), "UnboundedRescaled"),
        (format!("fit {PROBLEM} --a1 rounded.npz:q"), "DimensionMismatch"),
        (PROBLEM.replace("output.npy", "nan.npy"), "NonFinite"),
        (PROBLEM.replace("output.npy", "short.npy"), "DimensionMismatch"),
        (PROBLEM.replace("rounded.npz:q", "three.npy"), "DimensionMismatch"),
        (PROBLEM.replace("0.1767767", "0"), "InvalidParameter"),
        (PROBLEM.replace("--logit-reg-x 1e-2", "--logit-reg-x=-1"), "InvalidParameter"),
        (format!("fit {PROBLEM} --holdout 1"), "InvalidParameter"),
        (format!("fit {PROBLEM} --mask short.npy"), "DimensionMismatch"),
        (format!("fit {PROBLEM} --x0 short.npy"), "DimensionMismatch"),
        (format!("fit {PROBLEM} --gtol 1"), "InvalidParameter"),
        (format!("evaluate --problem fit --form normalised {PROBLEM} {AT}"), "InvalidParameter"),
        (format!("evaluate --problem map --form normalised {MAP} --x identity.npy --y identity.npy"), "InvalidParameter"),
        (format!("evaluate --problem map --form normalised {MAP} --x identity.npy --a3 rounded.npz:v"), "InvalidParameter"),
        (format!("evaluate --problem map --form normalised {MAP} --x identity.npy --y-ref identity.npy"), "InvalidParameter"),
        (format!("evaluate --problem map --form normalised {MAP} --x identity.npy --ridge-y 1"), "InvalidParameter"),
        (format!("evaluate --problem map --form normalised {MAP} --x identity.npy --direction-y identity.npy"), "InvalidParameter"),
        (format!("map --form normalised {MAP} --holdout 1"), "InvalidParameter"),
        ("recover --q head.npz:q --k head.npz:k --v head.npz:v --bits 1".into(), "InvalidParameter"),
        ("recover --q head.npz:q --k head.npz:k --v head.npz:v".into(), "Usage"),
        ("recover --q nan.npy --k head.npz:k --v head.npz:v --bits 4".into(), "NonFinite"),
    ] {
        let line = if line.starts_with("--") { format!("fit {line}") } else { line };
        let (code, value) = run_json(dir, &format!("certus attention {line} --out x.npz"));
        assert_eq!((code, &value["error"]["kind"]), (2, &kind.into()), "{line}: {value}");
        assert!(!dir.join("x.npz").exists(), "{line}");
    }
    // It evaluates any point of a problem that the solver refuses.
    save(dir, "zero.npy", &[1, 1], |_| 0.0);
    let value = ok(dir, &format!("evaluate --problem map --form rescaled {ones} --target uniform.npy --x zero.npy --out d.npz"));
    assert!(number(&value, "loss") < 1e-20);
}
