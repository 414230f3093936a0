//! A matrix of data: dense or sparse.

use certus_contract::InputError;
use certus_numeric::sum::par_blocks;
use certus_numeric::{Array, Csr};

use crate::operator::RowBlocks;

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
                Matrix::Dense(a) => rows.for_each(|i| squares.iter_mut().zip(a.row(i)).for_each(|(s, v)| *s += weight(i) * v * v)),
                Matrix::Sparse(a) => rows.for_each(|i| {
                    let (columns, values) = a.row(i);
                    columns.iter().zip(values).for_each(|(&j, v)| squares[j as usize] += weight(i) * v * v);
                }),
            }
            squares
        });
        let mut total = vec![0.0; self.cols()];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
        total
    }

    /// `|A| y` for the matrix of absolute values. Cost: one pass.
    ///
    /// # Panics
    /// If `y` has not d entries.
    pub fn absolute_times(&self, y: &[f64]) -> Vec<f64> {
        assert_eq!(y.len(), self.cols(), "a matrix with {} columns times a vector of {}", self.cols(), y.len());
        let blocks = par_blocks(self.rows(), RowBlocks::new(*self).height, |rows| {
            let product = |i: usize| match self {
                Matrix::Dense(a) => a.row(i).iter().zip(y).fold(0.0, |sum, (v, y)| sum + v.abs() * y),
                Matrix::Sparse(a) => {
                    let (columns, values) = a.row(i);
                    columns.iter().zip(values).fold(0.0, |sum, (&j, v)| sum + v.abs() * y[j as usize])
                }
            };
            rows.map(product).collect::<Vec<_>>()
        });
        blocks.concat()
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

/// Refuses a dense matrix of more than 2^28 entries (2 GiB), made on the way from sparse data; `instead` says what to do.
pub(crate) fn require_dense(what: &str, rows: usize, cols: usize, instead: &str) -> Result<(), InputError> {
    const LIMIT: usize = 1 << 28;
    if rows.saturating_mul(cols) <= LIMIT {
        return Ok(());
    }
    Err(InputError::too_large(what, format!("{rows} x {cols}"), format!("2^28 dense entries ({instead})")))
}
