//! The two float types, for kernels where memory is the point.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::exp;

/// `f32` or `f64`; nothing else implements it.
///
/// Solvers work in `f64`. What must hold large arrays in memory is generic over this trait, with [`exp`] and
/// [`softmax`](crate::softmax) in either type.
pub trait Real:
    private::Kernel
    + Copy
    + Debug
    + Display
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// The largest finite number.
    const MAX: Self;

    /// The nearest number of this type; infinite where `value` is out of range.
    fn from_f64(value: f64) -> Self;
    /// The same number, exactly.
    fn to_f64(self) -> f64;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Whether it is NaN.
    fn is_nan(self) -> bool;
    /// Whether it is neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($float:ident, $exp:path) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = $float::NEG_INFINITY;
            const EPSILON: Self = $float::EPSILON;
            const MAX: Self = $float::MAX;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $float
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $float::ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $float::is_finite(self)
            }
        }

        impl private::Kernel for $float {
            #[inline(always)]
            fn exp_kernel<const FUSED: bool>(self) -> Self {
                $exp(self)
            }
        }
    };
}

real!(f32, exp::exp_f32::<FUSED>);
real!(f64, exp::exp_f64::<FUSED>);

pub(crate) mod private {
    /// What the kernels need and nobody else should call; it also seals [`Real`](super::Real).
    pub trait Kernel {
        /// e to this power, by fused multiply-add or not. Must be inlined into a dispatched loop.
        fn exp_kernel<const FUSED: bool>(self) -> Self;
    }
}
