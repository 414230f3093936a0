//! What `certus gnn` refuses, and in which words.

use std::fs;
use std::path::Path;

use certus_io::{Element, NpzWriter, write_npy};
use certus_numeric::Array;
use serde_json::Value;

use crate::support::{examples, listing, run, run_json};

/// Kind, message and hint of a refusal with exit code 2 that leaves the folder as it was.
#[track_caller]
fn refused(dir: &Path, line: &str) -> (String, String, String) {
    let before = listing(dir);
    let (code, value) = run_json(dir, &format!("certus gnn {line}"));
    assert_eq!((code, listing(dir)), (2, before), "{line}: {value}");
    let text = |name: &str| value["error"][name].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("message"), text("hint"))
}

#[track_caller]
fn names(dir: &Path, line: &str, kind: &str, words: &[&str]) {
    let (found, message, hint) = refused(dir, line);
    assert_eq!(found, kind, "{line}: {message}");
    for word in words {
        assert!(message.contains(word) || hint.contains(word), "{line}: {word:?} is not in {message:?}, {hint:?}");
    }
}

#[test]
fn made_graphs_of_absurd_sizes_are_refused_from_counts() {
    let dir = tempfile::tempdir().unwrap();
    for (line, word) in [
        ("rmat --scale 4 --edge-factor 99999999999 --out g.npz", "3199999999968"),
        ("rmat --scale 31 --edge-factor 18446744073709551615 --out g.npz", "edges"),
        ("rmat --scale 20 --features 999999999 --features-out q.npy --out g.npz", "999999999"),
        ("rmat --scale 20 --features 9999999 --features-out q.npy --out g.npz", "1 TiB"),
        ("sbm --sizes 1000000,1000000 --p-in 1 --p-out 1 --out g.npz", "edges"),
        ("sbm --sizes 4000000000 --p-in 0 --p-out 0 --out g.npz", "4000000000"),
        ("sbm --sizes 18446744073709551615,18446744073709551615 --p-in 0 --p-out 0 --out g.npz", "nodes"),
    ] {
        names(dir.path(), &format!("synth {line}"), "TooLarge", &[word]);
    }
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let dir = examples();
    for (sizes, word) in [
        ("nodes=5,edges=7,nodes=6", "twice"),
        ("nodes=5,edges=7,max-degree=8", "above the 7 edges"),
        ("nodes=5,edges=11,max-degree=2", "below 3"),
        ("nodes=0,edges=1", "0 nodes"),
        ("nodes=99999999999999999999,edges=1", "too large"),
        ("nodes=,edges=1", "no whole number"),
    ] {
        names(dir.path(), &format!("plan --sizes {sizes} --model arxiv.json"), "InvalidParameter", &[word]);
    }
    for edges in [u64::MAX, 1 << 62] {
        names(dir.path(), &format!("plan --sizes nodes=5,edges={edges} --model arxiv.json"), "TooLarge", &["the graph"]);
    }
    for (budget, word) in
        [("--budget=", "number of bytes"), ("--budget 99999999999TiB", "too large"), ("--budget 18446744073709551616", "too large")]
    {
        names(dir.path(), &format!("plan --sizes nodes=5,edges=7 --model arxiv.json {budget}"), "InvalidParameter", &[word]);
    }
}

const MODEL: &str = "--graph community.npz --model gcn.json --weights gcn.safetensors";

#[test]
fn a_bad_spill_folder_is_refused_before_work_by_its_option() {
    let dir = examples();
    fs::write(dir.path().join("file"), "").unwrap();
    let mut folders = vec![("nosuch", "NotFound"), ("file", "InvalidParameter")];
    if cfg!(target_os = "linux") {
        folders.push(("/proc", "InvalidParameter"));
    }
    for (folder, kind) in folders {
        for line in [
            "plan --sizes nodes=169343,edges=1166243 --model arxiv.json".to_owned(),
            format!("plan {MODEL}"),
            format!("infer {MODEL} --out logits.npy"),
        ] {
            names(dir.path(), &format!("{line} --spill {folder}"), kind, &["--spill", folder]);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_model_is_a_regular_file() {
    let dir = examples();
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    for (model, word) in [("pipe", "pipe, socket or device"), ("/dev/zero", "pipe, socket or device"), (".", "a folder")] {
        names(dir.path(), &format!("plan --sizes nodes=5,edges=7 --model {model}"), "UnsupportedFormat", &[model, word]);
    }
    fs::File::create(dir.path().join("long.json")).unwrap().set_len(1 << 40).unwrap();
    names(dir.path(), "plan --sizes nodes=5,edges=7 --model long.json", "TooLarge", &["long.json"]);
}

fn graph<P: Element, J: Element>(dir: &Path, nodes: Array<f64>, indptr: Array<P>, indices: Array<J>, weights: Option<&[f64]>) {
    let mut archive = NpzWriter::create(dir.join("g.npz")).unwrap();
    archive.add("num_nodes", &nodes).unwrap();
    archive.add("indptr", &indptr).unwrap();
    archive.add("indices", &indices).unwrap();
    if let Some(weights) = weights {
        archive.add_slice("edge_weight", &[weights.len()], weights).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn arrays_of_a_graph_have_their_type_and_shape() {
    let dir = examples();
    let dir = dir.path();
    let line = "plan --graph g.npz --features x.npy --model gcn.json --weights gcn.safetensors";
    write_npy(dir.join("x.npy"), &Array::from_fn(2, 120, |_, _| 1.0f32)).unwrap();
    let nodes = |n: f64| Array::new(vec![], vec![n]).unwrap();
    let (indptr, indices) = (Array::vector(vec![0i64, 1, 2]), Array::vector(vec![1i32, 0]));
    graph(dir, nodes(2.0), indptr.clone(), indices.clone(), None);
    assert_eq!(run_json(dir, &format!("certus gnn {line}")).0, 0);
    graph(dir, nodes(2.0), indptr.clone(), Array::vector(vec![true, false]), None);
    names(dir, line, "UnsupportedFormat", &["g.npz:indices", "bool"]);
    graph(dir, nodes(2.0), Array::vector(vec![false, true, true]), Array::vector(vec![0i32]), None);
    names(dir, line, "UnsupportedFormat", &["g.npz:indptr", "bool"]);
    graph(dir, nodes(2.0), indptr.clone(), Array::new(vec![1, 2], vec![1i32, 0]).unwrap(), None);
    names(dir, line, "DimensionMismatch", &["g.npz:indices", "(1, 2)"]);
    graph(dir, nodes(600.5), indptr.clone(), indices.clone(), None);
    names(dir, line, "UnsupportedFormat", &["g.npz:num_nodes is 600.5"]);
    graph(dir, nodes(2.0), indptr, indices, Some(&[1.0, 1e300]));
    for more in ["", " --graph-on-disk"] {
        names(dir, &format!("{line}{more}"), "NonFinite", &["edge_weight[1] is 1e300"]);
    }
    for (option, file) in [("graph", "community.npz:indptr"), ("model", "gcn.npz:x"), ("weights", "gcn.safetensors:conv1.bias")] {
        let line =
            format!("plan {MODEL}").replace(&format!("--{option} {}", file.split(':').next().unwrap()), &format!("--{option} {file}"));
        let line = line.replace("--model gcn.json", if option == "model" { "--model gcn.npz:x" } else { "--model gcn.json" });
        fs::write(dir.join("gcn.npz"), "").unwrap();
        names(dir, &line, "InvalidParameter", &[&format!("--{option}"), "as a whole"]);
    }
}

#[test]
fn errors_in_a_model_file_name_file_layer_and_field() {
    let dir = examples();
    let dir = dir.path();
    let plan = "plan --sizes nodes=5,edges=7 --model m.json";
    let layer = |more: &str| {
        let text = format!(
            r#"{{ "layers": [ {{ "op": "gcn", "in_channels": 2, "out_channels": 3, {more} }}, {{ "op": "gcn", "in_channels": 3, "out_channels": 2 }} ] }}"#
        );
        fs::write(dir.join("m.json"), text).unwrap();
    };
    layer(r#""heads": "two""#);
    names(dir, plan, "UnsupportedFormat", &["m.json: heads of layers[0] (gcn) is \"two\", but a whole number"]);
    layer(r#""activation": "gelu""#);
    names(dir, plan, "UnsupportedFormat", &["m.json", "activation of layers[0]", "leakyrelu"]);
    layer(r#""norm_eps": 0"#);
    names(dir, plan, "InvalidOption", &["m.json", "layer 0", "norm_eps"]);
    layer(r#""activation": null, "norm": null, "norm_prefix": null"#);
    assert_eq!(run_json(dir, &format!("certus gnn {plan}")).0, 0);
    layer(r#""out_channels": 15"#);
    names(dir, plan, "DimensionMismatch", &["m.json", "layer 1", "15", "Correct in_channels"]);
    fs::write(dir.join("m.json"), r#"{ "layers": [ { "op": "gcn", "out_channels": 3 } ] }"#).unwrap();
    names(dir, plan, "UnsupportedFormat", &["in_channels of layers[0] (gcn) is missing"]);
    for (text, word) in [("{", "no JSON"), ("[]", "a list"), (r#"{"layers": 3}"#, "a number"), (r#"{"layers": [3]}"#, "layers[0]")] {
        fs::write(dir.join("m.json"), text).unwrap();
        let (_, message, _) = refused(dir, plan);
        assert!(message.starts_with("m.json: ") && message.contains(word), "{message}");
        assert!(!["struct", "usize", "map", "sequence"].iter().any(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn a_plan_for_people_has_one_row_for_each_choice_and_units() {
    let dir = examples();
    let line = "certus gnn plan --sizes nodes=169343,edges=1166243 --model arxiv.json --threads 1";
    let text = String::from_utf8(run(dir.path(), line).stdout).unwrap();
    assert!(text.contains("1 thread\n") && !text.contains("1 threads"), "{text}");
    assert!(text.contains("one whole activation (unless spilled)"), "{text}");
    let table = text.split("What more or fewer bytes buy").nth(1).unwrap().lines().skip(2).collect::<Vec<_>>();
    assert_eq!(table.iter().filter(|row| row.starts_with('*')).count(), 1, "{text}");
    assert!(table.iter().all(|row| row.contains("iB") && row.contains(" s  ")), "{text}");
    let (_, value) = run_json(dir.path(), line);
    let frontier = value["frontier"].as_array().unwrap();
    assert!(table.len() < frontier.len() && frontier.iter().all(|choice| choice["row_block"].is_u64()), "{value}");
    // In f16 an activation is half as large; with its bounds half as large again as in f32.
    let bound = |options: &str| run_json(dir.path(), &format!("{line} {options}")).1["metrics"]["lower_bound"].as_u64().unwrap();
    assert_eq!((bound(""), bound("--precision f16")), (4 * 169_343 * 256, 6 * 169_343 * 256));
}

#[test]
fn a_refused_budget_says_that_threads_count() {
    let dir = examples();
    let line = "plan --sizes nodes=169343,edges=1166243 --model arxiv.json --spill . --budget 4096";
    names(dir.path(), &format!("{line} --threads 64"), "budget_too_small", &["fewer threads than 64"]);
    let (_, _, hint) = refused(dir.path(), &format!("{line} --threads 1"));
    assert!(!hint.contains("threads"), "{hint}");
}

#[test]
fn an_empty_graph_has_an_empty_output() {
    let dir = examples();
    let dir = dir.path();
    graph(dir, Array::new(vec![], vec![0.0]).unwrap(), Array::vector(vec![0i64]), Array::vector(Vec::<i32>::new()), None);
    write_npy(dir.join("x.npy"), &Array::<f32>::zeros([0, 120])).unwrap();
    let (code, value) =
        run_json(dir, "certus gnn infer --graph g.npz --features x.npy --model gcn.json --weights gcn.safetensors --out logits.npy");
    assert_eq!((code, &value["certificate"]["verdict"]), (0, &Value::from("holds")), "{value}");
    assert_eq!(certus_io::read_array(dir.join("logits.npy").to_str().unwrap()).unwrap().shape(), [0, 4]);
    assert!(value["metrics"]["fused"].is_boolean());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_stops_the_making_of_a_graph_and_nothing_is_left() {
    use std::process::{Command, Stdio};
    for line in [
        "gnn synth rmat --scale 22 --edge-factor 60 --out g.npz --json",
        "gnn synth sbm --sizes 2000000,2000000 --p-in 0.00005 --p-out 0.000001 --out g.npz --json",
        "gnn synth rmat --scale 20 --edge-factor 1 --features 3000 --features-out x.npy --out g.npz --json",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_certus"));
        let child = command.current_dir(dir.path()).args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: {:?}", output.status));
        assert_eq!((output.status.code(), &value["status"]), (Some(3), &"stopped".into()), "{line}: {value}");
        assert_eq!(listing(dir.path()), [""; 0], "{line}");
    }
}

/// A full disk, by a limit on the size of files.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_named_as_it_was_given() {
    let dir = examples();
    let before = listing(dir.path());
    for (line, file) in [
        (format!("infer {MODEL} --out logits.npy"), "logits.npy"),
        ("synth sbm --sizes 200,200 --p-in 0.5 --p-out 0.1 --out g.npz".into(), "g.npz"),
        ("synth sbm --sizes 200,200 --p-in 0.5 --p-out 0.1 --features 16 --features-out x.npy --out g.npz".into(), "x.npy"),
    ] {
        let script = format!("trap '' XFSZ; ulimit -f 2; exec \"$0\" gnn {line}");
        let output =
            std::process::Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_certus")]).current_dir(dir.path()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with(&format!("error: cannot write {file}: ")), "{text}");
        assert!(!text.contains(".certus") && !text.contains("ZipWriter"), "{text}");
        assert_eq!((output.status.code(), listing(dir.path())), (Some(1), before.clone()), "{line}");
    }
}
