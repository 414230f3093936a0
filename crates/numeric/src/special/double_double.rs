//! Unevaluated sums of two doubles, for exponents whose rounding would show in the answer.
//!
//! A tail such as x^a (1-x)^b / B(a, b) has an exponent of up to 1e9 that is small only in the end; a relative error of
//! 1e-13 in the tail asks for 22 digits of it. Pairs carry about 31. Products use Dekker's splitting (1971), not a fused
//! multiply-add, which is a slow library call on targets without that instruction.

use super::coefficients::{HALF_LN_TAU, LN_2, LN_TABLE, ONE_FIFTH, ONE_THIRD, STIRLING};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `LN_TABLE` holds ln(k / 128) for these k: 128 times the inverses of the fractions in [1/sqrt(2), sqrt(2)].
const TABLE_SCALE: f64 = 128.0;
const TABLE_START: usize = 90;
const TABLE_END: usize = TABLE_START + LN_TABLE.len() - 1;

/// `hi + lo` with |lo| at most half a unit in the last place of `hi`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dd {
    pub(crate) hi: f64,
    pub(crate) lo: f64,
}

/// a + b exactly.
#[inline]
pub(crate) fn two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    let from_b = hi - a;
    Dd { hi, lo: (a - (hi - from_b)) + (b - from_b) }
}

/// a + b exactly, where |a| >= |b|.
#[inline]
fn quick_two_sum(a: f64, b: f64) -> Dd {
    let hi = a + b;
    Dd { hi, lo: b - (hi - a) }
}

/// The upper 26 bits of `a`, and the rest. Exact for |a| < 2^996.
#[inline]
pub(crate) fn split(a: f64) -> (f64, f64) {
    let c = 134_217_729.0 * a;
    let hi = c - (c - a);
    (hi, a - hi)
}

/// a b exactly, short of overflow and underflow.
#[inline]
pub(crate) fn two_product(a: f64, b: f64) -> Dd {
    let hi = a * b;
    let ((a1, a0), (b1, b0)) = (split(a), split(b));
    Dd { hi, lo: ((a1 * b1 - hi) + a1 * b0 + a0 * b1) + a0 * b0 }
}

impl Dd {
    const ONE: Dd = Dd { hi: 1.0, lo: 0.0 };

    pub(crate) const fn pair((hi, lo): (f64, f64)) -> Dd {
        Dd { hi, lo }
    }

    /// The nearest double.
    pub(crate) fn value(self) -> f64 {
        self.hi + self.lo
    }

    /// The product with a power of two.
    fn scaled(self, power: f64) -> Dd {
        Dd { hi: self.hi * power, lo: self.lo * power }
    }

    /// Natural logarithm of a positive number: an absolute error of about 1e-31, or as much relative where it is above 1.
    pub(crate) fn ln(self) -> Dd {
        let (fraction, exponent) = split_exponent(self.hi);
        let x = if exponent == 0 {
            self
        } else {
            let half = (-0.5 * f64::from(exponent)).exp2();
            Dd { hi: fraction, lo: self.lo * half * half }
        };
        // x c is near 1 for a c = k / 128 whose logarithm is tabulated; the product with so short a number is exact.
        let k = (TABLE_SCALE / x.hi).round();
        let c = k / TABLE_SCALE;
        let near_one = two_product(x.hi, c);
        let excess = two_sum(near_one.hi - 1.0, near_one.lo + x.lo * c).ln_1p_small();
        let rest = excess - Dd::pair(LN_TABLE[(k as usize).clamp(TABLE_START, TABLE_END) - TABLE_START]);
        if exponent == 0 { rest } else { Dd::pair(LN_2) * Dd::from(f64::from(exponent)) + rest }
    }

    /// ln(1 + self) with full relative accuracy; self > -1.
    pub(crate) fn ln_1p(self) -> Dd {
        if self.hi.abs() > 0.006 { (self + Dd::ONE).ln() } else { self.ln_1p_small() }
    }

    /// ln(1 + self) for |self| <= 0.006: twice the inverse hyperbolic tangent of s = x / (2 + x), whose seventh power needs
    /// no pairs.
    fn ln_1p_small(self) -> Dd {
        let s = self / (self + Dd::from(2.0));
        let square = s * s;
        let q = square.hi;
        let tail = q * q * q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0))));
        let series = (Dd::pair(ONE_FIFTH) * square + Dd::pair(ONE_THIRD)) * square + Dd::from(tail);
        (s + s * series).scaled(2.0)
    }

    /// e^self times `factor` as a double; the factor guards against premature overflow and underflow.
    pub(crate) fn exp_times(self, factor: f64) -> f64 {
        if self.hi.is_nan() {
            return f64::NAN;
        }
        let half = (0.5 * self.hi).exp();
        let near_one = if self.lo.is_finite() { 1.0 + self.lo } else { 1.0 };
        half * (factor * near_one) * half
    }
}

/// A number in [0.7, 1.5) and the power of two that it was divided by.
fn split_exponent(x: f64) -> (f64, i32) {
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * (1u64 << 54) as f64, -54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut fraction = f64::from_bits((bits & !(0x7ff << 52)) | (1023 << 52));
    if fraction > std::f64::consts::SQRT_2 {
        fraction *= 0.5;
        exponent += 1;
    }
    (fraction, exponent + shift)
}

/// What Stirling's formula leaves out: ln gamma(x) - (x - 1/2) ln x + x - ln(2 pi) / 2, for x >= 16.
pub(crate) fn stirling_correction(x: Dd) -> Dd {
    let inverse = Dd::ONE / x;
    let square = inverse * inverse;
    // From here on the terms are below 1e-13 of the sum.
    const IN_PAIRS: usize = 5;
    let tail = STIRLING[IN_PAIRS..].iter().rev().fold(0.0, |sum, term| sum * square.hi + term.0);
    let mut sum = Dd::from(tail);
    for &term in STIRLING[..IN_PAIRS].iter().rev() {
        sum = sum * square + Dd::pair(term);
    }
    sum * inverse
}

/// ln gamma(x) for positive x below 1e290, to about 25 digits.
pub(crate) fn ln_gamma(x: Dd) -> Dd {
    let mut shifted = x;
    let mut product = Dd::ONE;
    while shifted.hi < 16.0 {
        product = product * shifted;
        shifted = shifted + Dd::ONE;
    }
    let stirling = (shifted - Dd::from(0.5)) * shifted.ln() - shifted + Dd::pair(HALF_LN_TAU) + stirling_correction(shifted);
    if x.hi < 16.0 { stirling - product.ln() } else { stirling }
}

impl From<f64> for Dd {
    fn from(hi: f64) -> Dd {
        Dd { hi, lo: 0.0 }
    }
}

impl Neg for Dd {
    type Output = Dd;
    fn neg(self) -> Dd {
        Dd { hi: -self.hi, lo: -self.lo }
    }
}

impl Add for Dd {
    type Output = Dd;
    fn add(self, other: Dd) -> Dd {
        let high = two_sum(self.hi, other.hi);
        let low = two_sum(self.lo, other.lo);
        let sum = quick_two_sum(high.hi, high.lo + low.hi);
        quick_two_sum(sum.hi, sum.lo + low.lo)
    }
}

impl Sub for Dd {
    type Output = Dd;
    fn sub(self, other: Dd) -> Dd {
        self + -other
    }
}

impl Mul for Dd {
    type Output = Dd;
    fn mul(self, other: Dd) -> Dd {
        let product = two_product(self.hi, other.hi);
        quick_two_sum(product.hi, product.lo + (self.hi * other.lo + self.lo * other.hi))
    }
}

impl Div for Dd {
    type Output = Dd;
    fn div(self, other: Dd) -> Dd {
        let first = self.hi / other.hi;
        let rest = self - other * Dd::from(first);
        let second = rest.hi / other.hi;
        let rest = rest - other * Dd::from(second);
        let third = rest.hi / other.hi;
        quick_two_sum(first, second) + Dd::from(third)
    }
}
