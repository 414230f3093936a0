//! Sums over edges where rows are wanted, and not panels.

use std::ops::Range;

use crate::error::Error;
use crate::features::DenseFeatures;
use crate::graph::{Incoming as _, Window};
use crate::kernels::RowsOf;
use crate::kernels::aggregate::AggregateRow;
use crate::kernels::long::{AddPiece, Piece};
use crate::kernels::sparse::SparseSum;
use crate::simd::{Kernel, dispatch};
use crate::spec::Reduce;
use crate::steps::{Operator, OwnTerm};

/// The sum of a term over edges, or the mean.
#[derive(Clone, Copy)]
pub(super) struct RowSums {
    pub(super) operator: Operator,
    pub(super) mean: bool,
    /// Columns in all.
    pub(super) width: usize,
    /// 1 + eps of the layer, where the own row comes last.
    pub(super) one_plus_eps: f32,
}

impl RowSums {
    /// What a row's sum is divided by.
    fn count(&self, window: &Window, i: usize) -> Option<f32> {
        Some(window.count(i)).filter(|&count| self.mean && count > 0).map(|count| count as f32)
    }

    /// What the own row is multiplied by.
    fn own(&self) -> Option<f32> {
        (self.operator.own == OwnTerm::OnePlusEps).then_some(self.one_plus_eps)
    }

    /// Of panels side by side; `columns(k)`: those of panel `k`.
    pub(super) fn of_panels(
        &self,
        window: &mut Window,
        rows: Range<usize>,
        panels: &[RowsOf],
        columns: impl Fn(usize) -> Range<usize>,
        out: &mut [f32],
    ) -> Result<(), Error> {
        let operator = self.operator;
        for (i, out) in rows.zip(out.chunks_exact_mut(self.width)) {
            let count = self.count(window, i);
            match window {
                Window::Rows(graph) => {
                    for (k, &source) in panels.iter().enumerate() {
                        let out = &mut out[columns(k)];
                        dispatch(AggregateRow { graph, i, source, live: out.len(), operator, own: self.own(), count, out });
                    }
                }
                Window::Long(row) => {
                    out.fill(0.0);
                    let (mut begins, has_loops) = (true, row.has_loops);
                    row.pieces(|sources, weights| {
                        let piece = Piece::of((i, has_loops, begins), sources, weights, &operator);
                        for (k, &source) in panels.iter().enumerate() {
                            dispatch(AddPiece { piece, source, sums: &mut out[columns(k)] });
                        }
                        begins = false;
                    })?;
                    for (k, source) in panels.iter().enumerate().filter(|_| self.own().is_some()) {
                        let out = &mut out[columns(k)];
                        add_dense(Reduce::Sum, false, true, self.one_plus_eps, source.row(i, 0, out.len()), out);
                    }
                    finish(out, count);
                }
            }
        }
        Ok(())
    }

    /// Of sparse features.
    pub(super) fn of_sparse(
        &self,
        window: &mut Window,
        rows: Range<usize>,
        features: &certus_numeric::Csr<f32>,
        row_of: impl Fn(usize) -> usize,
        out: &mut [f32],
    ) -> Result<(), Error> {
        for (i, out) in rows.zip(out.chunks_exact_mut(self.width)) {
            let count = self.count(window, i);
            let mut sum = SparseSum::new(features, self.operator.reduce, out);
            each_piece(window, i, &self.operator, |sources, weights| sum.add(sources, weights, &row_of))?;
            sum.finish(count);
        }
        Ok(())
    }

    /// Of dense features whose rows have numbers of their own.
    pub(super) fn of_dense(
        &self,
        window: &mut Window,
        rows: Range<usize>,
        features: &DenseFeatures,
        row_of: impl Fn(usize) -> usize,
        out: &mut [f32],
    ) -> Result<(), Error> {
        for (i, out) in rows.zip(out.chunks_exact_mut(self.width)) {
            let count = self.count(window, i);
            out.fill(0.0);
            let mut begins = true;
            each_piece(window, i, &self.operator, |sources, weights| {
                for (k, &j) in sources.iter().enumerate() {
                    let weight = weights.map_or(1.0, |weights| weights[k]);
                    add_dense(self.operator.reduce, begins, weights.is_some(), weight, features.row(row_of(j as usize)), out);
                    begins = false;
                }
            })?;
            if let Some(own) = self.own() {
                add_dense(Reduce::Sum, false, true, own, features.row(row_of(i)), out);
            }
            finish(out, count);
        }
        Ok(())
    }
}

/// The edges of a row, at once or in pieces, with the weights that the sum uses.
fn each_piece(window: &mut Window, i: usize, operator: &Operator, mut add: impl FnMut(&[u32], Option<&[f32]>)) -> Result<(), Error> {
    match window {
        Window::Rows(edges) => add(edges.sources(i), edges.weights_into(i).filter(|_| operator.weighted)),
        Window::Long(row) => row.pieces(|sources, weights| add(sources, weights.filter(|_| operator.weighted)))?,
    }
    Ok(())
}

fn finish(out: &mut [f32], count: Option<f32>) {
    for x in out {
        *x += 0.0;
        if let Some(count) = count {
            *x /= count;
        }
    }
}

/// One more neighbour.
fn add_dense(reduce: Reduce, first: bool, weighted: bool, weight: f32, row: &[f32], out: &mut [f32]) {
    let products = out.iter_mut().zip(row.iter().map(|y| weight * y));
    match reduce {
        Reduce::Max | Reduce::Min if first => products.for_each(|(x, y)| *x = y),
        Reduce::Max => products.for_each(|(x, y)| *x = if y > *x { y } else { *x }),
        Reduce::Min => products.for_each(|(x, y)| *x = if y < *x { y } else { *x }),
        Reduce::Sum | Reduce::Mean if weighted => dispatch(Axpy { a: weight, x: row, y: out }),
        Reduce::Sum | Reduce::Mean => out.iter_mut().zip(row).for_each(|(x, y)| *x += y),
    }
}

/// y += a x, dispatched.
struct Axpy<'x> {
    a: f32,
    x: &'x [f32],
    y: &'x mut [f32],
}

impl Kernel for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        self.y.iter_mut().zip(self.x).for_each(|(y, &x)| *y = crate::simd::multiply_add::<FUSED>(self.a, x, *y));
    }
}
