//! The Hessian as a product, preconditioned by one that was formed and factored some steps ago.
//!
//! Near the answer the curvature of the rows changes little from step to step, so that one Gram matrix serves several steps, and a bound
//! of the change proves the answer.

use certus_linalg::factor::Cholesky;
use certus_linalg::{Error, Mat};
use certus_newton::model::Curvature;
use certus_numeric::Seed;
use certus_numeric::seed::{hash64, unit_interval};

use crate::objective::Loss;
use crate::point::Point;
use crate::problem::Form;
use crate::rows::{each_row, max_rows, sum_rows};
use crate::unseen::has_clear_inverse;

/// Products in a step beyond which the factor is too old: of all rows, and of a sample.
const OLD: [usize; 2] = [12, 25];
/// Rows of a sample for each column, and one row in so many at least: what is left to conjugate gradients is a condition of about 10.
const ROWS_A_COLUMN: usize = 12;
const ONE_IN: usize = 16;
/// What of a row's chance is the same for all; the rest goes with its curvature.
const EVEN: f64 = 0.25;
/// What is added to the diagonal, relatively: a direction that no row sees has no inverse.
const FLOOR: f64 = 1e-12;

/// The present Hessian as a product, and the factor of an older one.
pub(crate) struct Lagged {
    /// From where the rows are drawn, where not all enter the factor: a Gram matrix of all costs more than it saves.
    sample: Option<Seed>,
    scales: Vec<f64>,
    factor: Option<Cholesky>,
    formed: Option<Formed>,
    old: bool,
}

/// A Hessian that was formed at an earlier point, of rows with positive curvature.
pub(crate) struct Formed {
    pub(crate) hessian: Mat<f64>,
    /// The curvatures of the rows, which enter it.
    pub(crate) rows: Vec<f64>,
    log_unit: f64,
    /// Whether it has an inverse, far beyond rounding.
    pub(crate) is_clear: bool,
}

impl Formed {
    /// Whether the Hessian of the plain form at this point is at least half of it.
    pub(crate) fn bounds(&self, loss: &Loss<'_, '_>, point: &Point) -> bool {
        let form = loss.problem.form();
        form == Form::Plain && point.log_unit(form) == self.log_unit && lag(&point.rows.h, &self.rows) <= 0.5
    }
}

/// The part of `earlier` by which `now` is less in some row at most, at least 0: then `Aᵀ diag(now) A` is at most that much less than
/// `Aᵀ diag(earlier) A`. All of `earlier` is positive.
pub(crate) fn lag(now: &[f64], earlier: &[f64]) -> f64 {
    max_rows(now.len(), 0.0, |i| (1.0 - now[i] / earlier[i]) + 4.0 * f64::EPSILON)
}

fn sample_size(n: usize, d: usize) -> usize {
    (n / ONE_IN).max(ROWS_A_COLUMN * d)
}

impl Lagged {
    /// With all rows, or a sample of them, where that is less than half of them.
    pub(crate) fn new(loss: &Loss<'_, '_>, sample: Option<Seed>) -> Self {
        let (n, d) = (loss.problem.rows(), loss.problem.cols());
        let sample = sample.filter(|_| sample_size(n, d) <= n / 2);
        Lagged { sample, scales: Vec::new(), factor: None, formed: None, old: true }
    }

    /// The last Hessian that was formed of all rows, where they were all positive.
    pub(crate) fn into_formed(self) -> Option<Formed> {
        self.formed
    }

    /// The positive curvatures of the rows, or of a sample of them over their chances.
    fn weights(&self, point: &Point) -> Vec<f64> {
        let h = &point.rows.h;
        let n = h.len();
        let Some(seed) = self.sample else { return each_row(n, |i| h[i].max(0.0)) };
        let mean = sum_rows(n, |i| h[i].max(0.0)) / n as f64;
        let even = sample_size(n, self.scales.len()) as f64 / n as f64;
        let key = seed.key("rows of the preconditioner");
        each_row(n, |i| {
            let chance = (even * (EVEN + (1.0 - EVEN) * h[i].max(0.0) / mean)).min(1.0);
            if h[i] > 0.0 && unit_interval(hash64(key, i as u64)) < chance { h[i] / chance } else { 0.0 }
        })
    }
}

impl Curvature<Loss<'_, '_>> for Lagged {
    fn update(&mut self, loss: &Loss<'_, '_>, point: &Point, _: &[f64]) -> Result<(), Error> {
        if !self.old {
            return Ok(());
        }
        let d = loss.problem.cols();
        self.scales = vec![1.0; d];
        let weights = self.weights(point);
        let hessian = loss.curvature(point, &weights);
        self.scales = (0..d).map(|j| hessian[(j, j)].max(0.0).sqrt()).map(|s| if s > 0.0 { s } else { 1.0 }).collect();
        let inverse = self.scales.iter().map(|s| 1.0 / s).collect::<Vec<_>>();
        let scaled = Mat::from_fn(d, d, |i, j| hessian[(i, j)] * inverse[i] * inverse[j] + if i == j { FLOOR } else { 0.0 });
        self.factor = Cholesky::new("the preconditioner", scaled.as_ref()).ok();
        let whole = self.sample.is_none() && weights.iter().zip(&point.rows.h).all(|(w, h)| w == h && *w > 0.0);
        let is_clear = self.factor.as_ref().is_some_and(has_clear_inverse);
        let log_unit = point.log_unit(loss.problem.form());
        self.formed = (whole && self.factor.is_some()).then(|| Formed { hessian, rows: weights, log_unit, is_clear });
        self.old = false;
        Ok(())
    }

    fn times(&self, loss: &Loss<'_, '_>, point: &Point, v: &[f64]) -> Vec<f64> {
        loss.hessian_times(point, v)
    }

    fn precondition(&self, r: &[f64]) -> Vec<f64> {
        let scaled = r.iter().zip(&self.scales).map(|(r, s)| r / s).collect::<Vec<_>>();
        let y = self.factor.as_ref().map_or_else(|| scaled.clone(), |factor| factor.solve(&scaled));
        y.iter().zip(&self.scales).map(|(y, s)| y / s).collect()
    }

    fn took(&mut self, products: usize) {
        self.old |= products > OLD[usize::from(self.sample.is_some())];
    }
}
