//! Some thousand spoiled files; `examples/soak.rs` tries as many as asked for.

use crate::mutate::run;

#[test]
fn spoiled_files_neither_panic_nor_hang_nor_take_memory() {
    let report = run(6000, 1);
    assert_eq!(report.tried, 6000);
    // The files must be spoiled, but not so much that nothing gets past the first bytes.
    assert!(report.accepted > 5_000, "{report:?}");
    for kind in ["Truncated", "UnsupportedFormat", "TooLarge", "DimensionMismatch", "InvalidSparsity", "InvalidParameter"] {
        assert!(report.refused.get(kind).is_some_and(|&count| count > 10), "{kind} is rare: {report:?}");
    }
}
