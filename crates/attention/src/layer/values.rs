//! The best Y for an X: linear least squares.

use certus_linalg::factor::{Cholesky, SymmetricEigen, symmetric_eigen};
use certus_linalg::product::{Destination, gram};
use certus_linalg::view::rows_of;
use certus_linalg::{Error, Mat, MatMut};

use super::problem::Problem;
use crate::scores::product;

/// Pivots below this much of the largest entry of the diagonal are rounding.
const CLEAR: f64 = 1e-13;

/// `2 ZᵀZ` and the regulariser of Y, to be solved with: the curvature in Y is that, times the identity over the columns.
///
/// It is scaled to a diagonal of ones: columns of any size are told apart, and one that is small is not taken for rounding.
#[derive(Clone, Debug)]
pub(crate) struct ValuesSystem {
    /// Rows and columns times these make the diagonal 1; 0 where it is 0.
    scales: Vec<f64>,
    scaled: Scaled,
}

#[derive(Clone, Debug)]
enum Scaled {
    Factor(Cholesky),
    /// Singular: solved with minimum norm, what a column of the outputs gives being measured by its size.
    Pseudo(SymmetricEigen),
}

impl ValuesSystem {
    /// The matrix, from the outputs of the heads, `Z = F A3`, side by side, for each sequence.
    pub(crate) fn normal(problem: &Problem<'_>, z: &[Vec<f64>]) -> Mat<f64> {
        let width = problem.rows_of_y();
        let mut normal = Mat::<f64>::zeros(width, width);
        for (outputs, z) in problem.outputs.iter().zip(z) {
            normal += gram(rows_of(z, outputs.target.rows(), width));
        }
        normal *= 2.0;
        for (h, gram) in problem.gram3.iter().enumerate() {
            let first = h * problem.d3;
            for j in 0..problem.d3 {
                for i in 0..problem.d3 {
                    normal[(first + i, first + j)] += problem.logit_reg_y * gram[(i, j)];
                }
                normal[(first + j, first + j)] += problem.ridge_y;
            }
        }
        normal
    }

    /// As a system to be solved.
    pub(crate) fn new(problem: &Problem<'_>, z: &[Vec<f64>]) -> Result<Self, Error> {
        let normal = ValuesSystem::normal(problem, z);
        let width = normal.nrows();
        let scale = |diagonal: f64| if diagonal > 0.0 { 1.0 / diagonal.sqrt() } else { 0.0 };
        let scales = (0..width).map(|j| scale(normal[(j, j)])).collect::<Vec<_>>();
        let entry = |i: usize, j: usize| if i == j && scales[j] > 0.0 { 1.0 } else { normal[(i, j)] * scales[i] * scales[j] };
        let scaled = Mat::from_fn(width, width, entry);
        let clear = |factor: &Cholesky| (0..width).all(|j| factor.lower()[(j, j)].powi(2) > CLEAR * width as f64);
        let scaled = match Cholesky::new("the normal matrix of Y", scaled.as_ref()) {
            Ok(factor) if clear(&factor) => Scaled::Factor(factor),
            _ => Scaled::Pseudo(symmetric_eigen(scaled.as_ref())?),
        };
        Ok(ValuesSystem { scales, scaled })
    }

    /// K with `Kᵀ K` the inverse (of minimum norm, where the matrix is singular).
    pub(crate) fn half_inverse(&self) -> Mat<f64> {
        let width = self.scales.len();
        match &self.scaled {
            Scaled::Factor(factor) => {
                let lower = factor.inverse_lower();
                Mat::from_fn(width, width, |i, j| lower[(i, j)] * self.scales[j])
            }
            Scaled::Pseudo(eigen) => {
                let kept = (0..width).filter(|&k| is_direction(eigen, k)).collect::<Vec<_>>();
                Mat::from_fn(kept.len(), width, |k, j| eigen.vectors[(j, kept[k])] / eigen.values[kept[k]].sqrt() * self.scales[j])
            }
        }
    }

    pub(crate) fn is_singular(&self) -> bool {
        matches!(self.scaled, Scaled::Pseudo(_))
    }

    /// The solution for a right side of `dv` columns, row-major.
    pub(crate) fn solve(&self, right: &[f64], dv: usize) -> Vec<f64> {
        let width = self.scales.len();
        let scale = |rows: &mut [f64]| {
            rows.chunks_exact_mut(dv).zip(&self.scales).for_each(|(row, s)| row.iter_mut().for_each(|v| *v *= s));
        };
        let mut solution = right.to_vec();
        scale(&mut solution);
        match &self.scaled {
            Scaled::Factor(factor) => factor.solve_in_place(MatMut::from_row_major_slice_mut(&mut solution, width, dv)),
            Scaled::Pseudo(eigen) => {
                let mut along = vec![0.0; right.len()];
                product(&mut along, Destination::Replace, 1.0, eigen.vectors.transpose(), rows_of(&solution, width, dv));
                for (k, row) in along.chunks_exact_mut(dv).enumerate() {
                    let inverse = if is_direction(eigen, k) { 1.0 / eigen.values[k] } else { 0.0 };
                    row.iter_mut().for_each(|v| *v *= inverse);
                }
                product(&mut solution, Destination::Replace, 1.0, eigen.vectors.as_ref(), rows_of(&along, width, dv));
            }
        }
        scale(&mut solution);
        solution
    }
}

/// Whether the outputs see the direction of an eigenvalue.
fn is_direction(eigen: &SymmetricEigen, k: usize) -> bool {
    let largest = eigen.values.last().copied().unwrap_or(0.0);
    eigen.values[k] > CLEAR * eigen.values.len() as f64 * largest
}
