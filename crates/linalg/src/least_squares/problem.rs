//! The data, validated once.

use certus_contract::{InputError, require_finite, require_length};
use certus_numeric::sum::max_abs;

use crate::matrix::Matrix;

/// `min |A x - b|` for a validated matrix A (n x d, n >= d >= 1) and a right-hand side b (n), both finite.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    a: Matrix<'a>,
    b: &'a [f64],
}

impl<'a> Problem<'a> {
    /// Validates the data. Cost: one pass over it.
    ///
    /// # Errors
    /// `EmptyProblem`, `DimensionMismatch` (also for a matrix that is wider than tall), `NonFinite`, `InvalidParameter` for data
    /// whose largest entry is not within 1e-100 and 1e100 (squares would overflow or vanish).
    pub fn new(a: impl Into<Matrix<'a>>, b: &'a [f64]) -> Result<Self, InputError> {
        let a = a.into();
        a.validate("a")?;
        require_length("b", b.len(), a.rows(), "the rows of a")?;
        require_finite("b", &[b.len()], b)?;
        if a.rows() < a.cols() {
            return Err(InputError::shape("a", &[a.rows(), a.cols()], format!("at least {} rows (one for each column)", a.cols())));
        }
        for (name, values) in [("a", a.values()), ("b", b)] {
            let largest = max_abs(values);
            if largest != 0.0 && !(1e-100..=1e100).contains(&largest) {
                return Err(InputError::parameter(
                    format!("largest entry of {name}"),
                    format!("{largest:e}"),
                    "within 1e-100 and 1e100 (multiply the data by a power of two, and x back)",
                ));
            }
        }
        Ok(Problem { a, b })
    }

    /// The matrix.
    pub fn a(&self) -> Matrix<'a> {
        self.a
    }

    /// The right-hand side.
    pub fn b(&self) -> &'a [f64] {
        self.b
    }
}
