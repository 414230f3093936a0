//! The loss as a function to be minimised: of X with the best Y for it, of X alone, or of both.

use certus_linalg::Mat;
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::sum::norm2;

use super::pass::{Curvature, Point};
use super::problem::{Problem, Sequence};
use crate::Error;
use crate::bilinear::add_regulariser;
use crate::mask::Mask;
use crate::newton_steps::Curved;
use crate::rank_one::RankOne;
use crate::sample::Sample;

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Over<'y> {
    /// X, with the best Y for each.
    Scores,
    /// X, with this Y.
    ScoresAt(&'y [f64]),
    /// X and Y, one after the other in one vector.
    Both,
}

/// The loss of a layer.
pub(crate) struct Loss<'p, 'a> {
    pub(crate) problem: &'p Problem<'a>,
    pub(crate) over: Over<'p>,
    /// The norm of the gradient at the start, if above 1.
    pub(crate) unit: f64,
}

impl Objective for Loss<'_, '_> {
    type Point = Point;

    fn dimension(&self) -> usize {
        self.problem.scores.of_x() + if self.over == Over::Both { self.problem.of_y() } else { 0 }
    }

    fn point(&self, x: &[f64]) -> Option<Point> {
        let (x, y) = match self.over {
            Over::Scores => (x, None),
            Over::ScoresAt(y) => (x, Some(y)),
            Over::Both => {
                let (x, y) = x.split_at(self.problem.scores.of_x());
                (x, Some(y))
            }
        };
        self.problem.point(x, y, true).ok().flatten()
    }

    fn loss(&self, point: &Point) -> ScaledValue {
        point.loss.into()
    }

    fn gradient(&self, point: &Point) -> Vec<f64> {
        let mut gradient = self.problem.gradient_x(point);
        if self.over == Over::Both {
            gradient.extend(self.problem.gradient_y(point));
        }
        gradient
    }

    fn is_flat(&self, point: &Point, gradient: &[f64], tolerance: f64) -> bool {
        // At the best Y its gradient is rounding: or what a nearly singular least-squares problem leaves.
        let of_y = if self.over == Over::Scores { norm2(&self.problem.gradient_y(point)) } else { 0.0 };
        norm2(gradient).hypot(of_y) <= tolerance * self.unit
    }
}

impl Curved for Loss<'_, '_> {
    /// With the best Y, that of the reduced loss.
    fn hessian_times(&self, point: &Point, v: &[f64]) -> Vec<f64> {
        let (problem, exact) = (self.problem, Curvature::Exact);
        let Some(values) = &point.values else { return problem.hessian_times(point, v, None, exact).0 };
        let mut along = values.solve(&problem.cross(point, v, exact), problem.dv);
        along.iter_mut().for_each(|w| *w = -*w);
        problem.hessian_times(point, v, Some(&along), exact).0
    }

    fn hessian(&self, point: &Point) -> Mat<f64> {
        let blocks = self.problem.block_hessian(point, Curvature::Exact, point.values.is_some());
        match &point.values {
            Some(values) => blocks.reduced(&values.half_inverse(), self.problem.dv),
            None => blocks.xx,
        }
    }

    fn sampled(&self, point: &Point, sample: &Sample) -> Result<Mat<f64>, Error> {
        let problem = self.problem;
        let targets = problem.outputs.iter().enumerate().map(|(s, outputs)| sample.of(s, outputs.target)).collect::<Vec<_>>();
        let sequences = sample.sequences().map(|s| {
            let sequence = Sequence::new(&sample.a1[s], problem.scores.sequences[s].heads[0].a2, problem.outputs[s].values[0], &targets[s]);
            match &sample.masks[s] {
                Some(mask) => sequence.with_mask(Mask::Dense(mask)),
                None => sequence,
            }
        });
        let mut drawn = Problem::new(sequences.collect())?.with_scale(problem.scores.scale)?;
        for (inputs, s) in drawn.scores.sequences.iter_mut().zip(sample.sequences()) {
            inputs.weights = Some(sample.weights[s].clone());
        }
        let at = drawn.point(&point.x, Some(&point.y), true)?.ok_or_else(super::evaluation::overflow)?;
        let mut hessian = drawn.block_hessian(&at, Curvature::GaussNewton, false).xx;
        add_regulariser(&mut hessian, &problem.scores, 1.0);
        Ok(hessian)
    }

    /// A row's factor is twice the variance of the values under its attention.
    fn rank_one(&self, point: &Point) -> RankOne {
        RankOne::new(&self.problem.scores, |k, scratch, weights| self.problem.spread_weights(point, k, scratch, weights))
    }
}
