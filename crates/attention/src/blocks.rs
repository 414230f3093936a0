//! Blocks of rows, worked on in parallel and added up in order: the same bits on any number of threads.

use std::ops::Range;

use certus_numeric::sum::par_blocks;

/// Some rows of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) sequence: usize,
    pub(crate) rows: Range<usize>,
    /// So many keys, from the first, hold all that the rows see.
    pub(crate) seen: usize,
}

/// Rows of a block, by default: matrix products are near their speed, and its matrices near the processor.
const ROWS: usize = 64;
const LEAST_ROWS: usize = 16;
/// Partial results, by default.
pub(crate) const PARTS: usize = 32;

/// The rows of one block of a sequence of n.
pub(crate) fn height(n: usize) -> usize {
    n.div_ceil(4).next_multiple_of(8).clamp(LEAST_ROWS, ROWS)
}

/// `add` of all blocks to at most `parts` results that begin as `zero`, and those by `merge` in order.
pub(crate) fn accumulate<T: Send, S: Default>(
    blocks: &[Block],
    parts: usize,
    zero: impl Fn() -> T + Sync,
    add: impl Fn(&mut T, &mut S, usize, &Block) + Sync,
    mut merge: impl FnMut(&mut T, T),
) -> T {
    let each = blocks.len().div_ceil(parts).max(1);
    let parts = par_blocks(blocks.len(), each, |range| {
        let (mut part, mut scratch) = (zero(), S::default());
        range.for_each(|k| add(&mut part, &mut scratch, k, &blocks[k]));
        part
    });
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(&zero);
    parts.for_each(|part| merge(&mut total, part));
    total
}

/// `a += b`.
pub(crate) fn add(a: &mut [f64], b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}
