//! Exponentials and logarithms of sums, where the obvious form loses digits.

use super::double_double::split;

/// ln(e^a + e^b) without overflow. Minus infinity stands for ln 0; NaN only of NaN.
///
/// ```
/// use certus_numeric::special::ln_add_exp;
/// assert_eq!(ln_add_exp(1000.0, 1000.0), 1000.0 + 2f64.ln());
/// assert_eq!(ln_add_exp(f64::NEG_INFINITY, 3.0), 3.0);
/// ```
pub fn ln_add_exp(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (large, small) = if a >= b { (a, b) } else { (b, a) };
    if small == f64::NEG_INFINITY || large == f64::INFINITY { large } else { large + (small - large).exp().ln_1p() }
}

/// ln(e^a - e^b) for a >= b; minus infinity where they are equal, NaN for a < b.
pub fn ln_sub_exp(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() || a < b {
        f64::NAN
    } else if a == b {
        f64::NEG_INFINITY
    } else if b == f64::NEG_INFINITY || a == f64::INFINITY {
        a
    } else {
        a + ln_1m_exp(b - a)
    }
}

/// ln(1 - e^x) for x <= 0, accurate at both ends; minus infinity at 0, NaN for x > 0 (Maechler 2012).
pub fn ln_1m_exp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// ln(1 + e^x), the softplus, without overflow and with full relative accuracy for negative x.
pub fn ln_1p_exp(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// ln(1 + x) - x with full relative accuracy near 0: never positive. Minus infinity at -1, NaN below.
pub fn ln_1p_minus(x: f64) -> f64 {
    if !(-0.4..=0.6).contains(&x) {
        return if x == f64::INFINITY { f64::NEG_INFINITY } else { x.ln_1p() - x };
    }
    // With s = x / (2 + x): ln(1 + x) = 2 atanh(s) and x = 2 s + x s, so the difference is 2 s^3 (1/3 + s^2/5 + ...) - x s.
    const INVERSES: [f64; 13] = {
        let mut inverses = [0.0; 13];
        let mut i = 0;
        while i < 13 {
            inverses[i] = 1.0 / (27 - 2 * i) as f64;
            i += 1;
        }
        inverses
    };
    let s = x / (2.0 + x);
    let square = s * s;
    let sum = INVERSES.iter().fold(0.0, |sum, inverse| sum * square + inverse);
    s * (2.0 * square * sum - x)
}

/// e^(-x^2 / 2) times `factor`, to a few units in the last place however large x is; correctly small where it underflows.
///
/// Rounding x^2 alone would cost x^2 units in the last place. So x = high + low with an exact square of the high part.
pub(super) fn gaussian_times(x: f64, factor: f64) -> f64 {
    let x = x.abs();
    if x > 60.0 {
        return if factor.is_infinite() { f64::NAN } else { 0.0 * factor };
    }
    let (high, low) = split(x);
    let quarter = (-0.25 * high * high).exp();
    let rest = (-low * (0.5 * (x + high))).exp();
    quarter * (factor * rest) * quarter
}

/// The sum of Chebyshev polynomials with these coefficients at `t` in [-1, 1] (Clenshaw).
pub(super) fn chebyshev(coefficients: &[f64], t: f64) -> f64 {
    let (mut b1, mut b2) = (0.0, 0.0);
    for &c in coefficients[1..].iter().rev() {
        (b1, b2) = (2.0 * t * b1 - b2 + c, b1);
    }
    t * b1 - b2 + coefficients[0]
}
