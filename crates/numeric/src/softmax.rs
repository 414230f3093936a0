//! Row softmax and log-sum-exp, of rows in `f64` or `f32`.
//!
//! Every exponent is taken relative to the row's largest entry, so that no finite row overflows: its weights are finite, not
//! negative, and add up to 1 within rounding. Where the differences `x - max` are exact, a weight that is not subnormal is within
//! 3 ulp, and the relative error of the row's sum, of the exact one. A sum is over sixteen fixed lanes in blocks of 1024 entries,
//! and over blocks in `f64`: its error hardly grows with the row, even in `f32`, and its bits depend on nothing but the row.
//!
//! **Masks.** An entry that is masked, or is minus infinity, gets the weight 0 and counts in no sum. A row of nothing else, and
//! an empty row, has weights of 0, a sum of 0 and a log-sum-exp of minus infinity. What stands under a mask is never looked at:
//! it may be NaN.
//!
//! **Caller errors.** A row with NaN or plus infinity outside the mask gives NaN weights and a NaN sum.
//!
//! Cost: three passes over the row; bound by arithmetic. `cargo xtask bench --criterion --only numeric` measures it beside a scalar loop.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::exp::{LANES, fuses};
use crate::real::Real;
use crate::scaled::ScaledValue;

/// Entries whose sum is rounded in the row's own type; a multiple of [`LANES`].
const BLOCK: usize = 1024;

/// Entries of a parallel block of rows, about.
const ROWS_BLOCK: usize = 16384;

/// The sum of the exponentials of a row, `sum * e^max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSum<T = f64> {
    /// The largest (scaled) entry; minus infinity if there is none.
    pub max: T,
    /// The sum of e^(x - max): at least 1, or 0 if there is no entry.
    pub sum: T,
}

impl<T: Real> RowSum<T> {
    /// The sum over no entries.
    pub const EMPTY: RowSum<T> = RowSum { max: T::NEG_INFINITY, sum: T::ZERO };

    /// The logarithm of the sum; minus infinity if there is no entry.
    pub fn log_sum_exp(self) -> T {
        self.max + self.sum.ln()
    }

    /// The sum as a number that cannot overflow. It must be finite: not that of a row with NaN or plus infinity.
    pub fn scaled(self) -> ScaledValue {
        if self.sum == T::ZERO { ScaledValue::ZERO } else { ScaledValue::new(self.sum.to_f64(), self.max.to_f64()) }
    }
}

/// Which entries of a row take part; the others get the weight 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep<'a> {
    /// All.
    #[default]
    All,
    /// The first so many (all, if the row is shorter): row `i` of causal attention keeps `First(i + 1)`.
    First(usize),
    /// Those marked `true`; as long as the row.
    Where(&'a [bool]),
}

/// Replaces a row x by its softmax e^x / sum(e^x).
///
/// ```
/// use certus_numeric::softmax::softmax_row;
/// let mut row = [1000.0, 1000.0 + 3f64.ln(), f64::NEG_INFINITY];
/// let sum = softmax_row(&mut row);
/// assert!((row[0] - 0.25).abs() < 1e-13 && (row[1] - 0.75).abs() < 1e-13 && row[2] == 0.0);
/// assert!((sum.log_sum_exp() - (1000.0 + 4f64.ln())).abs() < 1e-12);
/// ```
pub fn softmax_row<T: Real>(row: &mut [T]) -> RowSum<T> {
    softmax_row_with(row, T::ONE, Keep::All)
}

/// Replaces a row x by the softmax of `scale * x` over the kept entries.
///
/// The scale is applied to `x - max`: one rounding, and no overflow. (A difference beyond the type's range counts as minus
/// infinity, which is exact for scales above 1e-305, in `f32` 1e-36.) Only the [`RowSum::max`] may overflow, where `scale * max`
/// does.
///
/// ```
/// use certus_numeric::softmax::{Keep, RowSum, softmax_row_with};
/// let mut row = [4.0, 4.0, 8.0];
/// let sum = softmax_row_with(&mut row, 0.5, Keep::First(2));
/// assert_eq!((row, sum), ([0.5, 0.5, 0.0], RowSum { max: 2.0, sum: 2.0 }));
/// assert_eq!(softmax_row_with(&mut row, 0.5, Keep::Where(&[false; 3])), RowSum::EMPTY);
/// assert_eq!(row, [0.0; 3]);
/// ```
///
/// # Panics
/// If `scale` is not finite and above 0, or a mask is not as long as the row.
pub fn softmax_row_with<T: Real>(row: &mut [T], scale: T, keep: Keep) -> RowSum<T> {
    assert!(scale.is_finite() && scale > T::ZERO, "softmax with scale {scale}, which is not finite and above 0");
    let (row, mask) = match keep {
        Keep::All => (row, None),
        Keep::First(first) => {
            let (kept, masked) = row.split_at_mut(first.min(row.len()));
            masked.fill(T::ZERO);
            (kept, None)
        }
        Keep::Where(mask) => {
            assert_eq!(mask.len(), row.len(), "softmax with a mask of another length");
            (row, Some(mask))
        }
    };
    Arch::new().dispatch(Softmax { row, scale, mask })
}

/// Replaces each row of a row-major matrix with `cols` columns by its softmax, in parallel over blocks of rows.
///
/// # Panics
/// If `data` is not a whole number of rows.
pub fn softmax_rows<T: Real>(data: &mut [T], cols: usize) -> Vec<RowSum<T>> {
    softmax_rows_with(data, cols, T::ONE, |_| Keep::All)
}

/// As [`softmax_row_with`] for each row `i`, which keeps `keep(i)`, in parallel over blocks of rows.
///
/// ```
/// use certus_numeric::softmax::{Keep, softmax_rows_with};
/// let mut scores = [0.0; 9];
/// softmax_rows_with(&mut scores, 3, 1.0, |i| Keep::First(i + 1));
/// assert_eq!(scores[..6], [1.0, 0.0, 0.0, 0.5, 0.5, 0.0]);
/// ```
///
/// # Panics
/// If `data` is not a whole number of rows, and as [`softmax_row_with`].
pub fn softmax_rows_with<'m, T: Real>(data: &mut [T], cols: usize, scale: T, keep: impl Fn(usize) -> Keep<'m> + Sync) -> Vec<RowSum<T>> {
    if data.is_empty() {
        return Vec::new();
    }
    assert!(cols > 0 && data.len().is_multiple_of(cols), "softmax of {} entries in rows of {cols}", data.len());
    let rows = (ROWS_BLOCK / cols).max(1);
    let mut sums = vec![RowSum::EMPTY; data.len() / cols];
    let block = |(block, (data, sums)): (usize, (&mut [T], &mut [RowSum<T>]))| {
        for (i, (row, sum)) in data.chunks_exact_mut(cols).zip(sums).enumerate() {
            *sum = softmax_row_with(row, scale, keep(block * rows + i));
        }
    };
    if sums.len() <= rows {
        block((0, (data, &mut sums)));
    } else {
        data.par_chunks_mut(rows * cols).zip(sums.par_chunks_mut(rows)).enumerate().for_each(block);
    }
    sums
}

/// The logarithm of the sum of the exponentials: minus infinity of nothing.
///
/// ```
/// use certus_numeric::softmax::log_sum_exp;
/// assert_eq!(log_sum_exp(&[-1e4, -1e4]), -1e4 + 2f64.ln());
/// assert_eq!(log_sum_exp::<f64>(&[]), f64::NEG_INFINITY);
/// ```
pub fn log_sum_exp<T: Real>(row: &[T]) -> T {
    row_sum(row).log_sum_exp()
}

/// The sum of the exponentials of a row: what [`softmax_row`] gives, without writing the weights.
pub fn row_sum<T: Real>(row: &[T]) -> RowSum<T> {
    Arch::new().dispatch(Sum { row })
}

struct Softmax<'a, T> {
    row: &'a mut [T],
    scale: T,
    mask: Option<&'a [bool]>,
}

impl<T: Real> WithSimd for Softmax<'_, T> {
    type Output = RowSum<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> RowSum<T> {
        let Softmax { row, scale, mask } = self;
        for (x, &keep) in row.iter_mut().zip(mask.unwrap_or_default()) {
            *x = if keep { *x } else { T::NEG_INFINITY };
        }
        let max = largest(row);
        let mut sum = 0.0;
        for block in row.chunks_mut(BLOCK) {
            let block_sum = if fuses::<S>() { weigh::<T, true>(block, max, scale) } else { weigh::<T, false>(block, max, scale) };
            sum += block_sum.to_f64();
        }
        if sum != 0.0 {
            let inverse = T::from_f64(1.0 / sum);
            for weight in row {
                *weight *= inverse;
            }
        }
        RowSum { max: scale * max, sum: T::from_f64(sum) }
    }
}

struct Sum<'a, T> {
    row: &'a [T],
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = RowSum<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> RowSum<T> {
        let max = largest(self.row);
        let mut sum = 0.0;
        for block in self.row.chunks(BLOCK) {
            let block_sum = if fuses::<S>() { total::<T, true>(block, max) } else { total::<T, false>(block, max) };
            sum += block_sum.to_f64();
        }
        RowSum { max, sum: T::from_f64(sum) }
    }
}

/// The larger of two; the first if the second is NaN. One instruction, unlike `max`, which must order NaN.
#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    if a < b { b } else { a }
}

/// The largest entry: minus infinity of nothing. NaN is passed over.
#[inline(always)]
fn largest<T: Real>(row: &[T]) -> T {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [T::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    rest.iter().copied().fold(fold(lanes, larger), larger)
}

/// Replaces each entry x of a block by e^(scale (x - max)), and returns the sum over fixed lanes.
#[inline(always)]
fn weigh<T: Real, const FUSED: bool>(block: &mut [T], max: T, scale: T) -> T {
    let max = finite_shift(max);
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = block.as_chunks_mut::<LANES>();
    for chunk in chunks {
        add_weights::<T, FUSED>(chunk, &mut lanes, max, scale);
    }
    if !rest.is_empty() {
        let mut chunk = [T::NEG_INFINITY; LANES];
        chunk[..rest.len()].copy_from_slice(rest);
        add_weights::<T, FUSED>(&mut chunk, &mut lanes, max, scale);
        rest.copy_from_slice(&chunk[..rest.len()]);
    }
    fold(lanes, |a, b| a + b)
}

/// The sum that [`weigh`] returns for a scale of 1.
#[inline(always)]
fn total<T: Real, const FUSED: bool>(block: &[T], max: T) -> T {
    let max = finite_shift(max);
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        add_weights::<T, FUSED>(&mut { *chunk }, &mut lanes, max, T::ONE);
    }
    if !rest.is_empty() {
        let mut chunk = [T::NEG_INFINITY; LANES];
        chunk[..rest.len()].copy_from_slice(rest);
        add_weights::<T, FUSED>(&mut chunk, &mut lanes, max, T::ONE);
    }
    fold(lanes, |a, b| a + b)
}

/// What to subtract from the entries of a row with this maximum. Of a row of minus infinities `x - max` would be NaN; any
/// number keeps them what they are.
#[inline(always)]
fn finite_shift<T: Real>(max: T) -> T {
    if max == T::NEG_INFINITY { T::ZERO } else { max }
}

#[inline(always)]
fn add_weights<T: Real, const FUSED: bool>(chunk: &mut [T; LANES], lanes: &mut [T; LANES], max: T, scale: T) {
    for x in chunk.iter_mut() {
        *x = (scale * (*x - max)).exp_kernel::<FUSED>();
    }
    for (lane, weight) in lanes.iter_mut().zip(chunk) {
        *lane += *weight;
    }
}

/// Folds the lanes by halves.
#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_width_of_registers_does_not_change_bits() {
        let (Some(narrow), Some(wide)) = (pulp::x86::V3::try_new(), pulp::x86::V4::try_new()) else { return };
        for n in [1, 5, 16, 31, 1000, 3333] {
            let mut a = (0..n).map(|k| f64::from(k * 7919 % 1009) * 0.02).collect::<Vec<_>>();
            let mut b = a.clone();
            let mask = (0..n).map(|k| k % 5 != 0 || n == 1).collect::<Vec<_>>();
            let sum_a = Simd::vectorize(narrow, Softmax { row: &mut a, scale: 0.7, mask: Some(&mask) });
            let sum_b = Simd::vectorize(wide, Softmax { row: &mut b, scale: 0.7, mask: Some(&mask) });
            assert_eq!((a, sum_a), (b, sum_b));
        }
    }

    /// The path of processors without fused multiply-add, which no other test reaches on one that has it: within an ulp of each weight.
    #[test]
    fn weights_and_sums_are_the_same_up_to_rounding_without_fused_multiply_add() {
        for n in [1, 7, 8, 9, 63, 1000] {
            let x = (0..n).map(|k| f64::from(k * 37 % 101) * 0.31 - 20.0).collect::<Vec<_>>();
            let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (mut fused, mut plain) = (x.clone(), x.clone());
            let sums = [weigh::<f64, true>(&mut fused, max, 0.7), weigh::<f64, false>(&mut plain, max, 0.7)];
            assert!(fused.iter().zip(&plain).all(|(a, b)| a.to_bits().abs_diff(b.to_bits()) <= 1), "{n}");
            let totals = [total::<f64, true>(&x, max), total::<f64, false>(&x, max)];
            assert!([sums, totals].iter().all(|[a, b]| (a / b - 1.0).abs() < 4.0 * f64::EPSILON), "{n}: {sums:?} {totals:?}");
            let (mut single, narrow) = (x.iter().map(|x| *x as f32).collect::<Vec<_>>(), max as f32);
            let mut other = single.clone();
            let sums = [weigh::<f32, true>(&mut single, narrow, 0.7), weigh::<f32, false>(&mut other, narrow, 0.7)];
            assert!((sums[0] / sums[1] - 1.0).abs() < 4.0 * f32::EPSILON, "{n}: {sums:?}");
        }
    }
}
