//! How the Hessian enters a step: formed, sampled, or only applied; and what forming it costs.

use certus_linalg::{Error, Matrix};
use certus_newton::model::Curvature;

use crate::objective::Loss;
use crate::point::Point;

/// How the Hessian enters a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hessian {
    /// By the sizes.
    #[default]
    Auto,
    /// As a d x d matrix.
    Exact,
    /// As a d x d matrix of rows sampled by leverage, anew at each point: [`Sampling`](crate::Sampling).
    Sampled,
    /// As a product with a vector, preconditioned.
    MatrixFree,
}

impl Hessian {
    /// The name of the choice: `auto`, `exact`, `sampled`, `matrix-free`.
    pub fn name(self) -> &'static str {
        match self {
            Hessian::Auto => "auto",
            Hessian::Exact => "exact",
            Hessian::Sampled => "sampled",
            Hessian::MatrixFree => "matrix-free",
        }
    }
}

/// What forming and factoring `Aᵀ diag(h) A` costs, in passes over A. Dense: flops at the speed of the multipliers, twenty to one of
/// memory. Sparse: additions in cache, or beyond it. The factorisations, of d³ flops, count by the same speed.
pub(crate) fn gram_in_passes(a: Matrix<'_>) -> f64 {
    let d = a.cols() as f64;
    let factors = d * d * d / (20.0 * a.stored().max(1) as f64);
    let gram = match a {
        Matrix::Dense(_) => d / 20.0,
        Matrix::Sparse(s) => {
            let pairs = s.indptr().windows(2).map(|row| (row[1] - row[0]) * (row[1] - row[0] + 1) / 2).sum::<usize>() as f64;
            let in_cache = d * d <= (1 << 16) as f64;
            pairs / (s.nnz().max(1) as f64) * if in_cache { 0.5 } else { 1.5 }
        }
    };
    gram + factors
}

/// The Hessian as a product, with the inverse of its positive diagonal as preconditioner.
#[derive(Default)]
pub(crate) struct Diagonal {
    inverse: Vec<f64>,
}

impl Curvature<Loss<'_, '_>> for Diagonal {
    fn update(&mut self, loss: &Loss<'_, '_>, point: &Point, _: &[f64]) -> Result<(), Error> {
        let positive = point.rows.h.iter().map(|h| h.max(0.0)).collect::<Vec<_>>();
        let ridge = loss.ridge(point);
        let diagonal = loss.problem.a().column_squares(Some(&positive));
        let largest = diagonal.iter().fold(f64::MIN_POSITIVE, |largest: f64, v| largest.max(*v));
        self.inverse = diagonal.into_iter().map(|v| 1.0 / (v + ridge).max(1e-14 * largest)).collect();
        Ok(())
    }

    fn times(&self, loss: &Loss<'_, '_>, point: &Point, v: &[f64]) -> Vec<f64> {
        loss.hessian_times(point, v)
    }

    fn precondition(&self, r: &[f64]) -> Vec<f64> {
        r.iter().zip(&self.inverse).map(|(r, inverse)| r * inverse).collect()
    }
}
