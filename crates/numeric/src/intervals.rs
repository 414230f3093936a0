//! Confidence intervals: of a proportion (Clopper and Pearson) and of a slope (least squares).

use crate::special::{beta_quantile, beta_quantile_upper, student_quantile_upper};
use crate::sum::max_abs;
use certus_contract::{InputError, require_finite, require_length};

/// Every bound is moved outwards by this relative amount, more than the quantiles' own error: rounding never costs coverage.
const OUTWARDS: f64 = 1e-13;

/// An interval of a probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProportionInterval {
    /// Lower bound; exactly 0 without a success.
    pub lower: f64,
    /// Upper bound; exactly 1 without a failure.
    pub upper: f64,
}

/// The two-sided interval of Clopper and Pearson (1934) for the probability of success: it misses the truth with probability
/// at most `alpha`, at most `alpha / 2` on each side, for every number of trials.
///
/// Bounds are rounded outwards by 1e-13 relative.
///
/// ```
/// use certus_numeric::intervals::clopper_pearson;
/// let interval = clopper_pearson(0, 10, 0.05)?;
/// assert_eq!(interval.lower, 0.0);
/// assert!((interval.upper - (1.0 - 0.025f64.powf(0.1))).abs() < 1e-12);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
///
/// # Errors
/// `InvalidParameter` if there are no trials, more successes than trials, more than 2^49 trials, or alpha is not in (0, 1).
pub fn clopper_pearson(successes: u64, trials: u64, alpha: f64) -> Result<ProportionInterval, InputError> {
    check_counts(successes, trials)?;
    let half = check_alpha(alpha)? / 2.0;
    Ok(ProportionInterval { lower: lower_bound(successes, trials, half), upper: upper_bound(successes, trials, half) })
}

/// The one-sided lower bound of Clopper and Pearson: above the truth with probability at most `alpha`.
///
/// # Errors
/// As [`clopper_pearson`].
pub fn clopper_pearson_lower(successes: u64, trials: u64, alpha: f64) -> Result<f64, InputError> {
    check_counts(successes, trials)?;
    Ok(lower_bound(successes, trials, check_alpha(alpha)?))
}

/// The one-sided upper bound of Clopper and Pearson: below the truth with probability at most `alpha`.
///
/// # Errors
/// As [`clopper_pearson`].
pub fn clopper_pearson_upper(successes: u64, trials: u64, alpha: f64) -> Result<f64, InputError> {
    check_counts(successes, trials)?;
    Ok(upper_bound(successes, trials, check_alpha(alpha)?))
}

fn check_counts(successes: u64, trials: u64) -> Result<(), InputError> {
    const MOST: u64 = 1 << 49;
    if trials == 0 || trials > MOST {
        Err(InputError::parameter("trials", trials, "from 1 to 2^49"))
    } else if successes > trials {
        Err(InputError::parameter("successes", successes, format!("at most the number of trials, {trials}")))
    } else {
        Ok(())
    }
}

fn check_alpha(alpha: f64) -> Result<f64, InputError> {
    if alpha > 0.0 && alpha < 1.0 { Ok(alpha) } else { Err(InputError::parameter("alpha", alpha, "above 0 and below 1")) }
}

fn lower_bound(successes: u64, trials: u64, alpha: f64) -> f64 {
    if successes == 0 {
        return 0.0;
    }
    beta_quantile(alpha, successes as f64, (trials - successes + 1) as f64) * (1.0 - OUTWARDS)
}

fn upper_bound(successes: u64, trials: u64, alpha: f64) -> f64 {
    if successes == trials {
        return 1.0;
    }
    (beta_quantile_upper(alpha, (successes + 1) as f64, (trials - successes) as f64) * (1.0 + OUTWARDS)).min(1.0)
}

/// A fitted line y = intercept + slope x, with a confidence interval of the slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The least-squares slope.
    pub slope: f64,
    /// Lower end of the interval, rounded outwards; minus infinity for two points.
    pub lower: f64,
    /// Upper end of the interval, rounded outwards; infinite for two points.
    pub upper: f64,
    /// The least-squares value at x = 0.
    pub intercept: f64,
    /// The share of the variance of y that the line explains, in [0, 1]; 1 where y is constant.
    pub r2: f64,
}

/// The least-squares line through (x, y) with Student's interval of its slope, which holds with probability `confidence` if
/// the errors are independent, normal and of equal variance.
///
/// ```
/// use certus_numeric::intervals::fit_slope;
/// let fit = fit_slope(&[1.0, 2.0, 3.0, 4.0], &[2.1, 3.9, 6.2, 7.8], 0.95)?;
/// assert!((fit.slope - 1.94).abs() < 1e-14 && fit.lower < 1.94 && fit.upper > 1.94);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
///
/// # Errors
/// `DimensionMismatch` of different lengths or less than two points, `NonFinite`, `InvalidParameter` if all x are equal, if
/// sums of squares overflow, or the confidence is not in (0, 1).
pub fn fit_slope(x: &[f64], y: &[f64], confidence: f64) -> Result<Slope, InputError> {
    require_length("y", y.len(), x.len(), "the length of x")?;
    if x.len() < 2 {
        return Err(InputError::dimension("x", format!("length {}", x.len()), "at least 2 points"));
    }
    require_finite("x", &[x.len()], x)?;
    require_finite("y", &[y.len()], y)?;
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(InputError::parameter("confidence", confidence, "above 0 and below 1"));
    }
    let n = x.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut sxx, mut sxy, mut syy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        sxx += dx * dx;
        sxy += dx * dy;
        syy += dy * dy;
    }
    let same = x.iter().all(|v| *v == x[0]);
    if same || !(sxx.is_normal() && sxy.is_finite() && syy.is_finite()) {
        let problem = if same { "the same everywhere" } else { "out of range" };
        return Err(InputError::parameter("x", problem, "of at least two different values whose squares are normal numbers"));
    }
    let slope = sxy / sxx;
    // From the residuals themselves: syy - slope sxy would cancel for a good fit.
    let residual: f64 = x.iter().zip(y).map(|(x, y)| (y - mean_y) - slope * (x - mean_x)).map(|r| r * r).sum();
    let r2 = if syy > 0.0 { (1.0 - residual / syy).clamp(0.0, 1.0) } else { 1.0 };
    if x.len() == 2 {
        return Ok(Slope { slope, lower: f64::NEG_INFINITY, upper: f64::INFINITY, intercept: mean_y - slope * mean_x, r2 });
    }
    let freedom = n - 2.0;
    let quantile = student_quantile_upper(0.5 * (1.0 - confidence), freedom);
    let half_width = quantile * (residual / freedom / sxx).sqrt();
    // Rounding of the points (logarithms, perhaps) and of the sums, in the slope and in the residuals.
    let largest = max_abs(y) + slope.abs() * max_abs(x);
    let margin = 4.0 * n * f64::EPSILON * (1.0 + quantile) * (largest / sxx.sqrt()) + OUTWARDS * half_width;
    Ok(Slope { slope, lower: slope - half_width - margin, upper: slope + half_width + margin, intercept: mean_y - slope * mean_x, r2 })
}

/// The exponent with which `times` grow in `sizes`: the line through their logarithms (natural), with the interval of its
/// slope as [`fit_slope`].
///
/// ```
/// use certus_numeric::intervals::log_log_slope;
/// let fit = log_log_slope(&[1e3, 2e3, 4e3, 8e3], &[0.010, 0.041, 0.161, 0.640], 0.95)?;
/// assert!(fit.lower < 2.0 && 2.0 < fit.upper && fit.upper - fit.lower < 0.1);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
///
/// # Errors
/// As [`fit_slope`]; also `InvalidParameter` of an entry that is not above 0.
pub fn log_log_slope(sizes: &[f64], times: &[f64], confidence: f64) -> Result<Slope, InputError> {
    let logs = |name: &str, values: &[f64]| {
        require_finite(name, &[values.len()], values)?;
        match values.iter().position(|v| *v <= 0.0) {
            Some(i) => Err(InputError::parameter(format!("{name}[{i}]"), values[i], "above 0")),
            None => Ok(values.iter().map(|v| v.ln()).collect::<Vec<_>>()),
        }
    };
    fit_slope(&logs("sizes", sizes)?, &logs("times", times)?, confidence)
}

/// The mean, corrected once for the rounding of its first value.
fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let first = values.iter().map(|v| v / n).sum::<f64>();
    first + values.iter().map(|v| (v - first) / n).sum::<f64>()
}
