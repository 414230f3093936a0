//! The same bits on any number of threads.

use std::fmt::Debug;

use certus_numeric::{Array, Csr, ScaledValue};

/// The sizes of pool that answers are compared on. The largest runs twice, since a race need not show at once.
pub const THREADS: [usize; 4] = [1, 2, 8, 8];

/// What can be compared bit by bit. NaNs are equal if their bits are; 0 and -0 differ.
///
/// Compare a struct through a tuple of its fields, or say where it differs with [`Bits::difference`] of each.
pub trait Bits {
    /// Where `self` and `other` first differ, and how; `None` if they are the same.
    fn difference(&self, other: &Self) -> Option<String>;
}

/// Runs `work` in pools of 1, 2 and 8 threads and compares the answers bit by bit; gives the answer. With the feature
/// `linalg` it also makes stray calls to faer's own pool panic ([`strict`]).
///
/// ```
/// let values = (0..100_000).map(f64::from).collect::<Vec<_>>();
/// certus_testkit::same_bits(|| certus_numeric::sum::par_dot(&values, &values));
/// ```
///
/// # Panics
/// If two answers differ, with the first place where they do.
#[track_caller]
pub fn same_bits<R: Bits + Send>(work: impl Fn() -> R + Sync) -> R {
    strict();
    let run = |threads| match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(&work),
        Err(error) => panic!("no pool of {threads} threads: {error}"),
    };
    let first = run(THREADS[0]);
    for threads in &THREADS[1..] {
        if let Some(difference) = first.difference(&run(*threads)) {
            panic!("1 and {threads} threads give different bits: answer{difference}");
        }
    }
    first
}

/// With the feature `linalg`: from here on, a call that leaves the number of threads to faer panics. Without it: nothing.
pub fn strict() {
    #[cfg(feature = "linalg")]
    certus_linalg::forbid_global_parallelism();
}

fn against(a: &impl Debug, b: &impl Debug) -> Option<String> {
    Some(format!(" is {a:?} against {b:?}"))
}

macro_rules! floats {
    ($($float:ty)*) => {$(impl Bits for $float {
        fn difference(&self, other: &Self) -> Option<String> {
            let (a, b) = (self.to_bits(), other.to_bits());
            if a == b { None } else { Some(format!(" is {self:?} (bits {a:#x}) against {other:?} (bits {b:#x})")) }
        }
    })*};
}
floats!(f32 f64);

macro_rules! plain {
    ($($type:ty)*) => {$(impl Bits for $type {
        fn difference(&self, other: &Self) -> Option<String> {
            if self == other { None } else { against(&self, &other) }
        }
    })*};
}
plain!(() bool char i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize String str);

impl<T: Bits + ?Sized> Bits for &T {
    fn difference(&self, other: &Self) -> Option<String> {
        (**self).difference(*other)
    }
}

impl<T: Bits> Bits for [T] {
    fn difference(&self, other: &Self) -> Option<String> {
        if self.len() != other.len() {
            return Some(format!(" has length {} against {}", self.len(), other.len()));
        }
        let (i, found) = self.iter().zip(other).enumerate().find_map(|(i, (a, b))| Some((i, a.difference(b)?)))?;
        Some(format!("[{i}]{found}"))
    }
}

impl<T: Bits> Bits for Vec<T> {
    fn difference(&self, other: &Self) -> Option<String> {
        self[..].difference(&other[..])
    }
}

impl<T: Bits, const N: usize> Bits for [T; N] {
    fn difference(&self, other: &Self) -> Option<String> {
        self[..].difference(&other[..])
    }
}

impl<T: Bits + Debug> Bits for Option<T> {
    fn difference(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Some(a), Some(b)) => a.difference(b),
            (None, None) => None,
            (a, b) => against(a, b),
        }
    }
}

impl<T: Bits + Debug, E: PartialEq + Debug> Bits for Result<T, E> {
    fn difference(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Ok(a), Ok(b)) => a.difference(b),
            (Err(a), Err(b)) if a == b => None,
            (a, b) => against(a, b),
        }
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Bits),+> Bits for ($($name,)+) {
            fn difference(&self, other: &Self) -> Option<String> {
                $(if let Some(found) = self.$index.difference(&other.$index) {
                    return Some(format!(".{}{found}", $index));
                })+
                None
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);

impl<T: Bits> Bits for Array<T> {
    fn difference(&self, other: &Self) -> Option<String> {
        if self.shape() != other.shape() {
            return Some(format!(" has shape {:?} against {:?}", self.shape(), other.shape()));
        }
        self.as_slice().difference(other.as_slice())
    }
}

impl<T: Bits + Copy> Bits for Csr<T> {
    fn difference(&self, other: &Self) -> Option<String> {
        let parts = |a: &Self| (a.rows(), a.cols());
        parts(self)
            .difference(&parts(other))
            .map(|found| format!(" (rows, columns){found}"))
            .or_else(|| Some(format!(" indptr{}", self.indptr().difference(other.indptr())?)))
            .or_else(|| Some(format!(" indices{}", self.indices().difference(other.indices())?)))
            .or_else(|| Some(format!(" values{}", self.values().difference(other.values())?)))
    }
}

impl Bits for ScaledValue {
    fn difference(&self, other: &Self) -> Option<String> {
        (self.mantissa(), self.log_scale()).difference(&(other.mantissa(), other.log_scale()))
    }
}
