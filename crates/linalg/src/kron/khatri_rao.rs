//! The column-wise Kronecker product.

use std::ops::Range;

use super::{BLOCK_ROWS, hadamard};
use crate::operator::LinearOperator;
use crate::product::{Destination, gram, matmul, matmul_into};
use crate::view::{Mat, MatMut, MatRef};

/// `A ⊙ B`: column j is the Kronecker product of column j of A and column j of B. Of rows(A) rows(B) x d, held as its factors.
#[derive(Clone, Copy, Debug)]
pub struct KhatriRao<'a> {
    a: MatRef<'a, f64>,
    b: MatRef<'a, f64>,
}

impl<'a> KhatriRao<'a> {
    /// The product of two factors with the same number of columns.
    ///
    /// # Panics
    /// If the numbers of columns differ.
    pub fn new(a: MatRef<'a, f64>, b: MatRef<'a, f64>) -> Self {
        assert_eq!(a.ncols(), b.ncols(), "the factors of a Khatri-Rao product have the same number of columns");
        KhatriRao { a, b }
    }

    /// Rows `rows` of the product, formed. Memory: `rows.len()` x d.
    pub fn block(&self, rows: Range<usize>) -> Mat<f64> {
        let height = self.b.nrows();
        Mat::from_fn(rows.len(), self.a.ncols(), |r, j| {
            let row = rows.start + r;
            self.a[(row / height, j)] * self.b[(row % height, j)]
        })
    }

    /// All rows, in blocks of at most 1024 in order.
    pub fn blocks(&self) -> impl Iterator<Item = (Range<usize>, Mat<f64>)> + '_ {
        let rows = self.rows();
        (0..rows).step_by(BLOCK_ROWS).map(move |start| {
            let range = start..rows.min(start + BLOCK_ROWS);
            (range.clone(), self.block(range))
        })
    }

    /// The Gram matrix, from the factors' alone: `AᵀA` times `BᵀB` entry by entry.
    pub fn gram(&self) -> Mat<f64> {
        hadamard(gram(self.a).as_ref(), gram(self.b).as_ref())
    }
}

impl LinearOperator for KhatriRao<'_> {
    fn rows(&self) -> usize {
        self.a.nrows() * self.b.nrows()
    }

    fn cols(&self) -> usize {
        self.a.ncols()
    }

    /// `vec(A diag(x) Bᵀ)`.
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let scaled = Mat::from_fn(self.a.nrows(), x.len(), |i, j| self.a[(i, j)] * x[j]);
        let out = MatMut::from_row_major_slice_mut(y, self.a.nrows(), self.b.nrows());
        matmul_into(out, Destination::Replace, 1.0, scaled.as_ref(), self.b.transpose());
    }

    /// Entry j is `a_jᵀ Y b_j`.
    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        let yb = matmul(super::unvec(y, self.a.nrows(), self.b.nrows()), self.b);
        for (j, x) in x.iter_mut().enumerate() {
            *x = self.a.col(j).iter().zip(yb.col(j).iter()).fold(0.0, |sum, (a, y)| sum + a * y);
        }
    }
}
