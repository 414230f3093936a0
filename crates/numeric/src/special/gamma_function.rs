//! The gamma function, its logarithm, and the logarithm of the beta function.

use super::coefficients::LN_GAMMA;
use super::double_double::{self, Dd, stirling_correction, two_sum};
use super::elementary::chebyshev;
use std::f64::consts::{LN_2, PI};

/// ln(2 pi) / 2.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// ln |gamma(x)|: infinite at 0, at the negative integers and at both infinities.
///
/// Relative error below 2e-15 for positive x, next to the zeros at 1 and 2 too; for negative x the error is that relative to
/// max(1, |ln |gamma(x)||, |x| ln |x|).
///
/// ```
/// use certus_numeric::special::ln_gamma;
/// assert_eq!(ln_gamma(1.0), 0.0);
/// assert!((ln_gamma(5.0) - 24f64.ln()).abs() < 1e-15);
/// assert!((ln_gamma(1.0 + 1e-10) / -5.772_156_649e-11 - 1.0).abs() < 1e-6);
/// ```
pub fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x.is_infinite() || (x <= 0.0 && x == x.floor()) {
        f64::INFINITY
    } else if x < 0.0 {
        // |gamma(x) gamma(1 - x) sin(pi x)| = pi
        (PI / (x * sin_pi(x)).abs()).ln() - ln_gamma(-x)
    } else if x < 1.0 {
        ln_gamma_1p(x) - x.ln()
    } else if x <= 3.0 {
        ln_gamma_1p(x - 1.0)
    } else if x < 11.0 {
        let (mut reduced, mut product) = (x, 1.0);
        while reduced > 3.0 {
            reduced -= 1.0;
            product *= reduced;
        }
        product.ln() + ln_gamma_1p(reduced - 1.0)
    } else if x < 1e17 {
        (x - 0.5) * x.ln() - x + HALF_LN_TAU + correction(x)
    } else {
        x * (x.ln() - 1.0)
    }
}

/// ln gamma(1 + x) for x in [0, 2], with full relative accuracy at its zeros 0 and 1.
pub(super) fn ln_gamma_1p(x: f64) -> f64 {
    // Adding 0 makes a negative zero positive.
    x * (x - 1.0) * chebyshev(&LN_GAMMA, x - 1.0) + 0.0
}

/// Stirling's correction for x >= 11.
fn correction(x: f64) -> f64 {
    let s = 1.0 / (x * x);
    (1.0 / 12.0
        - s * (1.0 / 360.0
            - s * (1.0 / 1260.0
                - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360360.0 - s * (1.0 / 156.0 - s * (3617.0 / 122400.0))))))))
        / x
}

/// The gamma function: infinite (with the sign of x) at the zeros and above 171.6, NaN at the negative integers and at minus
/// infinity.
///
/// Relative error below 1e-15; exact for the integers up to 23. Cost: about half a microsecond.
pub fn gamma(x: f64) -> f64 {
    if x.is_nan() || x > 172.0 {
        if x.is_nan() { x } else { f64::INFINITY }
    } else if x == 0.0 {
        f64::INFINITY.copysign(x)
    } else if x > 0.0 {
        if x < 1e-16 {
            1.0 / x
        } else if x <= 23.0 && x == x.floor() {
            // Factorials that are doubles, exactly.
            (2..x as u64).map(|n| n as f64).product()
        } else {
            double_double::ln_gamma(Dd::from(x)).exp_times(1.0)
        }
    } else if x == x.floor() {
        f64::NAN
    } else if x > -1e-16 {
        1.0 / x
    } else if x < -190.0 {
        // Smaller than every subnormal; the sign is that of sin.
        0.0f64.copysign(-sin_pi(x) * x)
    } else {
        // gamma(x) = -pi / (x sin(pi x) gamma(-x)), with the logarithm of gamma(-x), which may overflow.
        (-double_double::ln_gamma(Dd::from(-x))).exp_times(-PI / (x * sin_pi(x)))
    }
}

/// sin(pi x), exact at half integers.
fn sin_pi(x: f64) -> f64 {
    // The remainder by 2 is exact.
    let r = x % 2.0;
    let (r, sign) = if r < 0.0 { (-r, -1.0) } else { (r, 1.0) };
    let (r, sign) = if r >= 1.0 { (r - 1.0, -sign) } else { (r, sign) };
    let r = if r > 0.5 { 1.0 - r } else { r };
    sign * if r <= 0.25 { (PI * r).sin() } else { (PI * (0.5 - r)).cos() }
}

/// ln B(a, b) = ln gamma(a) + ln gamma(b) - ln gamma(a + b) for positive a and b; NaN otherwise.
///
/// Relative error below 1e-15, and 1e-29 absolute, near its zeros (such as a = b = 1) and for very different a and b too,
/// because it is formed in double-double arithmetic: one to two microseconds. Limits: infinite if a or b is 0, minus infinity if one is infinite.
///
/// ```
/// use certus_numeric::special::ln_beta;
/// assert_eq!(ln_beta(1.0, 1e-3), 1e3f64.ln());
/// assert!((ln_beta(1.0, 1e16) + 1e16f64.ln()).abs() < 1e-14);
/// ```
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    if a.is_nan() || b.is_nan() || a < 0.0 || (a == 0.0 && b == f64::INFINITY) {
        f64::NAN
    } else if a == 0.0 {
        f64::INFINITY
    } else if b == f64::INFINITY {
        f64::NEG_INFINITY
    } else if b < 1e280 {
        ln_beta_pair(a, b).value()
    } else if a < 1e100 {
        // B(a, b) = gamma(a) b^-a to far beyond rounding; scaled so that products of pairs do not overflow.
        ln_beta_pair(a, b * 0.5f64.powi(200)).value() - 200.0 * LN_2 * a
    } else {
        -a * (b / a).ln_1p() - b * (a / b).ln_1p()
    }
}

/// ln B(a, b) to about 25 digits, for 0 < a, b < 1e280.
pub(super) fn ln_beta_pair(a: f64, b: f64) -> Dd {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let sum = two_sum(a, b);
    let (pair_a, pair_b) = (Dd::from(a), Dd::from(b));
    let ln_gamma_a = double_double::ln_gamma(pair_a);
    if b < 16.0 {
        return ln_gamma_a + double_double::ln_gamma(pair_b) - double_double::ln_gamma(sum);
    }
    // The difference of two Stirling formulas, without the parts that cancel.
    let ratio = (pair_a / pair_b).ln_1p();
    let stirling = pair_a - (sum - Dd::from(0.5)) * ratio - pair_a * pair_b.ln();
    ln_gamma_a + (stirling + (stirling_correction(pair_b) - stirling_correction(sum)))
}
