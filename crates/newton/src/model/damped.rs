//! Levenberg-Marquardt: the damping takes the part of the radius.

use certus_linalg::factor::Cholesky;
use certus_linalg::{Error, Mat};

use super::{Model, Step, dot};
use crate::Objective;

/// A positive semidefinite curvature B with a metric M, and solutions with `B + damping M`.
pub trait DampedSystem<O: Objective> {
    /// Prepares for a new point.
    ///
    /// # Errors
    /// What the linear algebra behind it refuses.
    fn update(&mut self, objective: &O, point: &O::Point, gradient: &[f64]) -> Result<(), Error>;

    /// `(B + damping M)⁻¹ g`.
    ///
    /// # Errors
    /// What the linear algebra behind it refuses.
    fn solve(&mut self, objective: &O, point: &O::Point, gradient: &[f64], damping: f64) -> Result<Vec<f64>, Error>;

    /// `B s`, in the unit of the gradient.
    fn times(&self, objective: &O, point: &O::Point, s: &[f64]) -> Vec<f64>;
}

/// Steps `-(B + damping M)⁻¹ g` with `damping = unit / radius`, the unit at the first point being that given.
///
/// Source: Moré, The Levenberg-Marquardt algorithm: implementation and theory, 1978.
pub struct LevenbergMarquardt<S> {
    system: S,
    /// The damping at radius 1.
    unit: f64,
}

impl<S> LevenbergMarquardt<S> {
    /// From a system, and the damping at radius 1 (an infinite radius is no damping).
    pub fn new(system: S, unit: f64) -> Self {
        LevenbergMarquardt { system, unit }
    }

    /// The system.
    pub fn system(&self) -> &S {
        &self.system
    }
}

impl<O: Objective, S: DampedSystem<O>> Model<O> for LevenbergMarquardt<S> {
    fn update(&mut self, objective: &O, point: &O::Point, _: &[f64], gradient: &[f64]) -> Result<(), Error> {
        self.system.update(objective, point, gradient)
    }

    fn step(&mut self, objective: &O, point: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error> {
        // An undamped system may be singular: then the first damping is that of radius 1.
        let undamped = if radius.is_finite() { None } else { self.system.solve(objective, point, gradient, 0.0).ok() };
        let (mut step, limit) = match undamped {
            Some(step) => (step, f64::INFINITY),
            None => {
                let limit = if radius.is_finite() { radius } else { 1.0 };
                (self.system.solve(objective, point, gradient, self.unit / limit)?, limit)
            }
        };
        step.iter_mut().for_each(|s| *s = -*s);
        let decrease = -dot(gradient, &step) - 0.5 * dot(&step, &self.system.times(objective, point, &step));
        let length = if limit.is_finite() { limit } else { 1.0 };
        Ok(Step { step, decrease: decrease.max(0.0), length, limited: limit.is_finite() })
    }
}

/// A dense B and M.
pub struct DenseSystem<F> {
    curvature: F,
    metric: Vec<f64>,
    b: Mat<f64>,
}

impl<F> DenseSystem<F> {
    /// From a function `(objective, point)` that gives the d x d matrix B, and the diagonal of M.
    pub fn new(metric: Vec<f64>, curvature: F) -> Self {
        DenseSystem { curvature, metric, b: Mat::zeros(0, 0) }
    }
}

impl<O, F> DampedSystem<O> for DenseSystem<F>
where
    O: Objective,
    F: FnMut(&O, &O::Point) -> Result<Mat<f64>, Error>,
{
    fn update(&mut self, objective: &O, point: &O::Point, _: &[f64]) -> Result<(), Error> {
        self.b = (self.curvature)(objective, point)?;
        Ok(())
    }

    fn solve(&mut self, _: &O, _: &O::Point, gradient: &[f64], damping: f64) -> Result<Vec<f64>, Error> {
        let mut damped = self.b.clone();
        self.metric.iter().enumerate().for_each(|(i, m)| damped[(i, i)] += damping * m);
        Ok(Cholesky::new("the damped curvature", damped.as_ref())?.solve(gradient))
    }

    fn times(&self, _: &O, _: &O::Point, s: &[f64]) -> Vec<f64> {
        certus_linalg::product::matvec(self.b.as_ref(), s)
    }
}
