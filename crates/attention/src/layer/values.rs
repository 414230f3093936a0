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
#[derive(Clone, Debug)]
pub(crate) enum ValuesSystem {
    /// Of the matrix with a diagonal of ones: rows and columns times these. Columns of any size are then told apart.
    Factor(Cholesky, Vec<f64>),
    /// Singular: solved with minimum norm.
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
        let scales = (0..width).map(|j| 1.0 / normal[(j, j)].sqrt()).collect::<Vec<_>>();
        let scaled = Mat::from_fn(width, width, |i, j| if i == j { 1.0 } else { normal[(i, j)] * scales[i] * scales[j] });
        let clear = |factor: &Cholesky| {
            scales.iter().all(|s| s.is_finite()) && (0..width).all(|j| factor.lower()[(j, j)].powi(2) > CLEAR * width as f64)
        };
        match Cholesky::new("the normal matrix of Y", scaled.as_ref()) {
            Ok(factor) if clear(&factor) => Ok(ValuesSystem::Factor(factor, scales)),
            _ => Ok(ValuesSystem::Pseudo(symmetric_eigen(normal.as_ref())?)),
        }
    }

    /// K with `Kᵀ K` the inverse (of minimum norm, where the matrix is singular).
    pub(crate) fn half_inverse(&self) -> Mat<f64> {
        match self {
            ValuesSystem::Factor(factor, scales) => {
                let lower = factor.inverse_lower();
                Mat::from_fn(scales.len(), scales.len(), |i, j| lower[(i, j)] * scales[j])
            }
            ValuesSystem::Pseudo(eigen) => {
                let width = eigen.values.len();
                let largest = eigen.values.last().copied().unwrap_or(0.0);
                let kept = (0..width).filter(|&k| eigen.values[k] > CLEAR * width as f64 * largest).collect::<Vec<_>>();
                Mat::from_fn(kept.len(), width, |k, j| eigen.vectors[(j, kept[k])] / eigen.values[kept[k]].sqrt())
            }
        }
    }

    pub(crate) fn is_singular(&self) -> bool {
        matches!(self, ValuesSystem::Pseudo(_))
    }

    /// The solution for a right side of `dv` columns, row-major.
    pub(crate) fn solve(&self, right: &[f64], dv: usize) -> Vec<f64> {
        let width = right.len() / dv;
        let mut solution = right.to_vec();
        match self {
            ValuesSystem::Factor(factor, scales) => {
                let scale = |solution: &mut [f64]| {
                    solution.chunks_exact_mut(dv).zip(scales).for_each(|(row, s)| row.iter_mut().for_each(|v| *v *= s));
                };
                scale(&mut solution);
                factor.solve_in_place(MatMut::from_row_major_slice_mut(&mut solution, width, dv));
                scale(&mut solution);
            }
            ValuesSystem::Pseudo(eigen) => {
                let largest = eigen.values.last().copied().unwrap_or(0.0);
                let mut along = vec![0.0; right.len()];
                product(&mut along, Destination::Replace, 1.0, eigen.vectors.transpose(), rows_of(right, width, dv));
                for (row, value) in along.chunks_exact_mut(dv).zip(&eigen.values) {
                    let inverse = if *value > CLEAR * width as f64 * largest { 1.0 / value } else { 0.0 };
                    row.iter_mut().for_each(|v| *v *= inverse);
                }
                product(&mut solution, Destination::Replace, 1.0, eigen.vectors.as_ref(), rows_of(&along, width, dv));
            }
        }
        solution
    }
}
