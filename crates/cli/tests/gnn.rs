//! `certus gnn` on made graphs.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{examples, listing, run_json};

const MODEL: &str = "--graph community.npz --model gcn.json --weights gcn.safetensors";

fn ok(dir: &Path, line: &str) -> Value {
    let (code, value) = run_json(dir, &format!("certus gnn {line}"));
    assert_eq!(code, 0, "{line}: {value}");
    value
}

fn bytes(value: &Value, name: &str) -> u64 {
    value["metrics"][name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn logits_are_the_same_bits_for_every_budget_folder_and_number_of_threads() {
    let dir = examples();
    let dir = dir.path();
    fs::create_dir(dir.join("spill")).unwrap();
    let all = ok(dir, &format!("infer {MODEL} --out all.npy"));
    let expected = fs::read(dir.join("all.npy")).unwrap();
    let in_memory = bytes(&all, "minimum_budget");
    let spilled = bytes(&ok(dir, &format!("plan {MODEL} --spill spill")), "minimum_budget");
    assert!(spilled < in_memory && in_memory <= bytes(&all, "predicted_peak"));
    let middle = (spilled + in_memory) / 2;
    for options in [
        format!("--budget {in_memory}"),
        format!("--budget {spilled} --spill spill"),
        format!("--budget {middle} --spill spill"),
        "--threads 1".into(),
        "--threads 3".into(),
        "--budget 1GiB --threads 2".into(),
    ] {
        let value = ok(dir, &format!("infer {MODEL} {options} --out some.npy"));
        assert!(fs::read(dir.join("some.npy")).unwrap() == expected, "{options}");
        assert_eq!(value["certificate"]["verdict"], "holds", "{options}: {value}");
        assert!(bytes(&value, "measured_peak") <= bytes(&value, "predicted_peak"), "{options}");
        assert_eq!(listing(&dir.join("spill")), [""; 0], "{options}");
    }
}

#[test]
fn the_minimum_is_a_threshold_and_a_refusal_writes_nothing() {
    let dir = examples();
    let dir = dir.path();
    for options in ["--threads 1", "--threads 2", "--threads 1 --spill .", "--threads 1 --precision f16"] {
        for verb in ["plan", "infer"] {
            let out = if verb == "infer" { "--out logits.npy" } else { "" };
            let (code, refused) = run_json(dir, &format!("certus gnn {verb} {MODEL} {options} --budget 4096 {out}"));
            assert_eq!((code, &refused["error"]["kind"]), (2, &"budget_too_small".into()), "{options}: {refused}");
            let minimum = refused["error"]["minimum_budget"].as_u64().unwrap();
            assert!(!dir.join("logits.npy").exists());
            let value = ok(dir, &format!("{verb} {MODEL} {options} --budget {minimum} {out}"));
            assert_eq!(bytes(&value, "minimum_budget"), minimum, "{options}");
            assert!(bytes(&value, "predicted_peak") <= minimum);
            let (code, _) = run_json(dir, &format!("certus gnn {verb} {MODEL} {options} --budget {} {out}", minimum - 1));
            assert_eq!(code, 2, "{options}: one byte less");
            fs::remove_file(dir.join("logits.npy")).ok();
        }
    }
}

#[test]
fn a_graph_on_disk_gives_the_same_bits_and_takes_less() {
    let dir = examples();
    let dir = dir.path();
    fs::create_dir(dir.join("spill")).unwrap();
    let all = ok(dir, &format!("infer {MODEL} --threads 1 --out all.npy"));
    let expected = fs::read(dir.join("all.npy")).unwrap();
    for options in ["", "--spill spill", "--threads 3"] {
        let threads = if options.contains("threads") { "" } else { "--threads 1" };
        let plan = ok(dir, &format!("plan {MODEL} {threads} {options} --graph-on-disk"));
        let minimum = bytes(&plan, "minimum_budget");
        assert!(bytes(&plan, "resident_bytes") < bytes(&all, "resident_bytes"), "{plan}");
        let value = ok(dir, &format!("infer {MODEL} {threads} {options} --graph-on-disk --budget {minimum} --out some.npy"));
        assert!(fs::read(dir.join("some.npy")).unwrap() == expected, "{options}");
        assert_eq!(value["certificate"]["verdict"], "holds", "{options}: {value}");
        assert_eq!(value["metrics"]["graph_on_disk"], true);
        // Offsets, sources and no weights, once for each panel.
        assert!(bytes(&value, "bytes_read") >= 8 * 1001, "{options}: {value}");
        let (code, _) =
            run_json(dir, &format!("certus gnn infer {MODEL} {threads} {options} --graph-on-disk --budget {} --out no.npy", minimum - 1));
        assert_eq!((code, listing(&dir.join("spill")).len()), (2, 0), "{options}: one byte less");
    }
    let sizes = "plan --sizes nodes=169343,edges=1166243 --model arxiv.json --threads 1";
    let (memory, disk) = (ok(dir, sizes), ok(dir, &format!("{sizes} --graph-on-disk")));
    assert_eq!(bytes(&memory, "resident_bytes"), 8 * 169_344 + 4 * 1_166_243);
    assert!(bytes(&disk, "resident_bytes") < 4096);
    let (code, value) = run_json(dir, "certus gnn plan --graph nowhere --model gcn.json --weights gcn.safetensors --graph-on-disk");
    assert_eq!((code, &value["error"]["kind"]), (2, &"NotFound".into()), "{value}");
}

#[test]
fn order_and_half_precision_without_bounds_are_options() {
    let dir = examples();
    let dir = dir.path();
    let read = |name: &str| certus_io::read_as::<f32>(dir.join(name)).unwrap().into_vec();
    let run = |options: &str| {
        let value = ok(dir, &format!("infer {MODEL} --threads 1 {options} --out y.npy"));
        (value, read("y.npy"))
    };
    let near = |a: &[f32], b: &[f32]| {
        let largest = a.iter().fold(1.0f32, |largest, v| largest.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
    };
    let (all, expected) = run("");
    let (_, combined) = run("--order combine-first");
    let (_, aggregated) = run("--order aggregate-first");
    assert!(expected == combined && combined != aggregated, "narrow outputs are combined first");
    assert!(near(&combined, &aggregated) < 1e-5);
    let (bounded, half) = run("--precision f16");
    let (unbounded, same) = run("--precision f16-unbounded");
    assert!(half == same && half != expected && near(&half, &expected) < 1e-2);
    assert!(unbounded["metrics"].get("max_error_bound").is_none() && bounded["metrics"]["max_error_bound"].is_number());
    let minimum = |value: &Value| bytes(value, "minimum_budget");
    assert!(minimum(&unbounded) < minimum(&all) && minimum(&all) < minimum(&bounded));
    // Of features in a file that is mapped nothing is read but its pages.
    certus_io::write_npy(dir.join("m.npy"), &certus_gnn::synth::hash_features(1000, 120, certus_numeric::Seed(5))).unwrap();
    let (streamed, expected_of_file) = run("--features m.npy");
    if cfg!(target_os = "linux") {
        let (mapped, same) = run("--features m.npy --features-mapped");
        assert!(same == expected_of_file && mapped["certificate"]["verdict"] == "holds", "{mapped}");
        assert_eq!((bytes(&mapped, "mapped_bytes"), bytes(&mapped, "bytes_read")), (4 * 120_000, 0));
        assert_eq!((bytes(&streamed, "mapped_bytes"), bytes(&streamed, "bytes_read")), (0, 4 * 120_000));
        assert_eq!(bytes(&mapped, "resident_bytes"), bytes(&streamed, "resident_bytes"));
    }
    let (code, refused) = run_json(dir, &format!("certus gnn plan {MODEL} --features-mapped"));
    assert_eq!((code, &refused["error"]["kind"]), (2, &"InvalidParameter".into()), "{refused}");
    // Features in 8 bits are dense ones.
    let (code, refused) = run_json(dir, &format!("certus gnn plan {MODEL} --precision int8"));
    assert_eq!((code, &refused["error"]["kind"]), (2, &"UnsupportedFormat".into()), "{refused}");
    certus_io::write_npy(dir.join("x.npy"), &certus_gnn::synth::hash_features(1000, 120, certus_numeric::Seed(5))).unwrap();
    let (_, dense) = run("--features x.npy");
    let (eight, coarse) = run("--features x.npy --precision int8");
    let apart = dense.iter().zip(&coarse).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let bound = eight["metrics"]["max_error_bound"].as_f64().unwrap();
    assert!(0.0 < apart && apart <= bound && bound < 1.0, "{apart} apart, bound {bound}");
    assert!(bytes(&eight, "certified_nodes") > 0 && eight["certificate"]["verdict"] == "holds", "{eight}");
    let (code, _) = run_json(dir, &format!("certus gnn plan {MODEL} --order backwards"));
    assert_eq!(code, 2);
}

#[test]
fn sizes_alone_make_a_plan_and_f16_says_how_far_it_is() {
    let dir = examples();
    let dir = dir.path();
    let value = ok(dir, "plan --sizes nodes=169343,edges=1166243,max-degree=13161 --model arxiv.json --threads 1");
    assert_eq!(bytes(&value, "undecomposed_peak"), 8 * 1_166_243 * 256 + 4 * 169_343 * (128 + 256));
    assert!(value["metrics"].get("measured_peak").is_none() && value["frontier"].as_array().unwrap().len() > 1);
    for wrong in ["nodes=1", "edges=2", "nodes=1,edges=x", "nodes=1,edges=2,degree=3", "", "nodes=99999999999,edges=1"] {
        let (code, value) = run_json(dir, &format!("certus gnn plan --sizes={wrong} --model arxiv.json"));
        assert_eq!(code, 2, "{wrong}: {value}");
    }
    let value = ok(dir, &format!("infer {MODEL} --precision f16 --out half.npy"));
    let assumptions = value["certificate"]["claims"][0]["assumptions"].as_array().unwrap();
    assert_eq!(assumptions[0]["name"], "error_bound_exists");
    let bound = value["metrics"]["max_error_bound"].as_f64().unwrap();
    let certified = bytes(&value, "certified_nodes");
    assert!(bound > 0.0 && bound < 0.1 && certified > 900, "{bound}, {certified}");
    ok(dir, &format!("infer {MODEL} --out whole.npy"));
    let read = |name: &str| certus_io::read_array(dir.join(name).to_str().unwrap()).unwrap();
    let (half, whole) = (read("half.npy"), read("whole.npy"));
    let apart = half.as_slice().iter().zip(whole.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart > 0.0 && apart <= bound, "{apart} apart, bound {bound}");
}

#[test]
fn made_graphs_depend_on_the_seed_alone_and_can_be_run() {
    let dir = examples();
    let dir = dir.path();
    let line = "synth rmat --scale 9 --edge-factor 6 --features 120 --features-out x.npy";
    ok(dir, &format!("{line} --threads 1 --seed 5 --out a.npz"));
    let features = fs::read(dir.join("x.npy")).unwrap();
    ok(dir, &format!("{line} --threads 2 --seed 5 --out b.npz"));
    assert!(fs::read(dir.join("a.npz")).unwrap() == fs::read(dir.join("b.npz")).unwrap());
    assert!(fs::read(dir.join("x.npy")).unwrap() == features);
    ok(dir, &format!("{line} --seed 6 --out c.npz"));
    assert!(fs::read(dir.join("a.npz")).unwrap() != fs::read(dir.join("c.npz")).unwrap());
    let value = ok(dir, "infer --graph c.npz --features x.npy --model gcn.json --weights gcn.safetensors --out logits.npy");
    // Dense features are streamed: each number once.
    assert_eq!(bytes(&value, "bytes_read"), 4 * 512 * 120);
    let (code, value) = run_json(dir, "certus gnn infer --graph c.npz --model gcn.json --weights gcn.safetensors --out logits.npy");
    assert_eq!((code, &value["error"]["kind"]), (2, &"NotFound".into()), "{value}");
}
