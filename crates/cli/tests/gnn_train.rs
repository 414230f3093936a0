//! `certus gnn train`: from a graph with labels to weights that `infer` takes.

use std::fs;
use std::path::Path;

use certus_io::{Npz, NpzWriter};
use certus_numeric::Array;
use serde_json::Value;

use crate::support::{examples, listing, run_json};

fn train(dir: &Path, line: &str) -> Value {
    let (code, value) = run_json(dir, &format!("certus gnn train --graph community.npz {line}"));
    assert_eq!(code, 0, "{line}: {} {}", value["error"], value["metrics"]);
    value
}

fn number(value: &Value, name: &str) -> f64 {
    value["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} in {}", value["metrics"]))
}

/// The share of the test nodes that inference with these weights has right.
fn inferred(dir: &Path, model: &str, weights: &str) -> f64 {
    let (code, value) =
        run_json(dir, &format!("certus gnn infer --graph community.npz --model {model} --weights {weights} --out logits.npy"));
    assert_eq!(code, 0, "{value}");
    let logits = certus_io::read_array(dir.join("logits.npy").to_str().unwrap()).unwrap();
    let mut file = Npz::open(dir.join("community.npz").to_str().unwrap()).unwrap();
    let (y, test) = (file.array::<i64>("y").unwrap(), file.array::<i64>("test_idx").unwrap());
    let class = |row: &[f64]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best }) as i64;
    let right = test.as_slice().iter().filter(|&&i| class(logits.row(i as usize)) == y.as_slice()[i as usize]).count();
    right as f64 / test.len() as f64
}

#[test]
fn trained_weights_infer_with_the_accuracy_that_was_printed() {
    let dir = examples();
    let dir = dir.path();
    for (model, out, method) in [("sgc.json", "a.safetensors", "lbfgs"), ("gcn.json", "b.npz", "adam")] {
        let value = train(dir, &format!("--model {model} --out {out}"));
        assert_eq!(value["metrics"]["method"], method);
        let found = number(&value, "test_accuracy");
        assert!(found > 0.7 && found == inferred(dir, model, out), "{model}: {}", value["metrics"]);
        assert!(number(&value, "train_accuracy") >= found - 0.1 && number(&value, "val_accuracy") > 0.6, "{}", value["metrics"]);
        assert!(number(&value, "epochs") >= number(&value, "best_epoch") && number(&value, "parameters") > 400.0);
        let trace = value["trace"].as_array().unwrap();
        let loss = |step: &Value| step["loss"].as_f64().unwrap();
        assert!(loss(&trace[0]) > loss(&trace[trace.len() - 1]));
        assert_eq!(trace[0].get("val_accuracy").is_some(), method == "adam");
    }
}

#[test]
fn the_certificate_bounds_what_is_convex_and_claims_nothing_else() {
    let dir = examples();
    let dir = dir.path();
    let value = train(dir, "--model sgc.json --weight-decay 1e-3 --out a.npz");
    assert_eq!((&value["status"], &value["certificate"]["verdict"]), (&"converged".into(), &"holds".into()), "{}", value["metrics"]);
    let bound = number(&value, "distance_bound");
    assert!((bound / (number(&value, "gradient_norm") / 1e-3) - 1.0).abs() < 1e-9 && bound < 1e-2);
    let guarantees = value["certificate"]["claims"][0]["guarantees"].as_array().unwrap();
    assert_eq!(guarantees[0]["limit"].as_f64(), Some(bound));
    let value = train(dir, "--model gcn.json --epochs 5 --out b.npz");
    assert_eq!((&value["status"], &value["certificate"]["verdict"]), (&"done".into(), &"vacuous".into()), "{}", value["metrics"]);
    for check in value["certificate"]["claims"][0]["guarantees"].as_array().unwrap() {
        assert!(check["limit"].is_null() && check["measured"].is_number(), "{check}");
    }
    // Steps that do not suffice are told by the exit code; the weights are there all the same.
    let (code, value) = run_json(dir, "certus gnn train --graph community.npz --model sgc.json --epochs 2 --out c.npz");
    assert_eq!((code, &value["status"]), (3, &"max_iterations".into()), "{}", value["metrics"]);
    assert!(dir.join("c.npz").is_file());
}

#[test]
fn options_and_seeds_reach_the_trainer() {
    let dir = examples();
    let dir = dir.path();
    let line = "--model gcn.json --epochs 4";
    train(dir, &format!("{line} --seed 1 --threads 1 --out a.npz"));
    train(dir, &format!("{line} --seed 1 --threads 3 --out b.npz"));
    let first = fs::read(dir.join("a.npz")).unwrap();
    assert!(first == fs::read(dir.join("b.npz")).unwrap(), "threads");
    for other in ["--seed 2", "--seed 1 --dropout 0", "--seed 1 --weight-decay 1", "--seed 1 --learning-rate 0.1"] {
        train(dir, &format!("{line} {other} --out c.npz"));
        assert!(fs::read(dir.join("c.npz")).unwrap() != first, "{other} changes nothing");
    }
    let value = train(dir, "--model sgc.json --method adam --epochs 3 --out d.npz");
    assert_eq!(value["metrics"]["method"], "adam");
    let value = train(dir, "--model sgc.json --dropout 0.2 --epochs 3 --out d.npz");
    assert_eq!(value["metrics"]["method"], "adam");
}

#[test]
fn labels_and_features_may_have_files_of_their_own() {
    let dir = examples();
    let dir = dir.path();
    let mut archive = NpzWriter::create(dir.join("labels.npz")).unwrap();
    archive.add("y", &Array::vector((0..1000).map(|i| i64::from(i >= 500)).collect())).unwrap();
    archive.add("train_mask", &Array::vector((0..1000).map(|i| i % 50 == 0).collect())).unwrap();
    archive.finish().unwrap();
    let value = train(dir, "--model sgc.json --labels labels.npz --out a.npz");
    assert!(value["metrics"]["val_accuracy"].is_null() && value["metrics"]["test_accuracy"].is_null(), "{}", value["metrics"]);
    // The model has four classes, the labels two.
    assert!(value["warnings"][0].as_str().unwrap().starts_with("ClassWithoutSample: "), "{}", value["warnings"]);
    certus_io::write_npy(dir.join("x.npy"), &Array::from_fn(1000, 120, |i, j| ((i * 7 + j * 3) % 11) as f32)).unwrap();
    train(dir, "--model sgc.json --features x.npy --weight-decay 1 --out a.npz");
    train(dir, "--model gcn.json --features x.npy --epochs 2 --out a.npz");
}

#[test]
fn a_budget_is_kept_or_refused_with_the_number_that_would_do() {
    let dir = examples();
    let dir = dir.path();
    let free = train(dir, "--model sgc.json --threads 1 --out a.npz");
    let weights = fs::read(dir.join("a.npz")).unwrap();
    fs::remove_file(dir.join("a.npz")).unwrap();
    fs::create_dir(dir.join("spill")).unwrap();
    for spill in ["", "--spill spill"] {
        let line = |budget: u64| {
            format!("certus gnn train --graph community.npz --model sgc.json --threads 1 {spill} --budget {budget} --out a.npz")
        };
        let mut minimum = 1;
        // First for the inference, then for propagation.
        for _ in 0..2 {
            let (code, refused) = run_json(dir, &line(minimum));
            assert_eq!((code, &refused["error"]["kind"]), (2, &"budget_too_small".into()), "{refused}");
            minimum = refused["error"]["minimum_budget"].as_u64().unwrap();
            assert!(!dir.join("a.npz").exists());
        }
        let (code, value) = run_json(dir, &line(minimum));
        assert_eq!(code, 0, "{value}");
        assert!(number(&value, "measured_peak") <= minimum as f64 && minimum as f64 <= number(&free, "predicted_peak"));
        assert!(fs::read(dir.join("a.npz")).unwrap() == weights, "{spill}");
        fs::remove_file(dir.join("a.npz")).unwrap();
        assert_eq!(listing(&dir.join("spill")), [""; 0]);
    }
}

#[test]
fn bad_input_is_refused_and_nothing_written() {
    let dir = examples();
    let dir = dir.path();
    let write = |name: &str, y: Vec<i64>, train: Vec<i64>, val: Vec<i64>| {
        let mut archive = NpzWriter::create(dir.join(name)).unwrap();
        archive.add("y", &Array::vector(y)).unwrap();
        archive.add("train_idx", &Array::vector(train)).unwrap();
        archive.add("val_idx", &Array::vector(val)).unwrap();
        archive.finish().unwrap();
    };
    write("overlap.npz", vec![0; 1000], vec![1, 2], vec![2]);
    write("range.npz", vec![4; 1000], vec![1], vec![]);
    write("short.npz", vec![0; 999], vec![1], vec![]);
    write("none.npz", vec![0; 1000], vec![], vec![]);
    write("outside.npz", vec![0; 1000], vec![1000], vec![]);
    fs::write(dir.join("gat.json"), r#"{ "layers": [ { "op": "gat", "in_channels": 120, "out_channels": 4 } ] }"#).unwrap();
    fs::write(dir.join("text.npz"), "no archive").unwrap();
    for (line, kind) in [
        ("--model sgc.json --labels overlap.npz", "InvalidSplit"),
        ("--model sgc.json --labels outside.npz", "InvalidSplit"),
        ("--model sgc.json --labels range.npz", "InvalidLabel"),
        ("--model sgc.json --labels short.npz", "DimensionMismatch"),
        ("--model sgc.json --labels none.npz", "EmptyProblem"),
        ("--model sgc.json --labels absent.npz", "NotFound"),
        ("--model sgc.json --labels text.npz", "UnsupportedFormat"),
        ("--model gat.json", "Untrainable"),
        ("--model arxiv.json", "DimensionMismatch"),
        ("--model gcn.json --dropout 1", "InvalidParameter"),
        ("--model gcn.json --method lbfgs", "InvalidParameter"),
        ("--model gcn.json --budget 1000", "budget_too_small"),
    ] {
        let (code, value) = run_json(dir, &format!("certus gnn train --graph community.npz {line} --out a.npz"));
        assert_eq!((code, value["error"]["kind"].as_str()), (2, Some(kind)), "{line}: {value}");
        assert!(!value["error"]["hint"].as_str().unwrap().is_empty(), "{line}");
    }
    for line in
        ["--learning-rate nan", "--learning-rate 0", "--weight-decay -1", "--dropout inf", "--epochs 0", "--patience 0", "--budget -1"]
    {
        let (code, value) = run_json(dir, &format!("certus gnn train --graph community.npz --model gcn.json {line} --out a.npz"));
        assert_eq!(code, 2, "{line}: {value}");
    }
    let (code, _) = run_json(dir, "certus gnn train --graph community.npz --model gcn.json --out a.json");
    assert_eq!(code, 2);
    assert!(!dir.join("a.npz").exists() && !dir.join("a.json").exists());
}
