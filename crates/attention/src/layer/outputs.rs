//! What the heads give: outputs, their error, and what each head is worth.

use certus_linalg::factor::Cholesky;
use certus_linalg::view::rows_of;
use certus_linalg::{Mat, MatMut};
use certus_numeric::Array;
use certus_numeric::sum::par_dot;

use super::evaluation::overflow;
use super::problem::{Params, Problem};
use super::values::ValuesSystem;
use crate::Error;
use crate::bilinear::require_shape;

impl<'a> Problem<'a> {
    /// The summed outputs of the heads, n x dv for each sequence. Cost: n m (d2 + d3) multiply-adds.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where they are not finite.
    pub fn outputs(&self, at: &Params) -> Result<Vec<Array>, Error> {
        self.require(at, ["x", "y"])?;
        let point = self.point(at.x.as_slice(), Some(at.y.as_slice()), false)?.ok_or_else(overflow)?;
        let add = |(c, s): (&Vec<f64>, &super::problem::Outputs<'_>)| {
            let b = s.target;
            Array::from_fn(b.rows(), b.cols(), |i, j| c[i * b.cols() + j] + b.row(i)[j])
        };
        Ok(point.c.iter().zip(&self.outputs).map(add).collect())
    }

    /// The sum of squared errors of the outputs, without regularisers.
    ///
    /// # Errors
    /// As [`Problem::outputs`].
    pub fn data_loss(&self, at: &Params) -> Result<f64, Error> {
        self.require(at, ["x", "y"])?;
        let point = self.point(at.x.as_slice(), Some(at.y.as_slice()), false)?.ok_or_else(overflow)?;
        Ok(point.c.iter().map(|c| par_dot(c, c)).sum())
    }

    /// The targets of the sequences.
    pub fn targets(&self) -> impl Iterator<Item = &'a Array> + '_ {
        self.outputs.iter().map(|s| s.target)
    }

    /// For each head by how much the loss grows if it is dropped (its Y is zero) and the Y of the others are fitted anew, at this X.
    ///
    /// With W the curvature in Y of all heads and Y the best for all, that is `½ tr(Y_hᵀ ((W⁻¹)_hh)⁻¹ Y_h)`: one factorisation serves all.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `NotPositiveDefinite` where the outputs of the heads depend on each other.
    pub fn head_drop_cost(&self, x: &Array) -> Result<Vec<f64>, Error> {
        require_shape(x, "x", &self.scores.shape())?;
        let point = self.point(x.as_slice(), None, false)?.ok_or_else(overflow)?;
        let (d3, dv) = (self.d3, self.dv);
        let normal = ValuesSystem::normal(self, &point.z);
        let inverse = Cholesky::new("the normal matrix of Y", normal.as_ref())?.inverse();
        let cost = |h: usize| -> Result<f64, Error> {
            let block = Mat::from_fn(d3, d3, |i, j| inverse[(h * d3 + i, h * d3 + j)]);
            let y = &point.y[h * d3 * dv..(h + 1) * d3 * dv];
            let mut solved = y.to_vec();
            Cholesky::new("a block of its inverse", block.as_ref())?.solve_in_place(MatMut::from_row_major_slice_mut(&mut solved, d3, dv));
            Ok(0.5 * rows_of(y, d3 * dv, 1).col(0).iter().zip(&solved).map(|(a, b)| a * b).sum::<f64>())
        };
        (0..self.scores.heads).map(cost).collect()
    }
}
