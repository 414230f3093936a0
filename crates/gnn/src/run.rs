//! Runs a plan: one allocation, then the steps of its recipes.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use certus_contract::{Certificate, Event, InputError, Status, ignore_events};
use certus_io::NpyWriter;
use certus_numeric::softmax::softmax_row;
use certus_numeric::{Array, Csr};
use half::f16;
use rayon::prelude::*;

use crate::arena::zeros;
use crate::certificate::{ErrorFacts, MemoryFacts, certificate};
use crate::cost::{self, Store};
use crate::error::Error;
use crate::features::{FeatureData, FeatureStats};
use crate::graph::Graph;
use crate::kernels::aggregate::{Aggregate, AggregateBounded, AggregateRow, aggregate_sparse_row, factors};
use crate::kernels::attend::{Attend, AttendPair};
use crate::kernels::combine::{Combine, CombineSparse};
use crate::kernels::epilogue::{Bound, NO_FACTORS, OtherErrors, l2_normalise, standardise};
use crate::kernels::{RowsOf, all_finite, dot};
use crate::model::Params;
use crate::plan::{LINE, Plan, Schedule, Tier};
use crate::pool::{Access, HalfPanel, Pool, Values, cut};
use crate::simd::{Kernel, dispatch};
use crate::spec::{Op, Reduce};
use crate::steps::{Epilogue, From, Kind, Layout, Operator, PanelOut, Propagate, Recipe, RowOut, Step, Term, Val, VectorSlot};
use crate::storage::{NpyFeatures, PanelFile};

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

impl Plan<'_> {
    /// Runs the model and gives the output as an array, which a budget counts if the planner was told by
    /// [`Planner::owned_output`](crate::Planner::owned_output).
    ///
    /// # Errors
    /// `Overflow` with layer and node for an activation that is not finite, `NonFinite` for such a feature, `Io`.
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
        let mut facts = self.run_rows(head, observer, |first, rows| {
            output.as_mut_slice()[first * columns..][..rows.len()].copy_from_slice(rows);
            Ok(())
        })?;
        if facts.predicted_peak == self.schedule.arena + self.schedule.overhead {
            // The plan was not told of the output, which is held all the same.
            let owned = 4 * output.len() as u64;
            (facts.predicted_peak, facts.measured_peak) = (facts.predicted_peak + owned, facts.measured_peak + owned);
        }
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

    /// Runs the model and gives each node's class.
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
        Ok(self.solution(classes, facts))
    }

    /// Runs the model and hands over the output by blocks of rows, in order: the number of the first row, and the rows one after the other.
    ///
    /// # Errors
    /// As [`Plan::run_with`], and what `take` returns.
    pub fn run_rows(
        &self,
        head: Head,
        mut observer: impl FnMut(&Event) -> ControlFlow<()>,
        mut take: impl FnMut(usize, &[f32]) -> Result<(), Error>,
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
        let mut arena = zeros::<f32>(schedule.arena as usize / 4 - halves / 2)?;
        let mut half_arena = zeros::<f16>(halves)?;
        let mut runner = Runner::new(self, &mut arena, &mut half_arena, files);
        let total = schedule.recipes.iter().map(|recipe| recipe.steps.len() as u64).sum::<u64>();
        let mut done = 0;
        let mut ids = Vec::new();
        // A part of a graph, and a renumbered one, have numbers of their own.
        let named = |error: Error| match (error, &self.feature_rows) {
            (Error::Overflow { layer, node }, Some(rows)) => Error::Overflow { layer, node: rows[node] as usize },
            (error, _) => error,
        };
        for (layer, recipe) in schedule.recipes.iter().enumerate() {
            let mut values = Values::new(recipe, std::mem::take(&mut ids));
            for step in &recipe.steps {
                runner.step(layer, recipe, step, &mut values).map_err(named)?;
                done += 1;
                if observer(&Event::new(step.kind.name(), done).of(total)).is_break() {
                    return Err(Error::Stopped { layer });
                }
            }
            ids = values.take(recipe.output);
        }
        runner.output(&ids, head, &mut take)?;
        Ok(runner.facts())
    }

    /// Numbers of a panel in f16.
    fn half_panel(&self) -> usize {
        (self.schedule.nodes * self.schedule.slice).next_multiple_of(2 * LINE as usize)
    }

    fn output_len(&self) -> usize {
        self.output_rows.as_ref().map_or(self.schedule.nodes, Vec::len)
    }

    /// What is odd about model and data but no failure; each starts with its name.
    pub fn warnings(&self) -> Vec<String> {
        if self.graph.weights().is_none() {
            return Vec::new();
        }
        let ignores = |op: Op| !op.uses_edge_weights() && op != Op::Linear;
        let ignoring = self.model.spec().layers().iter().map(|layer| layer.op).find(|&op| ignores(op));
        ignoring.map(|op| format!("IgnoredEdgeWeights: {} does not use the weights of edges", op.name())).into_iter().collect()
    }

    /// Columns of the output.
    pub fn output_columns(&self) -> usize {
        self.schedule.output_columns
    }

    fn solution<T>(&self, output: T, facts: MemoryFacts) -> Solution<T> {
        Solution { output, facts, status: Status::Done, warnings: self.warnings(), certificate: certificate(&facts) }
    }
}

/// A run under way.
struct Runner<'a> {
    schedule: &'a Schedule,
    plan: &'a Plan<'a>,
    graph: &'a Graph,
    s: usize,
    pool: Pool<'a>,
    /// One piece a part of the rows.
    scratch: Vec<&'a mut [f32]>,
    /// The two scores of each node.
    vectors: Vec<&'a mut [f32]>,
    files: Option<Files>,
    feature_bytes: u64,
    /// Bytes of the arena that scratch and vectors take.
    fixed: u64,
    /// Over all logits.
    error_bound: Option<ErrorFacts>,
}

/// The files of values on disk.
struct Files {
    values: PanelFile,
    errors: Option<PanelFile>,
}

impl<'a> Runner<'a> {
    fn new(plan: &'a Plan<'a>, arena: &'a mut [f32], half_arena: &'a mut [f16], files: Option<Files>) -> Self {
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
        let fixed = 4 * (LINE as usize + scratch.iter().chain(&vectors).map(|piece| piece.len()).sum::<usize>()) as u64;
        let panel = lines(n * schedule.slice as u64);
        let panels = (0..schedule.panels).map(|_| take(panel)).collect();
        let halves = half_arena.chunks_exact_mut(plan.half_panel().max(1));
        let halves = halves.map(|values| HalfPanel { values, errors: schedule.store.bounds.then(|| take(panel)) }).collect();
        let ids = if schedule.store.is_direct() { schedule.panels } else { schedule.slots };
        let error_bound = schedule.store.bounds.then_some(ErrorFacts { largest: 0.0, certified: 0 });
        let (graph, s, pool) = (&*plan.graph, schedule.slice, Pool::new(panels, halves, ids));
        Runner { schedule, plan, graph, s, pool, scratch, vectors, files, feature_bytes: 0, fixed, error_bound }
    }

    fn facts(&self) -> MemoryFacts {
        let schedule = self.schedule;
        let traffic = |file: &PanelFile| file.traffic();
        let files = self.files.iter().flat_map(|files| std::iter::once(&files.values).chain(&files.errors));
        let (spill_read, spill_written) = files.map(traffic).fold((0, 0), |sum, (read, written)| (sum.0 + read, sum.1 + written));
        let panel = (schedule.nodes as u64 * schedule.slice as u64).next_multiple_of(LINE) * 4;
        let owned = schedule.predicted_peak - schedule.arena - schedule.overhead;
        let (buffers, taken) = self.pool.most_used();
        let stored = match schedule.store {
            Store { spill: false, half: true, bounds } => 2 * self.plan.half_panel() as u64 + if bounds { panel } else { 0 },
            _ => 0,
        };
        MemoryFacts {
            budget: schedule.budget,
            predicted_peak: schedule.predicted_peak,
            measured_peak: self.fixed + panel * buffers as u64 + stored * taken as u64 + schedule.overhead + owned,
            overhead: schedule.overhead,
            lower_bound: schedule.lower_bound,
            resident: schedule.resident,
            bytes_read: spill_read + self.feature_bytes,
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

    fn step(&mut self, layer: usize, recipe: &Recipe, step: &Step, values: &mut Values) -> Result<(), Error> {
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
struct Place<'r> {
    layer: usize,
    recipe: &'r Recipe,
    /// Rows that are computed.
    rows: usize,
    /// Rows that may be read at random.
    from: usize,
}

/// What a step over panels sums.
#[derive(Clone, Copy)]
enum Sum<'r> {
    Edges(&'r Operator),
    Attention { loops: bool, slope: f32 },
}

/// Attention by pairs of rows.
struct Pairs<'r> {
    left: Val,
    right: Val,
    head: usize,
    loops: bool,
    slope: f32,
    epilogue: &'r Epilogue,
    out: PanelOut,
}

/// The part of an epilogue's vectors for some columns, and its other rows.
fn bind<'b>(params: &'b Params, epilogue: &Epilogue, columns: Range<usize>) -> Bound<'b> {
    let vector = |slot: VectorSlot| &params.vectors[&slot][columns.clone()];
    Bound {
        divide: epilogue.divide,
        mix: None,
        bias: epilogue.bias.map(vector),
        affine: epilogue.affine.map(|(scale, shift)| (vector(scale), vector(shift))),
        activation: epilogue.activation,
        skip: None,
    }
}

fn overflow(layer: usize, bad: Option<usize>) -> Result<(), Error> {
    match bad {
        Some(node) => Err(Error::Overflow { layer, node }),
        None => Ok(()),
    }
}

/// The first error of parts in order.
fn first_error(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
}

/// Splits rows into parts of about equally many rows and edges.
fn split_by_edges(graph: &Graph, rows: usize, parts: usize) -> Vec<Range<usize>> {
    let indptr = graph.indptr();
    let weight = |i: usize| indptr[i] + 2 * i as u64;
    let total = weight(rows);
    let mut bounds = vec![0];
    for part in 1..parts {
        let goal = total / parts as u64 * part as u64;
        let (mut low, mut high) = (bounds[part - 1], rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if weight(middle) < goal { low = middle + 1 } else { high = middle }
        }
        bounds.push(low);
    }
    bounds.push(rows);
    bounds.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Splits rows into parts of about equally many.
fn even(rows: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| rows * part / parts..rows * (part + 1) / parts).collect()
}

/// Cuts a range into blocks.
fn blocks(rows: Range<usize>, block: usize) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(block).map(move |first| first..(first + block).min(end))
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

impl Runner<'_> {
    /// One panel through the sum and the epilogue. `place`: the panels read and written.
    fn panel(
        &mut self,
        at: &Place,
        values: &Values,
        place: (usize, usize),
        frame: (Val, usize),
        epilogue: &Epilogue,
        sum: Sum,
    ) -> Result<(), Error> {
        let (s, graph, check) = (self.s, self.graph, self.plan.check_finite);
        let params = self.plan.model.params(at.layer);
        let columns = at.recipe.values[frame.0].columns_of(frame.1, s);
        let bound = bind(params, epilogue, columns.clone());
        let live = columns.len();
        let ranges = split_by_edges(graph, at.rows, self.schedule.threads);
        let id_of = |value: Val| values.of(value)[frame.1];
        let (mix, skip) = (epilogue.mix.map(|(alpha, value)| (alpha, id_of(value))), epilogue.skip.map(id_of));
        let (direct, bounded) = (self.schedule.store.is_direct(), self.schedule.store.bounds);
        let errors_at = self.schedule.panels / 2;
        if !direct {
            // The source's panel comes into memory; what else is read and written comes and goes by blocks.
            self.load(0, place.0, at.from, false)?;
            if bounded {
                self.load(errors_at, place.0, at.from, true)?;
            }
        }
        let vectors = std::mem::take(&mut self.vectors);
        let scores = match &vectors[..] {
            [source, target, ..] => (&**source, &**target),
            _ => (&[][..], &[][..]),
        };
        let run = |rows: Range<usize>, source: RowsOf, bound: Bound, out: &mut [f32]| match sum {
            Sum::Edges(operator) => dispatch(Aggregate {
                graph,
                rows,
                source,
                live,
                operator: *operator,
                one_plus_eps: params.one_plus_eps,
                epilogue,
                bound,
                out,
            }),
            Sum::Attention { loops, slope } => dispatch(Attend {
                graph,
                rows,
                source,
                live,
                source_scores: scores.0,
                target_scores: scores.1,
                loops,
                slope,
                epilogue,
                bound,
                out,
            }),
        };
        let checked = |bad: Option<usize>| if check { overflow(at.layer, bad) } else { Ok(()) };
        let result = if direct {
            let out = self.pool.lend(place.1);
            let of = |id: usize| RowsOf { data: self.pool.panel(id), first: 0, stride: s };
            let source = of(place.0);
            let bound = Bound { mix: mix.map(|(alpha, id)| (alpha, of(id))), skip: skip.map(of), ..bound };
            let parts = cut(&mut out[..at.rows * s], s, &ranges);
            let work = parts.into_par_iter().zip(ranges).map(|(out, rows)| checked(run(rows, source, bound, out))).collect();
            self.pool.take_back(place.1, out);
            first_error(work)
        } else {
            let block = self.block();
            let others = mix.map(|(_, id)| id).into_iter().chain(skip);
            let own = others.chain([place.1]).collect();
            self.by_rows(own, &ranges, vec![(); ranges.len()], |access, scratch, rows, pool, ()| {
                let of = |id: usize| RowsOf { data: pool.panel(id), first: 0, stride: s };
                let source = of(0);
                let mut rest = scratch;
                let mut take = |wanted: bool| {
                    let (taken, left) = std::mem::take(&mut rest).split_at_mut(if wanted { block * s } else { 0 });
                    rest = left;
                    taken
                };
                let [out_rows, mix_rows, skip_rows] = [true, mix.is_some(), skip.is_some()].map(&mut take);
                let [out_errors, mix_errors, skip_errors] = [bounded, bounded && mix.is_some(), bounded && skip.is_some()].map(&mut take);
                for rows in blocks(rows, block) {
                    let (count, first) = (rows.len() * s, rows.start);
                    let (mut bound, mut others) = (bound, OtherErrors::default());
                    if let Some((alpha, id)) = mix {
                        access.read(id, s, rows.clone(), &mut mix_rows[..count])?;
                        bound.mix = Some((alpha, RowsOf { data: &mix_rows[..count], first, stride: s }));
                        if bounded {
                            access.read_errors(id, s, rows.clone(), &mut mix_errors[..count])?;
                            others.mix = Some(RowsOf { data: &mix_errors[..count], first, stride: s });
                        }
                    }
                    if let Some(id) = skip {
                        access.read(id, s, rows.clone(), &mut skip_rows[..count])?;
                        bound.skip = Some(RowsOf { data: &skip_rows[..count], first, stride: s });
                        if bounded {
                            access.read_errors(id, s, rows.clone(), &mut skip_errors[..count])?;
                            others.skip = Some(RowsOf { data: &skip_errors[..count], first, stride: s });
                        }
                    }
                    let out = &mut out_rows[..count];
                    if epilogue.accumulate {
                        access.read(place.1, s, rows.clone(), out)?;
                    }
                    let Sum::Edges(operator) = sum else {
                        checked(run(rows.clone(), source, bound, out))?;
                        access.write(place.1, s, rows, out, None)?;
                        continue;
                    };
                    if !bounded {
                        checked(run(rows.clone(), source, bound, out))?;
                        access.write(place.1, s, rows, out, None)?;
                        continue;
                    }
                    let out_errors = &mut out_errors[..count];
                    if epilogue.accumulate {
                        access.read_errors(place.1, s, rows.clone(), out_errors)?;
                    }
                    let (operator, one_plus_eps) = (*operator, params.one_plus_eps);
                    let values = Aggregate { graph, rows: rows.clone(), source, live, operator, one_plus_eps, epilogue, bound, out };
                    let source_errors = of(errors_at);
                    checked(dispatch(AggregateBounded { values, source_errors, others, out_errors }))?;
                    access.write(place.1, s, rows, &out_rows[..count], Some(out_errors))?;
                }
                Ok(())
            })
        };
        self.vectors = vectors;
        result
    }

    /// Runs `work` on each part of the rows: with access to `own` panels by blocks, the part's scratch, and its own of `extras`. What is in
    /// memory and not lent to the parts may be read at random through the pool.
    fn by_rows<X: Send>(
        &mut self,
        mut own: Vec<usize>,
        ranges: &[Range<usize>],
        extras: Vec<X>,
        work: impl Fn(&mut Access, &mut [f32], Range<usize>, &Pool, X) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        own.sort_unstable();
        own.dedup();
        let (mut lent, mut halves) = (Vec::new(), Vec::new());
        let parts = match (&self.files, self.schedule.store.half) {
            (Some(files), _) => ranges.iter().map(|_| Access::Disk { values: &files.values, errors: files.errors.as_ref() }).collect(),
            (None, false) => {
                lent.extend(own.into_iter().map(|id| (id, self.pool.lend(id))));
                Access::to_memory(&mut lent, self.s, ranges)
            }
            (None, true) => {
                halves.extend(own.into_iter().map(|id| (id, self.pool.lend_half(id))));
                Access::to_half(&mut halves, self.s, ranges)
            }
        };
        let pool = &self.pool;
        let tasks = self.scratch.par_iter_mut().zip(parts).zip(extras).zip(ranges.to_vec());
        let results = tasks.map(|(((scratch, mut access), extra), rows)| work(&mut access, scratch, rows, pool, extra)).collect();
        for (id, panel) in lent {
            self.pool.take_back(id, panel);
        }
        for (id, panel) in halves {
            self.pool.take_back_half(id, panel);
        }
        first_error(results)
    }

    fn block(&self) -> usize {
        self.schedule.row_block.min(self.schedule.nodes.max(1))
    }

    /// The two scores of each node for one head.
    fn scores(&mut self, at: &Place, values: &Values, z: Val, head: usize) -> Result<(), Error> {
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
        let result = self.by_rows(ids.to_vec(), &ranges, outs, |access, scratch, rows, _, (u, v): (&mut [f32], &mut [f32])| {
            let begin = rows.start;
            let (gathered, staging) = scratch.split_at_mut(block * layout.width);
            for rows in blocks(rows, block) {
                let gathered = &mut gathered[..rows.len() * layout.width];
                access.gather(ids, head_layout, s, rows.clone(), gathered, staging)?;
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
    fn attend_pairs(&mut self, at: &Place, values: &mut Values, pairs: &Pairs) -> Result<(), Error> {
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
        let attention = &params.vectors[&VectorSlot::Source][pairs.head * width..(pairs.head + 1) * width];
        // On the spill tier the sources' panels come into the buffers.
        let mut left_at = left_ids.clone();
        if !self.schedule.store.is_direct() {
            left_at = (0..each).collect();
            for (k, &id) in left_ids.iter().enumerate() {
                self.load(k, id, at.from, false)?;
            }
        }
        let own = out_ids.iter().chain(&right_ids).chain(&skip_ids).copied().collect();
        let (head, ranges) = (Layout::plain(width), split_by_edges(graph, at.rows, self.schedule.threads));
        self.by_rows(own, &ranges, vec![(); ranges.len()], |access, scratch, rows, pool, ()| {
            let left = left_at.iter().map(|&id| RowsOf { data: pool.panel(id), first: 0, stride: s }).collect::<Vec<_>>();
            let (right_row, rest) = scratch.split_at_mut(width);
            let (out_row, rest) = rest.split_at_mut(width);
            let (other, staging) = rest.split_at_mut(width);
            for i in rows {
                if right_ids.is_empty() {
                    for (k, panel) in left.iter().enumerate() {
                        let columns = head.columns_of(k, s);
                        right_row[columns.clone()].copy_from_slice(panel.row(i, 0, columns.len()));
                    }
                } else {
                    access.gather(&right_ids, head, s, i..i + 1, right_row, staging)?;
                }
                let (loops, slope) = (pairs.loops, pairs.slope);
                dispatch(AttendPair { graph, i, left: &left, right: right_row, attention, loops, slope, out: out_row });
                if pairs.epilogue.accumulate {
                    access.gather(&out_ids, head, s, i..i + 1, other, staging)?;
                }
                let old = pairs.epilogue.accumulate.then_some(&*other);
                bound.before_norm(out_row, i, 0, NO_FACTORS, old);
                let mut bound = bound;
                if !skip_ids.is_empty() {
                    access.gather(&skip_ids, head, s, i..i + 1, other, staging)?;
                    bound.skip = Some(RowsOf { data: &*other, first: i, stride: width });
                }
                bound.after_norm(out_row, i, 0, NO_FACTORS);
                if check && !all_finite(out_row) {
                    return Err(Error::Overflow { layer: at.layer, node: i });
                }
                access.scatter(&out_ids, head, s, i..i + 1, (out_row, None), staging)?;
            }
            Ok(())
        })
    }

    /// The first rows of a stored panel into a buffer; or the bounds of their errors.
    fn load(&mut self, buffer: usize, id: usize, rows: usize, errors: bool) -> Result<(), Error> {
        let (s, ranges) = (self.s, even(rows, self.schedule.threads));
        let panel = self.pool.lend(buffer);
        let parts = cut(&mut panel[..rows * s], s, &ranges);
        let result = self.by_rows(vec![id], &ranges, parts, |access, _, rows, _, part| {
            if errors { access.read_errors(id, s, rows, part) } else { access.read(id, s, rows, part) }
        });
        self.pool.take_back(buffer, panel);
        result
    }

    /// A step over rows: block by block, all inputs are read before any output is written.
    fn rows(&mut self, at: &Place, outs: &[RowOut], values: &Values) -> Result<(), Error> {
        let (s, block, plan, graph) = (self.s, self.block(), self.plan, self.graph);
        let params = plan.model.params(at.layer);
        let layouts = &at.recipe.values;
        let sources = cost::sources(outs).into_iter().collect::<Vec<_>>();
        let stats = plan.features.stats();
        let mut own = Vec::new();
        for source in &sources {
            if let From::Value(value) = source {
                own.extend_from_slice(values.of(*value));
            }
        }
        for out in outs {
            own.extend_from_slice(values.of(out.out));
        }
        // What is read at random stays in the pool.
        let random = outs.iter().flat_map(|out| &out.terms).filter(|term| term.over_edges.is_some());
        let shared = random.filter_map(|term| if let From::Value(value) = term.from { Some(value) } else { None }).collect::<Vec<_>>();
        let shared_ids = shared.iter().flat_map(|&value| values.of(value)).copied().collect::<Vec<_>>();
        own.retain(|id| !shared_ids.contains(id));
        let over_edges = outs.iter().any(|out| out.terms.iter().any(|term| term.over_edges.is_some()));
        let threads = self.schedule.threads;
        let ranges = if over_edges { split_by_edges(graph, at.rows, threads) } else { even(at.rows, threads) };
        let feature_row = |i: usize| plan.feature_rows.as_ref().map_or(i, |rows| rows[i] as usize);
        let features_read = AtomicU64::new(0);
        let bounded = self.schedule.store.bounds;
        let result = self.by_rows(own, &ranges, vec![(); ranges.len()], |access, scratch, rows, pool, ()| {
            let mut rest = &mut *scratch;
            let mut take = |numbers: usize| {
                let (taken, left) = std::mem::take(&mut rest).split_at_mut(block * numbers);
                rest = left;
                taken
            };
            let mut gathered = sources.iter().map(|&source| take(cost::gathered(source, layouts, stats))).collect::<Vec<_>>();
            let mut results = outs.iter().map(|out| take(layouts[out.out].columns())).collect::<Vec<_>>();
            // The same of the bounds; those of features are 0: both runs read the same.
            let values_only = |source: From| if bounded && source != From::Features { cost::gathered(source, layouts, stats) } else { 0 };
            let mut gathered_errors = sources.iter().map(|&source| take(values_only(source))).collect::<Vec<_>>();
            let mut result_errors = outs.iter().map(|out| take(if bounded { layouts[out.out].columns() } else { 0 })).collect::<Vec<_>>();
            for rows in blocks(rows, block) {
                let count = rows.len();
                for (&source, errors) in sources.iter().zip(&mut gathered_errors) {
                    if let (true, From::Value(value)) = (bounded, source) {
                        let layout = layouts[value];
                        let errors = &mut errors[..count * layout.columns()];
                        access.gather_errors(values.of(value), layout, s, rows.clone(), errors, rest)?;
                    }
                }
                for (&source, gathered) in sources.iter().zip(&mut gathered) {
                    match (source, &plan.features.0) {
                        (From::Value(value), _) => {
                            let layout = layouts[value];
                            let gathered = &mut gathered[..count * layout.columns()];
                            if shared.contains(&value) {
                                for (k, &id) in values.of(value).iter().enumerate() {
                                    let (columns, panel) = (layout.columns_of(k, s), pool.panel(id));
                                    for (i, out) in rows.clone().zip(gathered.chunks_exact_mut(layout.columns())) {
                                        out[columns.clone()].copy_from_slice(&panel[i * s..i * s + columns.len()]);
                                    }
                                }
                            } else {
                                access.gather(values.of(value), layout, s, rows.clone(), gathered, rest)?;
                            }
                        }
                        (From::Features, FeatureData::Streamed(file)) => {
                            let gathered = &mut gathered[..count * stats.columns()];
                            features_read.fetch_add(read_features(plan, file, rows.clone(), gathered)?, Relaxed);
                        }
                        (From::Features, _) => {}
                    }
                }
                for ((out, result), errors) in outs.iter().zip(&mut results).zip(&mut result_errors) {
                    let width = layouts[out.out].columns();
                    let result = &mut result[..count * width];
                    if bounded {
                        let errors = &mut errors[..count * width];
                        errors.fill(0.0);
                        let terms = out.terms.iter().filter_map(|term| {
                            let From::Value(value) = term.from else { return None };
                            let place = sources.iter().position(|&source| source == term.from)?;
                            let size = count * layouts[value].columns();
                            Some((term, &gathered[place][..size], &gathered_errors[place][..size], layouts[value].columns()))
                        });
                        bound_rows(params, terms, inner_width(out, layouts, stats), errors, width, rest);
                    }
                    for (t, term) in out.terms.iter().enumerate() {
                        let from_scratch = sources.iter().position(|&source| source == term.from && term.over_edges.is_none());
                        let summed = &mut rest[..];
                        let input = match (term.from, term.over_edges, &plan.features.0) {
                            (From::Value(value), Some((operator, mean)), _) => {
                                let panels = values.of(value).iter().map(|&id| pool.panel(id));
                                let layout = layouts[value];
                                for (k, panel) in panels.enumerate() {
                                    let source = RowsOf { data: panel, first: 0, stride: s };
                                    sum_rows(
                                        graph,
                                        rows.clone(),
                                        source,
                                        layout.columns_of(k, s),
                                        layout.columns(),
                                        operator,
                                        mean,
                                        summed,
                                    );
                                }
                                Input::Dense(&*summed, layout.columns())
                            }
                            (From::Features, Some((operator, mean)), FeatureData::Dense(array)) if plan.feature_rows.is_none() => {
                                let width = array.cols();
                                let source = RowsOf { data: array.as_slice(), first: 0, stride: width };
                                sum_rows(graph, rows.clone(), source, 0..width, width, operator, mean, summed);
                                Input::Dense(&*summed, width)
                            }
                            (From::Features, Some((operator, mean)), features) => {
                                let width = stats.columns();
                                for (i, sum) in rows.clone().zip(summed.chunks_exact_mut(width)) {
                                    let count = if mean { neighbour_count(graph, i) } else { None };
                                    match features {
                                        FeatureData::Sparse(csr) => aggregate_sparse_row(graph, i, csr, feature_row, &operator, count, sum),
                                        FeatureData::Dense(array) => {
                                            aggregate_dense_row(graph, i, array, feature_row, &operator, count, sum)
                                        }
                                        FeatureData::Streamed(_) => {
                                            unreachable!("streamed features are copied before they are read at random")
                                        }
                                    }
                                }
                                Input::Dense(&*summed, width)
                            }
                            (From::Value(value), None, _) => {
                                let width = layouts[value].columns();
                                Input::Dense(&gathered[from_scratch.unwrap_or(0)][..count * width], width)
                            }
                            (From::Features, None, FeatureData::Streamed(_)) => {
                                Input::Dense(&gathered[from_scratch.unwrap_or(0)][..count * stats.columns()], stats.columns())
                            }
                            (From::Features, None, FeatureData::Dense(array)) => match &plan.feature_rows {
                                None => Input::Dense(&array.as_slice()[rows.start * array.cols()..rows.end * array.cols()], array.cols()),
                                Some(_) => Input::RowsByIndex(array),
                            },
                            (From::Features, None, FeatureData::Sparse(csr)) => Input::Sparse(csr),
                        };
                        map_rows(&input, params, term, rows.clone(), feature_row, result, width, t > 0);
                    }
                    let skip = out.epilogue.skip.map(|value| {
                        let place = sources.iter().position(|&source| source == From::Value(value)).unwrap_or(0);
                        let columns = layouts[value].columns();
                        RowsOf { data: &gathered[place][..count * columns], first: rows.start, stride: columns }
                    });
                    // Part of a matrix's columns goes with that part of the vectors.
                    let begin = out.terms[0].matrix.as_ref().map_or(0, |matrix| matrix.columns.start);
                    let bound = Bound { skip, ..bind(params, &out.epilogue, begin..begin + width) };
                    if bounded {
                        let skip = out.epilogue.skip.map(|value| {
                            let place = sources.iter().position(|&source| source == From::Value(value)).unwrap_or(0);
                            let columns = layouts[value].columns();
                            RowsOf { data: &gathered_errors[place][..count * columns], first: rows.start, stride: columns }
                        });
                        let others = OtherErrors { mix: None, skip };
                        let errors = &mut errors[..count * width];
                        let none = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
                        let both = result.chunks_exact_mut(width).zip(errors.chunks_exact_mut(width));
                        for (i, (row, errors)) in rows.clone().zip(both) {
                            let (_, factors) = factors(graph, i, &none, params.one_plus_eps, &out.epilogue);
                            bound.apply_bounded(row, errors, i, 0, factors, None, others);
                        }
                    } else {
                        finish_rows(graph, params, &out.epilogue, &bound, rows.clone(), result, width);
                    }
                    if plan.check_finite
                        && let Some(k) = result.chunks_exact(width).position(|row| !all_finite(row))
                    {
                        return Err(Error::Overflow { layer: at.layer, node: rows.start + k });
                    }
                }
                for ((out, result), errors) in outs.iter().zip(&results).zip(&result_errors) {
                    let (layout, size) = (layouts[out.out], count * layouts[out.out].columns());
                    let errors = bounded.then(|| &errors[..size]);
                    access.scatter(values.of(out.out), layout, s, rows.clone(), (&result[..size], errors), rest)?;
                }
            }
            Ok(())
        });
        self.feature_bytes += features_read.into_inner();
        result
    }

    /// Gives the rows of the last value away, in the order of the output.
    fn output(&mut self, ids: &[usize], head: Head, take: &mut impl FnMut(usize, &[f32]) -> Result<(), Error>) -> Result<(), Error> {
        let (s, block, layout, plan) = (self.s, self.block(), self.schedule.final_layout, self.plan);
        let columns = layout.columns();
        let rows = plan.output_len();
        let all = 0..plan.graph.rows_after(usize::MAX);
        let (mut lent, mut halves) = (Vec::new(), Vec::new());
        let mut own = ids.to_vec();
        own.sort_unstable();
        let access = match (&self.files, self.schedule.store.half) {
            (Some(files), _) => Access::Disk { values: &files.values, errors: files.errors.as_ref() },
            (None, false) => {
                lent.extend(own.into_iter().map(|id| (id, self.pool.lend(id))));
                Access::to_memory(&mut lent, s, std::slice::from_ref(&all)).remove(0)
            }
            (None, true) => {
                halves.extend(own.into_iter().map(|id| (id, self.pool.lend_half(id))));
                Access::to_half(&mut halves, s, std::slice::from_ref(&all)).remove(0)
            }
        };
        let (gathered, rest) = self.scratch[0].split_at_mut(block * columns);
        let (errors, staging) = rest.split_at_mut(if self.error_bound.is_some() { block * columns } else { 0 });
        for rows in blocks(0..rows, block) {
            let gathered = &mut gathered[..rows.len() * columns];
            match &plan.output_rows {
                None => access.gather(ids, layout, s, rows.clone(), gathered, staging)?,
                Some(places) => {
                    for (row, out) in rows.clone().zip(gathered.chunks_exact_mut(columns)) {
                        let i = places[row] as usize;
                        access.gather(ids, layout, s, i..i + 1, out, staging)?;
                    }
                }
            }
            if let Some(facts) = &mut self.error_bound {
                let errors = &mut errors[..rows.len() * columns];
                for (row, out) in rows.clone().zip(errors.chunks_exact_mut(columns)) {
                    let i = plan.output_rows.as_ref().map_or(row, |places| places[row] as usize);
                    access.gather_errors(ids, layout, s, i..i + 1, out, staging)?;
                }
                facts.add(gathered, errors, columns);
            }
            gathered.chunks_exact_mut(columns).for_each(|row| apply_head(head, row));
            take(rows.start, gathered)?;
        }
        Ok(())
    }
}

/// Inner widths of all terms of an output: how many terms its sums have at most.
fn inner_width(out: &RowOut, layouts: &[Layout], stats: FeatureStats) -> usize {
    out.terms
        .iter()
        .map(|term| match term.from {
            From::Features => stats.columns(),
            From::Value(value) => layouts[value].columns(),
        })
        .sum()
}

/// Bounds on the distance of rows from those of another run, whose inputs are within the bounds of each term: by the weights without signs.
fn bound_rows<'t>(
    params: &Params,
    terms: impl Iterator<Item = (&'t Term, &'t [f32], &'t [f32], usize)>,
    inner: usize,
    errors: &mut [f32],
    width: usize,
    rest: &mut [f32],
) {
    let g = (inner + 6) as f32 * 2f32.powi(-23);
    let mut touched = false;
    for (term, x, e, columns) in terms {
        let v = &mut rest[..x.len()];
        for ((v, x), e) in v.chunks_exact_mut(columns).zip(x.chunks_exact(columns)).zip(e.chunks_exact(columns)) {
            // A row that is the same in both runs gives the same.
            let same = e.iter().all(|&e| e == 0.0);
            for ((v, x), e) in v.iter_mut().zip(x).zip(e) {
                *v = if same { 0.0 } else { (1.0 + 3.0 * g) * e + 3.0 * g * x.abs() };
            }
        }
        match &term.matrix {
            None => errors.iter_mut().zip(&*v).for_each(|(errors, v)| *errors += v),
            Some(matrix) => dispatch(Combine {
                x: v,
                x_stride: columns,
                rows: x.len() / columns,
                w: &params.matrices[&matrix.slot],
                columns: matrix.columns.clone(),
                out: errors,
                out_stride: width,
                add: touched,
                absolute: true,
            }),
        }
        touched = true;
    }
    for e in errors {
        *e = if *e == 0.0 {
            0.0
        } else if g <= 1.0 / 3.0 {
            *e + 2f32.powi(-100)
        } else {
            f32::INFINITY
        };
    }
}

/// The rows that meet a matrix.
enum Input<'i> {
    /// Side by side, of this width.
    Dense(&'i [f32], usize),
    /// Rows of features in memory, by their own numbers.
    RowsByIndex(&'i Array<f32>),
    Sparse(&'i Csr<f32>),
}

/// One term: each row through its matrix, or as it is.
#[allow(clippy::too_many_arguments)]
fn map_rows(
    input: &Input,
    params: &Params,
    term: &Term,
    rows: Range<usize>,
    feature_row: impl Fn(usize) -> usize,
    out: &mut [f32],
    width: usize,
    add: bool,
) {
    let matrix = term.matrix.as_ref().map(|matrix| (&params.matrices[&matrix.slot], matrix.columns.clone()));
    match (input, matrix) {
        (Input::Dense(x, x_stride), Some((w, columns))) => {
            dispatch(Combine { x, x_stride: *x_stride, rows: rows.len(), w, columns, out, out_stride: width, add, absolute: false });
        }
        (Input::Dense(x, _), None) => put(out, x, add),
        (Input::RowsByIndex(array), Some((w, columns))) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                let x = array.row(feature_row(i));
                dispatch(Combine {
                    x,
                    x_stride: x.len(),
                    rows: 1,
                    w,
                    columns: columns.clone(),
                    out,
                    out_stride: width,
                    add,
                    absolute: false,
                });
            }
        }
        (Input::RowsByIndex(array), None) => {
            rows.zip(out.chunks_exact_mut(width)).for_each(|(i, out)| put(out, array.row(feature_row(i)), add));
        }
        (Input::Sparse(csr), Some((w, columns))) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                let (indices, values) = csr.row(feature_row(i));
                dispatch(CombineSparse { indices, values, w, columns: columns.clone(), out, add });
            }
        }
        (Input::Sparse(csr), None) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                if !add {
                    out.fill(0.0);
                }
                let (indices, values) = csr.row(feature_row(i));
                indices.iter().zip(values).for_each(|(&k, &x)| out[k as usize] += x);
            }
        }
    }
}

fn put(out: &mut [f32], x: &[f32], add: bool) {
    if add {
        out.iter_mut().zip(x).for_each(|(out, x)| *out += x);
    } else {
        out.copy_from_slice(x);
    }
}

fn neighbour_count(graph: &Graph, i: usize) -> Option<f32> {
    Some(graph.sources(i).len()).filter(|&count| count > 0).map(|count| count as f32)
}

/// Sums over edges for some rows into some columns of rows of `width` numbers.
#[allow(clippy::too_many_arguments)]
fn sum_rows(
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
fn aggregate_dense_row(
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

/// The epilogue of whole rows.
fn finish_rows(graph: &Graph, params: &Params, epilogue: &Epilogue, bound: &Bound, rows: Range<usize>, out: &mut [f32], width: usize) {
    let none = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
    for (i, row) in rows.zip(out.chunks_exact_mut(width)) {
        let (_, factors) = factors(graph, i, &none, params.one_plus_eps, epilogue);
        bound.before_norm(row, i, 0, factors, None);
        if epilogue.l2 {
            l2_normalise(row);
        }
        if epilogue.standardise {
            standardise(row);
        }
        bound.after_norm(row, i, 0, factors);
    }
}

/// Rows of a feature file, checked.
fn read_features(plan: &Plan, file: &NpyFeatures, rows: Range<usize>, out: &mut [f32]) -> Result<u64, Error> {
    let columns = file.columns();
    let read = match &plan.feature_rows {
        None => file.read_rows(rows.start, out)?,
        Some(places) => {
            let mut read = 0;
            for (i, out) in rows.clone().zip(out.chunks_exact_mut(columns)) {
                read += file.read_rows(places[i] as usize, out)?;
            }
            read
        }
    };
    if plan.check_finite
        && let Some(k) = out.iter().position(|x| !x.is_finite())
    {
        let row = plan.feature_rows.as_ref().map_or(rows.start + k / columns, |places| places[rows.start + k / columns] as usize);
        return Err(InputError::non_finite("features", &[row, k % columns], f64::from(out[k])).into());
    }
    Ok(read)
}

fn apply_head(head: Head, row: &mut [f32]) {
    match head {
        Head::Logits => {}
        Head::Softmax => {
            softmax_row(row);
        }
        Head::LogSoftmax => {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
            let sum = row.iter().map(|&x| certus_numeric::exp::exp(x - largest)).sum::<f32>();
            row.iter_mut().for_each(|x| *x = (*x - largest) - sum.ln());
        }
    }
}
