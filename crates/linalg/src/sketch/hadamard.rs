//! The Walsh-Hadamard transform, and chosen rows of it without a whole transform in memory.

use certus_numeric::Array;
use pulp::Simd;

use super::panels::by_panels;
use crate::matrix::Matrix;
use crate::simd::{Kernel, widest};

/// Entries that are transformed together in cache: a block of rows of a panel of columns, 512 kB.
const CACHED: usize = 65_536;

/// Rows of a block: enough for the sampled rows to be few beside it, or else as many as leave panels two cache lines wide.
const MAX_BLOCK: usize = 4096;
const MIN_BLOCK: usize = 256;

/// Panels that there are at least, where there are as many columns.
const MIN_PANELS: usize = 4;

/// Entries within which a transform runs first: half a first-level cache.
const IN_CACHE: usize = 2048;

/// x <- H x for each of `width` interleaved vectors (x is n x width, row-major; n a power of two), unscaled:
/// H_ij = (-1)^popcount(i & j), so that H H = n I. Cost: n log2 n additions a vector.
///
/// # Panics
/// If the number of rows is not a power of two.
pub fn walsh_hadamard(x: &mut [f64], width: usize) {
    if x.is_empty() {
        return;
    }
    let n = x.len() / width;
    assert!(n.is_power_of_two() && n * width == x.len(), "a Walsh-Hadamard transform needs a power of two of rows");
    transform(x, width);
}

fn transform(x: &mut [f64], width: usize) {
    widest(Transform { x, width });
}

struct Transform<'a> {
    x: &'a mut [f64],
    width: usize,
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Transform { x, width } = self;
        // First within parts that fit into the cache, then across them.
        let rows_in_cache = (IN_CACHE / width).max(1);
        let part = (x.len() / width).min(1 << rows_in_cache.ilog2()) * width;
        for part in x.chunks_exact_mut(part) {
            combine_from(part, width);
        }
        combine_from(x, part);
    }
}

/// The levels at which runs of `len` entries and longer are combined, two levels at a time.
#[inline(always)]
fn combine_from(x: &mut [f64], mut len: usize) {
    while len * 4 <= x.len() {
        for four in x.chunks_exact_mut(len * 4) {
            combine_four(four);
        }
        len *= 4;
    }
    if len < x.len() {
        combine_two(x);
    }
}

#[inline(always)]
fn combine_two(x: &mut [f64]) {
    let (a, b) = x.split_at_mut(x.len() / 2);
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (*a + *b, *a - *b);
    }
}

#[inline(always)]
fn combine_four(x: &mut [f64]) {
    let quarter = x.len() / 4;
    let (ab, cd) = x.split_at_mut(2 * quarter);
    let (a, b) = ab.split_at_mut(quarter);
    let (c, d) = cd.split_at_mut(quarter);
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (sum, difference) = (*a + *b, *a - *b);
        let (sum2, difference2) = (*c + *d, *c - *d);
        (*a, *b, *c, *d) = (sum + sum2, difference + difference2, sum - sum2, difference - difference2);
    }
}

/// Where the rows of the input stand in the padded space, and with which sign.
pub(super) trait Padding: Sync {
    /// The dimension of the padded space: a power of two.
    fn padded(&self) -> usize;

    /// Position and sign of input row `i`; positions ascend with `i`.
    fn position(&self, i: usize) -> (usize, f64);
}

/// `scale` times the rows `samples` of H D A, A padded by zero rows: `samples.len()` x cols(a).
///
/// H of N = K B dimensions is a Kronecker product of one of K and one of B: a block of B rows is transformed in cache and then
/// added, with its sign, to each sampled row. Cost log2 B + s / B additions for each entry of A (with its zeros); no copy of A.
pub(super) fn sampled_rows(a: Matrix<'_>, padding: &impl Padding, samples: &[usize], scale: f64) -> Array {
    let (n, d, s) = (a.rows(), a.cols(), samples.len());
    let block = samples.len().next_power_of_two().clamp(MIN_BLOCK, MAX_BLOCK).min(padding.padded());
    let by_columns = match a {
        Matrix::Dense(_) => None,
        Matrix::Sparse(a) => Some(a.transposed()),
    };
    let width = (CACHED / block).min(d.div_ceil(MIN_PANELS).next_multiple_of(8));
    by_panels(s, d, width, |panel| {
        let (j0, width) = (panel.start, panel.len());
        let mut sums = vec![0.0; s * width];
        let mut buffer = vec![0.0; block * width];
        let mut cursors = vec![0usize; width];
        for k in 0..padding.padded() / block {
            buffer.fill(0.0);
            let mut filled = false;
            let (begin, end) = (k * block, (k + 1) * block);
            match (a, &by_columns) {
                (_, Some(columns)) => {
                    for (j, cursor) in cursors.iter_mut().enumerate() {
                        let (rows, values) = columns.row(j0 + j);
                        while *cursor < rows.len() {
                            let (position, sign) = padding.position(rows[*cursor] as usize);
                            if position >= end {
                                break;
                            }
                            buffer[(position - begin) * width + j] = sign * values[*cursor];
                            *cursor += 1;
                            filled = true;
                        }
                    }
                }
                (Matrix::Dense(a), None) => {
                    let cursor = &mut cursors[0];
                    while *cursor < n {
                        let (position, sign) = padding.position(*cursor);
                        if position >= end {
                            break;
                        }
                        let source = &a.row(*cursor)[j0..j0 + width];
                        let target = &mut buffer[(position - begin) * width..][..width];
                        target.iter_mut().zip(source).for_each(|(target, v)| *target = sign * v);
                        *cursor += 1;
                        filled = true;
                    }
                }
                (Matrix::Sparse(_), None) => {}
            }
            if !filled {
                continue;
            }
            transform(&mut buffer, width);
            for (sums, &sample) in sums.chunks_exact_mut(width).zip(samples) {
                let sign = if ((sample / block) & k).count_ones() & 1 == 1 { -scale } else { scale };
                let row = &buffer[(sample % block) * width..][..width];
                sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += sign * v);
            }
        }
        sums
    })
}

/// A sign by its index.
#[inline(always)]
pub(super) fn sign(key: u64, i: usize) -> f64 {
    if certus_numeric::seed::hash64(key, i as u64) & 1 == 1 { -1.0 } else { 1.0 }
}
