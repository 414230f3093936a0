//! Cholesky factorisation of a symmetric positive definite matrix.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltParams, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, MatMut, MatRef, Par, Spec};

use super::{Triangle, solve_triangular};
use crate::error::Error;

/// `A = L Lᵀ` for a symmetric positive definite `A` of order d. Cost: d³/3 flops.
#[derive(Clone, Debug)]
pub struct Cholesky {
    lower: Mat<f64>,
}

impl Cholesky {
    /// Factors `a`; only its lower triangle is read. `name` is what an error calls it.
    ///
    /// # Errors
    /// `NotPositiveDefinite` with the row at which it failed; `NonFiniteMatrix`.
    ///
    /// # Panics
    /// If `a` is not square.
    pub fn new(name: &str, a: MatRef<'_, f64>) -> Result<Self, Error> {
        Cholesky::in_place(name, Mat::from_fn(a.nrows(), a.ncols(), |i, j| if i >= j { a[(i, j)] } else { 0.0 }))
    }

    /// As [`Cholesky::new`], in the memory of the matrix.
    ///
    /// # Errors
    /// As [`Cholesky::new`].
    ///
    /// # Panics
    /// If the matrix is not square.
    pub fn in_place(name: &str, mut lower: Mat<f64>) -> Result<Self, Error> {
        assert_eq!(lower.nrows(), lower.ncols(), "a Cholesky factorisation needs a square matrix");
        let d = lower.nrows();
        super::require_finite("Cholesky factorisation", lower.as_ref())?;
        if d <= SMALL {
            for j in 0..d {
                lower.col_mut(j).subrows_mut(0, j).fill(0.0);
            }
            return match factor_by_columns(&mut lower) {
                Ok(()) => Ok(Cholesky { lower }),
                Err(row) => Err(Error::NotPositiveDefinite { matrix: name.to_owned(), row }),
            };
        }
        let params = Spec::<LltParams, f64>::default();
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(d, Par::Seq, params));
        cholesky_in_place(lower.as_mut(), Default::default(), Par::Seq, MemStack::new(&mut memory), params).map_err(
            |faer::linalg::cholesky::llt::factor::LltError::NonPositivePivot { index }| Error::NotPositiveDefinite {
                matrix: name.to_owned(),
                row: index,
            },
        )?;
        // The factorisation may use the upper triangle as workspace.
        for j in 0..d {
            lower.col_mut(j).subrows_mut(0, j).fill(0.0);
        }
        Ok(Cholesky { lower })
    }

    /// The lower triangular factor `L`.
    pub fn lower(&self) -> MatRef<'_, f64> {
        self.lower.as_ref()
    }

    /// Replaces `b` by `A⁻¹ b`, for any number of right-hand sides. Cost: 2 d² flops each.
    pub fn solve_in_place(&self, mut b: MatMut<'_, f64>) {
        solve_triangular(Triangle::Lower, self.lower(), b.as_mut());
        solve_triangular(Triangle::Upper, self.lower().transpose(), b);
    }

    /// `A⁻¹ b`.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        super::solve_triangular_vec(Triangle::Lower, self.lower(), &mut x);
        super::solve_triangular_vec(Triangle::Upper, self.lower().transpose(), &mut x);
        x
    }

    /// `L⁻¹`. Cost: d³/3 flops.
    pub fn inverse_lower(&self) -> Mat<f64> {
        let d = self.lower.nrows();
        let mut inverse = Mat::zeros(d, d);
        if d <= SMALL {
            for j in 0..d {
                inverse[(j, j)] = 1.0 / self.lower[(j, j)];
                for i in j + 1..d {
                    let sum = (j..i).fold(0.0, |sum, k| sum + self.lower[(i, k)] * inverse[(k, j)]);
                    inverse[(i, j)] = -sum / self.lower[(i, i)];
                }
            }
            return inverse;
        }
        invert_lower_triangular(inverse.as_mut(), self.lower(), Par::Seq);
        inverse
    }

    /// The inverse of `A`.
    pub fn inverse(&self) -> Mat<f64> {
        let mut inverse = Mat::identity(self.lower.nrows(), self.lower.nrows());
        self.solve_in_place(inverse.as_mut());
        inverse
    }

    /// The natural logarithm of the determinant of `A`.
    pub fn log_determinant(&self) -> f64 {
        2.0 * (0..self.lower.nrows()).map(|i| self.lower[(i, i)].ln()).sum::<f64>()
    }
}

/// Order up to which plain loops are the faster way.
const SMALL: usize = 16;

/// Replaces the lower triangle by its factor; or the row at which it fails.
fn factor_by_columns(a: &mut Mat<f64>) -> Result<(), usize> {
    let d = a.nrows();
    for j in 0..d {
        let pivot = (0..j).fold(a[(j, j)], |pivot, k| pivot - a[(j, k)] * a[(j, k)]);
        if pivot.is_nan() || pivot <= 0.0 {
            return Err(j);
        }
        let root = pivot.sqrt();
        a[(j, j)] = root;
        for i in j + 1..d {
            a[(i, j)] = (0..j).fold(a[(i, j)], |entry, k| entry - a[(i, k)] * a[(j, k)]) / root;
        }
    }
    Ok(())
}
