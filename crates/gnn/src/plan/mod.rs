//! The planner: the fastest schedule that fits a budget, and the smallest budget that any schedule fits.

mod candidate;
mod schedule;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use certus_contract::InputError;

use crate::cost::Store;
use crate::error::Error;
use crate::features::{FeatureStats, Features};
use crate::field::Field;
use crate::graph::{BufferSizes, DiskGraph, Graph, GraphStats, GraphStore};
use crate::machine::MachineModel;
use crate::model::Model;
use crate::recipes::Order;
use crate::reorder::{Reorder, Reordered, inverse};
use crate::spec::{LayerSpec, ModelSpec, Op};
use crate::storage::GraphFile;
use candidate::{Candidate, frontier};

pub(crate) use schedule::LINE;
pub use schedule::{Choice, MemoryBudget, PlannedLayer, Precision, Resident, Schedule, Tier, bytes_text};

/// Slices that are tried beside the full width.
const SLICES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Heights of row blocks that are tried.
const ROW_BLOCKS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// Settles a schedule.
///
/// ```
/// use certus_gnn::{FeatureStats, GraphStats, MemoryBudget, ModelSpec, Planner};
/// let spec = ModelSpec::from_json(r#"{ "layers": [
///     { "op": "gcn", "prefix": "conv1", "in_channels": 602, "out_channels": 128, "activation": "relu" },
///     { "op": "gcn", "prefix": "conv2", "in_channels": 128, "out_channels": 41 } ] }"#)?;
/// // Reddit, by its sizes alone: an edge-by-edge implementation would hold 118 GB.
/// let graph = GraphStats { nodes: 232_965, edges: 114_615_892, weighted: false };
/// let features = FeatureStats::Streamed { columns: 602, entry_bytes: 4 };
/// let schedule = Planner::from_stats(&spec, graph, features).budget(MemoryBudget::Working(134 << 20)).schedule()?;
/// assert!(schedule.predicted_peak <= 134 << 20 && schedule.undecomposed_peak > 118_000_000_000);
/// # Ok::<(), certus_gnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planner<'a> {
    spec: &'a ModelSpec,
    graph: GraphStats,
    /// Of a graph on disk.
    disk: Option<DiskGraph>,
    graph_buffer: Option<usize>,
    features: FeatureStats,
    data: Option<Data<'a>>,
    budget: Option<MemoryBudget>,
    threads: usize,
    spill: Option<Spill>,
    owned_output: bool,
    slice: Option<usize>,
    row_block: Option<usize>,
    tier: Option<Tier>,
    reorder: Option<Reorder>,
    order: Option<Order>,
    precision: Precision,
    machine: MachineModel,
    check_finite: bool,
}

/// Whether activations may go to disk.
#[derive(Clone, Debug)]
enum Spill {
    /// Somewhere: only for a schedule.
    Allowed,
    Folder(PathBuf),
}

/// What a plan runs on.
#[derive(Clone, Copy, Debug)]
struct Data<'a> {
    model: &'a Model,
    graph: GraphStore<'a>,
    features: &'a Features,
}

/// The graph that a plan runs on: what it was given, or a part or another numbering of it.
#[derive(Clone, Debug)]
pub(crate) enum PlanGraph<'a> {
    Given(GraphStore<'a>),
    Own(Box<Graph>),
}

impl PlanGraph<'_> {
    pub(crate) fn store(&self) -> GraphStore<'_> {
        match self {
            PlanGraph::Given(graph) => *graph,
            PlanGraph::Own(graph) => GraphStore::Memory(graph),
        }
    }
}

/// A schedule with the data that it runs on. Made by [`Planner::plan`]; run by [`Plan::run`].
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub(crate) schedule: Schedule,
    pub(crate) model: &'a Model,
    pub(crate) graph: PlanGraph<'a>,
    pub(crate) features: &'a Features,
    /// Row of the features for each node of `graph`, where they differ.
    pub(crate) feature_rows: Option<Vec<u32>>,
    /// Node of `graph` for each row of the output, where they differ.
    pub(crate) output_rows: Option<Vec<u32>>,
    pub(crate) spill: Option<PathBuf>,
    pub(crate) check_finite: bool,
    planner: Planner<'a>,
}

impl Plan<'_> {
    /// The schedule alone.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

impl std::ops::Deref for Plan<'_> {
    type Target = Schedule;

    fn deref(&self) -> &Schedule {
        &self.schedule
    }
}

impl<'a> Plan<'a> {
    /// Some nodes alone, planned again with the same options and run: their receptive field is computed, nothing else, with the same bits.
    /// `run` gets that plan and says what the answer is: [`Plan::run`] for an array with a row for each node that was asked for, in that
    /// order.
    ///
    /// # Errors
    /// `InvalidParameter` for a node that the graph has not; as [`Planner::schedule`], the field's sizes in place of the graph's; as `run`.
    pub fn run_nodes<T>(&self, nodes: &[u32], run: impl FnOnce(&Plan<'a>) -> Result<T, Error>) -> Result<T, Error> {
        run(&self.of_nodes(nodes)?)
    }

    fn of_nodes(&self, nodes: &[u32]) -> Result<Plan<'a>, Error> {
        let Some(data) = self.planner.data else { unreachable!("a plan has data") };
        let field = Field::of(data.graph, data.model.spec(), nodes)?;
        // The part is in memory.
        let planner = Planner { graph: field.graph.stats(), disk: None, reorder: None, ..self.planner.clone() };
        let schedule = planner.schedule_of((&field.graph).into(), field.wanted.len(), field.bytes())?;
        Ok(Plan {
            schedule,
            graph: PlanGraph::Own(Box::new(field.graph)),
            feature_rows: Some(field.nodes),
            output_rows: Some(field.wanted),
            spill: self.spill.clone(),
            planner,
            ..*self
        })
    }
}

impl<'a> Planner<'a> {
    /// A planner for a model on data. It looks at sizes only.
    pub fn new(model: &'a Model, graph: impl Into<GraphStore<'a>>, features: &'a Features) -> Self {
        let graph = graph.into();
        let planner = Planner::from_stats(model.spec(), graph.stats(), features.stats());
        Planner { data: Some(Data { model, graph, features }), disk: graph.on_disk(), ..planner }
    }

    /// A planner from sizes alone.
    pub fn from_stats(spec: &'a ModelSpec, graph: GraphStats, features: FeatureStats) -> Self {
        Planner {
            spec,
            graph,
            disk: None,
            graph_buffer: None,
            features,
            data: None,
            budget: None,
            threads: 1,
            spill: None,
            owned_output: false,
            slice: None,
            row_block: None,
            tier: None,
            reorder: None,
            order: None,
            precision: Precision::F32,
            machine: MachineModel::default(),
            check_finite: true,
        }
    }

    /// Bytes that the run may hold; without it the fastest schedule is taken.
    pub fn budget(self, budget: MemoryBudget) -> Self {
        Planner { budget: Some(budget), ..self }
    }

    /// Parts that rows are split into, from 1 to 65536; default 1. The result is the same to the bit.
    pub fn threads(self, threads: usize) -> Self {
        Planner { threads: threads.max(1), ..self }
    }

    /// Activations may go to files in this folder, which must exist.
    pub fn spill_dir(self, folder: impl AsRef<Path>) -> Self {
        Planner { spill: Some(Spill::Folder(folder.as_ref().to_owned())), ..self }
    }

    /// Activations may go to disk: for a schedule without data.
    pub fn allow_spill(self) -> Self {
        Planner { spill: Some(Spill::Allowed), ..self }
    }

    /// The graph stays on disk: for a schedule without data. Its files are taken to have offsets of 8 bytes and sources of 4, no loops, and
    /// no row that is longer than a buffer.
    pub fn graph_on_disk(self) -> Self {
        Planner { disk: Some(DiskGraph::usual(&self.graph)), ..self }
    }

    /// Bytes of each buffer that a graph on disk is read through, about: each part of the rows has one for offsets, one for sources and, where
    /// edges have weights, one for these; default 16 KiB. The result is the same to the bit.
    pub fn graph_buffer(self, bytes: usize) -> Self {
        Planner { graph_buffer: Some(bytes), ..self }
    }

    /// The output will be owned by the caller, and counts.
    pub fn owned_output(self) -> Self {
        Planner { owned_output: true, ..self }
    }

    /// Only schedules with this many columns a panel.
    pub fn slice(self, slice: usize) -> Self {
        Planner { slice: Some(slice), ..self }
    }

    /// Only schedules with blocks of this many rows.
    pub fn row_block(self, rows: usize) -> Self {
        Planner { row_block: Some(rows), ..self }
    }

    /// Only schedules of this tier.
    pub fn tier(self, tier: Tier) -> Self {
        Planner { tier: Some(tier), ..self }
    }

    /// Nodes are renumbered, for locality; the result is the same to the bit, in the order of the input. The renumbered graph is one more
    /// in memory.
    pub fn reorder(self, reorder: Reorder) -> Self {
        Planner { reorder: Some(reorder), ..self }
    }

    /// Whether linear maps or aggregations come first, in layers where both are the same function; by default that which has fewer columns
    /// over edges, and of equally many the aggregation where that holds no more bytes (sage, graphconv, gin). It is the same result but for the last bits. In other layers (a maximum, attention) it changes nothing.
    pub fn order(self, order: Order) -> Self {
        Planner { order: Some(order), ..self }
    }

    /// What activations are kept in; default [`Precision::F32`].
    pub fn precision(self, precision: Precision) -> Self {
        Planner { precision, ..self }
    }

    /// Speeds for the estimates of time.
    pub fn machine(self, machine: MachineModel) -> Self {
        Planner { machine, ..self }
    }

    /// Whether features and activations are checked for NaN and infinity while they are computed; default true.
    pub fn check_finite(self, check: bool) -> Self {
        Planner { check_finite: check, ..self }
    }

    /// The schedule and the data it runs on.
    ///
    /// # Errors
    /// As [`Planner::schedule`]; `DimensionMismatch` if features, graph and model disagree; `NonPositiveDegree`;
    /// `InvalidParameter` for a planner that was given sizes alone, or a spill folder that is none.
    pub fn plan(self) -> Result<Plan<'a>, Error> {
        let Some(data) = self.data else {
            return Err(
                InputError::parameter("the planner's data", "missing: it was given sizes alone", "a model, a graph and features").into()
            );
        };
        let (nodes, rows) = (data.graph.nodes(), data.features.rows());
        if rows != nodes {
            return Err(InputError::dimension("features", format!("{rows} rows"), format!("{nodes} (the nodes of the graph)")).into());
        }
        let spill = match &self.spill {
            Some(Spill::Folder(folder)) => {
                crate::storage::require_folder(folder)?;
                Some(folder.clone())
            }
            Some(Spill::Allowed) => {
                return Err(InputError::parameter("the spill folder", "missing", "a folder, to run with files").into());
            }
            None => None,
        };
        // What is refused for its size is refused before any work on the data.
        let more = if self.reorder.is_some() { data.graph.stats().bytes() + 8 * nodes as u64 } else { 0 };
        let schedule = self.schedule_of(data.graph, nodes, more)?;
        for normalisation in data.model.spec().layers().iter().filter_map(crate::recipes::normalisation) {
            data.graph.require_degrees(normalisation)?;
        }
        let (graph, rows) = match (self.reorder, data.graph) {
            (None, graph) => (PlanGraph::Given(graph), None),
            (Some(reorder), GraphStore::Memory(graph)) => {
                let Reordered { graph, rows } = reorder.apply(graph);
                (PlanGraph::Own(Box::new(graph)), Some(rows))
            }
            (Some(_), GraphStore::Disk(_)) => {
                return Err(InputError::parameter("reorder", "given for a graph on disk", "left out, or the graph read into memory").into());
            }
        };
        let output_rows = rows.as_ref().map(|rows| inverse(rows));
        let (model, features, check_finite) = (data.model, data.features, self.check_finite);
        Ok(Plan { schedule, model, graph, features, feature_rows: rows, output_rows, spill, check_finite, planner: self })
    }

    /// The schedule alone, from sizes alone. Cost: well below a millisecond for usual models; no memory that grows with the graph.
    ///
    /// # Errors
    /// `BudgetTooSmall` with the exact threshold, `DimensionMismatch` if the features' columns are not the model's, `TooLarge` for sizes
    /// whose bytes no 64-bit number holds, `InvalidParameter` for a slice or a row block of 0.
    pub fn schedule(&self) -> Result<Schedule, Error> {
        let n = self.graph.nodes;
        self.schedule_with(&|_| n, n, 0)
    }

    /// For a part of a graph or a renumbered one, which hold `more` bytes; `rows` of it are given out.
    fn schedule_of(&self, graph: GraphStore, rows: usize, more: u64) -> Result<Schedule, Error> {
        self.schedule_with(&|hops| graph.rows_after(hops) as u64, rows as u64, more)
    }

    /// `rows_after(hops)`: how many rows are computed after so many aggregations.
    fn schedule_with(&self, rows_after: &dyn Fn(usize) -> u64, output_rows: u64, more: u64) -> Result<Schedule, Error> {
        let spec = self.spec;
        let (columns, expected) = (self.features.columns(), spec.in_channels());
        if columns != expected {
            let expected = format!("{expected} (in_channels of the model)");
            return Err(InputError::dimension("features", format!("{columns} columns"), expected).into());
        }
        if self.precision == Precision::Int8Features && !matches!(self.features, FeatureStats::Int8 { .. }) {
            return Err(
                InputError::parameter("precision", "that of features in 8 bits", "given with such features (Features::int8)").into()
            );
        }
        if self.graph.nodes >= 1 << 32 {
            return Err(InputError::too_large("the graph", format!("{} nodes", self.graph.nodes), "2^32 - 1 (32-bit indices)").into());
        }
        // No file is longer.
        if self.graph.checked_bytes().is_none() {
            let found = format!("{} nodes and {} edges", self.graph.nodes, self.graph.edges);
            return Err(InputError::too_large("the graph", found, "2^63 - 1 bytes").into());
        }
        if self.threads > 1 << 16 {
            return Err(InputError::too_large("the number of threads", self.threads.to_string(), "65536").into());
        }
        for (option, value) in [("slice", self.slice), ("row_block", self.row_block)] {
            if value == Some(0) {
                return Err(InputError::parameter(option, 0, "at least 1").into());
            }
        }
        let resident = Resident {
            graph: self.graph_bytes().saturating_add(more),
            features: self.features.bytes(self.graph.nodes),
            mapped: self.features.mapped_bytes(self.graph.nodes),
            weights: self.data.map_or(0, |data| data.model.bytes()),
        };
        let candidates = self.candidates(rows_after, output_rows);
        let Some(least) = candidates.iter().min_by_key(|candidate| candidate.least().0) else {
            let tier = self.tier.map_or("none".to_owned(), |tier| tier.to_string());
            return Err(
                InputError::parameter("the planner's tier", tier, "one that a slice of these widths and the spill folder allow").into()
            );
        };
        let (minimum, limiting_layer) = least.least();
        if minimum == u64::MAX {
            return Err(InputError::too_large("the schedule", "more bytes", "2^64 - 1").into());
        }
        let budget = match self.budget {
            None => None,
            Some(MemoryBudget::Working(bytes)) => Some(bytes),
            Some(MemoryBudget::Total(bytes)) => Some(bytes.saturating_sub(resident.total())),
        };
        let allowed = budget.unwrap_or(u64::MAX);
        if allowed < minimum {
            // In the terms of the budget that was given.
            let (beside, budget) = match self.budget {
                Some(MemoryBudget::Total(budget)) => (resident.total(), budget),
                _ => (0, allowed),
            };
            let suggestion = |minimum: u64| {
                let least = |planner: Planner| planner.candidates(rows_after, output_rows).iter().map(|c| c.least().0).min();
                let lowers = |planner: Planner| least(planner).is_some_and(|least| least.saturating_add(beside) < minimum);
                let spill = self.spill.is_none() && lowers(self.clone().allow_spill());
                let threads = self.threads > 1 && lowers(self.clone().threads(1));
                let fewer = format!("use fewer threads than {} (each has buffers of its own)", self.threads);
                match (spill, threads) {
                    (true, true) => format!("Allow {minimum} bytes, give a spill folder, or {fewer}: then less will do."),
                    (true, false) => format!("Allow {minimum} bytes, or give a spill folder: then less will do."),
                    (false, true) => format!("Allow {minimum} bytes, or {fewer}: then less will do."),
                    (false, false) => format!("Allow {minimum} bytes."),
                }
            };
            let minimum = minimum.saturating_add(beside);
            return Err(Error::BudgetTooSmall { budget, minimum, limiting_layer, suggestion: suggestion(minimum) });
        }
        // Of equally fast schedules the one with fewer bytes, then the first.
        let chosen = candidates.iter().filter_map(|candidate| candidate.fastest(allowed));
        let Some(chosen) = chosen.min_by(|a, b| (a.seconds, a.peak).partial_cmp(&(b.seconds, b.peak)).unwrap_or(Ordering::Equal)) else {
            return Err(InputError::too_large("the schedule", "more bytes", "2^64 - 1").into());
        };
        Ok(self.settle(chosen, budget, (minimum, limiting_layer), resident, frontier(&candidates)))
    }

    /// Bytes of the graph in memory: all of it, or of a graph on disk what is known of it.
    fn graph_bytes(&self) -> u64 {
        match (self.disk, self.data.map(|data| data.graph)) {
            (None, _) => self.graph.bytes(),
            (Some(_), Some(GraphStore::Disk(file))) => file.bytes(),
            (Some(_), _) => GraphFile::most_bytes(),
        }
    }

    /// The buffers of each part of the rows, of a graph on disk.
    fn buffers(&self) -> Option<BufferSizes> {
        let sizes = |bytes| BufferSizes::of(bytes, &self.graph);
        self.disk.map(|_| self.graph_buffer.map_or_else(|| BufferSizes::usual(&self.graph), sizes))
    }

    /// Every tier, slice and row block, with every recipe of every layer. None depends on the budget.
    fn candidates(&self, rows_after: &dyn Fn(usize) -> u64, output_rows: u64) -> Vec<Candidate> {
        let layers = self.spec.layers();
        let full = layers.iter().map(widest).max().unwrap_or(1);
        let mut slices = SLICES.iter().copied().filter(|&s| s < full).collect::<Vec<_>>();
        slices.push(full);
        if let Some(slice) = self.slice {
            slices = vec![slice.min(full)];
        }
        let row_blocks = self.row_block.map_or(ROW_BLOCKS.to_vec(), |rows| vec![rows]);
        let mut candidates = Vec::new();
        for spill in [false, true] {
            if spill && self.spill.is_none() {
                continue;
            }
            for &s in &slices {
                let tier = match (spill, s == full) {
                    (true, _) => Tier::Spill,
                    (false, true) => Tier::Fused,
                    (false, false) => Tier::Panels,
                };
                if self.tier.is_some_and(|wanted| wanted != tier) {
                    continue;
                }
                let store = Store { spill, half: self.precision.is_half(), bounds: self.has_bounds() };
                let ways = Rc::new(self.ways(s, store, rows_after));
                for &row_block in &row_blocks {
                    candidates.push(Candidate::new(self, tier, s, store, row_block, &ways, output_rows));
                }
            }
        }
        candidates
    }

    /// Whether the run has bounds: asked for, and every layer has some.
    fn has_bounds(&self) -> bool {
        self.precision.is_bounded() && self.spec.layers().iter().all(crate::recipes::has_bound)
    }
}

/// Columns of the widest group of any value of a layer, its input excepted.
fn widest(layer: &LayerSpec) -> usize {
    if layer.op == Op::Jk {
        return 0;
    }
    let hidden = if layer.op == Op::Gin { layer.mlp_channels().into_iter().max().unwrap_or(0) } else { 0 };
    let project = if layer.project { layer.in_channels } else { 0 };
    layer.out_channels.max(hidden).max(project)
}
