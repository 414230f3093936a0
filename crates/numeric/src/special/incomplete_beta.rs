//! The regularised incomplete beta function, which is a tail of the beta law, and its quantiles.

use super::double_double::{Dd, two_sum};
use super::elementary::ln_1p_minus;
use super::gamma_function::ln_beta_pair;
use super::normal::normal_quantile_upper;
use super::tail::{Side, Tail, Tails, solve_quantile};
use super::tail_integral::tail_integral;

/// From this smaller shape on the tails are integrated.
const LARGE_SHAPE: f64 = 1000.0;

/// The regularised incomplete beta function I_x(a, b): the probability that a beta variable is at most `x`.
///
/// For a, b > 0 and x in [0, 1]; NaN otherwise. Relative error below 2e-14 for shapes in [1e-12, 1e13], in both far tails
/// (down to 1e-300) too; beyond these shapes it grows slowly. See [`beta_inc_upper`] for 1 - I_x(a, b).
/// Cost: two to four microseconds.
///
/// ```
/// use certus_numeric::special::{beta_inc, beta_inc_upper};
/// assert!((beta_inc(2.0, 1.0, 1e-100) / 1e-200 - 1.0).abs() < 1e-14);
/// assert!((beta_inc_upper(1.0, 2.0, 0.5) - 0.25).abs() < 1e-16);
/// ```
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    public_tails(a, b, x).map_or(f64::NAN, |tails| tails.lower.value())
}

/// The upper tail 1 - I_x(a, b) = I_{1-x}(b, a), of the exact 1 - x.
pub fn beta_inc_upper(a: f64, b: f64, x: f64) -> f64 {
    public_tails(a, b, x).map_or(f64::NAN, |tails| tails.upper.value())
}

/// The x with I_x(a, b) = p: the quantile of the beta law.
///
/// NaN unless 0 < a, b < 1e15 and p is in [0, 1]. The relative error of min(x, 1 - x) is below 1e-14 times
/// 1 + |d ln x / d ln p|, as far as the double x can say it: where x is near 1 and its complement is wanted, take
/// `beta_quantile_upper(b, a, p)`, which is 1 - x with all its digits. A quantile below the smallest double is 0.
/// Cost: five to fifteen microseconds.
///
/// ```
/// use certus_numeric::special::{beta_quantile, beta_quantile_upper};
/// assert!((beta_quantile(0.25, 1.0, 1.0) - 0.25).abs() < 1e-16);
/// // 1 - x for the upper quantile 1e-300 of a law whose mass is near 1.
/// assert!((beta_quantile(1e-30, 1.0, 3.0) / 3.333_333_333_333_333e-31 - 1.0).abs() < 1e-14);
/// assert_eq!(beta_quantile_upper(0.5, 2.0, 2.0), 0.5);
/// ```
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    quantile(a, b, Side::Lower, p).map_or(f64::NAN, Quantile::value)
}

/// The x with 1 - I_x(a, b) = q: the upper quantile, without 1 - q; see [`beta_quantile`].
pub fn beta_quantile_upper(q: f64, a: f64, b: f64) -> f64 {
    quantile(a, b, Side::Upper, q).map_or(f64::NAN, Quantile::value)
}

/// A point of [0, 1] by its distance from the nearer end.
#[derive(Clone, Copy)]
pub(super) enum Quantile {
    FromZero(f64),
    FromOne(f64),
}

impl Quantile {
    pub(super) fn value(self) -> f64 {
        match self {
            Quantile::FromZero(x) => x,
            Quantile::FromOne(y) => 1.0 - y,
        }
    }

    pub(super) fn complement(self) -> f64 {
        match self {
            Quantile::FromZero(x) => 1.0 - x,
            Quantile::FromOne(y) => y,
        }
    }
}

fn public_tails(a: f64, b: f64, x: f64) -> Option<Tails> {
    let shapes = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite();
    if !shapes || !(0.0..=1.0).contains(&x) {
        return None;
    }
    Some(if x == 0.0 {
        Tails::plain(0.0, 1.0)
    } else if x == 1.0 {
        Tails::plain(1.0, 0.0)
    } else if a.max(b) > 1e60 {
        // The law sits at its mean more narrowly than doubles can say, unless the other shape is small; then, next to an end.
        let mean = 1.0 / (1.0 + b / a);
        if x < mean {
            Tails::plain(0.0, 1.0)
        } else if x > mean {
            Tails::plain(1.0, 0.0)
        } else {
            Tails::plain(0.5, 0.5)
        }
    } else {
        tails_at(a, b, Dd::from(x), two_sum(1.0, -x))
    })
}

/// Both tails at x = 1 - y in (0, 1), for shapes below 1e60.
fn tails_at(a: f64, b: f64, x: Dd, y: Dd) -> Tails {
    // Below this shape pairs lose digits, but the odds of the two tails are proportional to the shape.
    const TINY: f64 = 1e-16;
    if b < a {
        tails_at(b, a, y, x).swapped()
    } else if a >= TINY {
        Law::new(a, b).tails(x, y)
    } else {
        let odds = if b < TINY {
            a / b
        } else {
            let tails = Law::new(TINY, b).tails(x, y);
            tails.upper.value() / tails.lower.value() * (a / TINY)
        };
        Tails::plain(1.0 / (1.0 + odds), odds / (1.0 + odds))
    }
}

/// The lower tail at a point given by its distances from 0 and 1; see [`tails_at`].
pub(super) fn lower_tail(a: f64, b: f64, x: Dd, y: Dd) -> f64 {
    tails_at(a, b, x, y).lower.value()
}

/// A beta law with the logarithm of its normaliser.
#[derive(Clone, Copy)]
struct Law {
    a: f64,
    b: f64,
    ln_beta: Dd,
}

impl Law {
    fn new(a: f64, b: f64) -> Law {
        Law { a, b, ln_beta: ln_beta_pair(a, b) }
    }

    /// The law of 1 - X.
    fn mirrored(self) -> Law {
        Law { a: self.b, b: self.a, ln_beta: self.ln_beta }
    }

    /// ln(x^a y^b / B(a, b)), where y = 1 - x.
    fn ln_front(self, x: Dd, y: Dd) -> Dd {
        // The logarithm of the larger from the smaller, for its relative accuracy.
        let (ln_x, ln_y) = if x.hi <= y.hi { (x.ln(), (-x).ln_1p()) } else { ((-y).ln_1p(), y.ln()) };
        Dd::from(self.a) * ln_x + Dd::from(self.b) * ln_y - self.ln_beta
    }

    /// Both tails at x = 1 - y in (0, 1).
    fn tails(self, x: Dd, y: Dd) -> Tails {
        if self.b * x.hi <= self.a * y.hi { self.outer_tails(x, y) } else { self.mirrored().outer_tails(y, x).swapped() }
    }

    /// Both tails at an x below the mean.
    fn outer_tails(self, x: Dd, y: Dd) -> Tails {
        let Law { a, b, .. } = self;
        if a.min(b) >= LARGE_SHAPE {
            return Tails::from_lower(Tail::scaled(self.ln_front(x, y), self.lower_integral(x, y) / x.hi / y.hi));
        }
        if b < 1.0 && y.hi <= 0.5 && a * y.hi <= 1.5 {
            let (upper, lower) = self.mirrored().near_zero(y, x);
            return Tails { lower, upper };
        }
        if x.hi <= 0.5 {
            if a < 1.0 && b * x.hi <= 1.5 {
                let (lower, upper) = self.near_zero(x, y);
                return Tails { lower, upper };
            }
            return Tails::from_lower(Tail::scaled(self.ln_front(x, y), self.lower_series(x.hi) / a));
        }
        Tails::from_lower(Tail::scaled(self.ln_front(x, y), self.lower_fraction(x, y)))
    }

    /// I_x a B(a, b) / (x^a y^b) by the power series whose terms are all positive.
    fn lower_series(self, x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (1.0, 1.0, 0.0);
        while term > 1e-17 * sum {
            term *= (self.a + self.b + n) / (self.a + 1.0 + n) * x;
            sum += term;
            n += 1.0;
        }
        sum
    }

    /// Lower and upper tail near 0 for a < 1, where either may be much smaller than 1:
    /// I_x = x^a / (a B) (1 + a sum_n (1-b)(2-b)...(n-b) x^n / (n! (a + n))).
    fn near_zero(self, x: Dd, y: Dd) -> (Tail, Tail) {
        let Law { a, b, .. } = self;
        let (mut power, mut sum, mut n) = (1.0, 0.0, 0.0);
        loop {
            n += 1.0;
            power *= (n - b) / n * x.hi;
            let term = power / (a + n);
            sum += term;
            if term.abs() <= 1e-17 * sum.abs() || n > 1e4 {
                break;
            }
        }
        let ln_first = Dd::from(a) * x.ln() - self.ln_beta - Dd::from(a).ln();
        let first = ln_first.exp_times(1.0);
        let upper = -ln_first.value().exp_m1() - first * a * sum;
        // The alternating sum cancels a little; the series of positive terms does not.
        let lower = Tail::scaled(self.ln_front(x, y), self.lower_series(x.hi) / a);
        (lower, Tail::plain(upper))
    }

    /// I_x B(a, b) / (x^a y^b) by a continued fraction, for x below the mean: the even part of DLMF 8.17.22 (Didonato and
    /// Morris 1992), by Lentz's method. Near x = 1 it depends on x through y and a y - b x alone, so no digit of y is lost.
    fn lower_fraction(self, x: Dd, y: Dd) -> f64 {
        let Law { a, b, .. } = self;
        let lead = (Dd::from(a) * y - Dd::from(b) * x + Dd::from(1.0)).value();
        let (x, y) = (x.hi, y.hi);
        let denominator = |m: f64| m + m * (b - m) * x / (a + 2.0 * m - 1.0) + (a + m) * (lead + m * (1.0 + y)) / (a + 2.0 * m + 1.0);
        let mut value = a * lead / (a + 1.0);
        let (mut c, mut d) = (value, 0.0);
        for m in 1..10_000 {
            let m = f64::from(m);
            let ratio = x / (a + 2.0 * m - 1.0);
            let numerator = (a + m - 1.0) * (a + b + m - 1.0) * (m * (b - m)) * ratio * ratio;
            let next = denominator(m);
            d = 1.0 / (next + numerator * d);
            c = next + numerator / c;
            value *= c * d;
            if (c * d - 1.0).abs() < 2e-16 {
                break;
            }
        }
        1.0 / value
    }

    /// The integral of the density over [0, x] relative to its value at x, for x below the mean.
    fn lower_integral(self, x: Dd, y: Dd) -> f64 {
        let Law { a, b, .. } = self;
        // With t = x - s the density falls by e^-g(s); slope = (a - 1) / x - (b - 1) / y, where the terms nearly cancel.
        let numerator = Dd::from(a) - Dd::from(1.0) - (two_sum(a, b) - Dd::from(2.0)) * x;
        let (x, y) = (x.hi, y.hi);
        let slope = numerator.value() / (x * y);
        let g = |s: f64| slope * s - (a - 1.0) * ln_1p_minus(-s / x) - (b - 1.0) * ln_1p_minus(s / y);
        let scale = (x / a.sqrt()).min(y / b.sqrt());
        tail_integral(g, x, scale)
    }
}

/// The point where the tail on this side has this probability.
pub(super) fn quantile(a: f64, b: f64, side: Side, probability: f64) -> Option<Quantile> {
    let shapes = a > 0.0 && b > 0.0 && a < 1e15 && b < 1e15;
    if !shapes || !(0.0..=1.0).contains(&probability) {
        return None;
    }
    if probability == 0.0 || probability == 1.0 {
        let at_zero = (probability == 0.0) == (side == Side::Lower);
        return Some(if at_zero { Quantile::FromZero(0.0) } else { Quantile::FromOne(0.0) });
    }
    // The smaller tail; 1 - probability is exact where it is taken.
    let (side, probability) = if probability <= 0.5 { (side, probability) } else { (side.other(), 1.0 - probability) };
    let law = Law::new(a, b);
    let half = Dd::from(0.5);
    let at_half = law.tails(half, half).get(side).value();
    if at_half == probability {
        return Some(Quantile::FromZero(0.5));
    }
    // The distance from the nearer end keeps its digits.
    Some(if (at_half > probability) == (side == Side::Lower) {
        Quantile::FromZero(lower_half_quantile(law, side, probability))
    } else {
        Quantile::FromOne(lower_half_quantile(law.mirrored(), side.other(), probability))
    })
}

/// The quantile where it is known to be at most 1/2, for a probability of at most 1/2.
fn lower_half_quantile(law: Law, side: Side, probability: f64) -> f64 {
    let Law { a, b, ln_beta } = law;
    // The first term of the series: exact for a tiny quantile.
    let ln_lower = if side == Side::Lower { probability.ln() } else { (-probability).ln_1p() };
    let power = ((ln_lower + (ln_beta + Dd::from(a).ln()).value()) / a).exp();
    if power < f64::MIN_POSITIVE {
        return power;
    }
    let start = if a > 1.0 && b > 1.0 {
        // Abramowitz and Stegun 26.5.22.
        let z = normal_quantile_upper(probability);
        let z = if side == Side::Lower { z } else { -z };
        let (u, v) = (1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0));
        let lambda = (z * z - 3.0) / 6.0;
        let h = 2.0 / (u + v);
        let w = z * (h + lambda).sqrt() / h - (v - u) * (lambda + 5.0 / 6.0 - 2.0 / (3.0 * h));
        a / (a + b * (2.0 * w).exp())
    } else {
        power
    };
    let eval = |x: f64| {
        let (x, y) = (Dd::from(x), two_sum(1.0, -x));
        let tail = law.tails(x, y).get(side);
        // d ln tail / d ln x = +- x density / tail
        let slope = (law.ln_front(x, y).value() - y.hi.ln() - tail.ln()).exp();
        (tail.ln_excess(probability), if side == Side::Lower { slope } else { -slope })
    };
    solve_quantile(side, start.min(0.5), f64::MIN_POSITIVE, 0.5, eval)
}
