//! Loss, gradient and curvature at a point of the caller's.

use certus_contract::InputError;
use certus_numeric::{Array, ScaledValue, Seed};

use super::objective::Loss;
use super::pass::Point;
use super::problem::Problem;
use crate::Error;
use crate::bilinear::{Bilinear, require_shape, shaped_array};
use crate::{Sketch, SketchedHessian};

/// The loss and its derivatives at a point.
#[derive(Clone, Debug)]
pub struct Evaluation<'p, 'a> {
    /// The loss, regularisers included.
    pub loss: ScaledValue,
    /// The true derivatives are those here times e^log_scale; 0 unless an entry would overflow.
    pub log_scale: f64,
    /// The gradient, d1 x d2.
    pub gradient: Array,
    problem: &'p Problem<'a>,
    point: Point,
    factor: f64,
}

/// Entries of a Hessian, at most.
const LARGEST_HESSIAN: usize = 1 << 28;
/// Exponents within which derivatives are given as plain numbers.
const PLAIN: f64 = 600.0;

impl<'a> Problem<'a> {
    /// The loss without regularisers: on queries that were set aside, what a fit is worth there.
    ///
    /// # Errors
    /// As [`Problem::evaluate`].
    pub fn data_loss(&self, x: &Array) -> Result<ScaledValue, Error> {
        require_shape(x, "x", &self.scores.shape())?;
        let plain = Problem { scores: Bilinear { logit_reg: 0.0, ridge: 0.0, ..self.scores.clone() }, ..self.clone() };
        Ok(plain.point(x.as_slice(), false).ok_or_else(crate::layer::overflow)?.loss)
    }

    /// Loss and gradient at X. Cost: 2 n m d2 multiply-adds; memory beyond the inputs: a block of rows a thread.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where logits are not finite.
    pub fn evaluate(&self, x: &Array) -> Result<Evaluation<'_, 'a>, Error> {
        require_shape(x, "x", &self.scores.shape())?;
        self.evaluation(self.point_and_gradient(x.as_slice()))
    }

    /// As [`Problem::evaluate`]; keeps the attention for products that follow, where it is no more than 128 MB.
    ///
    /// # Errors
    /// As [`Problem::evaluate`].
    pub fn linearise(&self, x: &Array) -> Result<Evaluation<'_, 'a>, Error> {
        require_shape(x, "x", &self.scores.shape())?;
        let point = self.point(x.as_slice(), true);
        self.evaluation(point.map(|point| {
            let gradient = self.gradient(&point);
            (point, gradient)
        }))
    }

    fn evaluation(&self, found: Option<(Point, Vec<f64>)>) -> Result<Evaluation<'_, 'a>, Error> {
        let Some((point, gradient)) = found else { return Err(crate::layer::overflow()) };
        let (factor, log_scale) = if point.log_unit.abs() < PLAIN { (point.log_unit.exp(), 0.0) } else { (1.0, point.log_unit) };
        let gradient = gradient.into_iter().map(|g| factor * g).collect::<Vec<_>>();
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(crate::layer::overflow());
        }
        let gradient = shaped_array(self.scores.shape(), &gradient);
        Ok(Evaluation { loss: point.loss, log_scale, gradient, problem: self, point, factor })
    }
}

impl Evaluation<'_, '_> {
    /// A sketched Hessian, as the other derivatives are. Cost: that of the sketch, and at most 33 products with the Hessian.
    ///
    /// # Errors
    /// `NotRankOne` where the sketch needs weights of rank one; `TooLarge`; `NotPositiveDefinite`.
    pub fn sketched_hessian(&self, sketch: Sketch, seed: Seed) -> Result<SketchedHessian, Error> {
        let loss = Loss { problem: self.problem, start: 1.0.into() };
        let found = SketchedHessian::new(&loss, &self.problem.scores, &self.point, sketch, seed)?;
        Ok(SketchedHessian { hessian: found.hessian.map(|v| self.factor * v), ..found })
    }

    /// The product of the Hessian with a direction, over e^log_scale.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn hessian_times(&self, direction: &Array) -> Result<Array, Error> {
        let shape = self.problem.scores.shape();
        require_shape(direction, "direction-x", &shape)?;
        let product = self.problem.hessian_times(&self.point, direction.as_slice());
        if !product.iter().all(|v| (self.factor * v).is_finite()) {
            return Err(crate::layer::overflow());
        }
        Ok(shaped_array(shape, &product.into_iter().map(|v| self.factor * v).collect::<Vec<_>>()))
    }

    /// The Hessian, d1 d2 x d1 d2 in row-major order of X, over e^log_scale. Cost: n m d2² / 2 + n d1² d2² / 4 multiply-adds.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn hessian(&self) -> Result<Array, Error> {
        let d = self.problem.scores.of_x();
        if d * d > LARGEST_HESSIAN {
            return Err(InputError::too_large("hessian", format!("{d} x {d}"), format!("{LARGEST_HESSIAN} entries")).into());
        }
        let hessian = self.problem.hessian(&self.point);
        if !certus_linalg::view::is_finite(hessian.as_ref()) {
            return Err(crate::layer::overflow());
        }
        Ok(Array::from_fn(d, d, |i, j| self.factor * hessian[(i, j)]))
    }
}
