//! Matrices and tensors, dense or sparse, as a file has them.

use certus_numeric::{Array, Coo, Csr};

use crate::error::Result;

/// A matrix as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Matrix {
    /// All entries, row by row.
    Dense(Array),
    /// The stored entries by compressed rows.
    Sparse(Csr),
}

impl Matrix {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.rows(),
            Matrix::Sparse(sparse) => sparse.rows(),
        }
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.cols(),
            Matrix::Sparse(sparse) => sparse.cols(),
        }
    }

    /// The number of stored entries.
    pub fn stored(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.len(),
            Matrix::Sparse(sparse) => sparse.nnz(),
        }
    }

    /// Refuses a matrix with an entry that is NaN or infinite; `name` is how the caller's user calls it.
    ///
    /// # Errors
    /// `NonFinite`, with row and column of the first such entry.
    pub fn require_finite(&self, name: &str) -> Result<()> {
        match self {
            Matrix::Dense(dense) => dense.require_finite(name)?,
            Matrix::Sparse(sparse) => sparse.require_finite(name)?,
        }
        Ok(())
    }
}

impl From<Array> for Matrix {
    fn from(dense: Array) -> Self {
        Matrix::Dense(dense)
    }
}

impl From<Csr> for Matrix {
    fn from(sparse: Csr) -> Self {
        Matrix::Sparse(sparse)
    }
}

/// An array of any number of dimensions as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// All entries in C order.
    Dense(Array),
    /// The listed entries by coordinates, in the order of the file and with what duplicates it has.
    Sparse(Coo),
}

impl Tensor {
    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        match self {
            Tensor::Dense(dense) => dense.shape(),
            Tensor::Sparse(sparse) => sparse.shape(),
        }
    }
}
