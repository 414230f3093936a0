//! Loss, gradient and Hessian at a point of the caller's.

use certus_newton::Objective;
use certus_numeric::sum::norm2;
use certus_numeric::{Array, ScaledValue};

use crate::Error;
use crate::objective::{Loss, no_loss};
use crate::point::{Point, RowDerivatives};
use crate::problem::Problem;

/// The loss and its derivatives at a point.
#[derive(Clone, Debug)]
pub struct Evaluation<'p, 'a> {
    /// The loss.
    pub loss: ScaledValue,
    /// The true derivatives are those here times e^log_scale; 0 unless an entry would overflow.
    pub log_scale: f64,
    /// The gradient, d numbers.
    pub gradient: Vec<f64>,
    problem: &'p Problem<'a>,
    pub(crate) point: Point,
    factor: f64,
}

impl<'p, 'a> Evaluation<'p, 'a> {
    pub(crate) fn new(problem: &'p Problem<'a>, point: Point) -> Self {
        let loss = Loss::new(problem, &[]);
        let mut gradient = loss.gradient(&point);
        let unit = loss.log_unit(&point);
        let largest = point.rows.h.iter().chain(&gradient).fold(f64::MIN_POSITIVE, |largest: f64, v| largest.max(v.abs()));
        // As plain numbers wherever they all have room.
        let fits = unit + largest.ln() + 2.0 * norm2(problem.a().values()).max(1.0).ln() < 700.0;
        let (factor, log_scale) = if fits { (unit.exp(), 0.0) } else { (1.0, unit) };
        gradient.iter_mut().for_each(|g| *g *= factor);
        Evaluation { loss: point.loss(), log_scale, gradient, problem, point, factor }
    }

    /// The Hessian, d x d. Cost: one Gram matrix.
    pub fn hessian(&self) -> Array {
        let hessian = Loss::new(self.problem, &[]).hessian(&self.point);
        Array::from_fn(hessian.nrows(), hessian.ncols(), |i, j| self.factor * hessian[(i, j)])
    }

    /// The derivatives with respect to Ax, times e^log_scale: n numbers each.
    pub fn row_derivatives(&self) -> &RowDerivatives {
        &self.point.rows
    }
}

impl<'a> Problem<'a> {
    /// Loss and derivatives at x. Cost: two passes over A.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `ZeroNormaliser` where the normalised form has no value; `InvalidParameter` where Ax is not
    /// finite.
    pub fn evaluate(&self, x: &[f64]) -> Result<Evaluation<'_, 'a>, Error> {
        self.require_point("x", x)?;
        let mut point = Loss::new(self, &[]).evaluate(x).map_err(|reason| no_loss(x, reason))?;
        Loss::new(self, &[]).differentiate(&mut point);
        Ok(Evaluation::new(self, point))
    }
}
