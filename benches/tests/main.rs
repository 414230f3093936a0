//! The frame of experiments: what it records, measures, fits and skips.

use std::sync::Mutex;
use std::time::Duration;

use certus_benches::measure::{Protocol, median, spread};
use certus_benches::peers::{Call, Exchange, Peers, Python};
use certus_benches::results::{Experiment, Outcome, Point};
use certus_benches::{Context, Entry, experiments, frame, memory, scaling};
use certus_numeric::Array;

#[global_allocator]
static ALLOCATOR: &memory::Counting = &memory::COUNTER;

/// One counter serves the whole process: tests that read it take turns.
static COUNTING: Mutex<()> = Mutex::new(());

fn context() -> Context {
    Context { quick: true, threads: 1, seed: 0, peers: None }
}

fn entry(run: fn(&Context, &mut Experiment) -> Result<(), certus_benches::Failure>) -> Entry {
    Entry { name: "trial", title: "Trial", question: "Does it?", run }
}

#[test]
fn an_error_and_a_panic_are_recorded_and_what_was_found_before_is_kept() {
    let failed = frame::run(
        &entry(|_, experiment| {
            experiment.notes.push("before".into());
            Err("no luck".into())
        }),
        &context(),
    );
    assert_eq!((failed.failure.as_deref(), failed.notes.len(), failed.outcome()), (Some("no luck"), 1, Outcome::Failed));
    let panicked = frame::run(&entry(|_, _| panic!("at {}", "once")), &context());
    assert_eq!(panicked.failure.as_deref(), Some("panicked: at once"));
    assert_eq!(panicked.outcome(), Outcome::Failed);
    assert_eq!(frame::run(&entry(|_, _| Ok(())), &context()).outcome(), Outcome::Open);
}

#[test]
fn a_time_has_its_runs_and_its_order() {
    let mut calls = 0;
    let protocol = Protocol { warm_up: 2, runs: 5, budget: Duration::from_secs(60) };
    let (answer, timing) = protocol.time("sum", 1, || {
        calls += 1;
        (0..100_000u64).map(std::hint::black_box).sum::<u64>()
    });
    assert_eq!((answer, calls, timing.wall.runs), (4_999_950_000, 7, 5));
    assert!(0.0 < timing.wall.min && timing.wall.min <= timing.wall.median && timing.wall.median <= timing.wall.max);
    let hasty = Protocol { budget: Duration::ZERO, ..protocol };
    assert_eq!(hasty.time("once", 1, || ()).1.wall.runs, 1);
}

#[test]
fn medians_and_deviations_are_those_of_the_book() {
    let found = spread(&[1.0, 9.0, 2.0, 4.0, 3.0]);
    assert_eq!((found.median, found.mad, found.min, found.max), (3.0, 1.0, 1.0, 9.0));
    assert_eq!(median(&[4.0, 1.0]), 2.5);
    assert!(median(&[]).is_nan());
}

#[test]
fn a_power_law_is_fitted_with_an_interval_that_holds_its_exponent() {
    let exact: Vec<Point> = (1..=6).map(|k| f64::from(1 << k)).map(|x| Point { x, y: 3.0 * x.powf(1.5) }).collect();
    let fit = scaling::fit(&exact).unwrap();
    assert!((fit.slope - 1.5).abs() < 1e-12 && (fit.intercept - 3f64.log10()).abs() < 1e-12 && fit.high - fit.low < 1e-9);
    // Slope and standard error computed by hand: x = 0, 1, 2 and y = 0, 1, 1 in logarithms to base 10.
    let rough = [(1.0, 1.0), (10.0, 10.0), (100.0, 10.0)].map(|(x, y)| Point { x, y });
    let fit = scaling::fit(&rough).unwrap();
    let error = (1.0f64 / 6.0 / 2.0).sqrt();
    assert!((fit.slope - 0.5).abs() < 1e-12 && (fit.high - 0.5 - 12.706_204_736 * error).abs() < 1e-8);
    assert!(scaling::fit(&exact[..2]).is_none());
    assert!(scaling::fit(&[1.0, -1.0, 2.0].map(|y| Point { x: y + 2.0, y })).is_none());
    assert!(scaling::fit(&[1.0, 2.0, 3.0].map(|y| Point { x: 5.0, y })).is_none());
}

#[test]
fn the_peak_is_what_was_in_use_at_once() {
    // Other tests of this binary allocate at the same time, a little: hence the size, and bounds instead of equality.
    let _turn = COUNTING.lock();
    let size = 64 << 20;
    let (_, peak) = memory::peak(|| {
        drop(std::hint::black_box(vec![1u8; size]));
        std::hint::black_box(vec![2u8; size / 2]);
    });
    let peak = peak.unwrap() as usize;
    assert!(peak >= size && peak < size + size / 4, "{peak}");
}

#[test]
fn an_absent_peer_is_skipped_with_the_way_to_get_it() {
    let nowhere = tempfile::tempdir().unwrap();
    let peers = Peers::new(nowhere.path(), Duration::from_secs(1));
    let mut experiment = Experiment::default();
    let call = Call::new("PyTorch", "machine", "triad").python(Python::Torch);
    assert!(peers.run(&call, &Exchange::new().unwrap(), &mut experiment).is_none());
    assert_eq!(experiment.skipped[0].peer, "PyTorch");
    assert!(experiment.skipped[0].reason.contains("cargo xtask peers --only torch"));
    assert_eq!(experiment.outcome(), Outcome::Open);
}

#[cfg(unix)]
#[test]
fn a_peer_that_fails_babbles_or_hangs_is_skipped_and_one_that_answers_is_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let python = root.path().join(".peers/main/bin/python");
    std::fs::create_dir_all(python.parent().unwrap()).unwrap();
    let peers = Peers::new(root.path(), Duration::from_millis(1500));
    let answer = |script: &str| {
        std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut experiment = Experiment::default();
        let call = Call::new("peer", "script", "work").threads(3);
        let answer = peers.run(&call, &Exchange::new().unwrap(), &mut experiment);
        (answer, experiment.skipped.into_iter().map(|skipped| skipped.reason).collect::<String>())
    };
    assert!(answer("echo no such module >&2; exit 1").1.contains("no such module"));
    assert!(answer("echo hello").1.contains("not understood"));
    assert!(answer("exec sleep 30").1.contains("longer than"));
    let json =
        r#"{"wall":[2.0,1.0,3.0],"cpu":[1.0],"first":9.0,"peak_bytes":5,"libraries":[["numpy","2"]],"metrics":{"loss":0.5},"arrays":[]}"#;
    let (found, reason) = answer(&format!("echo loading; echo '{json}' | sed s/9.0/$OMP_NUM_THREADS/"));
    let found = found.unwrap_or_else(|| panic!("{reason}"));
    assert_eq!((found.first, found.metric("loss")), (3.0, 0.5));
    assert!(found.metric("absent").is_nan());
}

#[test]
fn arrays_come_back_as_they_went() {
    let exchange = Exchange::new().unwrap();
    let sent = Array::matrix(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN]).unwrap();
    exchange.write("out_x", &sent).unwrap();
    let found = exchange.read("x").unwrap();
    assert_eq!((found.shape(), &found.as_slice()[..5]), (sent.shape(), &sent.as_slice()[..5]));
    assert!(found.as_slice()[5].is_nan());
    assert!(exchange.read("absent").is_err());
}

#[test]
fn experiments_are_chosen_by_name() {
    assert_eq!(experiments::select(&[]).unwrap().len(), experiments::ALL.len());
    assert_eq!(experiments::select(&["machine".into()]).unwrap()[0].name, "machine");
    assert!(experiments::select(&["nothing".into()]).unwrap_err().contains("machine"));
}

#[test]
fn the_machine_experiment_meets_its_claims_and_survives_the_file() {
    let _turn = COUNTING.lock();
    let found = frame::run(experiments::select(&["machine".into()]).unwrap()[0], &context());
    assert_eq!(found.failures(), Vec::<String>::new());
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Experiment>(&text).unwrap(), found);
    assert_eq!(found.certificates[0].verdict(), "holds");
}
