//! A matrix of data: dense or sparse.

use certus_contract::InputError;
use certus_numeric::{Array, Csr};

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
