//! The score matrix of one head: its logits by blocks of rows, and what comes back through them.
//!
//! With row-major `vec`, `vec(A1 X A2ᵀ) = (A1 ⊗ A2) vec(X)`. Nothing of n m d1 d2 entries is formed, and nothing of n m: a block of rows
//! is all that exists at once.

use std::ops::Range;

use certus_linalg::product::{Destination, matmul_here};
use certus_linalg::view::rows_of;
use certus_linalg::{MatMut, MatRef};
use certus_numeric::Array;
use certus_numeric::softmax::softmax_row_with;

use crate::mask::Visible;

/// The queries and the keys of one head in one sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores<'a> {
    /// n x d1.
    pub(crate) a1: &'a Array,
    /// m x d2.
    pub(crate) a2: &'a Array,
}

/// Rows `range` of a row-major array.
pub(crate) fn rows(a: &Array, range: Range<usize>) -> MatRef<'_, f64> {
    let d = a.cols();
    rows_of(&a.as_slice()[range.start * d..range.end * d], range.len(), d)
}

/// A row-major buffer of this shape, of any content.
pub(crate) fn shaped(buffer: &mut Vec<f64>, rows: usize, cols: usize) -> &mut [f64] {
    if buffer.len() < rows * cols {
        buffer.resize(rows * cols, 0.0);
    }
    &mut buffer[..rows * cols]
}

/// `c = alpha a b` (or `c += alpha a b`) for a row-major c, on the calling thread.
pub(crate) fn product(c: &mut [f64], into: Destination, alpha: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let (rows, cols) = (a.nrows(), b.ncols());
    matmul_here(MatMut::from_row_major_slice_mut(c, rows, cols), into, alpha, a, b);
}

impl Scores<'_> {
    /// `alpha A1 X A2ᵀ` of some rows and the first `seen` keys, row-major into `logits`.
    pub(crate) fn logits(&self, x: &[f64], alpha: f64, range: Range<usize>, seen: usize, left: &mut Vec<f64>, logits: &mut [f64]) {
        let (count, d1, d2) = (range.len(), self.a1.cols(), self.a2.cols());
        let left = shaped(left, count, d2);
        product(left, Destination::Replace, alpha, rows(self.a1, range), rows_of(x, d1, d2));
        product(logits, Destination::Replace, 1.0, rows_of(left, count, d2), rows(self.a2, 0..seen).transpose());
    }

    /// The attention of some rows to the first `seen` keys, row-major into `f`.
    pub(crate) fn map(
        &self,
        x: &[f64],
        scale: f64,
        visible: &Visible<'_>,
        range: Range<usize>,
        seen: usize,
        left: &mut Vec<f64>,
        f: &mut [f64],
    ) {
        self.logits(x, 1.0, range.clone(), seen, left, f);
        for (i, row) in range.zip(f.chunks_exact_mut(seen)) {
            softmax_row_with(row, scale, visible.keep(i, seen));
        }
    }

    /// `sum += alpha A1ᵀ P A2` for the rows of P (row-major, the first `seen` keys).
    pub(crate) fn pull_back(&self, p: &[f64], alpha: f64, range: Range<usize>, seen: usize, left: &mut Vec<f64>, sum: &mut [f64]) {
        let (count, d2) = (range.len(), self.a2.cols());
        let left = shaped(left, count, d2);
        product(left, Destination::Replace, 1.0, rows_of(p, count, seen), rows(self.a2, 0..seen));
        product(sum, Destination::Add, alpha, rows(self.a1, range).transpose(), rows_of(left, count, d2));
    }
}
