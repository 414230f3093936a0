//! Runs a plan: one allocation, then the steps of its recipes.

mod attention;
mod output;
mod panel_sums;
mod panels;
mod parts;
mod rows;
mod runner;
mod sums;
mod terms;

use std::ops::ControlFlow;
use std::path::Path;

use certus_contract::{Certificate, Event, InputError, Status, ignore_events};
use certus_io::NpyWriter;
use certus_numeric::Array;
use half::f16;

use crate::certificate::{MemoryFacts, certificate, is_certified};
use crate::error::Error;
use crate::graph::Buffers;
use crate::plan::{LINE, Plan, Tier};
use crate::pool::Values;
use crate::spec::Op;
use crate::steps::INPUT;
use crate::storage::PanelFile;
use output::OutputRows;
use runner::{Files, Runner};

/// What happens to each row of the output before it is given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Head {
    /// Nothing.
    #[default]
    Logits,
    /// x - log(sum of e^x).
    LogSoftmax,
    /// e^x over their sum.
    Softmax,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Solution<T = Array<f32>> {
    /// What was asked for; rows are nodes.
    pub output: T,
    /// What was predicted and measured.
    pub facts: MemoryFacts,
    /// Always `Done`.
    pub status: Status,
    /// What is odd but no failure; each starts with its name.
    pub warnings: Vec<String>,
    /// That the budget was kept.
    pub certificate: Certificate,
}

/// A class for each node.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// The largest logit's column, the lowest of equals.
    pub class: Vec<u32>,
    /// By how much it leads the next; infinite for one class.
    pub margin: Vec<f32>,
}

/// Logits of a run in less than f32, and how far they can be from those of a run in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded {
    /// Nodes x columns.
    pub logits: Array<f32>,
    /// For each logit a bound on its distance from that of the run in f32.
    pub bounds: Array<f32>,
    /// For each node whether its class must be the same in the run in f32.
    pub certified: Vec<bool>,
}

impl Plan<'_> {
    /// Runs the model and gives the output as an array, which a budget counts if the planner was told by
    /// [`Planner::owned_output`](crate::Planner::owned_output).
    ///
    /// # Errors
    /// `Overflow` with layer and node for an activation that is not finite, `NonFinite` for such a feature, `OutOfMemory` where the system
    /// has not the bytes of the plan, `Io`.
    pub fn run(&self) -> Result<Solution, Error> {
        self.run_with(Head::Logits, ignore_events)
    }

    /// As [`Plan::run`], with a head, and an observer that sees each step.
    ///
    /// # Errors
    /// As there, and `Stopped`.
    pub fn run_with(&self, head: Head, observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        let columns = self.schedule.output_columns;
        let mut output = Array::zeros([self.output_len(), columns]);
        let facts = self.run_rows(head, observer, |first, rows| {
            output.as_mut_slice()[first * columns..][..rows.len()].copy_from_slice(rows);
            Ok(())
        })?;
        let facts = self.with_owned(facts, 4 * output.len() as u64);
        Ok(self.solution(output, facts))
    }

    /// Runs the model into an `.npy` file (f32, nodes x columns), which appears when it is complete.
    ///
    /// # Errors
    /// As [`Plan::run_with`].
    pub fn run_to_npy(
        &self,
        path: impl AsRef<Path>,
        head: Head,
        observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Solution<()>, Error> {
        let mut writer = NpyWriter::<f32>::with_buffer(path, &[self.output_len(), self.schedule.output_columns], 16 << 10)?;
        let facts = self.run_rows(head, observer, |_, rows| Ok(writer.push(rows)?))?;
        writer.finish()?;
        Ok(self.solution((), facts))
    }

    /// Runs the model and gives each node's class and margin: 8 bytes a node, which are counted.
    ///
    /// # Errors
    /// As [`Plan::run_with`].
    pub fn run_classes(&self, observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution<Classes>, Error> {
        let (n, columns) = (self.output_len(), self.schedule.output_columns);
        let mut classes = Classes { class: Vec::with_capacity(n), margin: Vec::with_capacity(n) };
        let facts = self.run_rows(Head::Logits, observer, |_, rows| {
            for row in rows.chunks_exact(columns) {
                let best = row.iter().enumerate().fold(0, |best, (k, &x)| if x > row[best] { k } else { best });
                let next = row.iter().enumerate().filter(|&(k, _)| k != best).map(|(_, &x)| x).fold(f32::NEG_INFINITY, f32::max);
                classes.class.push(best as u32);
                classes.margin.push(row[best] - next);
            }
            Ok(())
        })?;
        Ok(self.solution(classes, self.with_owned(facts, 8 * n as u64)))
    }

    /// Runs the model and gives the logits with a bound on the distance of each from that of a run in f32, and the nodes whose class cannot
    /// be another there. All three are counted: 8 bytes a logit, and one a node.
    ///
    /// # Errors
    /// `UnsupportedOp` for a layer that has no bound (attention, norms of rows), `InvalidParameter` where the plan's precision has
    /// none, and as [`Plan::run_with`].
    pub fn run_bounded(&self, observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution<Bounded>, Error> {
        if !self.schedule.precision.is_bounded() {
            return Err(InputError::parameter("the plan's precision", format!("{:?}", self.schedule.precision), "one with bounds").into());
        }
        if let Some((layer, spec)) = self.model.spec().layers().iter().enumerate().find(|(_, layer)| !crate::recipes::has_bound(layer)) {
            let why = "no bound is known on what errors of its input become".into();
            return Err(Error::UnsupportedOp { layer, op: spec.op.name().into(), why });
        }
        let (n, columns) = (self.output_len(), self.schedule.output_columns);
        let (mut logits, mut bounds) = (Array::zeros([n, columns]), Array::zeros([n, columns]));
        let mut certified = Vec::with_capacity(n);
        let facts = self.run_blocks(Head::Logits, observer, |block| {
            let range = block.first * columns..block.first * columns + block.rows.len();
            let errors = block.bounds.unwrap_or_default();
            logits.as_mut_slice()[range.clone()].copy_from_slice(block.rows);
            bounds.as_mut_slice()[range].copy_from_slice(errors);
            certified.extend(block.rows.chunks_exact(columns).zip(errors.chunks_exact(columns)).map(|(row, e)| is_certified(row, e)));
            Ok(())
        })?;
        let facts = self.with_owned(facts, 8 * logits.len() as u64 + n as u64);
        Ok(self.solution(Bounded { logits, bounds, certified }, facts))
    }

    /// Runs the model and hands over the output by blocks of rows, in order: the number of the first row, and the rows one after the other.
    ///
    /// # Errors
    /// As [`Plan::run_with`], and what `take` returns.
    pub fn run_rows(
        &self,
        head: Head,
        observer: impl FnMut(&Event) -> ControlFlow<()>,
        mut take: impl FnMut(usize, &[f32]) -> Result<(), Error>,
    ) -> Result<MemoryFacts, Error> {
        self.run_blocks(head, observer, |block| take(block.first, block.rows))
    }

    fn run_blocks(
        &self,
        head: Head,
        mut observer: impl FnMut(&Event) -> ControlFlow<()>,
        mut take: impl FnMut(OutputRows) -> Result<(), Error>,
    ) -> Result<MemoryFacts, Error> {
        let schedule = &self.schedule;
        let files = match (&self.spill, schedule.tier) {
            (Some(folder), Tier::Spill) => {
                let create = |half: bool| PanelFile::create(folder, schedule.nodes, schedule.slice, half);
                let errors = if schedule.store.bounds { Some(create(false)?) } else { None };
                Some(Files { values: create(schedule.store.half)?, errors })
            }
            _ => None,
        };
        let halves = if schedule.store.half && files.is_none() { schedule.slots * self.half_panel() } else { 0 };
        let disk_buffers = schedule.buffers.iter().flat_map(|&sizes| (0..schedule.threads).map(move |_| Buffers::new(sizes))).collect();
        let mut arena = zeros::<f32>((schedule.arena - self.disk_buffer_bytes()) as usize / 4 - halves / 2)?;
        let mut half_arena = zeros::<f16>(halves)?;
        let mut runner = Runner::new(self, &mut arena, &mut half_arena, disk_buffers, files);
        let total = schedule.recipes.iter().map(|recipe| recipe.steps.len() as u64).sum::<u64>();
        let mut done = 0;
        let (mut ids, mut kept) = (Vec::new(), Vec::new());
        // A part of a graph, and a renumbered one, have numbers of their own.
        let named = |error: Error| match (error, &self.feature_rows) {
            (Error::Overflow { layer, node }, Some(rows)) => Error::Overflow { layer, node: rows[node] as usize },
            (error, _) => error,
        };
        for (layer, recipe) in schedule.recipes.iter().enumerate() {
            let mut values = Values::new(recipe, std::mem::take(&mut ids));
            if recipe.inputs > 1 {
                kept.drain(..).enumerate().for_each(|(k, ids)| values.give(INPUT + 1 + k, ids));
            }
            for step in &recipe.steps {
                runner.step(layer, recipe, step, &mut values).map_err(named)?;
                done += 1;
                if observer(&Event::new(step.kind.name(), done).of(total)).is_break() {
                    return Err(Error::Stopped { layer });
                }
            }
            ids = values.take(recipe.output);
            if recipe.keeps_input {
                kept.push(values.take(INPUT));
            }
        }
        runner.output(&ids, head, &mut take)?;
        Ok(runner.facts())
    }

    /// Numbers of a panel in f16.
    fn half_panel(&self) -> usize {
        (self.schedule.nodes * self.schedule.slice).next_multiple_of(2 * LINE as usize)
    }

    /// Bytes of all buffers that a graph on disk is read through.
    fn disk_buffer_bytes(&self) -> u64 {
        self.schedule.buffers.map_or(0, |sizes| sizes.bytes() * self.schedule.threads as u64)
    }

    fn output_len(&self) -> usize {
        self.output_rows.as_ref().map_or(self.schedule.nodes, Vec::len)
    }

    /// What is odd about model and data but no failure; each starts with its name.
    pub fn warnings(&self) -> Vec<String> {
        let spec = self.model.spec();
        let unknown =
            spec.unknown_fields().iter().map(|field| format!("UnknownField: {field} is no option of this program; it was ignored"));
        let ignores = |op: Op| self.graph.store().stats().weighted && !op.uses_edge_weights() && !matches!(op, Op::Linear | Op::Jk);
        let ignoring = spec.layers().iter().map(|layer| layer.op).find(|&op| ignores(op));
        let ignored = ignoring.map(|op| format!("IgnoredEdgeWeights: {} does not use the weights of edges", op.name()));
        unknown.chain(ignored).collect()
    }

    /// Columns of the output.
    pub fn output_columns(&self) -> usize {
        self.schedule.output_columns
    }

    /// An output is held also where the plan was told of none, or of a smaller one.
    fn with_owned(&self, facts: MemoryFacts, bytes: u64) -> MemoryFacts {
        let told = self.schedule.predicted_peak - self.schedule.arena - self.schedule.overhead;
        let more = bytes.saturating_sub(told);
        MemoryFacts { predicted_peak: facts.predicted_peak + more, measured_peak: facts.measured_peak + more, ..facts }
    }

    fn solution<T>(&self, output: T, facts: MemoryFacts) -> Solution<T> {
        Solution { output, facts, status: Status::Done, warnings: self.warnings(), certificate: certificate(&facts) }
    }
}

/// So many zeros, in large pages where the system has them: rows at random places of a panel lie on as many pages.
///
/// # Errors
/// `OutOfMemory` where the system does not give so much.
fn zeros<T: bytemuck::Zeroable>(numbers: usize) -> Result<Vec<T>, Error> {
    let refused = |()| Error::OutOfMemory { bytes: (numbers as u64).saturating_mul(size_of::<T>() as u64) };
    let zeros = bytemuck::try_zeroed_vec(numbers).map_err(refused)?;
    certus_numeric::memory::prefer_large_pages(&zeros);
    Ok(zeros)
}
