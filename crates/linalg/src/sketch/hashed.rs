//! The kernel of sparse sketches: each input row is added, with a sign, to a few output rows that a hash names.
//!
//! What bounds it is memory. Dense input is read once, in order, by a few parts that each have a result of their own. Sparse input
//! is read once and sorted by blocks of output rows, a few cache-sized chunks at a time; then each block adds what is its own.
//! Parts, chunks and blocks are cut by sizes alone, so the number of threads does not touch the bits.

use certus_numeric::sum::{BLOCK, par_blocks};
use certus_numeric::{Array, Csr};
use pulp::Simd;
use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::simd::{Kernel, widest};

/// Where input rows go.
pub(super) trait Placement: Sync {
    /// How many output rows an input row is added to.
    fn copies(&self) -> usize;

    /// Output row and sign bit of copy `copy` of input row `i`.
    fn place(&self, i: usize, copy: usize) -> (usize, bool);

    /// A factor for input row `i`.
    #[inline(always)]
    fn factor(&self, _: usize) -> f64 {
        1.0
    }
}

/// Entries of a block of output rows: 512 kB, half a second-level cache.
const CACHED: usize = 65_536;

/// Output blocks that there are at least, where there are as many rows: enough for the threads of a desk machine.
const MIN_BLOCKS: usize = 32;

/// Parts of dense input with private results.
const MAX_PARTS: usize = 8;

/// Entries of all private results: 16 MB.
const SHARED: usize = 1 << 21;

/// Entries in one sorted chunk: its 800 kB are written in cache.
const CHUNK: usize = 65_536;

/// Chunks that are sorted before they are added, 800 kB each: the fewest and the most.
const GROUP: (usize, usize) = (16, 128);

/// Below this many additions, sorting does not pay.
const SMALL: usize = 65_536;

/// `scale` times the signed sums of rows of `a`: `rows` x cols(a).
pub(super) fn scatter(rows: usize, scale: f64, placement: &impl Placement, a: Matrix<'_>) -> Array {
    match a {
        Matrix::Dense(a) => scatter_dense(rows, scale, placement, a),
        Matrix::Sparse(a) => scatter_sparse(rows, scale, placement, a),
    }
}

fn scatter_dense(rows: usize, scale: f64, placement: &impl Placement, a: &Array) -> Array {
    let (n, d) = (a.rows(), a.cols());
    let mut result = Array::zeros([rows, d]);
    // Private results together are at most a quarter of the input, and should stay in the last cache.
    let cached = (SHARED / (rows * d).max(1)).max(2);
    let parts = 1 << (n / (4 * rows)).min(cached).clamp(1, MAX_PARTS).ilog2();
    let partial = par_blocks(n, n.div_ceil(parts).max(1), |range| {
        let mut out = vec![0.0; rows * d];
        widest(Scatter { rows: range, scale, placement, a, out: &mut out });
        out
    });
    result.as_mut_slice().par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        for part in &partial {
            out.iter_mut().zip(&part[block * BLOCK..]).for_each(|(out, v)| *out += v);
        }
    });
    result
}

/// Adds the rows of a range, signed and scaled, to the rows of `out` that the placement names.
struct Scatter<'a, P> {
    rows: std::ops::Range<usize>,
    scale: f64,
    placement: &'a P,
    a: &'a Array,
    out: &'a mut [f64],
}

impl<P: Placement> Kernel for Scatter<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let d = self.a.cols();
        for i in self.rows {
            for copy in 0..self.placement.copies() {
                let (target, negative) = self.placement.place(i, copy);
                let factor = signed(self.scale * self.placement.factor(i), negative);
                if d == 1 {
                    self.out[target] += factor * self.a.as_slice()[i];
                } else {
                    add_multiple(&mut self.out[target * d..(target + 1) * d], factor, self.a.row(i));
                }
            }
        }
    }
}

fn scatter_sparse(rows: usize, scale: f64, placement: &impl Placement, a: &Csr) -> Array {
    let (n, d, copies) = (a.rows(), a.cols(), placement.copies());
    let mut result = Array::zeros([rows, d]);
    let out = result.as_mut_slice();
    let additions = a.nnz() * copies;
    if additions <= SMALL {
        for i in 0..n {
            for copy in 0..copies {
                let (target, negative) = placement.place(i, copy);
                let factor = signed(scale * placement.factor(i), negative);
                let (columns, values) = a.row(i);
                let out = &mut out[target * d..(target + 1) * d];
                columns.iter().zip(values).for_each(|(&j, v)| out[j as usize] += factor * v);
            }
        }
        return result;
    }
    let block_rows = (CACHED / d).min(rows / MIN_BLOCKS).max(1);
    // Chunks are cut by their entries, however these are spread over the rows.
    let step = (CHUNK / copies).max(1);
    let count = a.nnz().div_ceil(step);
    let start = |k: usize| if k == count { n } else { a.indptr().partition_point(|&p| p < k * step).min(n) };
    // Each group passes over the result once: groups have about twice the entries of the result.
    let group = (2 * rows * d / CHUNK).clamp(GROUP.0, GROUP.1);
    for first in (0..count).step_by(group) {
        let chunks: Vec<Chunk> = (first..count.min(first + group))
            .into_par_iter()
            .map(|k| Chunk::new(start(k)..start(k + 1), rows, block_rows, scale, placement, a))
            .collect();
        out.par_chunks_mut(block_rows * d).enumerate().for_each(|(block, out)| {
            for chunk in &chunks {
                let entries = chunk.of_block(block);
                chunk.places[entries.clone()].iter().zip(&chunk.values[entries]).for_each(|(&place, v)| out[place as usize] += v);
            }
        });
    }
    result
}

/// The signed entries of a chunk of input rows, by block of output rows; ascending rows within a block.
struct Chunk {
    ends: Vec<u32>,
    /// Where in its block each entry is added.
    places: Vec<u32>,
    values: Vec<f64>,
}

impl Chunk {
    fn new(range: std::ops::Range<usize>, rows: usize, block_rows: usize, scale: f64, placement: &impl Placement, a: &Csr) -> Self {
        let (d, copies) = (a.cols(), placement.copies());
        let mut ends = vec![0u32; rows.div_ceil(block_rows) + 1];
        let mut targets = Vec::with_capacity(range.len() * copies);
        for i in range.clone() {
            for copy in 0..copies {
                let (target, negative) = placement.place(i, copy);
                let block = target / block_rows;
                ends[block + 1] += a.row(i).0.len() as u32;
                targets.push((block as u32, (target - block * block_rows) as u32, negative));
            }
        }
        for block in 1..ends.len() {
            ends[block] += ends[block - 1];
        }
        // The beginning of each block moves to its end, which is the beginning of the next.
        let entries = ends[ends.len() - 1] as usize;
        let (mut places, mut sums) = (vec![0u32; entries], vec![0.0; entries]);
        for (i, targets) in range.zip(targets.chunks_exact(copies)) {
            let (columns, values) = a.row(i);
            for &(block, local, negative) in targets {
                let factor = signed(scale * placement.factor(i), negative);
                let begin = ends[block as usize] as usize;
                let end = begin + values.len();
                ends[block as usize] = end as u32;
                let first = local * d as u32;
                places[begin..end].iter_mut().zip(columns).for_each(|(place, j)| *place = first + j);
                sums[begin..end].iter_mut().zip(values).for_each(|(sum, v)| *sum = factor * v);
            }
        }
        Chunk { ends, places, values: sums }
    }

    fn of_block(&self, block: usize) -> std::ops::Range<usize> {
        let begin = if block == 0 { 0 } else { self.ends[block - 1] as usize };
        begin..self.ends[block] as usize
    }
}

const LANES: usize = 8;

#[inline(always)]
fn add_multiple(out: &mut [f64], factor: f64, row: &[f64]) {
    let (mut out_lanes, row_lanes) = (out.chunks_exact_mut(LANES), row.chunks_exact(LANES));
    let rest = row_lanes.remainder();
    for (out, row) in out_lanes.by_ref().zip(row_lanes) {
        for lane in 0..LANES {
            out[lane] += factor * row[lane];
        }
    }
    out_lanes.into_remainder().iter_mut().zip(rest).for_each(|(out, v)| *out += factor * v);
}

#[inline(always)]
fn signed(scale: f64, negative: bool) -> f64 {
    if negative { -scale } else { scale }
}
