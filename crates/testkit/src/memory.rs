//! The peak memory of a piece of work, by an allocator that counts.
//!
//! A test binary that measures installs the allocator once, in its `main.rs`, and wraps each such test in [`alone`], since
//! the count is of the whole process and other tests run at the same time:
//!
//! ```no_run
//! certus_testkit::count_memory!();
//!
//! #[test]
//! fn a_vector_needs_its_bytes() {
//!     certus_testkit::memory::alone(|| {
//!         let (v, bytes) = certus_testkit::memory::peak(|| vec![0u8; 1000]);
//!         assert_eq!(bytes, v.len());
//!     });
//! }
//! # fn main() {}
//! ```

use std::hint::black_box;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

pub use peak_alloc::PeakAlloc;

/// Installs the counting allocator in this binary.
#[macro_export]
macro_rules! count_memory {
    () => {
        #[global_allocator]
        static COUNTING_ALLOCATOR: $crate::memory::PeakAlloc = $crate::memory::PeakAlloc;
    };
}

const ALONE: &str = "CERTUS_TESTKIT_ALONE";

/// What `work` gives, and the most bytes that it held at once on all threads, beyond what was held before.
///
/// Bytes are those asked for, without the allocator's own overhead. A vector that grows counts as both its old and its new
/// buffer while it moves. Memory that `work` first makes for the process (a thread pool) counts too: make it before.
///
/// # Panics
/// If the binary does not count ([`count_memory!`](crate::count_memory)), or other tests may run at the same time ([`alone`]).
#[track_caller]
pub fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(is_alone(), "peak memory is measured in a process that other tests share: wrap the test in memory::alone");
    let before = PeakAlloc.current_usage();
    let probe = black_box(vec![1u8; 4096]);
    assert!(PeakAlloc.current_usage() >= before + probe.len(), "memory is not counted: put count_memory!() into main.rs");
    drop(probe);
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let answer = work();
    (answer, PeakAlloc.peak_usage().saturating_sub(before))
}

fn is_alone() -> bool {
    // With --test-threads=1 the harness runs its tests on the main thread.
    std::env::var_os(ALONE).is_some() || thread::current().name() == Some("main")
}

/// Runs the test that calls it in a process of its own, where nothing else allocates. Call it once a test, around all of it;
/// not in a test that `should_panic`.
///
/// # Panics
/// If `test` does, with its output.
#[track_caller]
pub fn alone(test: impl FnOnce()) {
    if is_alone() {
        return test();
    }
    let name = thread::current().name().map(str::to_owned).unwrap_or_default();
    let output = std::env::current_exe().and_then(|binary| {
        Command::new(binary).args([&name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]).env(ALONE, "1").output()
    });
    let output = output.unwrap_or_else(|error| panic!("test {name:?} does not start alone: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "test {name:?} failed alone:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
