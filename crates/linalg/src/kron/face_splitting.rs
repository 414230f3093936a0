//! The row-wise Kronecker product.

use std::ops::Range;

use super::{BLOCK_ROWS, unvec, weighted_rows};
use crate::operator::LinearOperator;
use crate::product::{Destination, gram, matmul, matmul_into};
use crate::view::{Mat, MatMut, MatRef};

/// `A • B`: row i is the Kronecker product of row i of A and row i of B. Of n x cols(A) cols(B), held as its factors.
#[derive(Clone, Copy, Debug)]
pub struct FaceSplitting<'a> {
    a: MatRef<'a, f64>,
    b: MatRef<'a, f64>,
}

impl<'a> FaceSplitting<'a> {
    /// The product of two factors with the same number of rows.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn new(a: MatRef<'a, f64>, b: MatRef<'a, f64>) -> Self {
        assert_eq!(a.nrows(), b.nrows(), "the factors of a face-splitting product have the same number of rows");
        FaceSplitting { a, b }
    }

    /// Rows `rows` of the product, formed. Memory: `rows.len()` x cols(A) cols(B).
    pub fn block(&self, rows: Range<usize>) -> Mat<f64> {
        let width = self.b.ncols();
        Mat::from_fn(rows.len(), self.a.ncols() * width, |r, c| self.a[(rows.start + r, c / width)] * self.b[(rows.start + r, c % width)])
    }

    /// All rows, in blocks of at most 1024 in order.
    pub fn blocks(&self) -> impl Iterator<Item = (Range<usize>, Mat<f64>)> + '_ {
        let n = self.a.nrows();
        (0..n).step_by(BLOCK_ROWS).map(move |start| {
            let range = start..n.min(start + BLOCK_ROWS);
            (range.clone(), self.block(range))
        })
    }

    /// The Gram matrix `(A • B)ᵀ diag(w) (A • B)` for weights that are not negative (`None`: all 1). Cost: n (d₁ d₂)² flops;
    /// memory: the result and one block of rows.
    ///
    /// # Panics
    /// If there are not n weights, or one is negative or NaN.
    pub fn gram(&self, weights: Option<&[f64]>) -> Mat<f64> {
        if let Some(w) = weights {
            assert!(w.len() == self.a.nrows() && w.iter().all(|w| *w >= 0.0), "{} weights of at least 0, one a row", self.a.nrows());
        }
        let d = self.cols();
        let mut total = Mat::zeros(d, d);
        for (rows, block) in self.blocks() {
            let block = match weights {
                Some(w) => weighted_rows(block, &w[rows].iter().map(|w| w.sqrt()).collect::<Vec<_>>()),
                None => block,
            };
            total += gram(block.as_ref());
        }
        total
    }
}

impl LinearOperator for FaceSplitting<'_> {
    fn rows(&self) -> usize {
        self.a.nrows()
    }

    fn cols(&self) -> usize {
        self.a.ncols() * self.b.ncols()
    }

    /// Entry i is `a_iᵀ X b_i`.
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let ax = matmul(self.a, unvec(x, self.a.ncols(), self.b.ncols()));
        for (i, y) in y.iter_mut().enumerate() {
            *y = ax.row(i).iter().zip(self.b.row(i).iter()).fold(0.0, |sum, (a, b)| sum + a * b);
        }
    }

    /// `vec(Aᵀ diag(y) B)`.
    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        let weighted = weighted_rows(self.b.to_owned(), y);
        let out = MatMut::from_row_major_slice_mut(x, self.a.ncols(), self.b.ncols());
        matmul_into(out, Destination::Replace, 1.0, self.a.transpose(), weighted.as_ref());
    }
}
