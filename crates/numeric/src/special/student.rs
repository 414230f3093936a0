//! Student's t law: tails and quantiles.

use super::double_double::{Dd, two_product};
use super::gamma_function::ln_beta;
use super::incomplete_beta::{lower_tail, quantile};
use super::normal::{normal_quantile_upper, normal_sf};
use super::tail::Side;

/// The upper tail P(T > t) of Student's law with `freedom` > 0 degrees of freedom; infinite freedom is the normal law.
///
/// Relative error below 2e-14 for freedom up to 1e8, in both tails. NaN outside the domain.
///
/// ```
/// use certus_numeric::special::{student_quantile_upper, student_sf};
/// assert!((student_sf(1.0, 1.0) - 0.25).abs() < 1e-15);
/// assert!((student_quantile_upper(0.025, 10.0) - 2.228_138_851_986_274_7).abs() < 1e-14);
/// ```
pub fn student_sf(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom.is_nan() || freedom <= 0.0 {
        f64::NAN
    } else if freedom > 1e30 {
        normal_sf(t)
    } else if t < 0.0 {
        1.0 - student_sf(-t, freedom)
    } else {
        0.5 * two_sided(t, freedom)
    }
}

/// P(|T| > t) for t >= 0: the lower tail of the beta law of shapes freedom / 2 and 1 / 2 at freedom / (freedom + t^2).
fn two_sided(t: f64, freedom: f64) -> f64 {
    if t == 0.0 {
        return 1.0;
    }
    if t * t / freedom > 1e280 {
        // The leading term, in logarithms: pairs would overflow.
        let half = 0.5 * freedom;
        return (half * (freedom.ln() - 2.0 * t.ln()) - ln_leading(half)).exp().min(1.0);
    }
    // In pairs: rounding t^2 would cost t^2 units in the last place.
    let ratio = two_product(t, t) / Dd::from(freedom);
    let x = Dd::from(1.0) / (ratio + Dd::from(1.0));
    if ratio.hi < 1e-290 { 1.0 } else { lower_tail(0.5 * freedom, 0.5, x, ratio * x) }
}

/// P(|T| > t) is (freedom / t^2)^half over e^this for large t.
fn ln_leading(half: f64) -> f64 {
    ln_beta(half, 0.5) + half.ln()
}

/// The t with P(T > t) = q. Infinite at 0 and 1; NaN outside [0, 1] and unless freedom > 0.
///
/// Odd about q = 1/2. Relative error below 1e-14 times 1 + |d ln t / d ln q|.
pub fn student_quantile_upper(q: f64, freedom: f64) -> f64 {
    if q > 0.5 {
        return -student_quantile_upper(1.0 - q, freedom);
    }
    if freedom > 1e10 {
        // The first term of the expansion in 1 / freedom; the second is below rounding.
        let z = normal_quantile_upper(q);
        return if z.is_finite() { z + z * (z * z + 1.0) / (4.0 * freedom) } else { z };
    }
    // P(|T| > t) = 2 q, and freedom / (freedom + t^2) has the beta law of shapes freedom / 2 and 1 / 2.
    let half = 0.5 * freedom;
    match quantile(half, 0.5, Side::Lower, 2.0 * q) {
        Some(point) if q > 0.0 && point.value() < 1e-280 => (0.5 * (freedom.ln() - ((2.0 * q).ln() + ln_leading(half)) / half)).exp(),
        Some(point) => freedom.sqrt() * (point.complement().sqrt() / point.value().sqrt()),
        None => f64::NAN,
    }
}
