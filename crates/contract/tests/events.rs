//! Events and statuses.

use std::ops::ControlFlow;

use certus_contract::{Event, Observer, Status, ignore_events};

#[test]
fn only_converged_and_done_reach_what_was_asked() {
    let table = [
        (Status::Converged, "converged", true),
        (Status::MaxIterations, "max_iterations", false),
        (Status::Stalled, "stalled", false),
        (Status::Stopped, "stopped", false),
        (Status::Diverged, "diverged", false),
        (Status::Done, "done", true),
    ];
    for (status, name, reached) in table {
        assert_eq!(status.to_string(), name);
        assert_eq!(status.reached(), reached, "{status}");
        #[cfg(feature = "serde")]
        {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        }
    }
}

#[test]
fn an_observer_sees_events_and_may_stop() {
    fn run(mut observer: impl Observer) -> u64 {
        (1..=10).find(|&done| observer(&Event::new("iterate", done).of(10).value(0.5)).is_break()).unwrap_or(10)
    }
    assert_eq!(run(ignore_events), 10);
    let mut seen = Vec::new();
    let stopped = run(|event: &Event| {
        seen.push(*event);
        if event.done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((stopped, seen.len()), (3, 3));
    assert_eq!(seen[0], Event { phase: "iterate", done: 1, total: Some(10), value: Some(0.5) });
}
