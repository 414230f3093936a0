//! Softmax attention over incoming edges; no number is stored for an edge, but for a few at a time.

use std::ops::Range;

use certus_numeric::exp::exp_slice;

use super::epilogue::{Bound, NO_FACTORS, leaky};
use super::{RowsOf, add_lanes, all_finite};
use crate::graph::Graph;
use crate::simd::{Kernel, multiply_add};
use crate::steps::Epilogue;

/// Edges whose scores are held at a time.
const EDGES: usize = 128;

/// The sources of a row's messages in order: those of its edges, loops left out, then itself; or its edges as they are.
#[inline(always)]
fn messages(graph: &Graph, i: usize, loops: bool) -> impl Iterator<Item = usize> + '_ {
    let skip = loops && graph.has_loops();
    let edges = graph.sources(i).iter().map(|&j| j as usize).filter(move |&j| !skip || j != i);
    edges.chain(loops.then_some(i))
}

/// Runs over the messages of a row, some at a time.
///
/// `score` gives a message's score; `each` takes the source and its weight e^(score - largest). Returns the sum of the weights, 0 where
/// there is no message.
#[inline(always)]
fn softmax(graph: &Graph, i: usize, loops: bool, mut score: impl FnMut(usize) -> f32, mut each: impl FnMut(usize, f32)) -> f32 {
    let (mut scores, mut sources) = ([0.0f32; EDGES], [0u32; EDGES]);
    let (mut largest, mut held, mut count) = (f32::NEG_INFINITY, 0, 0);
    for j in messages(graph, i, loops) {
        let score = score(j);
        largest = if score > largest { score } else { largest };
        if count < EDGES {
            (scores[count], sources[count], held) = (score, j as u32, count + 1);
        }
        count += 1;
    }
    let mut sum = 0.0;
    let mut add = |scores: &mut [f32], sources: &[u32]| {
        scores.iter_mut().for_each(|score| *score -= largest);
        exp_slice(scores);
        for (&weight, &j) in scores.iter().zip(sources) {
            sum += weight;
            each(j as usize, weight);
        }
    };
    add(&mut scores[..held], &sources[..held]);
    if count > held {
        // Scores beyond those that were held are computed again.
        let mut filled = 0;
        for j in messages(graph, i, loops).skip(held) {
            (scores[filled], sources[filled]) = (score(j), j as u32);
            filled += 1;
            if filled == EDGES {
                add(&mut scores, &sources);
                filled = 0;
            }
        }
        add(&mut scores[..filled], &sources[..filled]);
    }
    sum
}

/// One panel of one head of GAT, whose scores are sums of a number of the source and one of the target.
pub(crate) struct Attend<'a> {
    pub(crate) graph: &'a Graph,
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

impl Attend<'_> {
    #[inline(always)]
    fn columns<const FUSED: bool, const C: usize>(&self, i: usize, column: usize) -> [f32; C] {
        let mut x = [0.0f32; C];
        let target = self.target_scores[i];
        let sum = softmax(
            self.graph,
            i,
            self.loops,
            |j| leaky(self.source_scores[j] + target, self.slope),
            |j, weight| {
                let begin = j * self.source.stride + column;
                let y = self.source.data[begin..].first_chunk::<C>().expect("a panel has all rows");
                for c in 0..C {
                    x[c] = multiply_add::<FUSED>(weight, y[c], x[c]);
                }
            },
        );
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
    pub(crate) graph: &'a Graph,
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

impl Kernel for AttendPair<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let AttendPair { graph, i, left, right, attention, loops, slope, out } = self;
        let (width, s) = (right.len(), left[0].stride);
        out.fill(0.0);
        let score = |j: usize| {
            let mut lanes = [0.0f32; 8];
            for (p, panel) in left.iter().enumerate() {
                let begin = p * s;
                let count = s.min(width - begin);
                let y = panel.row(j, 0, count);
                let (right, attention) = (&right[begin..begin + count], &attention[begin..begin + count]);
                if begin % 8 == 0 {
                    let chunks = y.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0).zip(attention.as_chunks::<8>().0);
                    for ((y, right), attention) in chunks {
                        for c in 0..8 {
                            lanes[c] = multiply_add::<FUSED>(attention[c], leaky(y[c] + right[c], slope), lanes[c]);
                        }
                    }
                    for c in count / 8 * 8..count {
                        lanes[c % 8] = multiply_add::<FUSED>(attention[c], leaky(y[c] + right[c], slope), lanes[c % 8]);
                    }
                } else {
                    for c in 0..count {
                        let lane = (begin + c) % 8;
                        lanes[lane] = multiply_add::<FUSED>(attention[c], leaky(y[c] + right[c], slope), lanes[lane]);
                    }
                }
            }
            add_lanes(lanes)
        };
        let sum = softmax(graph, i, loops, score, |j, weight| {
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
