//! A matrix of data: dense or sparse.

use certus_contract::InputError;
use certus_numeric::memory::zeros;
use certus_numeric::sum::par_blocks;
use certus_numeric::{Array, Csr};
use rayon::prelude::*;

use crate::operator::{AddSquares, RowBlocks, add_up, cut, rows_of};
use crate::simd::widest;

/// The data matrix of a problem, borrowed: dense row-major, or sparse by rows. It is never turned from one into the other.
#[derive(Clone, Copy, Debug)]
pub enum Matrix<'a> {
    /// Dense.
    Dense(&'a Array),
    /// Sparse.
    Sparse(&'a Csr),
}

impl<'a> From<&'a Array> for Matrix<'a> {
    fn from(a: &'a Array) -> Self {
        Matrix::Dense(a)
    }
}

impl<'a> From<&'a Csr> for Matrix<'a> {
    fn from(a: &'a Csr) -> Self {
        Matrix::Sparse(a)
    }
}

impl Matrix<'_> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Matrix::Dense(a) => a.rows(),
            Matrix::Sparse(a) => a.rows(),
        }
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Matrix::Dense(a) => a.cols(),
            Matrix::Sparse(a) => a.cols(),
        }
    }

    /// The number of stored entries: what one pass costs.
    pub fn stored(&self) -> usize {
        match self {
            Matrix::Dense(a) => a.len(),
            Matrix::Sparse(a) => a.nnz(),
        }
    }

    /// The stored entries.
    pub fn values(&self) -> &[f64] {
        match self {
            Matrix::Dense(a) => a.as_slice(),
            Matrix::Sparse(a) => a.values(),
        }
    }

    /// The longest chain of additions in an entry of `Aᵀ y`: its error is at most that many roundings of the sum of its absolute terms.
    pub fn longest_sum(&self) -> usize {
        let height = RowBlocks::new(*self).height;
        height.min(self.rows()) + self.rows().div_ceil(height)
    }

    /// The norm of each column. Entries whose squares overflow or vanish are not taken care of. Cost: one pass.
    pub fn column_norms(&self) -> Vec<f64> {
        self.column_squares(None).into_iter().map(f64::sqrt).collect()
    }

    /// The sum of squares of each column, with weights of the rows (default 1). Cost: one pass.
    ///
    /// # Panics
    /// If there are not n weights.
    pub fn column_squares(&self, weights: Option<&[f64]>) -> Vec<f64> {
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let parts = par_blocks(self.rows(), RowBlocks::new(*self).height, |rows| {
            let mut squares = vec![0.0; self.cols()];
            match self {
                Matrix::Dense(a) => {
                    let weights = weights.map(|w| &w[rows.clone()]);
                    widest(AddSquares { rows: rows_of(a, rows.start, rows.len()), weights, squares: &mut squares });
                }
                Matrix::Sparse(a) => rows.for_each(|i| {
                    let (columns, values) = a.row(i);
                    columns.iter().zip(values).for_each(|(&j, v)| squares[j as usize] += weight(i) * v * v);
                }),
            }
            squares
        });
        let mut total = vec![0.0; self.cols()];
        add_up(parts, &mut total);
        total
    }

    /// `|A| y` for the matrix of absolute values. Cost: one pass.
    ///
    /// # Panics
    /// If `y` has not d entries.
    pub fn absolute_times(&self, y: &[f64]) -> Vec<f64> {
        let [product] = self.absolute_times_all([y]);
        product
    }

    /// The same for several vectors, in one pass; each has the same bits as alone.
    ///
    /// # Panics
    /// If a vector has not d entries.
    pub fn absolute_times_all<const K: usize>(&self, ys: [&[f64]; K]) -> [Vec<f64>; K] {
        assert!(ys.iter().all(|y| y.len() == self.cols()), "a matrix with {} columns times vectors of other lengths", self.cols());
        let mut products = ys.map(|_| zeros(self.rows()));
        let height = RowBlocks::new(*self).height;
        let block = |(first, mut products): (usize, [&mut [f64]; K])| {
            for i in 0..height.min(self.rows() - first) {
                for (product, y) in products.iter_mut().zip(ys) {
                    product[i] = match self {
                        Matrix::Dense(a) => absolute_dot(a.row(first + i), y),
                        Matrix::Sparse(a) => {
                            let (columns, values) = a.row(first + i);
                            columns.iter().zip(values).fold(0.0, |sum, (&j, v)| sum + v.abs() * y[j as usize])
                        }
                    };
                }
            }
        };
        let whole = products.each_mut().map(Vec::as_mut_slice);
        if self.rows() <= height {
            block((0, whole));
        } else {
            cut(whole, self.rows(), height).into_par_iter().for_each(block);
        }
        products
    }

    /// Refuses a matrix that is not two-dimensional, has no rows or columns, or an entry that is NaN or infinite.
    ///
    /// # Errors
    /// `DimensionMismatch`, `EmptyProblem`, `NonFinite`.
    pub fn validate(&self, name: &str) -> Result<(), InputError> {
        self.validate_shape(name)?;
        match self {
            Matrix::Dense(a) => a.require_finite(name),
            Matrix::Sparse(a) => a.require_finite(name),
        }
    }

    /// Refuses a matrix that is not two-dimensional, or has no rows or columns.
    ///
    /// # Errors
    /// `DimensionMismatch`, `EmptyProblem`.
    pub fn validate_shape(&self, name: &str) -> Result<(), InputError> {
        if let Matrix::Dense(a) = self {
            a.require_matrix(name)?;
        }
        if self.rows() == 0 || self.cols() == 0 {
            return Err(InputError::empty(name, &[self.rows(), self.cols()]));
        }
        Ok(())
    }
}

/// Over eight lanes, as [`dot`](certus_numeric::sum::dot).
fn absolute_dot(row: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (rows, ys) = (row.chunks_exact(8), y.chunks_exact(8));
    let rest = rows.remainder().iter().zip(ys.remainder()).fold(0.0, |sum, (v, y)| sum + v.abs() * y);
    for (row, y) in rows.zip(ys) {
        for lane in 0..8 {
            lanes[lane] += row[lane].abs() * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Refuses a dense matrix of more than 2^28 entries (2 GiB), made on the way from sparse data; `instead` says what to do.
pub(crate) fn require_dense(what: &str, rows: usize, cols: usize, instead: &str) -> Result<(), InputError> {
    const LIMIT: usize = 1 << 28;
    if rows.saturating_mul(cols) <= LIMIT {
        return Ok(());
    }
    Err(InputError::too_large(what, format!("{rows} x {cols}"), format!("2^28 dense entries ({instead})")))
}
