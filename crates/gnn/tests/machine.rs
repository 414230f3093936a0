//! The speeds of a machine.

use std::cell::Cell;
use std::time::{Duration, Instant};

use certus_gnn::MachineModel;

#[test]
fn a_machine_is_measured_with_the_clock_at_hand() {
    let start = Instant::now();
    let machine = MachineModel::default().with_caches(256 << 10, 16 << 20).calibrate(|| start.elapsed());
    assert_eq!((machine.l2, machine.l3, machine.disk), (256 << 10, 16 << 20, MachineModel::default().disk));
    // Any processor of this century is within these.
    for (name, speed) in [("multiply-adds", machine.multiply_adds), ("stream", machine.stream), ("memory", machine.gather_memory)] {
        assert!((1e6..1e13).contains(&speed), "{name}: {speed}");
    }
    // Twice the time of each probe is half its speed.
    let ticks = Cell::new(0u32);
    let clock = |tick: Duration| {
        ticks.set(ticks.get() + 1);
        tick * ticks.get()
    };
    let slow = MachineModel::default().calibrate(|| clock(Duration::from_millis(2)));
    ticks.set(0);
    let fast = MachineModel::default().calibrate(|| clock(Duration::from_millis(1)));
    for (slow, fast) in [(slow.multiply_adds, fast.multiply_adds), (slow.gather_l2, fast.gather_l2), (slow.stream, fast.stream)] {
        assert!((fast / slow - 2.0).abs() < 1e-9, "{fast} and {slow}");
    }
    // A clock that stands still is no reason for infinite speeds.
    let still = MachineModel::default().calibrate(|| Duration::ZERO);
    assert!(still.multiply_adds.is_finite() && still.stream.is_finite());
}
