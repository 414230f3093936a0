//! The kernel of sparse sketches: each input row is added, with a sign, to a few output rows that a hash names.
//!
//! What bounds it is memory: one pass over the input. Threads own disjoint blocks of output rows that stay in cache; input
//! rows are first sorted by block, a few chunks at a time. Each output row adds its input rows in ascending order, on
//! whatever path, so the bits depend on nothing else.

use certus_numeric::Array;
use rayon::prelude::*;

use crate::matrix::Matrix;

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

/// Entries in a block of output rows: 512 kB, half a second-level cache.
const BLOCK_ENTRIES: usize = 65_536;

/// Output blocks that there are at least, where there are as many rows: enough for the threads of a desk machine.
const MIN_BLOCKS: usize = 32;

/// Copies of input rows in one sorted chunk.
const CHUNK: usize = 65_536;

/// Chunks that are sorted before they are added: bounds the memory of the order at 8 MB.
const GROUP: usize = 16;

/// Below this many additions the order is not worth making.
const SMALL: usize = 65_536;

/// `scale` times the signed sums of rows of `a`: `rows` x cols(a).
pub(super) fn scatter(rows: usize, scale: f64, placement: &impl Placement, a: Matrix<'_>) -> Array {
    let (n, d) = (a.rows(), a.cols());
    let mut result = Array::zeros([rows, d]);
    if n == 0 || d == 0 {
        return result;
    }
    let copies = placement.copies();
    let out = result.as_mut_slice();
    if d == 1 || a.stored() * copies <= SMALL {
        for i in 0..n {
            for copy in 0..copies {
                let (row, negative) = placement.place(i, copy);
                add_row(&mut out[row * d..(row + 1) * d], signed(scale * placement.factor(i), negative), a, i);
            }
        }
        return result;
    }
    let block_rows = (BLOCK_ENTRIES / d).min(rows / MIN_BLOCKS).max(1);
    let chunk_rows = (CHUNK / copies).max(1);
    for group in (0..n).step_by(GROUP * chunk_rows) {
        let group_end = n.min(group + GROUP * chunk_rows);
        let orders: Vec<Order> = (group..group_end)
            .into_par_iter()
            .step_by(chunk_rows)
            .map(|start| Order::new(start, group_end.min(start + chunk_rows), rows, block_rows, placement))
            .collect();
        out.par_chunks_mut(block_rows * d).enumerate().for_each(|(block, out)| {
            for order in &orders {
                for &Copy { row, target } in order.of_block(block) {
                    let (i, local) = (order.start + row as usize, (target >> 1) as usize);
                    add_row(&mut out[local * d..(local + 1) * d], signed(scale * placement.factor(i), target & 1 == 1), a, i);
                }
            }
        });
    }
    result
}

/// One copy of an input row: its number in its chunk; its output row in the block, doubled, plus the sign bit.
#[derive(Clone, Copy, Default)]
struct Copy {
    row: u32,
    target: u32,
}

/// The copies of a chunk of input rows, by block of output rows; ascending within a block.
struct Order {
    start: usize,
    ends: Vec<u32>,
    copies: Vec<Copy>,
}

impl Order {
    fn new(start: usize, end: usize, rows: usize, block_rows: usize, placement: &impl Placement) -> Self {
        let mut ends = vec![0u32; rows.div_ceil(block_rows) + 1];
        let mut places = Vec::with_capacity((end - start) * placement.copies());
        for i in start..end {
            for copy in 0..placement.copies() {
                let (target, negative) = placement.place(i, copy);
                let block = target / block_rows;
                ends[block + 1] += 1;
                let local = ((target - block * block_rows) as u32) << 1 | u32::from(negative);
                places.push((block as u32, Copy { row: (i - start) as u32, target: local }));
            }
        }
        for block in 1..ends.len() {
            ends[block] += ends[block - 1];
        }
        // The beginning of each block moves to its end, which is the beginning of the next.
        let mut copies = vec![Copy::default(); places.len()];
        for (block, copy) in places {
            let slot = &mut ends[block as usize];
            copies[*slot as usize] = copy;
            *slot += 1;
        }
        Order { start, ends, copies }
    }

    fn of_block(&self, block: usize) -> &[Copy] {
        let begin = if block == 0 { 0 } else { self.ends[block - 1] as usize };
        &self.copies[begin..self.ends[block] as usize]
    }
}

#[inline(always)]
fn signed(scale: f64, negative: bool) -> f64 {
    if negative { -scale } else { scale }
}

#[inline(always)]
fn add_row(out: &mut [f64], scale: f64, a: Matrix<'_>, i: usize) {
    match a {
        Matrix::Dense(a) => {
            for (out, v) in out.iter_mut().zip(a.row(i)) {
                *out += scale * v;
            }
        }
        Matrix::Sparse(a) => {
            let (columns, values) = a.row(i);
            for (&j, v) in columns.iter().zip(values) {
                out[j as usize] += scale * v;
            }
        }
    }
}
