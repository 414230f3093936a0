//! Owen's T function.

use super::elementary::gaussian_times;
use super::normal::normal_sf;
use super::tail_integral::rule;
use std::f64::consts::TAU;

/// Owen's T: 1/(2 pi) times the integral of e^(-h^2 (1 + x^2) / 2) / (1 + x^2) over [0, a].
///
/// The probability that X > h and 0 < Y < a X for independent standard normal X, Y. Even in h and odd in a, to the bit; NaN
/// only of NaN. Relative error below 2e-15 wherever the value is a normal number.
/// Cost: 32 exponentials.
///
/// ```
/// use certus_numeric::special::owens_t;
/// assert_eq!(owens_t(0.0, 1.0), 0.125);
/// assert_eq!(owens_t(-1.5, -0.3), -owens_t(1.5, 0.3));
/// ```
///
/// Source: Owen 1956; Patefield and Tandy 2000 for the reduction of a > 1.
pub fn owens_t(h: f64, a: f64) -> f64 {
    if h.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    let value = positive(h.abs(), a.abs());
    if a.is_sign_negative() { -value } else { value }
}

fn positive(h: f64, a: f64) -> f64 {
    if h == 0.0 {
        a.atan() / TAU
    } else if a <= 1.0 || h >= 9.0 {
        direct(h, a)
    } else {
        // T(h, a) is at least a quarter of the first term: nothing cancels.
        let (q, r) = (normal_sf(h), normal_sf(a * h));
        0.5 * q + (r * (0.5 - q) - direct(a * h, 1.0 / a))
    }
}

/// By quadrature, where the integrand is negligible or smooth beyond x = 1.
fn direct(h: f64, a: f64) -> f64 {
    if h > 60.0 {
        return 0.0;
    }
    let end = a.min(9.0 / h);
    let integral = rule().integrate(|x| (-0.5 * (h * x) * (h * x)).exp() / (1.0 + x * x), 0.0, end);
    gaussian_times(h, integral / TAU)
}
