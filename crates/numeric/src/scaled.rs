//! Numbers beyond the range of `f64`.

use std::cmp::Ordering;
use std::ops::{Add, Mul};

/// The number `mantissa * e^log_scale`: for losses and sums of exponentials that may overflow or underflow.
///
/// The mantissa is finite; zero is `{ 0, 0 }`. Two values compare by what they mean, whatever their scales.
///
/// ```
/// use certus_numeric::ScaledValue;
/// let huge = ScaledValue::exp(1000.0);
/// assert!(huge < ScaledValue::new(2.0, 1000.0));
/// assert_eq!((huge * huge).ln(), 2000.0);
/// assert_eq!(huge.to_f64(), None);
/// assert_eq!((huge + huge).ln(), 1000.0 + 2f64.ln());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ScaledValue {
    mantissa: f64,
    log_scale: f64,
}

impl ScaledValue {
    /// Zero.
    pub const ZERO: ScaledValue = ScaledValue { mantissa: 0.0, log_scale: 0.0 };

    /// `mantissa * e^log_scale`. Both must be finite (a zero mantissa makes the scale 0).
    pub fn new(mantissa: f64, log_scale: f64) -> Self {
        debug_assert!(mantissa.is_finite() && log_scale.is_finite(), "{mantissa} * e^{log_scale}");
        if mantissa == 0.0 { ScaledValue::ZERO } else { ScaledValue { mantissa, log_scale } }
    }

    /// `e^log`.
    pub fn exp(log: f64) -> Self {
        if log == f64::NEG_INFINITY { ScaledValue::ZERO } else { ScaledValue::new(1.0, log) }
    }

    /// The factor before the power of e.
    pub fn mantissa(self) -> f64 {
        self.mantissa
    }

    /// The power of e.
    pub fn log_scale(self) -> f64 {
        self.log_scale
    }

    /// The same number with a mantissa of 1, 0 or -1.
    pub fn normalised(self) -> Self {
        if self.mantissa == 0.0 {
            self
        } else {
            ScaledValue { mantissa: self.mantissa.signum(), log_scale: self.log_scale + self.mantissa.abs().ln() }
        }
    }

    /// Natural logarithm: minus infinity of zero, NaN of a negative number.
    pub fn ln(self) -> f64 {
        self.mantissa.ln() + self.log_scale
    }

    /// The number as `f64`; `None` where it would overflow. What is too small becomes zero.
    pub fn to_f64(self) -> Option<f64> {
        Some(self.value()).filter(|value| value.is_finite())
    }

    /// `self / other` as `f64`; infinite where that overflows, NaN for 0 / 0.
    pub fn ratio(self, other: Self) -> f64 {
        if self.mantissa == 0.0 || other.mantissa == 0.0 {
            return self.mantissa / other.mantissa;
        }
        let quotient = self.mantissa / other.mantissa;
        let (a, b) = if quotient.is_normal() { (self, other) } else { (self.normalised(), other.normalised()) };
        ScaledValue::saturating(a.mantissa / b.mantissa, a.log_scale - b.log_scale).value()
    }

    /// The number as `f64`, infinite where it overflows.
    fn value(self) -> f64 {
        if self.log_scale.abs() <= 700.0 || self.mantissa == 0.0 {
            return self.mantissa * self.log_scale.exp();
        }
        // The power of e may be out of range where the product is not. Its fourth root is in range, wherever the product is.
        let root = (0.25 * self.log_scale).exp();
        self.mantissa * root * root * root * root
    }

    /// `mantissa * e^log_scale` with a scale that stops at the largest number: there it means nothing by a factor of e anyway.
    fn saturating(mantissa: f64, log_scale: f64) -> Self {
        ScaledValue::new(mantissa, log_scale.clamp(f64::MIN, f64::MAX))
    }

    /// A key by which numbers other than zero of one sign are ordered: the logarithm of the absolute value as an unevaluated
    /// sum, so that neighbouring mantissas differ under any scale. One key a number, so that the order is transitive.
    fn key(self) -> (f64, f64) {
        let (fraction, exponent) = split(self.mantissa.abs());
        let (high, lost) = two_sum(self.log_scale, exponent * LN_2_HIGH);
        two_sum(high, lost + (exponent * LN_2_LOW + fraction.ln()))
    }
}

/// ln 2 to 32 bits, so that its product with an exponent is exact, and the rest.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `x = fraction * 2^exponent` with a fraction in [1/sqrt(2), sqrt(2)), for finite x > 0.
fn split(x: f64) -> (f64, f64) {
    const FRACTION: u64 = (1 << 52) - 1;
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * (1u64 << 54) as f64, 54.0) } else { (x, 0.0) };
    let exponent = (x.to_bits() >> 52) as f64 - 1023.0 - shift;
    let fraction = f64::from_bits(x.to_bits() & FRACTION | 1.0f64.to_bits());
    if fraction < std::f64::consts::SQRT_2 { (fraction, exponent) } else { (0.5 * fraction, exponent + 1.0) }
}

/// The rounded sum and its rounding error (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

impl From<f64> for ScaledValue {
    fn from(value: f64) -> Self {
        ScaledValue::new(value, 0.0)
    }
}

impl Add for ScaledValue {
    type Output = ScaledValue;
    fn add(self, other: Self) -> Self {
        if self.mantissa == 0.0 || other.mantissa == 0.0 {
            return if self.mantissa == 0.0 { other } else { self };
        }
        let near = (self.log_scale - other.log_scale).abs() <= 700.0;
        let direct = add_at_larger_scale(self, other);
        let exact_zero = direct.mantissa == 0.0 && self.log_scale == other.log_scale;
        // Else a mantissa or a ratio of scales is extreme: what counts is the larger number, not the larger scale.
        let sum = if near && (direct.mantissa.is_normal() || exact_zero) {
            direct
        } else {
            add_at_larger_scale(self.normalised(), other.normalised())
        };
        ScaledValue::new(sum.mantissa, sum.log_scale)
    }
}

/// The sum at the larger of the two scales; the mantissa may overflow or underflow.
fn add_at_larger_scale(a: ScaledValue, b: ScaledValue) -> ScaledValue {
    let (large, small) = if b.log_scale > a.log_scale { (b, a) } else { (a, b) };
    let mantissa = large.mantissa + small.mantissa * (small.log_scale - large.log_scale).exp();
    ScaledValue { mantissa, log_scale: large.log_scale }
}

impl Mul for ScaledValue {
    type Output = ScaledValue;
    fn mul(self, other: Self) -> Self {
        let product = self.mantissa * other.mantissa;
        if product.is_normal() || self.mantissa == 0.0 || other.mantissa == 0.0 {
            return ScaledValue::saturating(product, self.log_scale + other.log_scale);
        }
        let (a, b) = (self.normalised(), other.normalised());
        ScaledValue::saturating(a.mantissa * b.mantissa, a.log_scale + b.log_scale)
    }
}

impl PartialEq for ScaledValue {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for ScaledValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let sign = |v: &Self| if v.mantissa == 0.0 { 0.0 } else { v.mantissa.signum() };
        match (sign(self), sign(other)) {
            (a, b) if a != b => a.partial_cmp(&b),
            (0.0, _) => Some(Ordering::Equal),
            (1.0, _) => self.key().partial_cmp(&other.key()),
            _ => other.key().partial_cmp(&self.key()),
        }
    }
}
