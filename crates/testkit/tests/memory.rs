use std::hint::black_box;

use certus_testkit::memory::{alone, peak};

const MIB: usize = 1 << 20;

#[test]
fn the_peak_is_what_was_held_at_once_whatever_is_kept() {
    alone(|| {
        let held = black_box(vec![1u8; 7 * MIB]);
        let (kept, bytes) = peak(|| {
            let small = black_box(vec![1u8; MIB]);
            drop(black_box(vec![1u8; 2 * MIB]));
            drop(black_box(vec![1u8; 3 * MIB]));
            small
        });
        assert_eq!((kept.len(), bytes), (MIB, 4 * MIB));
        assert_eq!(peak(|| ()), ((), 0));
        drop(held);
    });
}

#[test]
fn all_threads_count_together() {
    alone(|| {
        let barrier = std::sync::Barrier::new(4);
        let hold = || {
            let held = black_box(vec![1u8; MIB]);
            barrier.wait();
            held.len()
        };
        let ((), bytes) = peak(|| std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(hold)))));
        assert!((4 * MIB..5 * MIB).contains(&bytes), "{bytes}");
    });
}

/// Fails where the test below runs it, in a process of its own.
#[test]
fn child() {
    if std::env::args().any(|argument| argument == "memory::child") {
        alone(|| assert_eq!(peak(|| vec![1u8; 10]).1, 20));
    }
}

#[test]
fn a_test_that_fails_alone_or_does_not_exist_fails() {
    for (name, expected) in [("memory::child", "left: 10"), ("memory::absent", "0 passed")] {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let failed = thread.spawn(|| alone(|| ())).unwrap().join().unwrap_err();
        let message = failed.downcast::<String>().unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_measurement_beside_other_tests_is_refused() {
    // With --test-threads=1 there are no other tests, and nothing to refuse.
    let beside = std::thread::current().name() != Some("main");
    assert_eq!(std::panic::catch_unwind(|| peak(|| ())).is_err(), beside);
}
