//! What a recipe holds, moves and takes, from sizes alone.

use std::collections::BTreeSet;

use crate::features::FeatureStats;
use crate::graph::{BufferSizes, DiskGraph, GraphStats, Wanted};
use crate::machine::MachineModel;
use crate::spec::Reduce;
use crate::steps::{Epilogue, From, Kind, Layout, Meeting, Operator, PanelOut, Propagate, Recipe, Step, Val};

/// Sizes that all costs of a run depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes<'a> {
    pub(crate) graph: GraphStats,
    /// Of a graph on disk, with the buffers of each part.
    pub(crate) disk: Option<(DiskGraph, BufferSizes)>,
    pub(crate) features: FeatureStats,
    pub(crate) machine: &'a MachineModel,
    pub(crate) threads: usize,
    pub(crate) s: usize,
    pub(crate) store: Store,
}

impl Sizes<'_> {
    /// Bytes of a graph on disk that one pass over some rows reads. `wanted`: by whether edges have weights, and whether some are loops.
    fn pass(&self, rows: u64, wanted: impl Fn(bool, bool) -> Wanted) -> u64 {
        self.disk.map_or(0, |(graph, buffers)| {
            let wanted = wanted(self.graph.weighted, graph.has_loops);
            graph.pass(&wanted, rows, self.threads as u64, &buffers)
        })
    }
}

/// How values are stored between steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    /// On disk.
    pub(crate) spill: bool,
    /// In f16.
    pub(crate) half: bool,
    /// With bounds of their errors, in f32.
    pub(crate) bounds: bool,
}

impl Store {
    /// In memory, in f32, without bounds: steps work on the panels themselves.
    pub(crate) fn is_direct(self) -> bool {
        !self.spill && !self.half && !self.bounds
    }

    /// Bytes of a stored number, with its bound.
    pub(crate) fn bytes(self) -> u64 {
        (if self.half { 2 } else { 4 }) + if self.bounds { 4 } else { 0 }
    }
}

/// What a recipe needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Panels in memory at most.
    pub(crate) panels: u64,
    /// Vectors of n numbers in memory at most.
    pub(crate) vectors: u64,
    /// Panels in the store at most, where that is not the pool of panels.
    pub(crate) slots: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
    /// Numbers of scratch for each row of a block, of one thread, at most.
    pub(crate) scratch: u64,
    pub(crate) seconds: f64,
    pub(crate) flops: f64,
}

/// The cost of one recipe. `beside`: panels of values that it has nothing to do with, and that are kept. `rows_after(hops)`: how many rows
/// are computed after so many aggregations.
pub(crate) fn cost(recipe: &Recipe, sizes: &Sizes, beside: u64, rows_after: &dyn Fn(usize) -> u64) -> Cost {
    let mut total = Cost::default();
    let s = sizes.s as u64;
    let both = 1 + u64::from(sizes.store.bounds);
    let panels = |value: Val| recipe.values[value].panels(sizes.s) as u64;
    let mut held = vec![0u64; recipe.values.len()];
    let mut live = beside;
    if recipe.keeps_input || reads_input(recipe) {
        for (value, held) in held.iter_mut().enumerate().take(recipe.inputs) {
            *held = panels(value);
            live += *held;
        }
    }
    let mut most_live = live;
    for step in &recipe.steps {
        for &value in &step.free_before {
            live -= std::mem::take(&mut held[value]);
        }
        let taken = taken(step, recipe, sizes.s);
        for &(value, count) in &taken.lasting {
            held[value] += count;
            live += count;
        }
        most_live = most_live.max(live + taken.spare);
        for &value in &step.free_after {
            live -= std::mem::take(&mut held[value]);
        }
        let work = match &step.kind {
            Kind::Propagate(work) => propagated(work, recipe, sizes, &|done| rows_after(step.hops - work.steps + done)),
            _ => {
                let from = rows_after(step.hops.saturating_sub(usize::from(aggregates(step))));
                work(step, recipe, sizes, rows_after(step.hops), from)
            }
        };
        // Rows of one panel on their way from or to the disk.
        let staging = if sizes.store.is_direct() { 0 } else { both * s };
        total.scratch = total.scratch.max(both * work.scratch + staging);
        total.vectors = total.vectors.max(work.vectors);
        total.flops += work.flops;
        total.seconds += work.seconds;
        total.read = total.read.saturating_add(work.feature_bytes).saturating_add(work.graph_bytes);
        total.seconds += (work.feature_bytes as f64 + work.graph_bytes as f64) / sizes.machine.disk;
        let row = sizes.store.bytes() * s;
        let (read, written) = (work.panel_rows_read.saturating_mul(row), work.panel_rows_written.saturating_mul(row));
        if sizes.store.spill {
            total.read = total.read.saturating_add(read);
            total.written = total.written.saturating_add(written);
            total.seconds += (read as f64 + written as f64) / sizes.machine.disk;
        } else if !sizes.store.is_direct() {
            total.seconds += (read as f64 + written as f64) / sizes.machine.stream;
        }
        total.panels = total.panels.max(work.loaded);
    }
    if sizes.store.is_direct() {
        total.panels = most_live;
    } else {
        total.panels *= both;
        total.slots = most_live;
    }
    total
}

/// Whether the layer's input is a value (and not features).
pub(crate) fn reads_input(recipe: &Recipe) -> bool {
    recipe.steps.iter().any(|step| match &step.kind {
        Kind::Rows(outs) => outs.iter().any(|out| out.terms.iter().any(|term| term.from == From::Value(0)) || out.epilogue.skip == Some(0)),
        Kind::Panels { src, .. } => *src == 0,
        Kind::Propagate(work) => work.value == 0,
        _ => false,
    })
}

fn aggregates(step: &Step) -> bool {
    match &step.kind {
        Kind::Panels { operator, .. } => !operator.no_edges,
        Kind::Attend { .. } | Kind::AttendPairs { .. } => true,
        Kind::Rows(outs) => outs.iter().any(|out| out.terms.iter().any(|term| term.over_edges.is_some())),
        _ => false,
    }
}

/// Panels that a step takes from the pool.
struct Taken {
    /// For values, which keep them.
    lasting: Vec<(Val, u64)>,
    /// One at a time, given back for the old panel.
    spare: u64,
}

fn taken(step: &Step, recipe: &Recipe, s: usize) -> Taken {
    let panels = |value: Val| recipe.values[value].panels(s) as u64;
    let none = Taken { lasting: Vec::new(), spare: 0 };
    let by_panels = |out: &PanelOut, count: u64| match *out {
        PanelOut::Rotate => Taken { lasting: Vec::new(), spare: 1 },
        PanelOut::Into(..) => Taken { lasting: Vec::new(), spare: 0 },
        PanelOut::Fresh(value, _) => Taken { lasting: vec![(value, count)], spare: 0 },
    };
    match &step.kind {
        Kind::Rows(outs) => Taken { lasting: outs.iter().map(|out| (out.out, panels(out.out))).collect(), spare: 0 },
        Kind::Panels { panels, out, .. } => by_panels(out, panels.len() as u64),
        Kind::Attend { z, out, .. } => {
            let layout = recipe.values[*z];
            by_panels(out, layout.width.div_ceil(s) as u64)
        }
        Kind::AttendPairs { left, out, .. } => by_panels(out, panels(*left)),
        Kind::Propagate(work) => match (&work.beside, work.into) {
            // The iterate and the spare.
            (Some(_), None) => Taken { lasting: Vec::new(), spare: 2 },
            (Some(_), Some(into)) => Taken { lasting: vec![(into, panels(into))], spare: 1 },
            (None, _) => Taken { lasting: Vec::new(), spare: 1 },
        },
        Kind::Scores { .. } => none,
    }
}

/// What one step moves and computes.
#[derive(Default)]
struct Work {
    /// Rows of panels (s numbers each) read from and written to the store of values.
    panel_rows_read: u64,
    panel_rows_written: u64,
    feature_bytes: u64,
    graph_bytes: u64,
    /// Panels of sources in memory, where values are on disk.
    loaded: u64,
    vectors: u64,
    scratch: u64,
    flops: f64,
    seconds: f64,
}

/// Values that an epilogue reads beside the sum.
fn others(epilogue: &Epilogue) -> impl Iterator<Item = Val> {
    epilogue.mix.map(|(_, value)| value).into_iter().chain(epilogue.skip)
}

/// The sources of rows in a step over rows, each once.
pub(crate) fn sources(outs: &[crate::steps::RowOut]) -> BTreeSet<From> {
    let terms = outs.iter().flat_map(|out| &out.terms).filter(|term| term.over_edges.is_none()).map(|term| term.from);
    let skips = outs.iter().filter_map(|out| out.epilogue.skip).map(From::Value);
    terms.chain(skips).collect()
}

/// Numbers of scratch a row that a source of rows needs.
pub(crate) fn gathered(from: From, values: &[Layout], features: FeatureStats) -> usize {
    match (from, features) {
        (From::Value(value), _) => values[value].columns(),
        // In memory, rows are read where they are.
        (From::Features, FeatureStats::Dense { .. } | FeatureStats::Mapped { .. } | FeatureStats::Sparse { .. }) => 0,
        (From::Features, FeatureStats::Streamed { columns, .. } | FeatureStats::Int8 { columns }) => columns,
    }
}

/// `rows`: computed; `from`: rows that the step may read at random.
fn work(step: &Step, recipe: &Recipe, sizes: &Sizes, rows: u64, from: u64) -> Work {
    let (machine, threads, s) = (sizes.machine, sizes.threads as f64, sizes.s as u64);
    let flop_rate = machine.multiply_adds * threads;
    let (edges, rows_f) = (sizes.graph.edges as f64, rows as f64);
    let panels = |value: Val| recipe.values[value].panels(sizes.s) as u64;
    // A panel with fewer columns than a cache line still costs whole lines.
    let sweep = |columns: f64, working_set: f64| {
        let line = (4.0 * columns).max(64.0);
        (4.0 * edges + 8.0 * rows_f * columns) / machine.stream + edges * line / machine.gather(working_set)
    };
    let panel_bytes = 4.0 * from as f64 * s as f64;
    let mut work = Work::default();
    match &step.kind {
        Kind::Rows(outs) => {
            for source in sources(outs) {
                work.scratch += gathered(source, &recipe.values, sizes.features) as u64;
                match (source, sizes.features) {
                    (From::Value(value), _) => {
                        work.panel_rows_read = work.panel_rows_read.saturating_add(rows.saturating_mul(panels(value)))
                    }
                    (From::Features, FeatureStats::Streamed { columns, entry_bytes }) => {
                        let bytes = rows.saturating_mul(columns as u64).saturating_mul(entry_bytes);
                        work.feature_bytes = work.feature_bytes.saturating_add(bytes);
                    }
                    _ => {}
                }
            }
            work.graph_bytes = sizes.pass(rows, |weighted, loops| Wanted::for_rows(outs, weighted, loops));
            let mut bounded = 0;
            for out in outs {
                let columns = recipe.values[out.out].columns();
                work.scratch += columns as u64;
                work.panel_rows_written = work.panel_rows_written.saturating_add(rows.saturating_mul(panels(out.out)));
                work.seconds += 8.0 * rows_f * columns as f64 / machine.stream;
                for term in &out.terms {
                    let width = match term.from {
                        From::Features => sizes.features.columns(),
                        From::Value(value) => recipe.values[value].columns(),
                    };
                    if term.over_edges.is_some() {
                        work.scratch += width as u64;
                        let flops = edges * width as f64;
                        work.flops += flops;
                        // Panel by panel, or whole rows.
                        work.seconds += match term.from {
                            From::Features => sweep(width as f64, 4.0 * rows_f * width as f64),
                            From::Value(value) => panels(value) as f64 * sweep(s as f64, panel_bytes * panels(value) as f64),
                        };
                    }
                    let inexact = matches!(term.from, From::Value(_)) || matches!(sizes.features, FeatureStats::Int8 { .. });
                    if sizes.store.bounds && inexact && term.meets == Meeting::Added {
                        // What meets the matrix without signs, or the sum.
                        bounded = bounded.max(width as u64);
                    }
                    let Some(matrix) = &term.matrix else { continue };
                    let inner = match (term.from, sizes.features, term.over_edges) {
                        (From::Features, FeatureStats::Sparse { entries, .. }, None) => entries as f64,
                        _ => rows_f * width as f64,
                    };
                    // More numbers a thread than a core of multiply-adds has registers for are read again for each strip.
                    let flops = inner * matrix.columns.len() as f64;
                    work.flops += 2.0 * flops;
                    work.seconds += flops / flop_rate;
                }
            }
            work.scratch += bounded;
        }
        Kind::Panels { panels: range, operator, epilogue, .. } => {
            let count = range.len() as u64;
            let pass = sizes.pass(rows, |weighted, loops| Wanted::for_sums(Some(operator), epilogue, weighted, loops));
            work.graph_bytes = pass.saturating_mul(count);
            let accumulated = u64::from(epilogue.accumulate);
            work.loaded = 1;
            work.panel_rows_read = count.saturating_mul(from + rows * (accumulated + others(epilogue).count() as u64));
            work.panel_rows_written = count.saturating_mul(rows);
            work.scratch = if sizes.store.is_direct() { 0 } else { s * (1 + others(epilogue).count() as u64) };
            if !operator.no_edges {
                work.flops = edges * (s * count) as f64;
                work.seconds = count as f64 * sweep(s as f64, panel_bytes);
            } else {
                work.seconds = count as f64 * 8.0 * rows_f * s as f64 / machine.stream;
            }
        }
        Kind::Scores { z, .. } => {
            let width = recipe.values[*z].width as u64;
            let each = width.div_ceil(s);
            work.panel_rows_read = rows * each;
            work.vectors = 2;
            work.scratch = width;
            work.flops = 4.0 * rows_f * width as f64;
            work.seconds = rows_f * width as f64 * 4.0 / machine.stream;
        }
        Kind::Attend { z, epilogue, .. } => {
            let each = (recipe.values[*z].width as u64).div_ceil(s);
            work.graph_bytes = sizes.pass(rows, |_, _| Wanted::for_attention()).saturating_mul(each);
            let accumulated = u64::from(epilogue.accumulate);
            work.loaded = 1;
            work.vectors = 2;
            work.panel_rows_read = each * (from + rows * (accumulated + others(epilogue).count() as u64));
            work.panel_rows_written = each * rows;
            work.scratch = if sizes.store.is_direct() { 0 } else { s * (1 + others(epilogue).count() as u64) };
            work.flops = 2.0 * edges * (s * each) as f64 + 20.0 * edges * each as f64;
            work.seconds = each as f64 * (sweep(s as f64, panel_bytes) + 4.0 * edges * 8.0 / machine.gather(4.0 * from as f64))
                + each as f64 * 25.0 * edges / flop_rate;
        }
        Kind::AttendPairs { left, right, epilogue, .. } => {
            let each = panels(*left);
            work.graph_bytes = sizes.pass(rows, |_, _| Wanted::for_attention());
            let accumulated = u64::from(epilogue.accumulate);
            let width = recipe.values[*left].width as u64;
            work.loaded = each;
            let own = if left == right { 0 } else { each };
            work.panel_rows_read = each * from + rows * (own + each * (accumulated + others(epilogue).count() as u64));
            work.panel_rows_written = each * rows;
            // The target's row, the output's, and what is added.
            work.scratch = 3 * width;
            work.flops = 5.0 * edges * width as f64 + 20.0 * edges;
            work.seconds = 2.0 * sweep((s * each) as f64, panel_bytes * each as f64) + 25.0 * edges / flop_rate;
        }
        Kind::Propagate(_) => {}
    }
    work
}

/// What a chain of sums moves and computes; `rows(done)`: computed after so many of them.
fn propagated(chain: &Propagate, recipe: &Recipe, sizes: &Sizes, rows: &dyn Fn(usize) -> u64) -> Work {
    let panels = recipe.values[chain.value].panels(sizes.s);
    let step = |operator: Operator, epilogue: &Epilogue| {
        let kind = Kind::Panels {
            src: chain.value,
            panels: 0..panels,
            operator,
            epilogue: epilogue.clone(),
            out: PanelOut::Rotate,
            frame: (chain.value, 0),
        };
        Step { kind, free_before: Vec::new(), free_after: Vec::new(), hops: 0 }
    };
    let mut total = Work::default();
    let mut add = |work: Work, times: u64| {
        total.panel_rows_read = total.panel_rows_read.saturating_add(work.panel_rows_read.saturating_mul(times));
        total.panel_rows_written = total.panel_rows_written.saturating_add(work.panel_rows_written.saturating_mul(times));
        total.graph_bytes = total.graph_bytes.saturating_add(work.graph_bytes.saturating_mul(times));
        total.loaded = total.loaded.max(work.loaded);
        total.scratch = total.scratch.max(work.scratch);
        total.flops += work.flops * times as f64;
        total.seconds += work.seconds * times as f64;
    };
    if let Some(epilogue) = &chain.beside {
        let copy = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
        add(work(&step(copy, epilogue), recipe, sizes, rows(0), rows(0)), 1);
    }
    let (between, last) = (step(chain.operator, &chain.between), step(chain.operator, &chain.last));
    // A whole graph has the same rows at every step.
    if rows(0) == rows(chain.steps) {
        let n = rows(0);
        add(work(&between, recipe, sizes, n, n), chain.steps as u64 - 1);
        add(work(&last, recipe, sizes, n, n), 1);
    } else {
        for done in 1..=chain.steps {
            add(work(if done == chain.steps { &last } else { &between }, recipe, sizes, rows(done), rows(done - 1)), 1);
        }
    }
    total
}
