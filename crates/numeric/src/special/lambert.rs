//! Lambert's W: the inverse of w e^w, on both real branches.

use super::coefficients::{E, LAMBERT};
use super::double_double::{Dd, two_product};

/// The double nearest to -1/e.
const NEAREST_TO_BRANCH: f64 = -0.367_879_441_171_442_33;

/// Below it the series about the branch point is used: there |p| < 0.32, and 28 terms leave 1e-18.
const BRANCH_END: f64 = -0.35;

/// The principal branch: the W >= -1 with W e^W = x, for x >= -1/e; NaN below.
///
/// Relative error below 1e-15, however near the branch point, because e x + 1 is formed from the exact product. There 1 + W is
/// about sqrt(2 d) at the relative distance d = e x + 1; taken from W, it has a relative error of 1e-16 / sqrt(2 d). The double nearest to -1/e, -0.36787944117144233, is 1.2e-17 below it; it stands for the branch point
/// and gives -1.
///
/// ```
/// use certus_numeric::special::{lambert_w0, lambert_wm1};
/// assert_eq!(lambert_w0(std::f64::consts::E), 1.0);
/// assert_eq!(lambert_w0(0.0), 0.0);
/// assert!((lambert_wm1(-0.1) + 3.577_152_063_957_297).abs() < 1e-14);
/// ```
///
/// Source: Corless, Gonnet, Hare, Jeffrey and Knuth 1996.
pub fn lambert_w0(x: f64) -> f64 {
    if x < BRANCH_END {
        return branch_series(x, 1.0);
    }
    if x.is_nan() || x == f64::INFINITY || x == 0.0 {
        return x;
    }
    if x < 2.0 {
        // Halley's iteration on w e^w = x: cubic, from a start with an error of a few per cent.
        let root = (2.0 * (std::f64::consts::E * x + 1.0)).sqrt();
        let mut w = if x < -0.1 { -1.0 + root * (1.0 - root / 3.0 + root * root * (11.0 / 72.0)) } else { x.ln_1p() };
        if x.abs() < 0.1 {
            w = x * (1.0 - x * (1.0 - 1.5 * x));
        }
        for _ in 0..10 {
            let exp = w.exp();
            let residual = w - x / exp;
            let step = residual / (w + 1.0 - (w + 2.0) * residual / (2.0 * w + 2.0));
            w -= step;
            // Cubic: the next step would be the cube of this one.
            if step.abs() < 1e-6 * w.abs() {
                break;
            }
        }
        w
    } else {
        // Newton on w + ln w = ln x, which is nearly linear.
        let ln_x = x.ln();
        let mut w = if x < 10.0 { 0.8 * x.ln_1p() } else { ln_x - ln_x.ln() };
        for _ in 0..10 {
            let step = (ln_x - w.ln() - w) * w / (1.0 + w);
            w += step;
            if step.abs() < 1e-9 * w {
                break;
            }
        }
        w
    }
}

/// The lower branch: the W <= -1 with W e^W = x, for -1/e <= x < 0; minus infinity at 0, NaN elsewhere.
///
/// As accurate as [`lambert_w0`].
pub fn lambert_wm1(x: f64) -> f64 {
    if x < BRANCH_END {
        return branch_series(x, -1.0);
    }
    if x.is_nan() || x > 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    // Newton on u - ln u = -ln(-x) with u = -w, from a bound of Chatzigeorgiou 2013.
    let l = -(-x).ln();
    let excess = l - 1.0;
    let mut u = 1.0 + (2.0 * excess).sqrt() + 0.8 * excess;
    for _ in 0..20 {
        let step = (l + u.ln() - u) * u / (u - 1.0);
        u += step;
        if step.abs() < 1e-9 * u {
            break;
        }
    }
    -u
}

/// W by powers of p = +-sqrt(2 (e x + 1)), for |p| < 0.32; NaN below the branch point.
fn branch_series(x: f64, sign: f64) -> f64 {
    // e x + 1 from the exact product: what is left when the digits cancel is right.
    let e = Dd::pair(E);
    let product = two_product(e.hi, x);
    let distance = (1.0 + product.hi) + (product.lo + e.lo * x);
    let p = if x == NEAREST_TO_BRANCH { 0.0 } else { sign * (2.0 * distance).sqrt() };
    let mut sum = 0.0;
    for &c in LAMBERT.iter().rev() {
        sum = sum * p + c;
    }
    sum * p - 1.0
}
