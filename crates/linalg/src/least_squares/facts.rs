//! What is measured of an answer.

use certus_numeric::sum::norm2;

use super::problem::Problem;
use crate::operator::LinearOperator;
use crate::sketch::EmbeddingBound;

/// Everything measured of one solve. The certificate is derived from it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Rows of A.
    pub rows: usize,
    /// Columns of A.
    pub cols: usize,
    /// Directions of x that the data see, as far as was determined.
    pub rank: usize,
    /// Rows of the sketch; 0 without one.
    pub sketch_rows: usize,
    /// Passes over A by LSMR.
    pub iterations: usize,
    /// Whether the backward error reached the tolerance.
    pub converged: bool,
    /// The tolerance asked for.
    pub tolerance: f64,
    /// `|b - A x|`.
    pub residual: f64,
    /// `|Aᵀ (b - A x)|`.
    pub gradient: f64,
    /// The least of [`backward_error`]'s bounds and, under a triangular factor, `sqrt 2 |(AᵀA)^(-1/2) Aᵀ r| / (|A|_F |x|)`, which
    /// is at least Karlson and Waldén's estimate of the optimal backward error times the most by which that can be too small
    /// (Karlson, Waldén, BIT 37, 1997; Gratton, Jiránek, Titley-Peloux, SIAM J. Matrix Anal. 33, 2012).
    pub backward_error: f64,
    /// `|A|_F`.
    pub norm_a: f64,
    /// `|x|`.
    pub norm_x: f64,
    /// Extreme singular values of the preconditioned matrix `A P`, smallest first.
    pub preconditioned: Option<(f64, f64)>,
    /// Whether these bound the spectrum (from the whole matrix, or from the factor of A itself: true) or come from LSMR's
    /// bidiagonal, from inside (false).
    pub preconditioned_exact: bool,
    /// Distortion of the sketch on the column space of A: the largest `|σ² - 1|` over the singular values σ of `A P`, inverted
    /// so that it speaks of `S` on A.
    pub distortion: Option<f64>,
    /// What theory promises of the distortion, at failure probability 0.01.
    pub embedding: Option<EmbeddingBound>,
    /// A bound on `|x - x*| / |x*|` from the gradient, the preconditioner and rounding; `None` where nothing can be said.
    pub forward_bound: Option<f64>,
    /// `|x - x*| / |x*|` with x* by further refinement (with full certification).
    pub forward_error: Option<f64>,
    /// The factor by which LSMR's preconditioned gradient fell, and over how many iterations, in its first run.
    pub contraction: Option<(f64, usize)>,
    /// The reciprocal condition number of P times that of `A P`: a lower bound of that of A on the directions kept, as far as the
    /// spectrum of `A P` is known.
    pub reciprocal_condition: f64,
}

/// The relative size of a change of A for which x is an exact least-squares solution: an upper bound of the optimal backward
/// error, `min(|Aᵀ r| / |r|, |r| / |x|) / |A|_F` with r = b - A x, from the changes `-r (rᵀ A) / |r|²` and `r xᵀ / |x|²`.
/// 0 where the gradient is zero. Cost: one pass over A.
///
/// For an ill-conditioned A with a large x the true backward error can be far smaller: the solver, which has a factor of A, uses
/// Karlson and Waldén's estimate too (see [`Facts::backward_error`]).
///
/// Source: Stewart, Research, development and LINPACK (1977); Higham, Accuracy and Stability, 2002, section 20.7.
///
/// ```
/// use certus_linalg::least_squares::{Problem, backward_error};
/// use certus_numeric::Array;
/// let a = Array::matrix(3, 1, vec![1.0, 1.0, 1.0])?;
/// let b = [1.0, 2.0, 6.0];
/// assert!(backward_error(&Problem::new(&a, &b)?, &[3.0]) < 1e-15);
/// assert!(backward_error(&Problem::new(&a, &b)?, &[2.9]) > 1e-3);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
///
/// # Panics
/// If `x` has not as many entries as A has columns.
pub fn backward_error(problem: &Problem<'_>, x: &[f64]) -> f64 {
    let (residual, gradient) = residual_and_gradient(problem, x);
    relative_backward_error(norm2(&residual), norm2(&gradient), norm2(x), problem.norm_a())
}

/// `A x - b` and `Aᵀ (A x - b)`, in one pass.
pub(super) fn residual_and_gradient(problem: &Problem<'_>, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut residual, mut gradient) = (problem.b().to_vec(), vec![0.0; x.len()]);
    problem.a().bidiagonal_step(x, 1.0, &mut residual, &mut gradient);
    (residual, gradient)
}

/// The bounds by Stewart's two changes of A.
pub(super) fn relative_backward_error(residual: f64, gradient: f64, norm_x: f64, norm_a: f64) -> f64 {
    if gradient == 0.0 || norm_a == 0.0 {
        return 0.0;
    }
    let by_gradient = gradient / residual;
    let by_residual = if norm_x > 0.0 { residual / norm_x } else { f64::INFINITY };
    by_gradient.min(by_residual) / norm_a
}
