//! The same bits on any number of threads.

use std::fmt::Debug;

/// Asserts that `f` gives equal results on pools of 1, 2 and 8 threads, and returns the result.
pub(crate) fn same_on_all_pools<R: PartialEq + Debug + Send>(f: impl Fn() -> R + Sync) -> R {
    let on = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    let one = on(1);
    assert_eq!(one, on(2), "2 threads differ from 1");
    assert_eq!(one, on(8), "8 threads differ from 1");
    one
}

pub(crate) fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}
