//! The Hessian from a sample of rows: each kept with a probability that its leverage sets, and weighted by its inverse.

use certus_linalg::leverage::leverage_scores;
use certus_linalg::{Error, Mat};
use certus_numeric::Seed;
use certus_numeric::seed::{hash64, unit_interval};

use crate::objective::{Loss, Point};

/// The relative error that is asked for.
pub(crate) const ERROR: f64 = 0.1;
/// The chance to miss it.
const FAILURE: f64 = 0.01;
/// With exact scores 3 is proven (Theorem 1).
const OVERSAMPLING: f64 = 4.0;

/// `(1 ± 0.1)` times the positive part of the Hessian with probability 0.99, plus the rest of it exactly.
///
/// Rows of negative curvature, the rank-two part and the ridge are added as they are. Cost: the leverage scores of A, and a Gram matrix
/// of the rows that are kept, at most `4 d ln(2 d / 0.01) / 0.01` on average. Source: matrix Chernoff bounds, Tropp 2012.
pub(crate) fn sampled_hessian(loss: &Loss<'_, '_>, point: &Point, seed: Seed) -> Result<Mat<f64>, Error> {
    let h = &point.rows.h;
    let positive = h.iter().map(|h| h.max(0.0)).collect::<Vec<_>>();
    let scores = leverage_scores(loss.problem.a(), Some(&positive))?;
    let factor = OVERSAMPLING * (2.0 * loss.problem.cols() as f64 / FAILURE).ln() / (ERROR * ERROR);
    let key = seed.key("coins");
    let weight = |i: usize| {
        let probability = (factor * scores.scores[i]).min(1.0);
        if h[i] <= 0.0 {
            h[i]
        } else if unit_interval(hash64(key, i as u64)) < probability {
            h[i] / probability
        } else {
            0.0
        }
    };
    Ok(loss.curvature(point, &(0..h.len()).map(weight).collect::<Vec<_>>()))
}
