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

/// Entries of a block's maps together, about: they stay near the processor.
const ENTRIES: usize = 1 << 16;
/// Rows of a block, at least and at most: each product packs all keys anew, which fewer rows do not pay for.
const LEAST_ROWS: usize = 32;
const MOST_ROWS: usize = 64;
/// Rows of a short sequence's blocks, at least: it is cut in four.
const SHORT_ROWS: usize = 16;
/// Partial results, by default.
pub(crate) const PARTS: usize = 32;

/// The rows of one block of n queries that see m keys, of which so many maps are worked on at once.
pub(crate) fn height(n: usize, m: usize, maps: usize) -> usize {
    (ENTRIES / (maps * m).max(1)).clamp(LEAST_ROWS, MOST_ROWS).min(n.div_ceil(4).max(SHORT_ROWS)).next_multiple_of(8)
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
