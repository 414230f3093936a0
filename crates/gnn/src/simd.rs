//! One dispatch for all kernels: the widest registers that the processor has, with fused multiply-add or without it, settled once.

use pulp::{Arch, Simd, WithSimd};

/// A kernel that is compiled for each width of registers.
pub(crate) trait Kernel {
    type Output;

    /// `FUSED`: multiply-adds are fused, in bodies and in tails alike. Must be `#[inline(always)]`.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a kernel on what this processor has.
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    struct Wrap<K>(K);
    impl<K: Kernel> WithSimd for Wrap<K> {
        type Output = K::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> K::Output {
            if fuses::<S>() { self.0.run::<true>() } else { self.0.run::<false>() }
        }
    }
    Arch::new().dispatch(Wrap(kernel))
}

/// Whether multiply-adds are fused on this processor.
pub fn fused() -> bool {
    struct Ask;
    impl Kernel for Ask {
        type Output = bool;
        #[inline(always)]
        fn run<const FUSED: bool>(self) -> bool {
            FUSED
        }
    }
    dispatch(Ask)
}

#[inline(always)]
const fn fuses<S: Simd>() -> bool {
    cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")) && S::F32_LANES > 1
}

/// a b + c, fused or not.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    #[allow(clippy::disallowed_methods, reason = "only where the dispatch has found the instruction")]
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
