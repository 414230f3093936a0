//! Sums, maxima and minima over incoming edges.
//!
//! Bound by the bandwidth of random reads: one row of s numbers an edge. Rows are independent, accumulators stay in registers.

use std::ops::Range;

use super::epilogue::{Bound, OtherErrors, RowFactors, no_bound_if_nan, times, widened};
use super::prefetch::prefetch;
use super::{RowsOf, all_finite};
use crate::graph::{Edges, Incoming, Normalisation};
use crate::simd::{Kernel, multiply_add};
use crate::spec::Reduce;
use crate::steps::{Epilogue, Operator, OwnTerm};

/// Aggregates one panel over the edges into some rows.
pub(crate) struct Aggregate<'a> {
    pub(crate) graph: &'a Edges<'a>,
    pub(crate) rows: Range<usize>,
    /// The source panel, from row 0 on.
    pub(crate) source: RowsOf<'a>,
    /// Columns that are computed; those up to the stride become 0.
    pub(crate) live: usize,
    pub(crate) operator: Operator,
    pub(crate) one_plus_eps: f32,
    pub(crate) epilogue: &'a Epilogue,
    pub(crate) bound: Bound<'a>,
    /// The output's rows, of the source's stride.
    pub(crate) out: &'a mut [f32],
}

/// What a row multiplies its own row by, and the factors of its epilogue.
#[inline(always)]
pub(crate) fn factors(
    graph: &impl Incoming,
    i: usize,
    operator: &Operator,
    one_plus_eps: f32,
    epilogue: &Epilogue,
) -> (Option<f32>, RowFactors) {
    let mut known: Option<(Normalisation, (f32, f32))> = None;
    let mut norm = |normalisation: Normalisation| match known {
        Some((same, found)) if same == normalisation => found,
        _ => {
            let found = graph.norm(i, normalisation);
            known = Some((normalisation, found));
            found
        }
    };
    let own = match operator.own {
        OwnTerm::None => None,
        OwnTerm::OnePlusEps => Some(one_plus_eps),
        OwnTerm::Loop(normalisation) => Some(norm(normalisation).1),
    };
    let own = if operator.no_edges { Some(1.0) } else { own };
    let count = if epilogue.mean { Some(graph.count(i)).filter(|&count| count > 0).map(|count| count as f32) } else { None };
    let factors = RowFactors { norm: epilogue.norm.map(|n| norm(n).0), count, rescale: epilogue.rescale.map(|n| norm(n).0) };
    (own, factors)
}

impl Kernel for Aggregate<'_> {
    /// The first row that is not finite.
    type Output = Option<usize>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Option<usize> {
        let Aggregate { graph, rows, source, live, operator, one_plus_eps, epilogue, bound, out } = self;
        let stride = source.stride;
        let mut first_bad = None;
        for (i, out) in rows.zip(out.chunks_exact_mut(stride)) {
            let (own, factors) = factors(graph, i, &operator, one_plus_eps, epilogue);
            let row = Row::of(graph, i, &operator, own, source);
            let mut column = 0;
            macro_rules! columns {
                ($width:literal) => {
                    while live - column >= $width {
                        let mut x = row.reduce::<FUSED, $width>(column);
                        let out = &mut out[column..column + $width];
                        bound.apply(&mut x, i, column, factors, epilogue.accumulate.then_some(&*out));
                        out.copy_from_slice(&x);
                        column += $width;
                    }
                };
            }
            columns!(64);
            columns!(32);
            columns!(16);
            columns!(8);
            columns!(4);
            columns!(1);
            out[live..].fill(0.0);
            if first_bad.is_none() && !all_finite(&out[..live]) {
                first_bad = Some(i);
            }
        }
        first_bad
    }
}

/// As [`Aggregate`], with bounds on the distance from another run of the same sums.
pub(crate) struct AggregateBounded<'a> {
    pub(crate) values: Aggregate<'a>,
    /// The bounds of the source panel.
    pub(crate) source_errors: RowsOf<'a>,
    pub(crate) others: OtherErrors<'a>,
    pub(crate) out_errors: &'a mut [f32],
}

impl Kernel for AggregateBounded<'_> {
    /// The first row that is not finite.
    type Output = Option<usize>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Option<usize> {
        let Aggregate { graph, rows, source, live, operator, one_plus_eps, epilogue, bound, out } = self.values;
        let stride = source.stride;
        let mut first_bad = None;
        let outs = out.chunks_exact_mut(stride).zip(self.out_errors.chunks_exact_mut(stride));
        for (i, (out, out_errors)) in rows.zip(outs) {
            let (own, factors) = factors(graph, i, &operator, one_plus_eps, epilogue);
            let row = Row::of(graph, i, &operator, own, source);
            for column in 0..live {
                let [mut x] = row.reduce::<FUSED, 1>(column);
                let mut e = row.bound(self.source_errors, column);
                let old = (out[column], out_errors[column]);
                let old = epilogue.accumulate.then_some((std::slice::from_ref(&old.0), std::slice::from_ref(&old.1)));
                bound.apply_bounded(std::slice::from_mut(&mut x), std::slice::from_mut(&mut e), i, column, factors, old, self.others);
                (out[column], out_errors[column]) = (x, e);
            }
            out[live..].fill(0.0);
            out_errors[live..].fill(0.0);
            if first_bad.is_none() && !all_finite(&out[..live]) {
                first_bad = Some(i);
            }
        }
        first_bad
    }
}

/// Edges that a row of a neighbour is asked for ahead.
const AHEAD: usize = 12;

/// The neighbours of one row.
struct Row<'a> {
    i: usize,
    sources: &'a [u32],
    /// The sources some edges further on, over the ends of rows.
    ahead: &'a [u32],
    weights: Option<&'a [f32]>,
    skip_loops: bool,
    reduce: Reduce,
    own: Option<f32>,
    panel: RowsOf<'a>,
}

impl<'a> Row<'a> {
    /// A bound on the distance of this row's sum in one column from that of another run, whose terms are within `errors`.
    ///
    /// Each run rounds each of K terms at most K + 6 times: the terms' bounds and their sizes, in sums that round as well.
    #[inline(always)]
    fn bound(&self, errors: RowsOf, column: usize) -> f32 {
        let product = self.weights.is_some();
        let (mut apart, mut size, mut largest, mut terms) = (0.0f32, 0.0f32, 0.0f32, 0u32);
        let mut add = |weight: f32, j: usize| {
            let (e, x) = (errors.row(j, column, 1)[0], self.panel.row(j, column, 1)[0]);
            apart += times(weight, e);
            size += weight.abs() * x.abs();
            let e = if product { widened(times(weight, e), (weight * x).abs()) } else { e };
            largest = if e > largest { e } else { largest };
            terms += 1;
        };
        for (k, &j) in self.sources.iter().enumerate() {
            if !(self.skip_loops && j as usize == self.i) {
                add(self.weights.map_or(1.0, |weights| weights[k]), j as usize);
            }
        }
        if let Some(own) = self.own {
            add(own, self.i);
        }
        sum_bound(self.reduce, apart, size, largest, terms)
    }

    #[inline(always)]
    fn of(graph: &Edges<'a>, i: usize, operator: &Operator, own: Option<f32>, panel: RowsOf<'a>) -> Self {
        let sources = if operator.no_edges { &[] } else { graph.sources(i) };
        let weights = if operator.weighted && !operator.no_edges { graph.weights_into(i) } else { None };
        let skip_loops = operator.drop_loops && graph.has_loops;
        let ahead = if operator.no_edges { &[] } else { graph.sources_ahead(i, AHEAD) };
        Row { i, ahead, sources, weights, skip_loops, reduce: operator.reduce, own, panel }
    }

    /// Asks for the columns of the neighbour that comes some edges after number `k`.
    #[inline(always)]
    fn ask<const C: usize>(&self, k: usize, column: usize) {
        if let Some(&next) = self.ahead.get(k) {
            for line in (0..C).step_by(16) {
                prefetch(self.panel.data, next as usize * self.panel.stride + column + line);
            }
        }
    }

    /// The aggregate of some columns, in the order of the edges; the own row comes last.
    #[inline(always)]
    fn reduce<const FUSED: bool, const C: usize>(&self, column: usize) -> [f32; C] {
        let at = |j: usize| -> &[f32; C] {
            let begin = j * self.panel.stride + column;
            self.panel.data[begin..].first_chunk::<C>().expect("a panel has all rows")
        };
        let mut x = [0.0f32; C];
        match (self.reduce, self.weights) {
            (Reduce::Sum | Reduce::Mean, None) if !self.skip_loops => {
                for (k, &j) in self.sources.iter().enumerate() {
                    self.ask::<C>(k, column);
                    let y = at(j as usize);
                    for c in 0..C {
                        x[c] += y[c];
                    }
                }
            }
            (Reduce::Sum | Reduce::Mean, None) => {
                for (k, &j) in self.sources.iter().enumerate() {
                    self.ask::<C>(k, column);
                    if j as usize == self.i {
                        continue;
                    }
                    let y = at(j as usize);
                    for c in 0..C {
                        x[c] += y[c];
                    }
                }
            }
            (Reduce::Sum | Reduce::Mean, Some(weights)) => {
                for (k, (&j, &w)) in self.sources.iter().zip(weights).enumerate() {
                    self.ask::<C>(k, column);
                    if self.skip_loops && j as usize == self.i {
                        continue;
                    }
                    let y = at(j as usize);
                    for c in 0..C {
                        x[c] = multiply_add::<FUSED>(w, y[c], x[c]);
                    }
                }
            }
            (Reduce::Max | Reduce::Min, weights) => {
                for (k, &j) in self.sources.iter().enumerate() {
                    self.ask::<C>(k, column);
                    let mut y = *at(j as usize);
                    if let Some(weights) = weights {
                        y.iter_mut().for_each(|y| *y *= weights[k]);
                    }
                    if k == 0 {
                        x = y;
                    } else if self.reduce == Reduce::Max {
                        for c in 0..C {
                            x[c] = if y[c] > x[c] { y[c] } else { x[c] };
                        }
                    } else {
                        for c in 0..C {
                            x[c] = if y[c] < x[c] { y[c] } else { x[c] };
                        }
                    }
                }
            }
        }
        if let Some(own) = self.own {
            let y = at(self.i);
            for c in 0..C {
                x[c] = multiply_add::<FUSED>(own, y[c], x[c]);
            }
        }
        // Whether zero terms were added or left out, a zero is +0.
        for x in &mut x {
            *x += 0.0;
        }
        x
    }
}

/// The bound on a row's sum in one column: `apart`, the sum of its terms' bounds; `size`, that of their sizes; `largest`, their largest bound.
#[inline(always)]
pub(super) fn sum_bound(reduce: Reduce, apart: f32, size: f32, largest: f32, terms: u32) -> f32 {
    match reduce {
        Reduce::Max | Reduce::Min => largest,
        // The same terms in both runs: the same sum.
        Reduce::Sum | Reduce::Mean if apart == 0.0 => 0.0,
        Reduce::Sum | Reduce::Mean => {
            let g = f64::from(terms + 6) * 2f64.powi(-23);
            let bound = (1.0 + 3.0 * g) * f64::from(apart) + 3.0 * g * f64::from(size) + 2f64.powi(-100);
            // The sums here lose as much as those that they bound, and no more than a third.
            if g <= 1.0 / 3.0 { no_bound_if_nan(upwards(bound)) } else { f32::INFINITY }
        }
    }
}

/// The next f32 that is not below.
pub(crate) fn upwards(x: f64) -> f32 {
    let y = x as f32;
    if f64::from(y) < x { y.next_up() } else { y }
}

/// Aggregates rows of several panels (or of dense features) side by side, without an epilogue: one row of `out` each.
pub(crate) struct AggregateRow<'a> {
    pub(crate) graph: &'a Edges<'a>,
    pub(crate) i: usize,
    pub(crate) source: RowsOf<'a>,
    pub(crate) live: usize,
    pub(crate) operator: Operator,
    pub(crate) own: Option<f32>,
    /// Divides by it.
    pub(crate) count: Option<f32>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for AggregateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let row = Row::of(self.graph, self.i, &self.operator, self.own, self.source);
        let mut column = 0;
        macro_rules! columns {
            ($width:literal) => {
                while self.live - column >= $width {
                    let mut x = row.reduce::<FUSED, $width>(column);
                    if let Some(count) = self.count {
                        x.iter_mut().for_each(|x| *x /= count);
                    }
                    self.out[column..column + $width].copy_from_slice(&x);
                    column += $width;
                }
            };
        }
        columns!(64);
        columns!(16);
        columns!(4);
        columns!(1);
    }
}
