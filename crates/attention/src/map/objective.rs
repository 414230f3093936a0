//! The loss as a function of X, to be minimised.

use certus_linalg::Mat;
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::sum::norm2;

use super::pass::Point;
use super::problem::Problem;
use crate::newton_steps::Curved;

/// The loss of a map problem.
pub(crate) struct Loss<'p, 'a> {
    pub(crate) problem: &'p Problem<'a>,
    /// The norm of the gradient at the start (at least 1), with the logarithm of its unit.
    pub(crate) start: ScaledValue,
}

impl Objective for Loss<'_, '_> {
    type Point = Point;

    fn dimension(&self) -> usize {
        self.problem.scores.of_x()
    }

    fn point(&self, x: &[f64]) -> Option<Point> {
        self.problem.point(x, true)
    }

    fn loss(&self, point: &Point) -> ScaledValue {
        point.loss
    }

    fn log_unit(&self, point: &Point) -> f64 {
        point.log_unit
    }

    fn gradient(&self, point: &Point) -> Vec<f64> {
        self.problem.gradient(point)
    }

    fn is_flat(&self, point: &Point, gradient: &[f64], tolerance: f64) -> bool {
        ScaledValue::new(norm2(gradient), point.log_unit).ratio(self.start) <= tolerance
    }
}

impl Curved for Loss<'_, '_> {
    fn hessian_times(&self, point: &Point, v: &[f64]) -> Vec<f64> {
        self.problem.hessian_times(point, v)
    }

    fn hessian(&self, point: &Point) -> Mat<f64> {
        self.problem.hessian(point)
    }
}
