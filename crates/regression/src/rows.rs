//! Loops over the rows of a problem, in parallel blocks: the same bits on any number of threads.

use certus_numeric::memory::zeros;
use certus_numeric::sum::par_blocks;
use rayon::prelude::*;

/// Rows of one block.
pub(crate) const BLOCK: usize = 4096;

/// f of each row.
pub(crate) fn each_row(n: usize, f: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    if n <= BLOCK {
        return (0..n).map(f).collect();
    }
    let mut values = zeros(n);
    let block = |(k, values): (usize, &mut [f64])| values.iter_mut().enumerate().for_each(|(i, value)| *value = f(k * BLOCK + i));
    values.par_chunks_mut(BLOCK).enumerate().for_each(block);
    values
}

/// The sum of f over all rows: at most [`chain`] additions one after the other.
pub(crate) fn sum_rows(n: usize, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    if n <= BLOCK {
        return (0..n).map(f).sum();
    }
    par_blocks(n, BLOCK, |rows| rows.map(&f).sum::<f64>()).into_iter().sum()
}

/// The largest f of any row, at least `least`; NaN counts as infinite.
pub(crate) fn max_rows(n: usize, least: f64, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    if n <= BLOCK {
        return (0..n).map(f).fold(least, larger);
    }
    par_blocks(n, BLOCK, |rows| rows.map(&f).fold(least, larger)).into_iter().fold(least, larger)
}

/// The sum of the first, and the largest of the second, at least 0, that f gives of any row.
pub(crate) fn sum_and_max(n: usize, f: impl Fn(usize) -> (f64, f64) + Sync) -> (f64, f64) {
    let both = |(sum, largest): (f64, f64), (term, value): (f64, f64)| (sum + term, larger(largest, value));
    if n <= BLOCK {
        return (0..n).map(f).fold((0.0, 0.0), both);
    }
    par_blocks(n, BLOCK, |rows| rows.map(&f).fold((0.0, 0.0), both)).into_iter().fold((0.0, 0.0), both)
}

/// NaN counts as infinite.
fn larger(a: f64, b: f64) -> f64 {
    if b <= a {
        a
    } else if b.is_nan() {
        f64::INFINITY
    } else {
        b
    }
}

/// The longest chain of additions in a sum over n rows.
pub(crate) fn chain(n: usize) -> usize {
    n.min(BLOCK) + n.div_ceil(BLOCK) + 16
}
