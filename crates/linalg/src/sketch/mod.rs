//! Sketches: short random matrices S (s x n) that keep the geometry of a subspace of n-dimensional space.
//!
//! A sketch is a *distribution* and a *seed*. Its entries are functions of their indices, so it is regenerated where it is
//! needed, by any number of threads, and never stored; the bits of S A do not depend on the number of threads.
//!
//! S embeds a subspace of dimension d with distortion epsilon if (1 - epsilon) |x|^2 <= |S x|^2 <= (1 + epsilon) |x|^2 for
//! all its vectors x; for the columns of A: if all singular values sigma of S Q have |sigma^2 - 1| <= epsilon, Q an
//! orthonormal basis of their span. [`Sketch::embedding_bound`] says what is proven of a sketch before it is drawn,
//! [`distortion`] measures it afterwards. The proofs ask for independent random numbers; ours come from a 64-bit mix and
//! from ChaCha, which stand in for them.
//!
//! | kind | cost of S A | rows for a d-dimensional subspace with probability 1 - delta |
//! |---|---|---|
//! | [`Gaussian`] | s nnz, and s n draws | (sqrt d + sqrt(2 ln(2 / delta)))^2 / (sqrt(1 + epsilon) - 1)^2 |
//! | [`CountSketch`] | nnz | (d^2 + d) / (epsilon^2 delta) |
//! | [`Osnap`], t non-zeros a column | t nnz | (d^2 + d) / (epsilon^2 delta); O(d log(d / delta) / epsilon^2) without a proven constant |
//! | [`Srht`] | n d log s | (sqrt d + sqrt(8 ln(3 n / delta)))^2 ln(3 d / delta) / h(epsilon) |
//! | [`TensorSketch`], q factors | nnz of the factors, and s log s a column | (2 + 3^q) d^2 / (epsilon^2 delta) |
//! | [`TensorSrht`], q factors | n_k d_k log s a factor, and s a column | (3^q d^2 - d) / (epsilon^2 delta) |
//! | [`RowSampling`] by leverage | s d | d ln(2 d / delta) / h(epsilon) |
//!
//! with h(epsilon) = (1 + epsilon) ln(1 + epsilon) - epsilon; the constants and their sources are in [`theory`].

mod count_sketch;
mod distortion;
mod gaussian;
mod hadamard;
mod hashed;
mod kind;
mod osnap;
mod panels;
mod row_sampling;
mod srht;
mod tensor;
mod tensor_sketch;
mod tensor_srht;
pub mod theory;

use certus_contract::InputError;
use certus_numeric::{Array, Csr};

use crate::matrix::Matrix;

pub use count_sketch::CountSketch;
pub use distortion::{Distortion, distortion};
pub use gaussian::Gaussian;
pub use hadamard::walsh_hadamard;
pub use kind::SketchKind;
pub use osnap::Osnap;
pub use row_sampling::RowSampling;
pub use srht::Srht;
pub use tensor_sketch::TensorSketch;
pub use tensor_srht::TensorSrht;
pub use theory::EmbeddingBound;

/// A random s x n matrix S that is applied, not stored.
pub trait Sketch: Send + Sync {
    /// s, the rows of S.
    fn rows(&self) -> usize;

    /// n, the columns of S: the rows of what it is applied to.
    fn cols(&self) -> usize;

    /// S A for a matrix A with `cols()` rows (not checked: [`Sketch::apply`] is the checked call).
    ///
    /// # Panics
    /// If A has fewer rows.
    fn sketch(&self, a: Matrix<'_>) -> Array;

    /// What is proven of the distortion on one fixed `d`-dimensional subspace, at failure probability `delta` over the seed.
    ///
    /// `None` if nothing with explicit constants is proven, or `delta` is not in (0, 1). An epsilon of 1 or more is vacuous
    /// but still given.
    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound>;

    /// S A (s x d) for A of n x d, dense or sparse. Entries are not checked for finiteness.
    ///
    /// # Errors
    /// `DimensionMismatch` if A is not a matrix of `cols()` rows.
    fn apply(&self, a: Matrix<'_>) -> Result<Array, InputError> {
        require_rows("the sketched matrix", a, self.cols(), "the columns of the sketch")?;
        Ok(self.sketch(a))
    }

    /// S x, for a vector x of n entries.
    ///
    /// # Errors
    /// `DimensionMismatch`.
    fn apply_vector(&self, x: &[f64]) -> Result<Vec<f64>, InputError> {
        let x = Array::matrix(x.len(), 1, x.to_vec())?;
        require_rows("the sketched vector", Matrix::Dense(&x), self.cols(), "the columns of the sketch")?;
        Ok(self.sketch(Matrix::Dense(&x)).into_vec())
    }

    /// B S^T (m x s) for B of m x n: the sketch applied from the right, to each row. Costs a transposed copy of B and of the
    /// result besides the sketch.
    ///
    /// # Errors
    /// `DimensionMismatch` if B is not a matrix of `cols()` columns.
    fn apply_right(&self, b: Matrix<'_>) -> Result<Array, InputError> {
        let (_, found) = require_matrix("the sketched matrix", b)?;
        if found != self.cols() {
            let expected = format!("{} columns (those of the sketch)", self.cols());
            return Err(InputError::dimension("the sketched matrix", format!("{found} columns"), expected));
        }
        let sketched = match b {
            Matrix::Dense(b) => self.sketch(Matrix::Dense(&b.transposed())),
            Matrix::Sparse(b) => self.sketch(Matrix::Sparse(&b.transposed())),
        };
        Ok(sketched.transposed())
    }

    /// S itself, s x n: for tests and small sizes.
    fn to_dense(&self) -> Array {
        let n = self.cols();
        let identity = Csr::new(n, n, (0..=n).collect(), (0..n as u32).collect(), vec![1.0; n]);
        match identity {
            Ok(identity) => self.sketch(Matrix::Sparse(&identity)),
            // More columns than 32-bit indices can name: no such S fits into memory either.
            Err(_) => self.sketch(Matrix::Dense(&Array::identity(n))),
        }
    }
}

/// Rows and columns of a matrix; refuses an array of other dimensions.
fn require_matrix(name: &str, a: Matrix<'_>) -> Result<(usize, usize), InputError> {
    match a {
        Matrix::Dense(a) => a.require_matrix(name),
        Matrix::Sparse(a) => Ok((a.rows(), a.cols())),
    }
}

/// Refuses a matrix that has not `expected` rows.
fn require_rows(name: &str, a: Matrix<'_>, expected: usize, because: &str) -> Result<(), InputError> {
    let (found, _) = require_matrix(name, a)?;
    if found == expected {
        Ok(())
    } else {
        Err(InputError::dimension(name, format!("{found} rows"), format!("{expected} rows ({because})")))
    }
}

/// Refuses sketch sizes that are 0 or do not fit 31-bit row numbers.
fn require_sizes(rows: usize, cols: usize) -> Result<(), InputError> {
    if rows == 0 {
        return Err(InputError::parameter("sketch rows", rows, "at least 1"));
    }
    if cols == 0 {
        return Err(InputError::parameter("sketch columns", cols, "at least 1"));
    }
    if rows > MAX_ROWS {
        return Err(InputError::too_large("the sketch", format!("{rows} rows"), format!("{MAX_ROWS} rows (31-bit row numbers)")));
    }
    Ok(())
}

/// Row numbers of a sketch share 32 bits with a sign.
const MAX_ROWS: usize = (1 << 31) - 1;
