//! Where steps come from: a quadratic model of the function and a rule that minimises it within a limit.

mod damped;
mod dense;
mod krylov;
mod lbfgs;

pub use damped::{DampedSystem, DenseSystem, LevenbergMarquardt};
pub use dense::Dense;
pub use krylov::{Curvature, Krylov};
pub use lbfgs::Lbfgs;

use certus_linalg::Error;

use crate::Objective;

/// A model of a function near a point, and its minimiser within a limit.
pub trait Model<O: Objective> {
    /// Takes in the curvature at a new point.
    ///
    /// # Errors
    /// What the linear algebra behind it refuses.
    fn update(&mut self, objective: &O, point: &O::Point, x: &[f64], gradient: &[f64]) -> Result<(), Error>;

    /// The minimiser of the model at the last point, within `radius` (infinite at first).
    ///
    /// # Errors
    /// What the linear algebra behind it refuses.
    fn step(&mut self, objective: &O, point: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error>;

    /// Whether the curvature at the last point is known to be negative in some direction.
    fn is_indefinite(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

/// A step that a model proposes.
#[derive(Clone, Debug)]
pub struct Step {
    /// The step, d numbers.
    pub step: Vec<f64>,
    /// By how much the model falls, in the unit of the gradient; 0 where it does not.
    pub decrease: f64,
    /// The length of the step, or what else the radius limits.
    pub length: f64,
    /// Whether the radius held it back.
    pub limited: bool,
}

/// `g · s`.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    certus_numeric::sum::norm2(a)
}
