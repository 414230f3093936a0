//! `certus gnn infer` against the operating system: an address space that has room for the budget and no more, and a sudden end.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use certus_cli::{Cli, Exit, systems};
use certus_gnn::synth::{hash_feature, hash_features};
use certus_io::{NamedTensor, NpzWriter, write_npy, write_safetensors};
use certus_numeric::{Array, Seed};
use serde_json::Value;

use crate::support::{examples, in_process, listing};

const COLUMNS: usize = 64;

/// A graph of three edges a node, features of eight columns, and a model of one linear map to `COLUMNS` and `hops` sums.
fn problem(nodes: usize, hops: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let indptr = (0..=nodes).map(|i| 3 * i as u64).collect::<Vec<_>>();
    let indices = (0..3 * nodes).map(|k| ((k / 3 * 7919 + k % 3 * 104_729 + 1) % nodes) as u32).collect::<Vec<_>>();
    let mut archive = NpzWriter::create(path("graph.npz")).unwrap();
    archive.add_scalar("num_nodes", nodes as u64).unwrap();
    archive.add_slice("indptr", &[nodes + 1], &indptr).unwrap();
    archive.add_slice("indices", &[3 * nodes], &indices).unwrap();
    archive.finish().unwrap();
    write_npy(path("x.npy"), &hash_features(nodes, 8, Seed(1))).unwrap();
    let layers = format!(
        r#"{{ "layers": [ {{ "op": "sgc", "prefix": "wide", "K": {hops}, "in_channels": 8, "out_channels": {COLUMNS} }},
                          {{ "op": "linear", "prefix": "end", "in_channels": {COLUMNS}, "out_channels": 2 }} ] }}"#
    );
    fs::write(path("model.json"), layers).unwrap();
    let matrix = |rows, cols| Array::from_fn(rows, cols, |i, j| hash_feature(Seed(2), i, j));
    let tensors = [
        NamedTensor::new("wide.lin.weight", matrix(COLUMNS, 8)),
        NamedTensor::new("wide.lin.bias", Array::vector(vec![0.0f32; COLUMNS])),
        NamedTensor::new("end.weight", matrix(2, COLUMNS)),
        NamedTensor::new("end.bias", Array::vector(vec![0.0f32; 2])),
    ];
    write_safetensors(path("weights.safetensors"), &tensors).unwrap();
    fs::create_dir(path("spill")).unwrap();
    folder
}

const INFER: &str =
    "gnn infer --graph graph.npz --features x.npy --model model.json --weights weights.safetensors --graph-on-disk --threads 1";

/// Runs in an address space of so many KiB.
fn within(kib: u64, folder: &Path, options: &str) -> Output {
    let script = format!("ulimit -v {kib}; exec \"$0\" {INFER} {options} --json");
    Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_certus")])
        .current_dir(folder)
        // An arena of the allocator reserves 64 MiB of addresses for each thread.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap()
}

const SMALL: &str = "--budget 8MiB --spill spill --out small.npy";

/// The smallest address space in which the same run of a graph of a few nodes ends well: what the process takes beside its data.
fn base_kib() -> u64 {
    let tiny = problem(50, 2);
    let (mut low, mut high) = (1 << 10, 4 << 20);
    assert!(within(high, tiny.path(), SMALL).status.success(), "4 GiB are too little for fifty nodes");
    while high - low > 1 << 10 {
        let middle = low + (high - low) / 2;
        if within(middle, tiny.path(), SMALL).status.success() { high = middle } else { low = middle }
    }
    high
}

#[test]
fn a_budget_is_kept_where_the_system_gives_no_more() {
    // One activation is 64 MiB.
    let large = problem(1 << 18, 2);
    let folder = large.path();
    let (base, slack) = (base_kib(), 16 << 10);
    let budget = 8 << 10;
    let output = within(base + budget + slack, folder, SMALL);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{base} KiB and {budget} KiB and {slack} KiB are too little: {text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["certificate"]["verdict"], "holds", "{value}");
    assert!(value["metrics"]["predicted_peak"].as_u64().unwrap() <= budget << 10, "{value}");
    assert!(value["metrics"]["resident_bytes"].as_u64().unwrap() < 1 << 20, "{value}");
    // Whole activations in the same space are refused by the system, with a sentence, and leave nothing.
    let output = within(base + budget + slack, folder, "--out full.npy");
    let text = String::from_utf8_lossy(&output.stdout);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{:?} {text}", output.status));
    assert_eq!((output.status.code(), &value["error"]["kind"]), (Some(1), &"OutOfMemory".into()), "{value}");
    assert!(!folder.join("full.npy").exists());
    assert_eq!(listing(&folder.join("spill")), [""; 0]);
    // With room for them they are the same bits.
    let output = within(base + (256 << 10), folder, "--out full.npy");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(fs::read(folder.join("full.npy")).unwrap() == fs::read(folder.join("small.npy")).unwrap());
}

/// Ends the child whatever happens to the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Whether a process has a file of spilled panels open.
fn holds_panels(pid: u32, spilled: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map(|files| files.flatten().collect::<Vec<_>>()).unwrap_or_default();
    open.iter().any(|file| {
        let sized = fs::metadata(file.path()).is_ok_and(|file| file.len() > 1 << 20);
        sized && fs::read_link(file.path()).is_ok_and(|target| target.starts_with(spilled))
    })
}

#[test]
fn a_killed_run_leaves_the_spill_folder_empty() {
    let large = problem(1 << 16, 2000);
    let folder = large.path();
    let options = "--budget 1MiB --spill spill --out logits.npy";
    let mut command = Command::new(env!("CARGO_BIN_EXE_certus"));
    command.current_dir(folder).args(INFER.split(' ')).args(options.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Running(command.spawn().unwrap());
    // Until it holds a file in the folder, which has no name there.
    let spilled = folder.join("spill").canonicalize().unwrap();
    for _ in 0..3000 {
        if holds_panels(child.0.id(), &spilled) {
            break;
        }
        assert!(child.0.try_wait().unwrap().is_none(), "the run ended before it was killed");
        sleep(Duration::from_millis(10));
    }
    assert!(holds_panels(child.0.id(), &spilled), "no spilled panels after half a minute");
    child.0.kill().unwrap();
    let status = child.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    assert_eq!(listing(&spilled), [""; 0]);
    assert!(!folder.join("logits.npy").exists());
}

#[test]
fn a_stopped_run_has_no_output_but_tells_its_plan() {
    let large = problem(1 << 16, 40);
    let folder = large.path();
    let spilled = folder.join("spill").canonicalize().unwrap();
    let options = "--budget 1MiB --spill spill --out logits.npy --json";
    let mut command = Command::new(env!("CARGO_BIN_EXE_certus"));
    command.current_dir(folder).args(INFER.split(' ')).args(options.split(' ')).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    for _ in 0..3000 {
        if holds_panels(child.id(), &spilled) || child.try_wait().unwrap().is_some() {
            break;
        }
        sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}", output.status));
    assert_eq!((output.status.code(), &value["status"]), (Some(3), &"stopped".into()), "{value}");
    assert!(value["outputs"].as_object().is_some_and(|outputs| outputs.is_empty()), "{value}");
    assert!(value["metrics"]["predicted_peak"].as_u64().unwrap() <= 1 << 20 && value["metrics"].get("measured_peak").is_none(), "{value}");
    assert!(value["certificate"]["claims"].is_array(), "{value}");
    assert_eq!(listing(&spilled), [""; 0]);
    assert!(
        !folder.join("logits.npy").exists() && listing(folder).iter().all(|name| !name.starts_with(".certus")),
        "{:?}",
        listing(folder)
    );
}

#[test]
fn verbs_that_read_alone_stop_between_files() {
    let folder = examples();
    let cli = Cli::new(systems::certus()).stopped_by(Arc::new(AtomicBool::new(true)));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let out = at("out.npz");
    let model = format!("--graph {} --model {} --weights {}", at("community.npz"), at("gcn.json"), at("gcn.safetensors"));
    for line in [format!("plan {model}"), format!("import planetoid {} --name tiny --out {out}", folder.path().display())] {
        let (exit, text, _) = in_process(&cli, &format!("certus gnn {line} --json"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((exit, &value["error"]["kind"]), (Exit::NotReached, &"Stopped".into()), "{line}: {value}");
    }
    assert!(!folder.path().join("out.npz").exists());
}
