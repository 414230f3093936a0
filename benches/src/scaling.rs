//! Growth of a cost with the size: the exponent of a power law, with an interval.

use certus_numeric::intervals::log_log_slope;

use crate::results::{Fit, Point};

/// The least-squares line through the logarithms of size and cost, with a 95 % interval of its slope.
///
/// `None` for fewer than three points, sizes that are all equal, or a point that is not positive and finite.
/// The interval assumes independent errors of equal relative size; it does not know of a curve that is no power law.
pub fn fit(points: &[Point]) -> Option<Fit> {
    if points.len() < 3 {
        return None;
    }
    let (sizes, costs): (Vec<f64>, Vec<f64>) = points.iter().map(|p| (p.x, p.y)).unzip();
    let slope = log_log_slope(&sizes, &costs, CONFIDENCE).ok()?;
    // The page draws powers of ten.
    let intercept = slope.intercept / std::f64::consts::LN_10;
    Some(Fit { slope: slope.slope, intercept, low: slope.lower, high: slope.upper, confidence: CONFIDENCE })
}

const CONFIDENCE: f64 = 0.95;
