//! Softmax attention over incoming edges; no number is stored for an edge, but for a few at a time.

use std::ops::Range;

use certus_numeric::exp::exp_in_kernel;

use super::epilogue::{Bound, NO_FACTORS, leaky};
use super::prefetch::prefetch;
use super::{RowsOf, add_lanes, all_finite};
use crate::graph::Edges;
use crate::simd::{Kernel, multiply_add};
use crate::steps::Epilogue;

/// Edges whose scores are held at a time.
pub(super) const EDGES: usize = 64;

/// The score of a message from node `j`; of a stored loop, where loops are replaced, minus infinity: its weight is 0.
pub(super) trait Score {
    fn score<const FUSED: bool>(&self, j: usize) -> f32;
}

/// The messages to one row: those of its edges, and (with `loops`) of itself in place of its stored loops.
pub(super) struct Messages<'a> {
    pub(super) i: usize,
    pub(super) sources: &'a [u32],
    pub(super) loops: bool,
    pub(super) skip_loops: bool,
}

impl<'a> Messages<'a> {
    #[inline(always)]
    fn of(graph: &Edges<'a>, i: usize, loops: bool) -> Self {
        Messages { i, sources: graph.sources(i), loops, skip_loops: loops && graph.has_loops }
    }

    /// The scores of some edges; whether all are finite.
    #[inline(always)]
    pub(super) fn scores<const FUSED: bool>(&self, sources: &[u32], score: &impl Score, out: &mut [f32]) -> bool {
        for (out, &j) in out.iter_mut().zip(sources) {
            *out = score.score::<FUSED>(j as usize);
        }
        let finite = all_finite(out);
        if self.skip_loops {
            for (out, &j) in out.iter_mut().zip(sources) {
                *out = if j as usize == self.i { f32::NEG_INFINITY } else { *out };
            }
        }
        finite
    }
}

/// e^(score - largest) in place.
#[inline(always)]
pub(super) fn weigh<const FUSED: bool>(scores: &mut [f32], largest: f32) {
    for score in scores {
        *score = exp_in_kernel::<FUSED, f32>(*score - largest);
    }
}

#[inline(always)]
pub(super) fn largest_of(scores: &[f32], before: f32) -> f32 {
    scores.iter().fold(before, |largest, &score| if score > largest { score } else { largest })
}

/// The softmax-weighted sum over the messages of a row, `$each!(j, weight)` for each; gives the sum of the weights. A macro, since what is not
/// inlined would not be compiled for the registers at hand.
macro_rules! softmax {
    ($fused:ident, $messages:expr, $score:expr, |$j:ident, $weight:ident| $each:block) => {{
        let (messages, score) = (&$messages, &$score);
        let mut scores = [0.0f32; EDGES];
        let own = if messages.loops { score.score::<$fused>(messages.i) } else { f32::NEG_INFINITY };
        let mut largest = own;
        let mut finite = !messages.loops || own.abs() <= f32::MAX;
        for sources in messages.sources.chunks(EDGES) {
            finite &= messages.scores::<$fused>(sources, score, &mut scores[..sources.len()]);
            largest = largest_of(&scores[..sources.len()], largest);
        }
        let held = messages.sources.len() <= EDGES;
        let mut sum = 0.0f32;
        for sources in messages.sources.chunks(EDGES) {
            let scores = &mut scores[..sources.len()];
            if !held {
                messages.scores::<$fused>(sources, score, scores);
            }
            weigh::<$fused>(scores, largest);
            for (&$j, &$weight) in sources.iter().zip(scores.iter()) {
                let $j = $j as usize;
                sum += $weight;
                $each
            }
        }
        if messages.loops {
            let ($j, $weight) = (messages.i, exp_in_kernel::<$fused, f32>(own - largest));
            sum += $weight;
            $each
        }
        // A score that is no number shows in the result.
        if finite { sum } else { f32::NAN }
    }};
}

/// One panel of one head of GAT, whose scores are sums of a number of the source and one of the target.
pub(crate) struct Attend<'a> {
    pub(crate) graph: &'a Edges<'a>,
    pub(crate) rows: Range<usize>,
    pub(crate) source: RowsOf<'a>,
    pub(crate) live: usize,
    pub(crate) source_scores: &'a [f32],
    pub(crate) target_scores: &'a [f32],
    pub(crate) loops: bool,
    pub(crate) slope: f32,
    pub(crate) epilogue: &'a Epilogue,
    pub(crate) bound: Bound<'a>,
    pub(crate) out: &'a mut [f32],
}

/// Scores of GAT for one target.
pub(super) struct AddedScores<'a> {
    pub(super) sources: &'a [f32],
    pub(super) target: f32,
    pub(super) slope: f32,
}

impl Score for AddedScores<'_> {
    #[inline(always)]
    fn score<const FUSED: bool>(&self, j: usize) -> f32 {
        leaky(self.sources[j] + self.target, self.slope)
    }
}

impl Attend<'_> {
    #[inline(always)]
    fn columns<const FUSED: bool, const C: usize>(&self, i: usize, column: usize) -> [f32; C] {
        let mut x = [0.0f32; C];
        let score = AddedScores { sources: self.source_scores, target: self.target_scores[i], slope: self.slope };
        let (data, stride) = (self.source.data, self.source.stride);
        let messages = Messages::of(self.graph, i, self.loops);
        // While scores are computed, the rows that they will weigh are on their way.
        for &j in messages.sources.iter().take(EDGES) {
            for line in (0..C).step_by(16) {
                prefetch(data, j as usize * stride + column + line);
            }
        }
        let sum = softmax!(FUSED, messages, score, |j, weight| {
            let y = data[j * stride + column..].first_chunk::<C>().expect("a panel has all rows");
            for c in 0..C {
                x[c] = multiply_add::<FUSED>(weight, y[c], x[c]);
            }
        });
        if sum != 0.0 {
            x.iter_mut().for_each(|x| *x = *x / sum + 0.0);
        }
        x
    }
}

impl Kernel for Attend<'_> {
    /// The first row that is not finite.
    type Output = Option<usize>;

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) -> Option<usize> {
        let (stride, live) = (self.source.stride, self.live);
        let mut first_bad = None;
        let rows = std::mem::take(&mut self.rows);
        let out = std::mem::take(&mut self.out);
        for (i, out) in rows.zip(out.chunks_exact_mut(stride)) {
            let mut column = 0;
            macro_rules! columns {
                ($width:literal) => {
                    while live - column >= $width {
                        let mut x = self.columns::<FUSED, $width>(i, column);
                        let out = &mut out[column..column + $width];
                        self.bound.apply(&mut x, i, column, NO_FACTORS, self.epilogue.accumulate.then_some(&*out));
                        out.copy_from_slice(&x);
                        column += $width;
                    }
                };
            }
            columns!(64);
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

/// One row of one head of GATv2: `e = <att, leaky(left_j + right_i)>`.
pub(crate) struct AttendPair<'a> {
    pub(crate) graph: &'a Edges<'a>,
    pub(crate) i: usize,
    /// The panels of the sources' rows, from row 0 on.
    pub(crate) left: &'a [RowsOf<'a>],
    /// The target's row.
    pub(crate) right: &'a [f32],
    pub(crate) attention: &'a [f32],
    pub(crate) loops: bool,
    pub(crate) slope: f32,
    /// Columns of the head, side by side.
    pub(crate) out: &'a mut [f32],
}

/// Scores of GATv2 for one target.
pub(super) struct PairScores<'a> {
    pub(super) left: &'a [RowsOf<'a>],
    pub(super) right: &'a [f32],
    pub(super) attention: &'a [f32],
    pub(super) slope: f32,
}

impl Score for PairScores<'_> {
    /// In eight lanes by the column of the head, whatever the panels.
    #[inline(always)]
    fn score<const FUSED: bool>(&self, j: usize) -> f32 {
        let (width, s) = (self.right.len(), self.left[0].stride);
        let mut lanes = [0.0f32; 8];
        for (p, panel) in self.left.iter().enumerate() {
            let begin = p * s;
            let count = s.min(width - begin);
            let y = panel.row(j, 0, count);
            let (right, attention) = (&self.right[begin..begin + count], &self.attention[begin..begin + count]);
            let whole = if begin % 8 == 0 { count / 8 } else { 0 };
            let chunks = y.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0).zip(attention.as_chunks::<8>().0);
            for ((y, right), attention) in chunks.take(whole) {
                for c in 0..8 {
                    lanes[c] = multiply_add::<FUSED>(attention[c], leaky(y[c] + right[c], self.slope), lanes[c]);
                }
            }
            for c in 8 * whole..count {
                let lane = (begin + c) % 8;
                lanes[lane] = multiply_add::<FUSED>(attention[c], leaky(y[c] + right[c], self.slope), lanes[lane]);
            }
        }
        add_lanes(lanes)
    }
}

impl Kernel for AttendPair<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let AttendPair { graph, i, left, right, attention, loops, slope, out } = self;
        let (width, s) = (right.len(), left[0].stride);
        out.fill(0.0);
        let score = PairScores { left, right, attention, slope };
        let sum = softmax!(FUSED, Messages::of(graph, i, loops), score, |j, weight| {
            for (p, panel) in left.iter().enumerate() {
                let begin = p * s;
                let count = s.min(width - begin);
                let y = panel.row(j, 0, count);
                for (out, &y) in out[begin..begin + count].iter_mut().zip(y) {
                    *out = multiply_add::<FUSED>(weight, y, *out);
                }
            }
        });
        if sum != 0.0 {
            out.iter_mut().for_each(|x| *x = *x / sum + 0.0);
        }
    }
}
