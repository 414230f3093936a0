//! Loops that are compiled for the widest registers of the machine.

use pulp::{Arch, Simd, WithSimd};

/// A loop. Its `run`, and what that calls, must be `#[inline(always)]`: only what is inlined is compiled for wider registers,
/// and a closure seldom is.
pub(crate) trait Kernel {
    type Output;

    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a loop in the widest registers that this machine has.
pub(crate) fn widest<K: Kernel>(kernel: K) -> K::Output {
    Arch::new().dispatch(Wide(kernel))
}

struct Wide<K>(K);

impl<K: Kernel> WithSimd for Wide<K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(simd)
    }
}
