//! Steps of attention: scores of nodes, and attention by pairs of rows.

use super::panel_sums::attend_long;
use super::panels::bind;
use super::parts::{Part, blocks, even};
use super::runner::{Place, Runner};
use crate::error::Error;
use crate::graph::{Wanted, Window};
use crate::kernels::attend::AttendPair;
use crate::kernels::epilogue::NO_FACTORS;
use crate::kernels::long::Scores;
use crate::kernels::{RowsOf, dot, fits};
use crate::pool::{Numbers, Values, cut};
use crate::simd::{Kernel, dispatch};
use crate::steps::{Epilogue, Layout, PanelOut, Val, VectorSlot};

/// Attention by pairs of rows.
pub(super) struct Pairs<'r> {
    pub(super) left: Val,
    pub(super) right: Val,
    pub(super) head: usize,
    pub(super) loops: bool,
    pub(super) slope: f32,
    pub(super) epilogue: &'r Epilogue,
    pub(super) out: PanelOut,
}

impl Runner<'_> {
    /// The two scores of each node for one head.
    pub(super) fn scores(&mut self, at: &Place, values: &Values, z: Val, head: usize) -> Result<(), Error> {
        let (s, layout, block) = (self.s, at.recipe.values[z], self.block());
        let params = self.plan.model.params(at.layer);
        let each = layout.width.div_ceil(s);
        let first = if layout.groups == 1 { 0 } else { head * each };
        let ids = &values.of(z)[first..first + each];
        let weights = |slot: VectorSlot| &params.vectors[&slot][head * layout.width..(head + 1) * layout.width];
        let (source, target) = (weights(VectorSlot::Source), weights(VectorSlot::Target));
        let ranges = even(at.rows, self.schedule.threads);
        let mut vectors = std::mem::take(&mut self.vectors);
        let [u, v, ..] = &mut vectors[..] else { unreachable!("the plan has two vectors for scores") };
        let outs = cut(&mut u[..at.rows], 1, &ranges).into_iter().zip(cut(&mut v[..at.rows], 1, &ranges));
        let outs = outs.collect();
        let head_layout = Layout::plain(layout.width);
        let result = self.by_rows(ids.to_vec(), &ranges, outs, |part, _, (u, v): (&mut [f32], &mut [f32])| {
            let Part { rows, access, scratch, .. } = part;
            let begin = rows.start;
            let (gathered, staging) = scratch.split_at_mut(block * layout.width);
            for rows in blocks(rows, block) {
                let gathered = &mut gathered[..rows.len() * layout.width];
                access.gather(Numbers::Values, ids, head_layout, s, rows.clone(), gathered, staging)?;
                for (i, row) in rows.zip(gathered.chunks_exact(layout.width)) {
                    u[i - begin] = dispatch(Dot { a: row, b: source });
                    v[i - begin] = dispatch(Dot { a: row, b: target });
                }
            }
            Ok(())
        });
        self.vectors = vectors;
        result
    }

    /// Attention by pairs of rows, row by row.
    pub(super) fn attend_pairs(&mut self, at: &Place, values: &mut Values, pairs: &Pairs) -> Result<(), Error> {
        let (s, graph, check) = (self.s, self.graph, self.plan.check_finite);
        let (params, width) = (self.plan.model.params(at.layer), at.recipe.values[pairs.left].width);
        let each = width.div_ceil(s);
        let (frame, first) = match pairs.out {
            PanelOut::Into(value, first) | PanelOut::Fresh(value, first) => (value, first),
            PanelOut::Rotate => unreachable!("attention by pairs has an output of its own"),
        };
        if let PanelOut::Fresh(value, first) = pairs.out {
            for (k, id) in self.pool.acquire(each).into_iter().enumerate() {
                values.replace(value, first + k, id);
            }
        }
        let out_ids = values.of(frame)[first..first + each].to_vec();
        let begin = at.recipe.values[frame].columns_of(first, s).start;
        let bound = bind(params, pairs.epilogue, begin..begin + width);
        let left_ids = values.of(pairs.left).to_vec();
        let right_ids = if pairs.left == pairs.right { Vec::new() } else { values.of(pairs.right).to_vec() };
        let skip_ids = pairs.epilogue.skip.map_or(Vec::new(), |value| values.of(value)[first..first + each].to_vec());
        let half = self.schedule.store.half;
        let attention = &params.vectors[&VectorSlot::Source][pairs.head * width..(pairs.head + 1) * width];
        // On the spill tier the sources' panels come into the buffers.
        let mut left_at = left_ids.clone();
        if !self.schedule.store.is_direct() {
            left_at = (0..each).collect();
            for (k, &id) in left_ids.iter().enumerate() {
                self.load(k, id, at.from, Numbers::Values)?;
            }
        }
        let own = out_ids.iter().chain(&right_ids).chain(&skip_ids).copied().collect();
        let (head, ranges) = (Layout::plain(width), graph.split(at.rows, self.schedule.threads));
        self.by_rows(own, &ranges, vec![(); ranges.len()], |part, pool, ()| {
            let Part { rows, mut access, scratch, mut reader } = part;
            let left = left_at.iter().map(|&id| RowsOf { data: pool.panel(id), first: 0, stride: s }).collect::<Vec<_>>();
            let (right_row, rest) = scratch.split_at_mut(width);
            let (out_row, rest) = rest.split_at_mut(width);
            let (other, staging) = rest.split_at_mut(width);
            reader.windows(rows, &Wanted::for_attention(), |rows, window| {
                for i in rows {
                    if right_ids.is_empty() {
                        for (k, panel) in left.iter().enumerate() {
                            let columns = head.columns_of(k, s);
                            right_row[columns.clone()].copy_from_slice(panel.row(i, 0, columns.len()));
                        }
                    } else {
                        access.gather(Numbers::Values, &right_ids, head, s, i..i + 1, right_row, staging)?;
                    }
                    let (loops, slope) = (pairs.loops, pairs.slope);
                    match window {
                        Window::Rows(graph) => {
                            dispatch(AttendPair { graph, i, left: &left, right: right_row, attention, loops, slope, out: out_row });
                        }
                        Window::Long(row) => {
                            out_row.fill(0.0);
                            attend_long(row, Scores::Pairs { left: &left, right: right_row, attention, slope }, loops, &left, out_row)?;
                        }
                    }
                    if pairs.epilogue.accumulate {
                        access.gather(Numbers::Values, &out_ids, head, s, i..i + 1, other, staging)?;
                    }
                    let old = pairs.epilogue.accumulate.then_some(&*other);
                    bound.before_norm(out_row, i, 0, NO_FACTORS, old);
                    let mut bound = bound;
                    if !skip_ids.is_empty() {
                        access.gather(Numbers::Values, &skip_ids, head, s, i..i + 1, other, staging)?;
                        bound.skip = Some(RowsOf { data: &*other, first: i, stride: width });
                    }
                    bound.after_norm(out_row, i, 0, NO_FACTORS);
                    if check && !fits(out_row, half) {
                        return Err(Error::Overflow { layer: at.layer, node: i });
                    }
                    access.scatter(&out_ids, head, s, i..i + 1, (out_row, None), staging)?;
                }
                Ok(())
            })
        })
    }
}

/// A dot product, dispatched.
struct Dot<'d> {
    a: &'d [f32],
    b: &'d [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f32 {
        dot::<FUSED>(self.a, self.b)
    }
}
