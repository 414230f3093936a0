//! The regularised incomplete gamma functions, which are the tails of the gamma law, and its quantiles.

use super::coefficients::HALF_LN_TAU;
use super::double_double::{self, Dd, stirling_correction, two_sum};
use super::elementary::ln_1p_minus;
use super::gamma_function::{ln_gamma, ln_gamma_1p};
use super::normal::normal_quantile_upper;
use super::tail::{Side, Tail, Tails, solve_quantile};
use super::tail_integral::tail_integral;

/// From this shape on the tails are integrated.
const LARGE_SHAPE: f64 = 1000.0;
/// From this shape on Stirling's formula takes the place of ln gamma.
const STIRLING_SHAPE: f64 = 30.0;

/// The lower regularised incomplete gamma function P(a, x): the probability that a gamma variable of shape `a` is at most `x`.
///
/// For a >= 0 and x >= 0; NaN otherwise. The law of shape 0 is concentrated at 0.
/// Relative error below 2e-14 for shapes up to 1e14, in both far tails (down to 1e-300) too; from a shape of 1e40 on the law is
/// a step. Cost: about a microsecond, two for shapes above 1000.
///
/// ```
/// use certus_numeric::special::{gamma_p, gamma_q};
/// assert!((gamma_p(1.0, 2.0) - (1.0 - (-2f64).exp())).abs() < 1e-16);
/// assert!((gamma_q(1.0, 600.0) / (-600f64).exp() - 1.0).abs() < 1e-14);
/// ```
pub fn gamma_p(a: f64, x: f64) -> f64 {
    tails(a, x).map_or(f64::NAN, |tails| tails.lower.value())
}

/// The upper regularised incomplete gamma function Q(a, x) = 1 - P(a, x); see [`gamma_p`].
pub fn gamma_q(a: f64, x: f64) -> f64 {
    tails(a, x).map_or(f64::NAN, |tails| tails.upper.value())
}

/// The x with P(a, x) = p: the quantile of the gamma law of shape `a`. Half a chi-square quantile of 2a degrees of freedom.
///
/// NaN unless a > 0 is finite and p is in [0, 1]. The relative error of x is below 1e-14 times 1 + |d ln x / d ln p|; where
/// that is large (a small shape), x itself goes below the smallest double and becomes 0. Cost: about eight microseconds.
///
/// ```
/// use certus_numeric::special::{gamma_p_inv, gamma_q_inv};
/// let chi_square_95 = 2.0 * gamma_q_inv(0.5 * 3.0, 0.05);
/// assert!((chi_square_95 - 7.814_727_903_251_178).abs() < 1e-13);
/// assert!((gamma_p_inv(1.0, 0.5) - 2f64.ln()).abs() < 1e-15);
/// ```
pub fn gamma_p_inv(a: f64, p: f64) -> f64 {
    quantile(a, Side::Lower, p)
}

/// The x with Q(a, x) = q: the upper quantile, without 1 - q; see [`gamma_p_inv`].
pub fn gamma_q_inv(a: f64, q: f64) -> f64 {
    quantile(a, Side::Upper, q)
}

fn tails(a: f64, x: f64) -> Option<Tails> {
    if !(a >= 0.0 && x >= 0.0) || (a.is_infinite() && x.is_infinite()) {
        return None;
    }
    Some(if a == 0.0 || x.is_infinite() {
        Tails::plain(1.0, 0.0)
    } else if x == 0.0 || a.is_infinite() {
        Tails::plain(0.0, 1.0)
    } else if a > 1e40 {
        // The law is narrower than the distance of two doubles.
        if x < a {
            Tails::plain(0.0, 1.0)
        } else if x > a {
            Tails::plain(1.0, 0.0)
        } else {
            Tails::plain(0.5, 0.5)
        }
    } else if x > 1e4 * a.max(1.0) {
        Tails::plain(1.0, 0.0)
    } else if a >= LARGE_SHAPE && x > 0.5 * a {
        large_shape(a, x)
    } else if a < 1.0 && x < 1.1 {
        Tails { lower: lower_series(a, x), upper: Tail::plain(upper_small(a, x)) }
    } else if x < a + 1.0 {
        Tails::from_lower(lower_series(a, x))
    } else {
        Tails::from_upper(Tail::scaled(ln_front(a, x), a * upper_fraction(a, x)))
    })
}

/// ln(x^a e^-x / gamma(a + 1)).
fn ln_front(a: f64, x: f64) -> Dd {
    if a < STIRLING_SHAPE {
        let gamma = double_double::ln_gamma(two_sum(a, 1.0));
        return Dd::from(a) * Dd::from(x).ln() - Dd::from(x) - gamma;
    }
    // In terms of the relative distance m to the shape: -a (m - ln(1 + m)) - ln(2 pi a) / 2 - correction.
    let a = Dd::from(a);
    let m = (Dd::from(x) - a) / a;
    // 1 + m rounds to 0 where x is far below a ulp of a; then it is the exact ratio that counts.
    let ln_ratio = if m.hi < -0.5 { (Dd::from(x) / a).ln() } else { m.ln_1p() };
    a * (ln_ratio - m) - a.ln() * Dd::from(0.5) - Dd::pair(HALF_LN_TAU) - stirling_correction(a)
}

/// P by its power series, all of whose terms are positive; for x < a + 1, and below a / 2 where a is large.
fn lower_series(a: f64, x: f64) -> Tail {
    let (mut term, mut sum, mut n) = (1.0, 1.0, a);
    while term > 1e-17 * sum {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    Tail::scaled(ln_front(a, x), sum)
}

/// Q for a < 1 and x < 1.1, where it may be much smaller than 1: 1 - x^a / gamma(a + 1) and the rest of the series apart.
fn upper_small(a: f64, x: f64) -> f64 {
    let ln_first = a * x.ln() - ln_gamma_1p(a);
    let (mut power, mut sum, mut n) = (-1.0, 0.0, 0.0);
    loop {
        n += 1.0;
        power *= -x / n;
        let term = power / (a + n);
        sum += term;
        if term.abs() <= 1e-17 * sum {
            break;
        }
    }
    -ln_first.exp_m1() + ln_first.exp() * a * sum
}

/// Q gamma(a) / (x^a e^-x) by its continued fraction (Lentz's method), for x >= 1.1 and x >= a.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut d = 1.0 / b;
    let mut c = f64::INFINITY;
    let mut value = d;
    for i in 1..10_000 {
        let i = f64::from(i);
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        value *= c * d;
        if (c * d - 1.0).abs() < 2e-16 {
            break;
        }
    }
    value
}

/// Both tails for a >= 1000 and x > a / 2: the one on the outer side by quadrature.
fn large_shape(a: f64, x: f64) -> Tails {
    let log = ln_front(a, x);
    // With t = x -+ s the density falls from its value at x by e^-g(s); the parts of g are all positive.
    let scale = a.sqrt();
    if x < a {
        let slope = ((a - x) - 1.0) / x;
        let g = |s: f64| slope * s - (a - 1.0) * ln_1p_minus(-s / x);
        let integral = tail_integral(g, x, scale.min(0.5 * x));
        Tails::from_lower(Tail::scaled(log, a / x * integral))
    } else {
        let slope = ((x - a) + 1.0) / x;
        let g = |s: f64| slope * s - (a - 1.0) * ln_1p_minus(s / x);
        let integral = tail_integral(g, f64::INFINITY, scale);
        Tails::from_upper(Tail::scaled(log, a / x * integral))
    }
}

fn quantile(a: f64, side: Side, probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) || a.is_nan() || a <= 0.0 || a.is_infinite() {
        return f64::NAN;
    }
    if probability == 0.0 || probability == 1.0 {
        return if (probability == 0.0) == (side == Side::Lower) { 0.0 } else { f64::INFINITY };
    }
    // The smaller tail; 1 - probability is exact where it is taken.
    let (side, probability) = if probability <= 0.5 { (side, probability) } else { (side.other(), 1.0 - probability) };
    let ln_target = probability.ln();
    let z = normal_quantile_upper(probability);
    let z = if side == Side::Lower { -z } else { z };
    // Wilson and Hilferty's cube; where it fails, the first term of the series, or the exponential tail.
    let cube = 1.0 - 1.0 / (9.0 * a) + z / (3.0 * a.sqrt());
    let ln_lower = if side == Side::Lower { ln_target } else { (-probability).ln_1p() };
    let power = ((ln_lower + ln_gamma(a + 1.0)) / a).exp();
    let start = if a > 0.5 && cube > 0.2 {
        a * cube * cube * cube
    } else if side == Side::Upper && power > 0.5 {
        1.0 - ln_target
    } else {
        power
    };
    if a > 1e40 {
        return a;
    }
    if power < f64::MIN_POSITIVE {
        return power;
    }
    let eval = |x: f64| match tails(a, x) {
        Some(tails) => {
            let tail = tails.get(side);
            // d ln tail / d ln x = +- x density / tail
            let slope = (ln_front(a, x).value() + a.ln() - tail.ln()).exp();
            (tail.ln_excess(probability), if side == Side::Lower { slope } else { -slope })
        }
        None => (f64::NAN, f64::NAN),
    };
    solve_quantile(side, start, f64::MIN_POSITIVE, f64::MAX, eval)
}
