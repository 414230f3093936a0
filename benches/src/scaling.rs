//! Growth of a cost with the size: the exponent of a power law, with an interval.

use crate::results::{Fit, Point};

/// Two-sided 95 % points of Student's distribution for 1 to 30 degrees of freedom.
const STUDENT_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
    2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The least-squares line through the logarithms of size and cost, with a 95 % interval of its slope.
///
/// `None` for fewer than three points, sizes that are all equal, or a point that is not positive and finite.
/// The interval assumes independent errors of equal relative size; it does not know of a curve that is no power law.
pub fn fit(points: &[Point]) -> Option<Fit> {
    let good = |v: f64| v.is_finite() && v > 0.0;
    if points.len() < 3 || !points.iter().all(|p| good(p.x) && good(p.y)) {
        return None;
    }
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|p| (p.x.log10(), p.y.log10())).collect();
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / n;
    let sxx = logs.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    let sxy = logs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>();
    if sxx <= 0.0 {
        return None;
    }
    let slope = sxy / sxx;
    let intercept = mean_y - slope * mean_x;
    let residual = logs.iter().map(|p| (p.1 - intercept - slope * p.0).powi(2)).sum::<f64>();
    let freedom = points.len() - 2;
    let error = (residual / freedom as f64 / sxx).sqrt();
    // Beyond 30 degrees of freedom the last entry is kept: at most 4 % too wide.
    let half = STUDENT_95[freedom.min(STUDENT_95.len()) - 1] * error;
    Some(Fit { slope, intercept, low: slope - half, high: slope + half, confidence: 0.95 })
}
