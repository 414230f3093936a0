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
#[derive(Clone, Copy, Debug)]
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
        let direct = self.mantissa * self.log_scale.exp();
        // The scale may overflow where the product does not, and the other way round.
        let value = if direct.is_finite() && direct != 0.0 { direct } else { self.mantissa.signum() * self.ln_abs().exp() };
        if self.mantissa == 0.0 { Some(0.0) } else { value.is_finite().then_some(value) }
    }

    /// `self / other` as `f64`; infinite where that overflows, NaN for 0 / 0.
    pub fn ratio(self, other: Self) -> f64 {
        if self.mantissa == 0.0 || other.mantissa == 0.0 {
            return self.mantissa / other.mantissa;
        }
        self.mantissa.signum() * other.mantissa.signum() * (self.ln_abs() - other.ln_abs()).exp()
    }

    fn ln_abs(self) -> f64 {
        self.mantissa.abs().ln() + self.log_scale
    }
}

impl From<f64> for ScaledValue {
    fn from(value: f64) -> Self {
        ScaledValue::new(value, 0.0)
    }
}

impl Add for ScaledValue {
    type Output = ScaledValue;
    fn add(self, other: Self) -> Self {
        let (large, small) =
            if self.mantissa == 0.0 || (other.mantissa != 0.0 && other.log_scale > self.log_scale) { (other, self) } else { (self, other) };
        if small.mantissa == 0.0 {
            return large;
        }
        let sum = large.mantissa + small.mantissa * (small.log_scale - large.log_scale).exp();
        if sum.is_finite() {
            ScaledValue::new(sum, large.log_scale)
        } else {
            ScaledValue { mantissa: 0.5 * large.mantissa, log_scale: large.log_scale + std::f64::consts::LN_2 }
                + ScaledValue { mantissa: 0.5 * small.mantissa, log_scale: small.log_scale + std::f64::consts::LN_2 }
        }
    }
}

impl Mul for ScaledValue {
    type Output = ScaledValue;
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.normalised(), other.normalised());
        let product = self.mantissa * other.mantissa;
        if product.is_finite() && (product != 0.0 || a.mantissa * b.mantissa == 0.0) {
            ScaledValue::new(product, self.log_scale + other.log_scale)
        } else {
            ScaledValue::new(a.mantissa * b.mantissa, a.log_scale + b.log_scale)
        }
    }
}

impl PartialEq for ScaledValue {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for ScaledValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.log_scale == other.log_scale {
            return self.mantissa.partial_cmp(&other.mantissa);
        }
        let sign = |v: &Self| if v.mantissa == 0.0 { 0.0 } else { v.mantissa.signum() };
        match (sign(self), sign(other)) {
            (a, b) if a != b => a.partial_cmp(&b),
            (0.0, _) => Some(Ordering::Equal),
            (s, _) => (s * self.ln_abs()).partial_cmp(&(s * other.ln_abs())),
        }
    }
}
