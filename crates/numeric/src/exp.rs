//! The exponential, vectorised.
//!
//! The error is below 1 ulp (units in the last place) in both types and over the whole range, subnormal results included;
//! the largest measured is 0.84 ulp in `f64` (of 2e7 numbers) and 0.82 ulp in `f32` (of all numbers). e^0 is exactly 1, what is
//! too large is infinite, what is too small is a subnormal or 0, NaN stays NaN.
//!
//! **Same bits.** [`exp`], [`exp_slice`] and [`exp_into`] give the same bits for the same number, wherever in whichever slice
//! it stands and however wide the registers are. They use fused multiply-add where the processor has it (x86-64 since 2013, all
//! aarch64); one without it gives results that differ in the last place.
//!
//! # Method
//! With n the integer nearest to x / ln 2 and r = x - n ln 2, e^x = 2^n e^r (Cody and Waite 1980): n ln 2 is subtracted in two
//! parts, the first of which is exact, so that |r| <= ln 2 / 2 carries one rounding. Then e^r = (1 + r) + r^2 q(r), where 1 + r
//! keeps its rounding error (Fast2Sum) and q is the polynomial with the least largest relative error in e^r (Remez exchange):
//! of degree 9 and 3.7e-18 in `f64`, of degree 4 and 3.1e-9 in `f32`. The power of two is multiplied in two halves, which
//! reaches infinity and the subnormals by one rounding and without a branch.
//!
//! Cost: about twenty multiplications and additions a lane; twice that where the results are subnormal.
//! `cargo xtask bench --criterion --only numeric` measures it beside the scalar standard library.

use pulp::{Arch, Simd, WithSimd};

use crate::real::Real;

/// Entries that are worked on at once: two of the widest registers of `f64`, so that one hides the latency of the other.
pub(crate) const LANES: usize = 16;

/// e^x, with the bits that [`exp_slice`] gives.
///
/// For many numbers use [`exp_slice`]: it is several times as fast.
///
/// ```
/// use certus_numeric::exp::{exp, exp_slice};
/// let mut x = [0.0, 1.0, -745.0, 1000.0, f64::NEG_INFINITY];
/// let one_by_one = x.map(exp);
/// exp_slice(&mut x);
/// assert_eq!(x, one_by_one);
/// assert_eq!(x, [1.0, std::f64::consts::E, 5e-324, f64::INFINITY, 0.0]);
/// ```
pub fn exp<T: Real>(x: T) -> T {
    struct One<T>(T);
    impl<T: Real> WithSimd for One<T> {
        type Output = T;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> T {
            if fuses::<S>() { self.0.exp_kernel::<true>() } else { self.0.exp_kernel::<false>() }
        }
    }
    Arch::new().dispatch(One(x))
}

/// Replaces each entry x by e^x.
pub fn exp_slice<T: Real>(values: &mut [T]) {
    Arch::new().dispatch(Slice(values));
}

struct Slice<'a, T>(&'a mut [T]);

impl<T: Real> WithSimd for Slice<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if fuses::<S>() { map(self.0, T::exp_kernel::<true>) } else { map(self.0, T::exp_kernel::<false>) }
    }
}

/// e^x with the bits of [`exp_slice`], to be inlined into a kernel that was dispatched by the caller.
///
/// `FUSED` must say whether the kernel runs where fused multiply-add is an instruction, as [`exp_slice`] decides it: on x86 and aarch64
/// with more than one lane. Elsewhere it would be a library call.
#[inline(always)]
pub fn exp_in_kernel<const FUSED: bool, T: Real>(x: T) -> T {
    x.exp_kernel::<FUSED>()
}

/// Writes e^x for each entry x of `from` into `to`.
///
/// # Panics
/// If the lengths differ.
pub fn exp_into<T: Real>(from: &[T], to: &mut [T]) {
    assert_eq!(from.len(), to.len(), "exponentials into a slice of another length");
    // Blocks that stay in the first cache level, so that the copy costs no second pass over memory.
    for (from, to) in from.chunks(1024).zip(to.chunks_mut(1024)) {
        to.copy_from_slice(from);
        exp_slice(to);
    }
}

/// Whether code that is dispatched to `S` has a fused multiply-add instruction (and not a library call for it).
#[inline(always)]
pub(crate) const fn fuses<S: Simd>() -> bool {
    cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")) && S::F64_LANES > 1
}

/// Applies `f` to each entry, [`LANES`] at a time; a longer rest is padded, so that it goes at the same speed.
#[inline(always)]
fn map<T: Real>(values: &mut [T], f: impl Fn(T) -> T) {
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for x in chunk {
            *x = f(*x);
        }
    }
    if rest.len() <= LANES / 4 {
        for x in rest {
            *x = f(*x);
        }
    } else {
        let mut chunk = [T::ZERO; LANES];
        chunk[..rest.len()].copy_from_slice(rest);
        for x in &mut chunk {
            *x = f(*x);
        }
        rest.copy_from_slice(&chunk[..rest.len()]);
    }
}

macro_rules! exp_kernel {
    ($name:ident, $float:ident, $module:ident) => {
        #[inline(always)]
        pub(crate) fn $name<const FUSED: bool>(x: $float) -> $float {
            use $module::*;
            // Written so that each is one instruction and NaN passes both.
            let x = if UPPER < x { UPPER } else { x };
            let x = if x < LOWER { LOWER } else { x };

            let shifted = mul_add::<FUSED>(x, std::$float::consts::LOG2_E, SHIFT);
            let n = shifted - SHIFT;
            let r = mul_add::<FUSED>(n, -LN2_LOW, mul_add::<FUSED>(n, -LN2_HIGH, x));

            let square = r * r;
            let one_plus_r = 1.0 + r;
            let lost = (1.0 - one_plus_r) + r;
            let mantissa = one_plus_r + mul_add::<FUSED>(q::<FUSED>(r, square), square, lost);

            // The low bits of `shifted` hold n + 2 BIAS, which is not negative. Its halves are the biased exponents of two powers of
            // two with product 2^n; the shift left drops all higher bits.
            let bits = shifted.to_bits();
            let half = bits >> 1;
            mantissa * $float::from_bits(half << MANTISSA_BITS) * $float::from_bits(bits.wrapping_sub(half) << MANTISSA_BITS)
        }
    };
}

exp_kernel!(exp_f64, f64, double);
exp_kernel!(exp_f32, f32, single);

mod double {
    /// e^710 overflows.
    pub(super) const UPPER: f64 = 710.0;
    /// Here n + 2 BIAS = 0, so that the powers of two are 0 and so is e^x, without the slow path of an underflow.
    pub(super) const LOWER: f64 = -1418.0;
    pub(super) const MANTISSA_BITS: u32 = 52;
    /// 1.5 * 2^52, where the spacing of numbers is 1, plus twice the bias of exponents.
    pub(super) const SHIFT: f64 = 6_755_399_441_055_744.0 + 2046.0;
    /// ln 2 to 32 bits: exact when multiplied by an integer below 2^21.
    pub(super) const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    /// ln 2 - `LN2_HIGH`.
    pub(super) const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

    #[inline(always)]
    #[expect(clippy::disallowed_methods, reason = "FUSED only in kernels dispatched to processors that have FMA")]
    pub(super) fn mul_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
        if FUSED { a.mul_add(b, c) } else { a * b + c }
    }

    /// (e^r - 1 - r) / r^2 by Estrin's scheme: short chains.
    #[inline(always)]
    pub(super) fn q<const FUSED: bool>(r: f64, square: f64) -> f64 {
        const Q: [f64; 10] = [
            0.5000000000000011,
            0.16666666666666413,
            0.041666666666530267,
            0.00833333333349436,
            0.0013888888943596944,
            0.00019841269506716425,
            2.4801493136823042e-5,
            2.755758632573817e-6,
            2.763023373842523e-7,
            2.5000052985946442e-8,
        ];
        let pair = |k: usize| mul_add::<FUSED>(Q[k + 1], r, Q[k]);
        let low = mul_add::<FUSED>(pair(2), square, pair(0));
        let middle = mul_add::<FUSED>(pair(6), square, pair(4));
        let fourth = square * square;
        mul_add::<FUSED>(mul_add::<FUSED>(pair(8), fourth, middle), fourth, low)
    }
}

mod single {
    /// e^89 overflows.
    pub(super) const UPPER: f32 = 89.0;
    /// Here n + 2 BIAS = 0, so that the powers of two are 0 and so is e^x, without the slow path of an underflow.
    pub(super) const LOWER: f32 = -176.0;
    pub(super) const MANTISSA_BITS: u32 = 23;
    /// 1.5 * 2^23, where the spacing of numbers is 1, plus twice the bias of exponents.
    pub(super) const SHIFT: f32 = 12_582_912.0 + 254.0;
    /// ln 2 to 15 bits: exact when multiplied by an integer below 2^9.
    pub(super) const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
    /// ln 2 - `LN2_HIGH`.
    pub(super) const LN2_LOW: f32 = 1.428_606_8e-6;

    #[inline(always)]
    #[expect(clippy::disallowed_methods, reason = "FUSED only in kernels dispatched to processors that have FMA")]
    pub(super) fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
        if FUSED { a.mul_add(b, c) } else { a * b + c }
    }

    /// (e^r - 1 - r) / r^2.
    #[inline(always)]
    pub(super) fn q<const FUSED: bool>(r: f32, square: f32) -> f32 {
        const Q: [f32; 5] = [0.49999994, 0.1666652, 0.041668393, 0.008368779, 0.0013814465];
        let low = mul_add::<FUSED>(Q[1], r, Q[0]);
        let high = mul_add::<FUSED>(mul_add::<FUSED>(Q[4], r, Q[3]), r, Q[2]);
        mul_add::<FUSED>(high, square, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor without fused multiply-add keeps the promise too; no other test reaches that code on one that has it.
    #[test]
    fn the_error_is_small_without_fused_multiply_add() {
        for k in -300_000..300_000 {
            let x = f64::from(k) * 0.002_36 + 1e-5;
            // The standard library's error is 0.51 ulp.
            assert!(exp_f64::<false>(x).to_bits().abs_diff(x.exp().to_bits()) <= 1, "{x}");
            let x = k as f32 * 0.000_29;
            let exact = f64::from(x).exp();
            let ulp = 2f64.powi(exact.log2().floor().max(-126.0) as i32 - 23);
            assert!((f64::from(exp_f32::<false>(x)) - exact).abs() < ulp, "{x}");
        }
        assert_eq!([0.0, -1e300, f64::NEG_INFINITY, 1e300].map(exp_f64::<false>), [1.0, 0.0, 0.0, f64::INFINITY]);
        assert_eq!([0.0, -1e30, f32::NEG_INFINITY, 1e30].map(exp_f32::<false>), [1.0, 0.0, 0.0, f32::INFINITY]);
        assert!(exp_f64::<false>(f64::NAN).is_nan() && exp_f32::<false>(f32::NAN).is_nan());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_width_of_registers_does_not_change_bits() {
        let (Some(narrow), Some(wide)) = (pulp::x86::V3::try_new(), pulp::x86::V4::try_new()) else { return };
        let mut a = (0..9_999).map(|k| f64::from(k) * 0.151 - 750.0).collect::<Vec<_>>();
        let mut b = a.clone();
        Simd::vectorize(narrow, Slice(&mut a));
        Simd::vectorize(wide, Slice(&mut b));
        assert_eq!(a, b);
    }
}
