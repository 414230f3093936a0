//! Ctrl-C.

use std::sync::atomic::Ordering;

use certus_cli::{Exit, interrupt};
use serde_json::Value;

use crate::support::in_process;
use crate::toy::cli;

#[cfg(unix)]
#[test]
fn first_signal_stops_the_run_and_leaves_its_answer() {
    use signal_hook::consts::SIGINT;
    let stop = interrupt::stop_on_signal();
    assert!(!stop.load(Ordering::Relaxed));
    signal_hook::low_level::raise(SIGINT).unwrap();
    assert!(stop.load(Ordering::Relaxed));
    let (exit, out, _) = in_process(&cli().stopped_by(stop), "certus toy count --to 100 --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &value["status"]), (Exit::NotReached, &"stopped".into()));
}

#[cfg(unix)]
#[test]
fn second_signal_ends_the_process() {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "interrupt::raise_two_signals", "--ignored"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(signal_hook::consts::SIGINT));
}

#[cfg(unix)]
#[test]
#[ignore = "ends its process: run by second_signal_ends_the_process"]
fn raise_two_signals() {
    let _stop = interrupt::stop_on_signal();
    for _ in 0..2 {
        signal_hook::low_level::raise(signal_hook::consts::SIGINT).unwrap();
    }
}
