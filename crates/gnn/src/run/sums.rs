//! Sums over edges where rows are wanted, and not panels.

use std::ops::Range;

use certus_numeric::Array;

use crate::graph::Graph;
use crate::kernels::RowsOf;
use crate::kernels::aggregate::AggregateRow;
use crate::simd::{Kernel, dispatch};
use crate::spec::Reduce;
use crate::steps::Operator;

pub(super) fn neighbour_count(graph: &Graph, i: usize) -> Option<f32> {
    Some(graph.sources(i).len()).filter(|&count| count > 0).map(|count| count as f32)
}

/// Sums over edges for some rows into some columns of rows of `width` numbers.
#[allow(clippy::too_many_arguments)]
pub(super) fn sum_rows(
    graph: &Graph,
    rows: Range<usize>,
    source: RowsOf,
    columns: Range<usize>,
    width: usize,
    operator: Operator,
    mean: bool,
    out: &mut [f32],
) {
    for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
        let count = if mean { neighbour_count(graph, i) } else { None };
        let out = &mut out[columns.clone()];
        dispatch(AggregateRow { graph, i, source, live: columns.len(), operator, own: None, count, out });
    }
}

/// The same for features whose rows have numbers of their own.
pub(super) fn aggregate_dense_row(
    graph: &Graph,
    i: usize,
    features: &Array<f32>,
    row_of: impl Fn(usize) -> usize,
    operator: &Operator,
    count: Option<f32>,
    out: &mut [f32],
) {
    out.fill(0.0);
    let weights = if operator.weighted { graph.weights_into(i) } else { None };
    for (k, &j) in graph.sources(i).iter().enumerate() {
        let row = features.row(row_of(j as usize));
        let weight = weights.map_or(1.0, |weights| weights[k]);
        let weighted = row.iter().map(|y| weight * y);
        match (operator.reduce, weights) {
            (Reduce::Max | Reduce::Min, _) if k == 0 => out.iter_mut().zip(weighted).for_each(|(x, y)| *x = y),
            (Reduce::Max, _) => out.iter_mut().zip(weighted).for_each(|(x, y)| *x = if y > *x { y } else { *x }),
            (Reduce::Min, _) => out.iter_mut().zip(weighted).for_each(|(x, y)| *x = if y < *x { y } else { *x }),
            (_, None) => out.iter_mut().zip(row).for_each(|(x, y)| *x += y),
            (_, Some(weights)) => dispatch(Axpy { a: weights[k], x: row, y: out }),
        }
    }
    for x in out {
        *x += 0.0;
        if let Some(count) = count {
            *x /= count;
        }
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
