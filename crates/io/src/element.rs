//! The number types that arrays can be asked for, and conversions that keep every value.

use std::fmt;

use half::{bf16, f16};
use num_complex::Complex;

use crate::any::Data;
use crate::dtype::Dtype;

/// A fixed number of bytes that are one entry of an array.
pub trait Raw: Copy {
    /// Bytes of an entry.
    const SIZE: usize;
    /// From `SIZE` little-endian bytes.
    fn from_le(bytes: &[u8]) -> Self;
    /// From `SIZE` big-endian bytes.
    fn from_be(bytes: &[u8]) -> Self;
    /// Appends `SIZE` little-endian bytes.
    fn push_le(self, out: &mut Vec<u8>);
}

/// A number on its way from one type to another: wide enough for every type that files hold.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A real number.
    Real(f64),
    /// A complex number.
    Complex(f64, f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(i) => write!(f, "{i}"),
            Number::UInt(u) => write!(f, "{u}"),
            Number::Real(x) => write!(f, "{x:?}"),
            Number::Complex(re, im) => write!(f, "{re:?}{im:+?}i"),
        }
    }
}

/// Why an array cannot be given as another type.
#[derive(Clone, Debug)]
pub(crate) enum Misfit {
    /// The types do not go together.
    Dtype,
    /// This entry, with this value, would change it.
    Entry(usize, Number),
}

/// A type that arrays are read as and written from: `f64`, `f32`, `i8` to `i64`, `u8` to `u64`, `bool`,
/// [`Complex<f64>`] and [`Complex<f32>`].
///
/// Reading converts where each entry keeps its value: integers to floats that hold them exactly, floats that are whole
/// numbers to integers, reals to complex numbers. Three rules say more:
/// * an `f64` read as `f32` is rounded to nearest (a finite one that would overflow is refused);
/// * a number read as `bool` is true if it is not 0 (NaN is refused), as masks are;
/// * complex numbers are never read as real ones.
///
/// The trait is sealed.
pub trait Element: Raw + PartialEq + fmt::Debug + Default + Send + Sync + sealed::Sealed + 'static {
    /// The type in files.
    const DTYPE: Dtype;
    #[doc(hidden)]
    fn number(self) -> Number;
    #[doc(hidden)]
    fn from_number(number: Number) -> Option<Self>;
    #[doc(hidden)]
    fn own(data: Data) -> std::result::Result<Vec<Self>, Data>;
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> Data;
}

mod sealed {
    pub trait Sealed {}
}

/// `data` as numbers of type `T`; without a copy where it is of that type.
pub(crate) fn convert<T: Element>(data: Data) -> std::result::Result<Vec<T>, Misfit> {
    fn each<S: Element, T: Element>(values: &[S]) -> std::result::Result<Vec<T>, Misfit> {
        let mut out = Vec::with_capacity(values.len());
        for (k, value) in values.iter().enumerate() {
            let number = value.number();
            out.push(T::from_number(number).ok_or(Misfit::Entry(k, number))?);
        }
        Ok(out)
    }
    let data = match T::own(data) {
        Ok(values) => return Ok(values),
        Err(data) => data,
    };
    match data {
        Data::Bool(v) => each(&v),
        Data::Int8(v) => each(&v),
        Data::Int16(v) => each(&v),
        Data::Int32(v) => each(&v),
        Data::Int64(v) => each(&v),
        Data::UInt8(v) => each(&v),
        Data::UInt16(v) => each(&v),
        Data::UInt32(v) => each(&v),
        Data::UInt64(v) => each(&v),
        Data::Float32(v) => each(&v),
        Data::Float64(v) => each(&v),
        Data::Complex64(v) if T::from_number(Number::Complex(0.0, 0.0)).is_some() => each(&v),
        Data::Complex128(v) if T::from_number(Number::Complex(0.0, 0.0)).is_some() => each(&v),
        Data::Complex64(_) | Data::Complex128(_) | Data::Text(_) => Err(Misfit::Dtype),
    }
}

macro_rules! raw {
    ($($t:ty),*) => {$(
        impl Raw for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline]
            fn from_le(bytes: &[u8]) -> Self {
                let mut word = [0; size_of::<$t>()];
                word.copy_from_slice(bytes);
                <$t>::from_le_bytes(word)
            }
            #[inline]
            fn from_be(bytes: &[u8]) -> Self {
                let mut word = [0; size_of::<$t>()];
                word.copy_from_slice(bytes);
                <$t>::from_be_bytes(word)
            }
            #[inline]
            fn push_le(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
raw!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, f16, bf16);

impl Raw for bool {
    const SIZE: usize = 1;
    #[inline]
    fn from_le(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
    #[inline]
    fn from_be(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
    #[inline]
    fn push_le(self, out: &mut Vec<u8>) {
        out.push(u8::from(self));
    }
}

impl<T: Raw> Raw for Complex<T> {
    const SIZE: usize = 2 * T::SIZE;
    #[inline]
    fn from_le(bytes: &[u8]) -> Self {
        Complex::new(T::from_le(&bytes[..T::SIZE]), T::from_le(&bytes[T::SIZE..]))
    }
    #[inline]
    fn from_be(bytes: &[u8]) -> Self {
        Complex::new(T::from_be(&bytes[..T::SIZE]), T::from_be(&bytes[T::SIZE..]))
    }
    #[inline]
    fn push_le(self, out: &mut Vec<u8>) {
        self.re.push_le(out);
        self.im.push_le(out);
    }
}

/// The `f32` nearest to `x`, unless a finite number would become infinite.
#[inline]
fn narrow(x: f64) -> Option<f32> {
    let y = x as f32;
    (y.is_finite() || !x.is_finite()).then_some(y)
}

#[inline]
fn exact_f64(number: Number) -> Option<f64> {
    // `as` saturates, so the largest integers would compare equal to a float one above them.
    match number {
        Number::Int(i) => Some(i as f64).filter(|&x| x as i64 == i && i != i64::MAX),
        Number::UInt(u) => Some(u as f64).filter(|&x| x as u64 == u && u != u64::MAX),
        Number::Real(x) => Some(x),
        Number::Complex(..) => None,
    }
}

#[inline]
fn exact_f32(number: Number) -> Option<f32> {
    match number {
        Number::Int(i) => Some(i as f32).filter(|&x| x as i64 == i && i != i64::MAX),
        Number::UInt(u) => Some(u as f32).filter(|&x| x as u64 == u && u != u64::MAX),
        Number::Real(x) => narrow(x),
        Number::Complex(..) => None,
    }
}

macro_rules! element {
    ($t:ty, $variant:ident, |$value:ident| $number:expr, |$from:ident| $back:expr) => {
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: Dtype = Dtype::$variant;
            #[inline]
            fn number(self) -> Number {
                let $value = self;
                $number
            }
            #[inline]
            fn from_number($from: Number) -> Option<Self> {
                $back
            }
            fn own(data: Data) -> std::result::Result<Vec<Self>, Data> {
                match data {
                    Data::$variant(values) => Ok(values),
                    other => Err(other),
                }
            }
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
        }
    };
}

macro_rules! integer {
    ($t:ty, $variant:ident, $wide:ident) => {
        element!($t, $variant, |value| Number::$wide(value.into()), |from| match from {
            Number::Int(i) => <$t>::try_from(i).ok(),
            Number::UInt(u) => <$t>::try_from(u).ok(),
            // A whole number of at most 2^64 in absolute value converts to i128 without loss.
            Number::Real(x) if x.fract() == 0.0 && x.abs() <= 2f64.powi(64) => <$t>::try_from(x as i128).ok(),
            Number::Real(_) | Number::Complex(..) => None,
        });
    };
}

integer!(i8, Int8, Int);
integer!(i16, Int16, Int);
integer!(i32, Int32, Int);
integer!(i64, Int64, Int);
integer!(u8, UInt8, UInt);
integer!(u16, UInt16, UInt);
integer!(u32, UInt32, UInt);
integer!(u64, UInt64, UInt);
element!(f64, Float64, |value| Number::Real(value), |from| exact_f64(from));
element!(f32, Float32, |value| Number::Real(value.into()), |from| exact_f32(from));
element!(bool, Bool, |value| Number::UInt(value.into()), |from| match from {
    Number::Int(i) => Some(i != 0),
    Number::UInt(u) => Some(u != 0),
    Number::Real(x) => (!x.is_nan()).then_some(x != 0.0),
    Number::Complex(..) => None,
});
element!(Complex<f64>, Complex128, |value| Number::Complex(value.re, value.im), |from| match from {
    Number::Complex(re, im) => Some(Complex::new(re, im)),
    real => exact_f64(real).map(|re| Complex::new(re, 0.0)),
});
element!(Complex<f32>, Complex64, |value| Number::Complex(value.re.into(), value.im.into()), |from| match from {
    Number::Complex(re, im) => Some(Complex::new(narrow(re)?, narrow(im)?)),
    real => exact_f32(real).map(|re| Complex::new(re, 0.0)),
});
