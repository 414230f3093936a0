//! The curvature in X and Y together, from that of its blocks: for one head.

use certus_linalg::factor::{Cholesky, symmetric_eigenvalues};
use certus_linalg::product::matvec;
use certus_linalg::solve::{lanczos_extremes, lanczos_smallest};
use certus_linalg::{Error, Mat};
use certus_numeric::Seed;
use certus_numeric::sum::norm2;

use super::pass::{Curvature, Point};
use super::problem::Problem;
use super::values::ValuesSystem;

/// Least eigenvalues of the Hessian in X and Y and of its blocks, and the norm of the mixed one: estimates, by Lanczos' method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointCurvature {
    /// Of the block in X, from below.
    pub scores: f64,
    /// Of the block in Y, from below.
    pub values: f64,
    /// The norm of the mixed block, from above.
    pub mixed: f64,
    /// Of what is left of the block in X at the best Y, the Schur complement, from below.
    pub reduced: f64,
    /// Of the whole, from above.
    pub together: f64,
}

impl JointCurvature {
    /// The least eigenvalue of the whole is at least this: `(a1 + a3) / 2 - sqrt(((a1 - a3) / 2)² + a2²)` for least eigenvalues a1 and a3
    /// of the blocks and a norm a2 of the mixed one.
    pub fn by_blocks(&self) -> f64 {
        0.5 * (self.scores + self.values) - (0.5 * (self.scores - self.values)).hypot(self.mixed)
    }
}

/// The most numbers in X and Y for which the Hessian is formed.
const FORMED: usize = 4096;
const STEPS: usize = 96;
const ACCURACY: f64 = 1e-3;

/// The least eigenvalue, from below and from above: by its inverse where the matrix is positive definite.
fn least_eigenvalue(a: &Mat<f64>) -> Result<(f64, f64), Error> {
    let d = a.nrows();
    let trace = (0..d).map(|j| a[(j, j)].abs()).sum::<f64>();
    let rounding = (d + 64) as f64 * f64::EPSILON * trace;
    if let Ok(factor) = Cholesky::new("a block of the Hessian", a.as_ref()) {
        let inverse = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&factor.solve(x)));
        let found = lanczos_extremes(&inverse, ACCURACY, STEPS, Seed(0))?;
        return Ok((1.0 / (found.largest + found.largest_error) - rounding, 1.0 / found.largest + rounding));
    }
    let operator = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&matvec(a.as_ref(), x)));
    let found = lanczos_smallest(&operator, ACCURACY, STEPS, Seed(0))?;
    Ok((found.smallest - found.smallest_error - rounding, found.smallest + rounding))
}

impl Problem<'_> {
    /// The curvature in X and Y together at a point; `None` where its matrix is too large.
    ///
    /// Cost: that of the Hessian, and (d1 d2 + d3 dv)³ / 6 multiply-adds.
    pub(crate) fn joint_curvature(&self, point: &Point) -> Result<Option<JointCurvature>, Error> {
        let (of_x, of_y, dv) = (self.scores.of_x(), self.of_y(), self.dv);
        if self.scores.heads > 1 || of_x + of_y > FORMED {
            return Ok(None);
        }
        let blocks = self.block_hessian(point, Curvature::Exact, true);
        let of_values = symmetric_eigenvalues(blocks.yy.as_ref())?;
        let rounding = (self.queries() + 32 * self.d3 + 64) as f64 * f64::EPSILON * of_values.iter().map(|v| v.abs()).sum::<f64>();
        let (_, together) = least_eigenvalue(&blocks.joint(dv))?;
        let (scores, _) = least_eigenvalue(&blocks.xx)?;
        let reduced = blocks.reduced(&ValuesSystem::new(self, &point.z)?.half_inverse(), dv);
        let (reduced, _) = least_eigenvalue(&reduced)?;
        let mixed = norm2(&blocks.xy) * (1.0 + (of_x + of_y) as f64 * f64::EPSILON);
        Ok(Some(JointCurvature { scores, values: of_values[0] - rounding, mixed, reduced, together }))
    }
}
