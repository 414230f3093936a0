//! Products of rows with a matrix of weights: one chain over the inner index for each output element, ascending.
//!
//! Bound by multiply-adds: six rows by sixteen columns stay in registers, so that each load of a weight serves six rows.

use std::ops::Range;

use certus_numeric::Array;

use crate::simd::{Kernel, multiply_add};

/// `out += x w` (or `=`), for some rows and some columns of w.
pub(crate) struct Combine<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) rows: usize,
    /// Inner x outer.
    pub(crate) w: &'a Array<f32>,
    pub(crate) columns: Range<usize>,
    pub(crate) out: &'a mut [f32],
    pub(crate) out_stride: usize,
    /// Whether the finished product is added to what is there.
    pub(crate) add: bool,
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let mut column = 0;
        macro_rules! strip {
            ($width:literal) => {
                while self.columns.len() - column >= $width {
                    let mut row = 0;
                    while row + 6 <= self.rows {
                        self.tile::<FUSED, 6, $width>(row, column);
                        row += 6;
                    }
                    while row + 2 <= self.rows {
                        self.tile::<FUSED, 2, $width>(row, column);
                        row += 2;
                    }
                    if row < self.rows {
                        self.tile::<FUSED, 1, $width>(row, column);
                    }
                    column += $width;
                }
            };
        }
        strip!(16);
        strip!(8);
        strip!(4);
        strip!(1);
    }
}

impl Combine<'_> {
    #[inline(always)]
    fn tile<const FUSED: bool, const R: usize, const C: usize>(&mut self, row: usize, column: usize) {
        let (inner, stride) = (self.w.rows(), self.w.cols());
        let w = &self.w.as_slice()[self.columns.start + column..];
        let x: [&[f32]; R] = std::array::from_fn(|r| &self.x[(row + r) * self.x_stride..][..inner]);
        let mut sums = [[0.0f32; C]; R];
        for k in 0..inner {
            let w = w[k * stride..].first_chunk::<C>().expect("a strip lies in the matrix");
            for r in 0..R {
                let x = x[r][k];
                for c in 0..C {
                    sums[r][c] = multiply_add::<FUSED>(x, w[c], sums[r][c]);
                }
            }
        }
        for r in 0..R {
            let out = &mut self.out[(row + r) * self.out_stride + column..][..C];
            for c in 0..C {
                let sum = sums[r][c] + 0.0;
                out[c] = if self.add { out[c] + sum } else { sum };
            }
        }
    }
}

/// The same for one sparse row.
pub(crate) struct CombineSparse<'a> {
    pub(crate) indices: &'a [u32],
    pub(crate) values: &'a [f32],
    pub(crate) w: &'a Array<f32>,
    pub(crate) columns: Range<usize>,
    pub(crate) out: &'a mut [f32],
    pub(crate) add: bool,
}

impl Kernel for CombineSparse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let mut column = 0;
        macro_rules! strip {
            ($width:literal) => {
                while self.columns.len() - column >= $width {
                    self.strip::<FUSED, $width>(column);
                    column += $width;
                }
            };
        }
        strip!(64);
        strip!(16);
        strip!(4);
        strip!(1);
    }
}

impl CombineSparse<'_> {
    #[inline(always)]
    fn strip<const FUSED: bool, const C: usize>(&mut self, column: usize) {
        let (w, stride) = (&self.w.as_slice()[self.columns.start + column..], self.w.cols());
        let mut sums = [0.0f32; C];
        for (&k, &x) in self.indices.iter().zip(self.values) {
            let w = w[k as usize * stride..].first_chunk::<C>().expect("a strip lies in the matrix");
            for c in 0..C {
                sums[c] = multiply_add::<FUSED>(x, w[c], sums[c]);
            }
        }
        let out = &mut self.out[column..column + C];
        for c in 0..C {
            let sum = sums[c] + 0.0;
            out[c] = if self.add { out[c] + sum } else { sum };
        }
    }
}
