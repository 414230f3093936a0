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
