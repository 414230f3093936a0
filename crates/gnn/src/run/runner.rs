//! A run under way: the buffers of its one allocation, and the steps.

use half::f16;

use super::attention::Pairs;
use crate::certificate::{ErrorFacts, MemoryFacts};
use crate::cost::Store;
use crate::error::Error;
use crate::graph::{Buffers, GraphStore};
use crate::plan::{LINE, Plan, Schedule};
use crate::pool::{Pool, Stored, StoredPanel, Values};
use crate::spec::Reduce;
use crate::steps::{Kind, Operator, PanelOut, Propagate, Recipe, Step, Val};
use crate::storage::PanelFile;

/// A run under way.
pub(super) struct Runner<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) plan: &'a Plan<'a>,
    pub(super) graph: GraphStore<'a>,
    /// Of a graph on disk, one a part of the rows.
    pub(super) disk_buffers: Vec<Buffers>,
    pub(super) s: usize,
    pub(super) pool: Pool<'a>,
    /// One piece a part of the rows.
    pub(super) scratch: Vec<&'a mut [f32]>,
    /// The two scores of each node.
    pub(super) vectors: Vec<&'a mut [f32]>,
    pub(super) files: Option<Files>,
    pub(super) feature_bytes: u64,
    /// Bytes of the arena that scratch and vectors take.
    pub(super) fixed: u64,
    /// Over all logits.
    pub(super) error_bound: Option<ErrorFacts>,
}

/// The files of values on disk.
pub(super) struct Files {
    pub(super) values: PanelFile,
    pub(super) errors: Option<PanelFile>,
}
impl<'a> Runner<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        arena: &'a mut [f32],
        half_arena: &'a mut [f16],
        disk_buffers: Vec<Buffers>,
        files: Option<Files>,
    ) -> Self {
        let schedule = &plan.schedule;
        let n = schedule.nodes as u64;
        let lines = |numbers: u64| numbers.next_multiple_of(LINE) as usize;
        // To a cache line; the arena has room for it.
        let skip = arena.as_ptr().align_offset(64).min(LINE as usize);
        let mut rest = &mut arena[skip..];
        let mut take = |numbers: usize| {
            let (taken, left) = std::mem::take(&mut rest).split_at_mut(numbers);
            rest = left;
            taken
        };
        let block = schedule.row_block.min(schedule.nodes.max(1));
        let scratch = (0..schedule.threads).map(|_| take(lines((block * schedule.scratch) as u64))).collect::<Vec<_>>();
        let vectors = (0..schedule.vectors).map(|_| take(lines(n))).collect::<Vec<_>>();
        let fixed =
            plan.disk_buffer_bytes() + 4 * (LINE as usize + scratch.iter().chain(&vectors).map(|piece| piece.len()).sum::<usize>()) as u64;
        let panel = lines(n * schedule.slice as u64);
        let panels = (0..schedule.panels).map(|_| take(panel)).collect();
        let mut halves = half_arena.chunks_exact_mut(plan.half_panel().max(1));
        let stored = if schedule.store.is_direct() || files.is_some() { 0 } else { schedule.slots };
        let stored = (0..stored).map(|_| {
            let values = if schedule.store.half { Stored::Half(halves.next().unwrap_or_default()) } else { Stored::Full(take(panel)) };
            StoredPanel { values, errors: schedule.store.bounds.then(|| take(panel)) }
        });
        let stored = stored.collect();
        let ids = if schedule.store.is_direct() { schedule.panels } else { schedule.slots };
        let error_bound = schedule.store.bounds.then_some(ErrorFacts { largest: 0.0, certified: 0 });
        let (graph, s, pool) = (plan.graph.store(), schedule.slice, Pool::new(panels, stored, ids));
        Runner { schedule, plan, graph, disk_buffers, s, pool, scratch, vectors, files, feature_bytes: 0, fixed, error_bound }
    }

    pub(super) fn facts(&self) -> MemoryFacts {
        let schedule = self.schedule;
        let traffic = |file: &PanelFile| file.traffic();
        let files = self.files.iter().flat_map(|files| std::iter::once(&files.values).chain(&files.errors));
        let (spill_read, spill_written) = files.map(traffic).fold((0, 0), |sum, (read, written)| (sum.0 + read, sum.1 + written));
        let panel = (schedule.nodes as u64 * schedule.slice as u64).next_multiple_of(LINE) * 4;
        let owned = schedule.predicted_peak - schedule.arena - schedule.overhead;
        let (buffers, taken) = self.pool.most_used();
        let stored = match schedule.store {
            Store { spill: false, half: true, bounds } => 2 * self.plan.half_panel() as u64 + if bounds { panel } else { 0 },
            Store { spill: false, half: false, bounds: true } => 2 * panel,
            _ => 0,
        };
        MemoryFacts {
            budget: schedule.budget,
            predicted_peak: schedule.predicted_peak,
            measured_peak: self.fixed + panel * buffers as u64 + stored * taken as u64 + schedule.overhead + owned,
            overhead: schedule.overhead,
            lower_bound: schedule.lower_bound,
            resident: schedule.resident,
            bytes_read: spill_read + self.feature_bytes + self.disk_buffers.iter().map(|buffers| buffers.read).sum::<u64>(),
            bytes_written: spill_written,
            predicted_bytes_read: schedule.bytes_read,
            predicted_bytes_written: schedule.bytes_written,
            undecomposed_peak: schedule.undecomposed_peak,
            full_width_peak: schedule.full_width_peak,
            precision: schedule.precision,
            error_bound: self.error_bound,
            fused: crate::simd::fused(),
        }
    }

    pub(super) fn step(&mut self, layer: usize, recipe: &Recipe, step: &Step, values: &mut Values) -> Result<(), Error> {
        let hops = self.schedule.hops_before[layer] + step.hops;
        let at = Place { layer, recipe, rows: self.graph.rows_after(hops), from: self.graph.rows_after(hops.saturating_sub(1)) };
        // Their panels may be taken by the output; they are still read where they stand.
        for &value in &step.free_before {
            self.pool.release(values.of(value).to_vec());
        }
        match &step.kind {
            Kind::Rows(outs) => {
                for out in outs {
                    values.give(out.out, self.pool.acquire(recipe.values[out.out].panels(self.s)));
                }
                self.rows(&at, outs, values)?;
            }
            Kind::Panels { src, panels, operator, epilogue, out, frame } => {
                // A step without edges reads the rows that it writes.
                let at = if operator.no_edges { Place { from: at.rows, ..at } } else { at };
                for k in 0..panels.len() {
                    let place = self.place(values, *src, panels.start + k, out, k);
                    let frame = (frame.0, frame.1 + k);
                    self.panel(&at, values, place, frame, epilogue, Sum::Edges(operator))?;
                    self.settle(values, *src, panels.start + k, out, k, place);
                }
            }
            Kind::Scores { z, head } => self.scores(&at, values, *z, *head)?,
            Kind::Attend { z, head, loops, slope, epilogue, out } => {
                let each = recipe.values[*z].width.div_ceil(self.s);
                // A value of one head holds it from its first panel on.
                let first = if recipe.values[*z].groups == 1 { 0 } else { head * each };
                for k in 0..each {
                    let place = self.place(values, *z, first + k, out, k);
                    let frame = match *out {
                        PanelOut::Rotate => (*z, first + k),
                        PanelOut::Into(value, at) | PanelOut::Fresh(value, at) => (value, at + k),
                    };
                    self.panel(&at, values, place, frame, epilogue, Sum::Attention { loops: *loops, slope: *slope })?;
                    self.settle(values, *z, first + k, out, k, place);
                }
            }
            Kind::AttendPairs { left, right, head, loops, slope, epilogue, out } => {
                self.attend_pairs(
                    &at,
                    values,
                    &Pairs { left: *left, right: *right, head: *head, loops: *loops, slope: *slope, epilogue, out: *out },
                )?;
            }
            Kind::Propagate(work) => {
                let before = self.schedule.hops_before[layer] + step.hops - work.steps;
                let graph = self.graph;
                self.propagate(layer, recipe, work, values, |done| graph.rows_after(before + done))?;
            }
        }
        for &value in &step.free_before {
            values.take(value);
        }
        for &value in &step.free_after {
            self.pool.release(values.take(value));
        }
        Ok(())
    }

    /// A chain of sums, panel by panel. `rows`: computed after so many sums.
    fn propagate(
        &mut self,
        layer: usize,
        recipe: &Recipe,
        work: &Propagate,
        values: &mut Values,
        rows: impl Fn(usize) -> usize,
    ) -> Result<(), Error> {
        let at = |from: usize, rows: usize| Place { layer, recipe, rows, from };
        for k in 0..recipe.values[work.value].panels(self.s) {
            let frame = (work.value, k);
            let mut id = values.of(work.value)[k];
            if let Some(epilogue) = &work.beside {
                let copy = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
                let beside = self.pool.acquire(1)[0];
                self.panel(&at(rows(0), rows(0)), values, (id, beside), frame, epilogue, Sum::Edges(&copy))?;
                id = beside;
            }
            for done in 1..=work.steps {
                let spare = self.pool.acquire(1)[0];
                let sum = Sum::Edges(&work.operator);
                self.panel(&at(rows(done - 1), rows(done)), values, (id, spare), frame, work.epilogue(done), sum)?;
                self.pool.release(vec![id]);
                id = spare;
            }
            // Without an iterate beside it, the panel itself was the first source, and is free by now.
            let old = values.replace(work.into.unwrap_or(work.value), k, id);
            if let (Some(old), Some(_)) = (old, &work.beside) {
                self.pool.release(vec![old]);
            }
        }
        Ok(())
    }

    /// The panel that is read, and the one that is written.
    fn place(&mut self, values: &Values, src: Val, panel: usize, out: &PanelOut, k: usize) -> (usize, usize) {
        let source = values.of(src)[panel];
        let out = match *out {
            PanelOut::Into(value, first) => values.of(value)[first + k],
            PanelOut::Rotate | PanelOut::Fresh(..) => self.pool.acquire(1)[0],
        };
        (source, out)
    }

    fn settle(&mut self, values: &mut Values, src: Val, panel: usize, out: &PanelOut, k: usize, (source, written): (usize, usize)) {
        match *out {
            PanelOut::Rotate => {
                values.replace(src, panel, written);
                self.pool.release(vec![source]);
            }
            PanelOut::Fresh(value, first) => {
                values.replace(value, first + k, written);
            }
            PanelOut::Into(..) => {}
        }
    }
}
/// What a step works on.
pub(super) struct Place<'r> {
    pub(super) layer: usize,
    pub(super) recipe: &'r Recipe,
    /// Rows that are computed.
    pub(super) rows: usize,
    /// Rows that may be read at random.
    pub(super) from: usize,
}

/// What a step over panels sums.
#[derive(Clone, Copy)]
pub(super) enum Sum<'r> {
    Edges(&'r Operator),
    Attention { loops: bool, slope: f32 },
}
