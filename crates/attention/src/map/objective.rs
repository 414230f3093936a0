//! The loss as a function of X, to be minimised.

use certus_linalg::Mat;
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::sum::norm2;

use super::pass::Point;
use super::problem::{Form, Problem, Sequence};
use crate::Error;
use crate::bilinear::add_regulariser;
use crate::layer::overflow;
use crate::mask::Mask;
use crate::newton_steps::Curved;
use crate::rank_one::RankOne;
use crate::sample::Sample;

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

    /// The curvature of the cross-entropy, which is that of all three forms up to a factor where the residuals are small.
    fn sampled(&self, point: &Point, sample: &Sample) -> Result<Mat<f64>, Error> {
        let problem = self.problem;
        let targets = problem.targets.iter().enumerate().map(|(s, target)| sample.of(s, target)).collect::<Vec<_>>();
        let sequences = sample.sequences().map(|s| {
            let sequence = Sequence::new(&sample.a1[s], problem.scores.sequences[s].heads[0].a2, &targets[s]);
            match &sample.masks[s] {
                Some(mask) => sequence.with_mask(Mask::Dense(mask)),
                None => sequence,
            }
        });
        let mut drawn = Problem::new(sequences.collect(), Form::Normalised)?.with_scale(problem.scores.scale)?;
        drawn.form = Form::CrossEntropy;
        for (inputs, s) in drawn.scores.sequences.iter_mut().zip(sample.sequences()) {
            inputs.weights = Some(sample.weights[s].clone());
        }
        let at = drawn.point(&point.x, true).ok_or_else(overflow)?;
        let mut hessian = drawn.hessian(&at);
        if problem.is_regularised() {
            add_regulariser(&mut hessian, &problem.scores, (-point.log_unit).exp());
        }
        Ok(hessian)
    }

    /// A row's factor is twice the variance of its keys' unit vectors, times its weight; for cross-entropy 1.
    fn rank_one(&self, point: &Point) -> RankOne {
        RankOne::new(&self.problem.scores, |k, scratch, weights| self.problem.spread_weights(point, k, scratch, weights))
    }
}
