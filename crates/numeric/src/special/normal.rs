//! The standard normal law: density, both tails, their logarithm, Mills' ratio and quantiles.

use super::elementary::gaussian_times;
use super::error_function::{erf, erfcx};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

/// 1 / sqrt(2 pi).
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_7;
/// sqrt(pi / 2).
const MILLS_AT_ZERO: f64 = 1.253_314_137_315_500_3;

/// The density e^(-x^2/2) / sqrt(2 pi).
///
/// Relative error below 1e-15 wherever it is a normal number (|x| < 37.6).
pub fn normal_pdf(x: f64) -> f64 {
    gaussian_times(x, DENSITY_AT_ZERO)
}

/// The lower tail P(Z <= x).
///
/// Relative error below 1e-15, in the far tail too (down to 1e-307 at x = -37.5).
///
/// ```
/// use certus_numeric::special::{normal_cdf, normal_sf};
/// assert_eq!(normal_cdf(0.0), 0.5);
/// assert!((normal_cdf(-37.0) / 5.725_571_222_524_577e-300 - 1.0).abs() < 1e-14);
/// assert_eq!(normal_sf(3.0), normal_cdf(-3.0));
/// ```
pub fn normal_cdf(x: f64) -> f64 {
    normal_sf(-x)
}

/// The upper tail P(Z > x); as accurate as [`normal_cdf`].
pub fn normal_sf(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x.abs() < 0.5 {
        0.5 - 0.5 * erf(x * FRAC_1_SQRT_2)
    } else if x > 0.0 {
        upper(x)
    } else {
        1.0 - upper(-x)
    }
}

/// ln P(Z > x), without underflow: about -x^2/2 for large x.
///
/// Relative error below 1e-15 everywhere.
pub fn ln_normal_sf(x: f64) -> f64 {
    if x > 0.5 {
        // Both parts are negative: nothing cancels.
        -0.5 * x * x + (0.5 * erfcx(x * FRAC_1_SQRT_2)).ln()
    } else if x > -0.5 {
        (-erf(x * FRAC_1_SQRT_2)).ln_1p() - LN_2
    } else if x.is_nan() {
        x
    } else {
        (-upper(-x)).ln_1p()
    }
}

/// Mills' ratio P(Z > x) / density(x): about 1 / x for large x, infinite below -37.6.
///
/// Relative error below 1e-15 everywhere that it is finite.
pub fn mills(x: f64) -> f64 {
    if x >= -0.5 {
        MILLS_AT_ZERO * erfcx(x * FRAC_1_SQRT_2)
    } else if x.is_nan() {
        x
    } else {
        // 1 / density is accurate however negative x is; the upper tail is between 0.69 and 1.
        normal_sf(x) / DENSITY_AT_ZERO * inverse_gaussian(x)
    }
}

/// e^(x^2/2).
fn inverse_gaussian(x: f64) -> f64 {
    if x.abs() > 60.0 {
        return f64::INFINITY;
    }
    let (high, low) = super::double_double::split(x);
    let quarter = (0.25 * high * high).exp();
    quarter * (low * (0.5 * (x + high))).exp() * quarter
}

/// The z with P(Z <= z) = p. Infinite at 0 and 1, NaN outside [0, 1].
///
/// Relative error below 1e-15 of the exact quantile of the given double, at p = 1/2 and down to the smallest subnormal.
/// Above 1/2 the double p itself is the limit: use [`normal_quantile_upper`] for small upper tails.
///
/// ```
/// use certus_numeric::special::{normal_quantile, normal_quantile_upper};
/// assert_eq!(normal_quantile(0.5), 0.0);
/// assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-15);
/// assert!((normal_quantile_upper(1e-300) - 37.047_096_299_361_2).abs() < 1e-13);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    let z = -normal_quantile_upper(p);
    if z == 0.0 { 0.0 } else { z }
}

/// The z with P(Z > z) = q: no 1 - q is formed, so small upper tails keep all their digits.
pub fn normal_quantile_upper(q: f64) -> f64 {
    if !(0.0..=1.0).contains(&q) {
        f64::NAN
    } else if q == 0.0 {
        f64::INFINITY
    } else if q == 1.0 {
        f64::NEG_INFINITY
    } else if q < 0.25 {
        tail_quantile(q)
    } else if q > 0.75 {
        // 1 - q is exact here.
        -tail_quantile(1.0 - q)
    } else {
        central_quantile(0.5 - q)
    }
}

/// The upper tail for x >= 0.
fn upper(x: f64) -> f64 {
    gaussian_times(x, 0.5 * erfcx(x * FRAC_1_SQRT_2))
}

/// The z with P(0 < Z < z) = `excess`, where |excess| <= 1/4 is exact.
fn central_quantile(excess: f64) -> f64 {
    let c = excess / DENSITY_AT_ZERO;
    // The inverse series to fourth order, then Halley steps of third order.
    let mut z = c * (1.0 + c * c * (1.0 / 6.0 + c * c * (7.0 / 120.0)));
    for _ in 0..2 {
        let newton = (0.5 * erf(z * FRAC_1_SQRT_2) - excess) / normal_pdf(z);
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    z
}

/// The z with P(Z > z) = q for q < 1/4.
fn tail_quantile(q: f64) -> f64 {
    // A start with an error below 0.1 (Abramowitz and Stegun 26.2.23), then Newton on ln P(Z > z) = ln q, which is nearly
    // quadratic in z.
    let ln_q = q.ln();
    let t = (-2.0 * ln_q).sqrt();
    let mut z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    for _ in 0..20 {
        let step = mills(z) * (ln_normal_sf(z) - ln_q);
        z += step;
        // Newton doubles the digits: after a step this small the next one would be below rounding.
        if step.abs() < 1e-9 * z {
            break;
        }
    }
    z
}
