//! The data, validated once.

use certus_contract::{InputError, require_finite, require_length};
use certus_numeric::sum::norm2;

use crate::matrix::Matrix;

/// `min |A x - b|` for a validated matrix A (n x d, n >= d >= 1) and a right-hand side b (n), both finite.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    a: Matrix<'a>,
    b: &'a [f64],
    norm_a: f64,
}

impl<'a> Problem<'a> {
    /// Validates the data. Cost: one pass over it.
    ///
    /// # Errors
    /// `EmptyProblem`, `DimensionMismatch` (also for a matrix that is wider than tall), `NonFinite`, `InvalidParameter` for data
    /// whose norm is not within 1e-100 and 1e100 (squares would overflow or vanish).
    pub fn new(a: impl Into<Matrix<'a>>, b: &'a [f64]) -> Result<Self, InputError> {
        let a = a.into();
        a.validate_shape("a")?;
        require_length("b", b.len(), a.rows(), "the rows of a")?;
        // A norm that is finite and in range shows in one pass that all entries are.
        let norm_a = norm2(a.values());
        if !norm_a.is_finite() {
            a.validate("a")?;
        }
        let norm_b = norm2(b);
        if !norm_b.is_finite() {
            require_finite("b", &[b.len()], b)?;
        }
        for (name, norm) in [("a", norm_a), ("b", norm_b)] {
            if norm != 0.0 && !(1e-100..=1e100).contains(&norm) {
                return Err(InputError::parameter(
                    format!("norm of {name}"),
                    format!("{norm:e}"),
                    "within 1e-100 and 1e100 (multiply the data by a power of two, and x back)",
                ));
            }
        }
        if a.rows() < a.cols() {
            return Err(InputError::shape("a", &[a.rows(), a.cols()], format!("at least {} rows (one for each column)", a.cols())));
        }
        Ok(Problem { a, b, norm_a })
    }

    /// The matrix.
    pub fn a(&self) -> Matrix<'a> {
        self.a
    }

    /// The right-hand side.
    pub fn b(&self) -> &'a [f64] {
        self.b
    }

    /// `|A|_F`.
    pub fn norm_a(&self) -> f64 {
        self.norm_a
    }
}
