//! A point that a minimisation ended at, with what is known there.

use certus_linalg::Mat;
use certus_newton::Objective;

use crate::lagged::Formed;
use crate::objective::Loss;
use crate::point::Point;
use crate::problem::{Form, Link};
use crate::sampling::SamplingError;

/// The way from a start.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) start: Vec<f64>,
    /// Whole Newton steps.
    pub(crate) steps: usize,
    /// Steps that were held back or refused.
    pub(crate) held_back: usize,
    /// How far the Hessians were from those of all rows, where any was sampled.
    pub(crate) sampling: Option<SamplingError>,
}

/// A point with its derivatives.
pub(crate) struct Answer {
    /// How it was come to, where all steps were made with the Hessian itself, or a sampled one.
    pub(crate) course: Option<Course>,
    pub(crate) x: Vec<f64>,
    pub(crate) point: Point,
    pub(crate) gradient: Vec<f64>,
    pub(crate) curvature: Known,
}

/// What is known of the Hessian at a point.
pub(crate) enum Known {
    /// It was not formed.
    Nothing,
    /// The matrix.
    Present(Mat<f64>),
    /// That of an earlier point, that bounds it.
    Earlier(Formed),
}

impl Known {
    /// The matrix that was formed, if any.
    pub(crate) fn hessian(&self) -> Option<&Mat<f64>> {
        match self {
            Known::Nothing => None,
            Known::Present(hessian) => Some(hessian),
            Known::Earlier(formed) => Some(&formed.hessian),
        }
    }
}

impl Answer {
    /// The nearest point to the reference (to zero, for the normalised exp) with the same loss, if the loss does not change along the
    /// (orthonormal) directions.
    pub(crate) fn drop_part_along(&mut self, loss: &Loss<'_, '_>, directions: &Mat<f64>) {
        let p = loss.problem;
        let softmax = p.link() == Link::Exp && p.form() == Form::Normalised;
        let centre = if softmax { vec![0.0; p.cols()] } else { p.reference_vector() };
        let mut x = self.x.clone();
        for direction in directions.col_iter() {
            let along = direction.iter().zip(x.iter().zip(&centre)).fold(0.0, |sum, (v, (x, c))| sum + v * (x - c));
            x.iter_mut().zip(direction.iter()).for_each(|(x, v)| *x -= along * v);
        }
        let Some(point) = loss.point(&x) else { return };
        let (before, after) = (self.point.loss(), point.loss());
        if after.ratio(before) <= 1.0 + 1e-9 || after <= before + loss.rounding(&point) {
            self.gradient = loss.gradient(&point);
            // What is proven is proven of the Hessian here.
            if matches!(self.curvature, Known::Present(_)) {
                self.curvature = Known::Present(loss.hessian(&point));
            }
            (self.x, self.point) = (x, point);
        }
    }
}
