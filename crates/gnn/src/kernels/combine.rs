//! Products of rows with a matrix of weights: one chain over the inner index for each output element, ascending.
//!
//! Bound by multiply-adds: six rows by sixteen columns stay in registers, so that each load of a weight serves six rows.

use std::ops::Range;

use certus_numeric::Array;

use crate::simd::{Kernel, multiply_add};

/// Columns of a strip.
const STRIP: usize = 16;

/// Inner indices of rows that are packed at a time.
const PACKED: usize = 256;

/// A matrix as strips of sixteen columns, each with all rows one after the other; the last is padded with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Strips {
    inner: usize,
    columns: usize,
    strips: Vec<[f32; STRIP]>,
}

impl Strips {
    /// From inner x outer.
    pub(crate) fn new(matrix: &Array<f32>) -> Self {
        let (inner, columns) = (matrix.rows(), matrix.cols());
        let mut strips = vec![[0.0; STRIP]; inner * columns.div_ceil(STRIP)];
        for (b, strip) in strips.chunks_exact_mut(inner.max(1)).enumerate() {
            for (k, row) in strip.iter_mut().enumerate() {
                let begin = b * STRIP;
                let live = STRIP.min(columns - begin);
                row[..live].copy_from_slice(&matrix.row(k)[begin..begin + live]);
            }
        }
        Strips { inner, columns, strips }
    }

    /// Numbers without the padding.
    pub(crate) fn len(&self) -> usize {
        self.strips.len() * STRIP
    }

    fn strip(&self, b: usize) -> &[[f32; STRIP]] {
        &self.strips[b * self.inner..(b + 1) * self.inner]
    }

    /// The strips that hold some columns; for each the columns of the strip, and where they go.
    #[inline(always)]
    fn covering(&self, columns: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>, usize)> + use<> {
        debug_assert!(columns.end <= self.columns);
        let (begin, end) = (columns.start, columns.end);
        (begin / STRIP..end.div_ceil(STRIP)).map(move |b| {
            let from = begin.max(b * STRIP);
            (b, from - b * STRIP..end.min((b + 1) * STRIP) - b * STRIP, from - begin)
        })
    }
}

/// Puts a finished strip in its place.
#[inline(always)]
fn store(out: &mut [f32], sums: &[f32], add: bool) {
    for (out, sum) in out.iter_mut().zip(sums) {
        // Whether zero terms were added or left out, a zero is +0.
        let sum = sum + 0.0;
        *out = if add { *out + sum } else { sum };
    }
}

/// `out += x w` (or `=`), for some rows and some columns of w.
pub(crate) struct Combine<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) rows: usize,
    pub(crate) w: &'a Strips,
    pub(crate) columns: Range<usize>,
    pub(crate) out: &'a mut [f32],
    pub(crate) out_stride: usize,
    /// Whether the finished product is added to what is there.
    pub(crate) add: bool,
    /// Whether weights count without their signs: for bounds.
    pub(crate) absolute: bool,
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        if self.absolute { self.tiles::<FUSED, true>() } else { self.tiles::<FUSED, false>() }
    }
}

impl Combine<'_> {
    #[inline(always)]
    fn tiles<const FUSED: bool, const ABSOLUTE: bool>(&mut self) {
        let mut row = 0;
        while self.rows - row >= 6 {
            self.tile::<FUSED, ABSOLUTE, 6>(row);
            row += 6;
        }
        while self.rows - row >= 2 {
            self.tile::<FUSED, ABSOLUTE, 2>(row);
            row += 2;
        }
        if row < self.rows {
            self.tile::<FUSED, ABSOLUTE, 1>(row);
        }
    }

    /// Rows side by side, so that one index of all of them is one load.
    #[inline(always)]
    fn pack<const R: usize>(&self, row: usize, begin: usize, packed: &mut [[f32; R]]) {
        let x: [&[f32]; R] = std::array::from_fn(|r| &self.x[(row + r) * self.x_stride + begin..][..packed.len()]);
        for (k, packed) in packed.iter_mut().enumerate() {
            for r in 0..R {
                packed[r] = x[r][k];
            }
        }
    }

    /// `R` rows through all strips.
    #[inline(always)]
    fn tile<const FUSED: bool, const ABSOLUTE: bool, const R: usize>(&mut self, row: usize) {
        let inner = self.w.inner;
        let mut packed = [[0.0f32; R]; PACKED];
        if inner <= PACKED {
            self.pack(row, 0, &mut packed[..inner]);
        }
        for (b, live, place) in self.w.covering(&self.columns) {
            let mut sums = [[0.0f32; STRIP]; R];
            for (k, w) in self.w.strip(b).chunks(PACKED).enumerate() {
                if inner > PACKED {
                    self.pack(row, k * PACKED, &mut packed[..w.len()]);
                }
                sums = chain::<FUSED, ABSOLUTE, R>(&packed, w, sums);
            }
            for r in 0..R {
                store(&mut self.out[(row + r) * self.out_stride + place..][..live.len()], &sums[r][live.clone()], self.add);
            }
        }
    }
}

/// The sums with some more terms. By value: what nobody points to stays in registers.
#[inline(always)]
fn chain<const FUSED: bool, const ABSOLUTE: bool, const R: usize>(
    x: &[[f32; R]],
    w: &[[f32; STRIP]],
    mut sums: [[f32; STRIP]; R],
) -> [[f32; STRIP]; R] {
    for (x, w) in x.iter().zip(w) {
        for r in 0..R {
            for c in 0..STRIP {
                let w = if ABSOLUTE { w[c].abs() } else { w[c] };
                sums[r][c] = multiply_add::<FUSED>(x[r], w, sums[r][c]);
            }
        }
    }
    sums
}

/// The same for one sparse row.
pub(crate) struct CombineSparse<'a> {
    pub(crate) indices: &'a [u32],
    pub(crate) values: &'a [f32],
    pub(crate) w: &'a Strips,
    pub(crate) columns: Range<usize>,
    pub(crate) out: &'a mut [f32],
    pub(crate) add: bool,
}

impl Kernel for CombineSparse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (b, live, place) in self.w.covering(&self.columns) {
            let strip = self.w.strip(b);
            let mut sums = [0.0f32; STRIP];
            for (&k, &x) in self.indices.iter().zip(self.values) {
                let w = &strip[k as usize];
                for c in 0..STRIP {
                    sums[c] = multiply_add::<FUSED>(x, w[c], sums[c]);
                }
            }
            store(&mut self.out[place..place + live.len()], &sums[live], self.add);
        }
    }
}
