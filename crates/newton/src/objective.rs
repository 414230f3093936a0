//! What is minimised.

use certus_numeric::ScaledValue;
use certus_numeric::sum::max_abs;

/// A smooth function of d numbers.
///
/// Its derivatives at a point are given in a unit, `e^log_unit`, so that they stay finite where the function itself is beyond the
/// range of `f64`. A Newton step does not depend on the unit.
pub trait Objective {
    /// What is kept of a point that was evaluated: all that the gradient and the curvature there need.
    type Point;

    /// The number of variables, d.
    fn dimension(&self) -> usize;

    /// Evaluates the function at x. `None` where it is not finite: the step that led there is refused.
    fn point(&self, x: &[f64]) -> Option<Self::Point>;

    /// The same in the memory of a point that is no longer needed. Default: in its own.
    fn point_in(&self, x: &[f64], _spare: Self::Point) -> Option<Self::Point> {
        self.point(x)
    }

    /// The value.
    fn loss(&self, point: &Self::Point) -> ScaledValue;

    /// The logarithm of the unit of the gradient and of the curvature at this point. Default 0.
    fn log_unit(&self, _point: &Self::Point) -> f64 {
        0.0
    }

    /// The gradient, d numbers, divided by the unit.
    fn gradient(&self, point: &Self::Point) -> Vec<f64>;

    /// Whether a gradient counts as zero. Default: its largest entry is at most `tolerance`.
    fn is_flat(&self, _point: &Self::Point, gradient: &[f64], tolerance: f64) -> bool {
        max_abs(gradient) <= tolerance
    }

    /// The part of a step, above 0 and at most 1, within which a quadratic model can be meant seriously. Default 1.
    fn trusted_part(&self, _point: &Self::Point, _step: &[f64]) -> f64 {
        1.0
    }
}
