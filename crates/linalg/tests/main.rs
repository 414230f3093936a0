//! Tests of the linear algebra.
mod factor;
mod kron;
mod leverage;
mod product;
mod range_finder;
mod sketch;

/// The value of `f`, after checking that pools of 1, 2 and 8 threads give the same bits.
fn same_bits(f: impl Fn() -> Vec<f64> + Sync) -> Vec<f64> {
    certus_linalg::forbid_global_parallelism();
    let run = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    let expected = run(1);
    for threads in [2, 8] {
        let found = run(threads);
        assert_eq!(expected.len(), found.len());
        let first = expected.iter().zip(&found).position(|(a, b)| a.to_bits() != b.to_bits());
        assert_eq!(first, None, "bits differ on {threads} threads");
    }
    expected
}
