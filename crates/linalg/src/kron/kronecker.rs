//! The Kronecker product of two matrices.

use super::{unvec, vec};
use crate::Error;
use crate::factor::{PivotedQr, Triangle, solve_triangular, tall_qr_r};
use crate::operator::LinearOperator;
use crate::product::{Destination, gram, matmul, matmul_into};
use crate::view::{Mat, MatMut, MatRef};

/// `A ⊗ B`, of rows(A) rows(B) x cols(A) cols(B), held as its factors.
///
/// ```
/// use certus_linalg::{Mat, kron::Kron, operator::LinearOperator};
/// let a = Mat::from_fn(2, 2, |i, j| (1 + 2 * i + j) as f64);
/// let swap = Mat::from_fn(2, 2, |i, j| if i != j { 1.0 } else { 0.0 });
/// let product = Kron::new(a.as_ref(), swap.as_ref());
/// assert_eq!(product.times(&[1.0, 0.0, 0.0, 0.0]), [0.0, 1.0, 0.0, 3.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kron<'a> {
    a: MatRef<'a, f64>,
    b: MatRef<'a, f64>,
}

impl<'a> Kron<'a> {
    /// The product of two factors of any shapes.
    pub fn new(a: MatRef<'a, f64>, b: MatRef<'a, f64>) -> Self {
        Kron { a, b }
    }

    /// The left factor.
    pub fn a(&self) -> MatRef<'a, f64> {
        self.a
    }

    /// The right factor.
    pub fn b(&self) -> MatRef<'a, f64> {
        self.b
    }

    /// `Aᵀ ⊗ Bᵀ`, the transpose.
    pub fn transpose(&self) -> Kron<'a> {
        Kron { a: self.a.transpose(), b: self.b.transpose() }
    }

    /// The factors of the Gram matrix: `(A ⊗ B)ᵀ (A ⊗ B) = AᵀA ⊗ BᵀB`.
    pub fn gram(&self) -> (Mat<f64>, Mat<f64>) {
        (gram(self.a), gram(self.b))
    }

    /// The minimiser of `|(A ⊗ B) x - y|`; the solution where both factors are square. Cost: a QR of each factor and products
    /// with them.
    ///
    /// # Errors
    /// `RankDeficient` if a factor has not full column rank; `NonFiniteMatrix`.
    ///
    /// # Panics
    /// If `y` has not rows(A) rows(B) entries.
    pub fn solve(&self, y: &[f64]) -> Result<Vec<f64>, Error> {
        // X = A⁺ Y B⁺ᵀ: solve by the left factor, transpose, solve by the right one, transpose back.
        let half = least_squares("the left factor", self.a, unvec(y, self.a.nrows(), self.b.nrows()).to_owned())?;
        let x = least_squares("the right factor", self.b, half.transpose().to_owned())?;
        Ok(vec(x.transpose()))
    }

    /// The leverage scores of all rows, held by factor: the score of row (i, k) is that of row i of A times that of row k of B.
    ///
    /// # Errors
    /// `RankDeficient`, `NonFiniteMatrix`.
    pub fn leverage_scores(&self) -> Result<KronLeverage, Error> {
        Ok(KronLeverage { a: leverage("the left factor", self.a)?, b: leverage("the right factor", self.b)? })
    }

    /// The product as a matrix in memory. For tests and small problems.
    pub fn formed(&self) -> Mat<f64> {
        let (p, q) = (self.b.nrows(), self.b.ncols());
        Mat::from_fn(self.a.nrows() * p, self.a.ncols() * q, |i, j| self.a[(i / p, j / q)] * self.b[(i % p, j % q)])
    }

    /// `out = A X Bᵀ`, multiplied in the order that costs fewer flops.
    fn sandwich(&self, x: MatRef<'_, f64>, out: MatMut<'_, f64>) {
        let (m, p, q) = (self.a.nrows(), self.a.ncols(), self.b.ncols());
        let left_first = m * p * q + m * q * self.b.nrows();
        let right_first = p * q * self.b.nrows() + m * p * self.b.nrows();
        if left_first <= right_first {
            matmul_into(out, Destination::Replace, 1.0, matmul(self.a, x).as_ref(), self.b.transpose());
        } else {
            matmul_into(out, Destination::Replace, 1.0, self.a, matmul(x, self.b.transpose()).as_ref());
        }
    }
}

impl LinearOperator for Kron<'_> {
    fn rows(&self) -> usize {
        self.a.nrows() * self.b.nrows()
    }

    fn cols(&self) -> usize {
        self.a.ncols() * self.b.ncols()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let out = MatMut::from_row_major_slice_mut(y, self.a.nrows(), self.b.nrows());
        self.sandwich(unvec(x, self.a.ncols(), self.b.ncols()), out);
    }

    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        self.transpose().apply(y, x);
    }
}

/// The leverage scores of a Kronecker product, by factor.
#[derive(Clone, Debug, PartialEq)]
pub struct KronLeverage {
    /// Scores of the rows of the left factor.
    pub a: Vec<f64>,
    /// Scores of the rows of the right factor.
    pub b: Vec<f64>,
}

impl KronLeverage {
    /// The score of row `row` of the product, in its order: row i rows(B) + k pairs row i of A with row k of B.
    pub fn score(&self, row: usize) -> f64 {
        self.a[row / self.b.len()] * self.b[row % self.b.len()]
    }

    /// The sum of all scores: the rank of the product.
    pub fn total(&self) -> f64 {
        self.a.iter().sum::<f64>() * self.b.iter().sum::<f64>()
    }
}

fn full_rank(name: &'static str, a: MatRef<'_, f64>) -> Result<PivotedQr, Error> {
    let qr = PivotedQr::new(a.to_owned())?;
    let rank = qr.rank(a.nrows().max(a.ncols()) as f64 * f64::EPSILON);
    if rank == a.ncols() { Ok(qr) } else { Err(Error::RankDeficient { matrix: name.to_owned(), rank, cols: a.ncols() }) }
}

fn least_squares(name: &'static str, a: MatRef<'_, f64>, mut y: Mat<f64>) -> Result<Mat<f64>, Error> {
    let qr = full_rank(name, a)?;
    let d = a.ncols();
    qr.apply_q_transpose(y.as_mut());
    let mut x = Mat::zeros(d, y.ncols());
    solve_triangular(Triangle::Upper, qr.r().as_ref(), y.as_mut().subrows_mut(0, d));
    for (i, &column) in qr.permutation().iter().enumerate() {
        x.row_mut(column).copy_from(y.row(i));
    }
    Ok(x)
}

/// Squared norms of the rows of an orthonormal basis, `A R⁻¹`.
fn leverage(name: &'static str, a: MatRef<'_, f64>) -> Result<Vec<f64>, Error> {
    let r = tall_qr_r(a)?;
    full_rank(name, r.as_ref())?;
    let mut q = a.transpose().to_owned();
    solve_triangular(Triangle::Lower, r.transpose(), q.as_mut());
    Ok(q.col_iter().map(|column| column.iter().map(|v| v * v).sum()).collect())
}
