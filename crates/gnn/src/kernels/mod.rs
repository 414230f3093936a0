//! The inner loops. Each output element is one chain of operations in an order that no schedule changes.

pub(crate) mod aggregate;
pub(crate) mod attend;
pub(crate) mod combine;
pub(crate) mod epilogue;
pub(crate) mod long;
pub(crate) mod prefetch;
pub(crate) mod sparse;

/// Rows of some panel or block, s numbers each, from row `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsOf<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl<'a> RowsOf<'a> {
    /// Columns of row `i` from `column` on.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize, column: usize, count: usize) -> &'a [f32] {
        let begin = (i - self.first) * self.stride + column;
        &self.data[begin..begin + count]
    }
}

/// The sum of products in eight fixed lanes by column, whatever the width of registers.
#[inline(always)]
pub(crate) fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for k in 0..8 {
            lanes[k] = crate::simd::multiply_add::<FUSED>(a[k], b[k], lanes[k]);
        }
    }
    for (k, (&a, &b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[k] = crate::simd::multiply_add::<FUSED>(a, b, lanes[k]);
    }
    add_lanes(lanes)
}

/// Eight lanes as one number, in one fixed tree.
#[inline(always)]
pub(crate) fn add_lanes(lanes: [f32; 8]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Whether all numbers are finite, also in f16 if they are kept in it.
pub(crate) fn fits(row: &[f32], half: bool) -> bool {
    // From here on f16 rounds to infinity.
    if half { row.iter().all(|x| x.abs() < 65520.0) } else { all_finite(row) }
}

/// Whether all are finite.
#[inline(always)]
pub(crate) fn all_finite(x: &[f32]) -> bool {
    x.iter().fold(true, |finite, v| finite & (v.abs() <= f32::MAX))
}
