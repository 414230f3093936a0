//! The error function, its complement, and the complement scaled by the Gaussian.

use super::coefficients::{ERF, ERFCX};
use super::double_double::split;
use super::elementary::chebyshev;
use std::f64::consts::FRAC_2_SQRT_PI;

/// The error function 2/sqrt(pi) times the integral of e^(-t^2) over [0, x].
///
/// Odd to the bit. Relative error below 1e-15 everywhere.
///
/// ```
/// use certus_numeric::special::{erf, erfc};
/// assert_eq!(erf(0.0), 0.0);
/// assert_eq!(erf(f64::INFINITY), 1.0);
/// assert!((erfc(20.0) / 5.395_865_611_607_901e-176 - 1.0).abs() < 1e-15);
/// ```
pub fn erf(x: f64) -> f64 {
    if x.abs() <= 1.0 {
        return erf_central(x);
    }
    if x.is_nan() { x } else { (1.0 - erfc_upper(x.abs())).copysign(x) }
}

/// The complementary error function 1 - erf(x).
///
/// Relative error below 1e-15 everywhere that it is a normal number (x < 26.54); beyond, it goes to 0 through the subnormal
/// numbers.
pub fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x.abs() <= 0.5 {
        1.0 - erf_central(x)
    } else if x > 0.0 {
        erfc_upper(x)
    } else {
        2.0 - erfc_upper(-x)
    }
}

/// The scaled complement e^(x^2) erfc(x): about 1 / (x sqrt(pi)) for large x, infinite below -26.63.
///
/// Relative error below 1e-15 everywhere.
pub fn erfcx(x: f64) -> f64 {
    if x.abs() <= 0.5 {
        (1.0 - erf_central(x)) * (x * x).exp()
    } else if x >= 0.0 {
        erfcx_upper(x)
    } else if x < -30.0 {
        f64::INFINITY
    } else {
        // e^(x^2) with an exact square of the high part of x.
        let (high, low) = split(x);
        let half = (0.5 * high * high).exp();
        half * (2.0 * (low * (x + high)).exp()) * half - erfcx_upper(-x)
    }
}

fn erf_central(x: f64) -> f64 {
    if x.abs() < 1e-9 { FRAC_2_SQRT_PI * x } else { x * chebyshev(&ERF, 2.0 * x * x - 1.0) }
}

/// erfc for x >= 1/2.
fn erfc_upper(x: f64) -> f64 {
    if x > 30.0 {
        return 0.0;
    }
    let (high, low) = split(x);
    let half = (-0.5 * high * high).exp();
    half * (erfcx_upper(x) * (-low * (x + high)).exp()) * half
}

/// erfcx for x >= 0, by one expansion on the whole half line (the map of Shepherd and Laframboise 1981).
fn erfcx_upper(x: f64) -> f64 {
    if x > 1e10 {
        return 0.5 * FRAC_2_SQRT_PI / x;
    }
    chebyshev(&ERFCX, (x - 3.75) / (x + 3.75)) / (1.0 + 2.0 * x)
}
