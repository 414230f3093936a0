//! Peak memory, counted by the allocator of the process.
//!
//! The binary that measures must install the counting allocator:
//! ```
//! #[global_allocator]
//! static ALLOCATOR: &certus_benches::memory::Counting = &certus_benches::memory::COUNTER;
//! # fn main() {}
//! ```

use std::alloc::System;

use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait};

/// The system's allocator, with a count of the bytes in use.
pub type Counting = PeakMemAlloc<System>;

pub use peakmem_alloc::INSTRUMENTED_SYSTEM as COUNTER;

/// Runs `work` and says how many bytes it had in use at its peak, above those in use before; its answer is counted too.
///
/// `None` if the process does not count. Other threads' allocations are counted as well.
pub fn peak<R>(work: impl FnOnce() -> R) -> (R, Option<u64>) {
    let counts = is_counting();
    COUNTER.reset_peak_memory();
    let answer = work();
    (answer, counts.then(|| COUNTER.get_peak_memory() as u64))
}

/// Whether an allocation moves the counter.
fn is_counting() -> bool {
    COUNTER.reset_peak_memory();
    drop(std::hint::black_box(Box::new([0u8; 64])));
    COUNTER.get_peak_memory() >= 64
}
