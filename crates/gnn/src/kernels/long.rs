//! Rows whose edges come in pieces: the same operations in the same order as for rows that come at once, with sums in memory in between.

use super::RowsOf;
use super::aggregate::sum_bound;
use super::attend::{AddedScores, EDGES, Messages, PairScores, Score, largest_of, weigh};
use super::epilogue::{times, widened};
use crate::simd::{Kernel, multiply_add};
use crate::spec::Reduce;
use crate::steps::Operator;

/// Adds some edges to the sums of a row.
pub(crate) struct AddPiece<'a> {
    pub(crate) piece: Piece<'a>,
    pub(crate) source: RowsOf<'a>,
    /// One number a column.
    pub(crate) sums: &'a mut [f32],
}

/// Some edges of a row.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) i: usize,
    pub(crate) sources: &'a [u32],
    /// `None`: they have none, or the sum does not use them.
    pub(crate) weights: Option<&'a [f32]>,
    pub(crate) reduce: Reduce,
    pub(crate) skip_loops: bool,
    /// No edges came before.
    pub(crate) begins: bool,
}

impl<'a> Piece<'a> {
    pub(crate) fn of(
        (i, has_loops, begins): (usize, bool, bool),
        sources: &'a [u32],
        weights: Option<&'a [f32]>,
        operator: &Operator,
    ) -> Self {
        let weights = weights.filter(|_| operator.weighted);
        Piece { i, sources, weights, reduce: operator.reduce, skip_loops: operator.drop_loops && has_loops, begins }
    }
}

impl Kernel for AddPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let AddPiece { piece, source, sums } = self;
        let live = sums.len();
        for (k, &j) in piece.sources.iter().enumerate() {
            let row = source.row(j as usize, 0, live);
            match (piece.reduce, piece.weights) {
                (Reduce::Sum | Reduce::Mean, _) if piece.skip_loops && j as usize == piece.i => {}
                (Reduce::Sum | Reduce::Mean, None) => sums.iter_mut().zip(row).for_each(|(x, y)| *x += y),
                (Reduce::Sum | Reduce::Mean, Some(weights)) => {
                    sums.iter_mut().zip(row).for_each(|(x, &y)| *x = multiply_add::<FUSED>(weights[k], y, *x));
                }
                (Reduce::Max | Reduce::Min, weights) => {
                    for (x, &y) in sums.iter_mut().zip(row) {
                        let y = weights.map_or(y, |weights| y * weights[k]);
                        let better = if piece.reduce == Reduce::Max { y > *x } else { y < *x };
                        *x = if better || (piece.begins && k == 0) { y } else { *x };
                    }
                }
            }
        }
    }
}

/// The end of a row's sums: its own row comes last.
pub(crate) struct EndSums<'a> {
    pub(crate) i: usize,
    pub(crate) own: Option<f32>,
    pub(crate) source: RowsOf<'a>,
    pub(crate) sums: &'a mut [f32],
}

impl Kernel for EndSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        if let Some(own) = self.own {
            let row = self.source.row(self.i, 0, self.sums.len());
            self.sums.iter_mut().zip(row).for_each(|(x, &y)| *x = multiply_add::<FUSED>(own, y, *x));
        }
        self.sums.iter_mut().for_each(|x| *x += 0.0);
    }
}

/// What bounds the errors of a row's sums, column by column.
pub(crate) struct BoundSums<'a> {
    apart: &'a mut [f32],
    size: &'a mut [f32],
    largest: &'a mut [f32],
    terms: u32,
}

/// Numbers for each column where sums have bounds: the sum, its bound, and three for [`BoundSums`].
pub(crate) const BOUNDED_SUMS: usize = 5;

impl<'a> BoundSums<'a> {
    pub(crate) fn new(numbers: &'a mut [f32], live: usize) -> Self {
        numbers.fill(0.0);
        let (apart, rest) = numbers.split_at_mut(live);
        let (size, rest) = rest.split_at_mut(live);
        BoundSums { apart, size, largest: &mut rest[..live], terms: 0 }
    }

    /// Some edges.
    pub(crate) fn add(&mut self, piece: &Piece, source: RowsOf, errors: RowsOf) {
        for (k, &j) in piece.sources.iter().enumerate() {
            if !(piece.skip_loops && j as usize == piece.i) {
                self.term(piece.weights.map_or(1.0, |weights| weights[k]), piece.weights.is_some(), j as usize, source, errors);
            }
        }
    }

    /// One term, of node `j`; `product`: it is multiplied by the weight.
    pub(crate) fn term(&mut self, weight: f32, product: bool, j: usize, source: RowsOf, errors: RowsOf) {
        let live = self.apart.len();
        let (row, errors) = (source.row(j, 0, live), errors.row(j, 0, live));
        for c in 0..live {
            let (e, x) = (errors[c], row[c]);
            self.apart[c] += times(weight, e);
            self.size[c] += weight.abs() * x.abs();
            let e = if product { widened(times(weight, e), (weight * x).abs()) } else { e };
            self.largest[c] = if e > self.largest[c] { e } else { self.largest[c] };
        }
        self.terms += 1;
    }

    /// The bounds.
    pub(crate) fn finish(&self, reduce: Reduce, out: &mut [f32]) {
        for (c, out) in out.iter_mut().enumerate() {
            *out = sum_bound(reduce, self.apart[c], self.size[c], self.largest[c], self.terms);
        }
    }
}

/// The softmax over a row's messages: first all scores for the largest, then all again for the sum.
pub(crate) struct LongSoftmax<'a> {
    pub(crate) scores: Scores<'a>,
    pub(crate) i: usize,
    /// The node sends a message to itself, in place of its stored loops.
    pub(crate) loops: bool,
    pub(crate) skip_loops: bool,
    own: f32,
    largest: f32,
    sum: f32,
    finite: bool,
}

/// How messages are scored.
pub(crate) enum Scores<'a> {
    /// By a number of the source and one of the target.
    Added { sources: &'a [f32], target: f32, slope: f32 },
    /// By both rows.
    Pairs { left: &'a [RowsOf<'a>], right: &'a [f32], attention: &'a [f32], slope: f32 },
}

impl Score for Scores<'_> {
    #[inline(always)]
    fn score<const FUSED: bool>(&self, j: usize) -> f32 {
        match *self {
            Scores::Added { sources, target, slope } => AddedScores { sources, target, slope }.score::<FUSED>(j),
            Scores::Pairs { left, right, attention, slope } => PairScores { left, right, attention, slope }.score::<FUSED>(j),
        }
    }
}

impl<'a> LongSoftmax<'a> {
    pub(crate) fn new(scores: Scores<'a>, i: usize, loops: bool, has_loops: bool) -> Self {
        let mut softmax = LongSoftmax {
            scores,
            i,
            loops,
            skip_loops: loops && has_loops,
            own: f32::NEG_INFINITY,
            largest: f32::NEG_INFINITY,
            sum: 0.0,
            finite: true,
        };
        if loops {
            softmax.own = crate::simd::dispatch(Own { softmax: &softmax });
            softmax.largest = softmax.own;
            softmax.finite = softmax.own.abs() <= f32::MAX;
        }
        softmax
    }

    fn messages<'m>(&self, sources: &'m [u32]) -> Messages<'m> {
        Messages { i: self.i, sources, loops: self.loops, skip_loops: self.skip_loops }
    }
}

struct Own<'s, 'a> {
    softmax: &'s LongSoftmax<'a>,
}

impl Kernel for Own<'_, '_> {
    type Output = f32;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f32 {
        self.softmax.scores.score::<FUSED>(self.softmax.i)
    }
}

/// The first pass: some edges.
pub(crate) struct Look<'s, 'a> {
    pub(crate) softmax: &'s mut LongSoftmax<'a>,
    pub(crate) sources: &'s [u32],
}

impl Kernel for Look<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let mut scores = [0.0f32; EDGES];
        let messages = self.softmax.messages(self.sources);
        for sources in self.sources.chunks(EDGES) {
            let scores = &mut scores[..sources.len()];
            self.softmax.finite &= messages.scores::<FUSED>(sources, &self.softmax.scores, scores);
            self.softmax.largest = largest_of(scores, self.softmax.largest);
        }
    }
}

/// The second pass: some edges onto the weighted sum of rows, which lie in panels side by side.
pub(crate) struct Weigh<'s, 'a> {
    pub(crate) softmax: &'s mut LongSoftmax<'a>,
    pub(crate) sources: &'s [u32],
    pub(crate) panels: &'s [RowsOf<'s>],
    /// No more edges: the own message, and the division by the sum of the weights.
    pub(crate) ends: bool,
    pub(crate) out: &'s mut [f32],
}

impl Kernel for Weigh<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Weigh { softmax, sources, panels, ends, out } = self;
        let mut scores = [0.0f32; EDGES];
        let messages = softmax.messages(sources);
        let add = |weight: f32, j: usize, out: &mut [f32]| {
            for (panel, out) in panels.iter().zip(out.chunks_mut(panels[0].stride)) {
                let y = panel.row(j, 0, out.len());
                out.iter_mut().zip(y).for_each(|(out, &y)| *out = multiply_add::<FUSED>(weight, y, *out));
            }
        };
        for sources in sources.chunks(EDGES) {
            let scores = &mut scores[..sources.len()];
            messages.scores::<FUSED>(sources, &softmax.scores, scores);
            weigh::<FUSED>(scores, softmax.largest);
            for (&j, &weight) in sources.iter().zip(scores.iter()) {
                softmax.sum += weight;
                add(weight, j as usize, out);
            }
        }
        if !ends {
            return;
        }
        if softmax.loops {
            let mut weight = [softmax.own];
            weigh::<FUSED>(&mut weight, softmax.largest);
            softmax.sum += weight[0];
            add(weight[0], softmax.i, out);
        }
        // A score that is no number shows in the result.
        let sum = if softmax.finite { softmax.sum } else { f32::NAN };
        if sum != 0.0 {
            out.iter_mut().for_each(|x| *x = *x / sum + 0.0);
        }
    }
}
