//! The planner: the fastest schedule that fits a budget, and the smallest budget that any schedule fits.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use certus_contract::{Certificate, InputError};

use crate::cost::{Cost, Sizes, Store, cost};
use crate::error::Error;
use crate::features::{FeatureStats, Features};
use crate::field::Field;
use crate::graph::{BufferSizes, DiskGraph, Graph, GraphStats, GraphStore};
use crate::kernels::long::BOUNDED_SUMS;
use crate::machine::MachineModel;
use crate::model::Model;
use crate::recipes::{Context, Input, Order, order, recipes};
use crate::reorder::{Reorder, Reordered, inverse};
use crate::spec::{LayerSpec, ModelSpec, Op};
use crate::steps::{Layout, Recipe};
use crate::storage::GraphFile;

/// Where activations live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// In memory, one panel of full width each: two activations.
    Fused,
    /// In memory, in panels: one activation and one panel.
    Panels,
    /// On disk; in memory one panel and some rows.
    Spill,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tier::Fused => "fused",
            Tier::Panels => "panels",
            Tier::Spill => "spill",
        })
    }
}

/// How many bytes a run may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBudget {
    /// For the arena, the declared overhead and an owned output.
    Working(u64),
    /// For these and for graph, features and weights in memory.
    Total(u64),
}

/// What activations are kept in between steps; all sums are in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, with a bound for each number on its distance from the run in f32 (where every layer has one: not attention, layer norm or
    /// row norms). The bounds take 32 bits.
    F16,
    /// 16 bits, without bounds.
    F16Unbounded,
    /// 32 bits, of features in 8 bits ([`Features::int8`](crate::Features::int8)), with such a bound on the distance from the run of the
    /// features as they were.
    Int8Features,
}

impl Precision {
    /// Whether the run has bounds, where every layer has some.
    pub(crate) fn is_bounded(self) -> bool {
        matches!(self, Precision::F16 | Precision::Int8Features)
    }

    fn is_half(self) -> bool {
        matches!(self, Precision::F16 | Precision::F16Unbounded)
    }
}

/// What is in memory beside the working set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Offsets, sources and weights of edges.
    pub graph: u64,
    /// Features.
    pub features: u64,
    /// Weights of the model.
    pub weights: u64,
}

impl Resident {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.graph.saturating_add(self.features).saturating_add(self.weights)
    }
}

/// One schedule of the family, as a user may choose among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Where activations live.
    pub tier: Tier,
    /// Columns of a panel.
    pub slice: usize,
    /// Rows of a block.
    pub row_block: usize,
    /// Bytes that it holds at most: arena and overhead (and an owned output).
    pub peak: u64,
    /// Bytes that it reads and writes.
    pub io: u64,
    /// The estimate of its time by the machine model.
    pub seconds: f64,
}

/// A step of a schedule, as reports show it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLayer {
    /// The operation.
    pub op: Op,
    /// The order of linear map and aggregation.
    pub order: Order,
    /// Panels in memory at most.
    pub panels: u64,
    /// Vectors of n numbers in memory at most.
    pub vectors: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Floating-point operations.
    pub flops: f64,
    /// The estimate of its time.
    pub seconds: f64,
}

/// What will run: settled from sizes alone, before any data are read.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Where activations live.
    pub tier: Tier,
    /// Columns of a panel.
    pub slice: usize,
    /// Rows of a block.
    pub row_block: usize,
    /// Parts that rows are split into.
    pub threads: usize,
    /// The budget in working bytes, if one was given.
    pub budget: Option<u64>,
    /// Bytes held at most, the overhead included.
    pub predicted_peak: u64,
    /// Bytes of the one allocation.
    pub arena: u64,
    /// Bytes declared for small things: handles, buffers, lists of panels.
    pub overhead: u64,
    /// The smallest budget with these options: it is accepted, one byte less is not.
    pub minimum: u64,
    /// The layer that sets it.
    pub limiting_layer: usize,
    /// One whole output of the widest layer, as it is kept (in f16 with bounds: six bytes a number): what every schedule without a spill
    /// folder holds at least. With one, less will do.
    pub lower_bound: u64,
    /// What an implementation with one message an edge holds.
    pub undecomposed_peak: u64,
    /// What two whole activations take.
    pub full_width_peak: u64,
    /// What is in memory beside.
    pub resident: Resident,
    /// Bytes that will be read from files.
    pub bytes_read: u64,
    /// Bytes that will be written to the spill folder.
    pub bytes_written: u64,
    /// Bytes of disk that the spill folder takes at most.
    pub disk: u64,
    /// The estimate of its time.
    pub seconds: f64,
    /// Layer by layer.
    pub layers: Vec<PlannedLayer>,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) panels: usize,
    pub(crate) slots: usize,
    pub(crate) vectors: usize,
    pub(crate) store: Store,
    /// Whether the graph stays on disk, and is read by rows.
    pub graph_on_disk: bool,
    /// What activations are kept in.
    pub precision: Precision,
    /// The buffers of each part, of a graph on disk.
    pub(crate) buffers: Option<BufferSizes>,
    /// Numbers of scratch for one row of a block.
    pub(crate) scratch: usize,
    pub(crate) nodes: usize,
    pub(crate) output_columns: usize,
    /// Layers' first aggregation, counted over the model.
    pub(crate) hops_before: Vec<usize>,
    pub(crate) final_layout: Layout,
    frontier: Vec<Choice>,
}

impl Schedule {
    /// The schedules among which nothing better in all of bytes, input and output, and time exists, by bytes.
    pub fn frontier(&self) -> &[Choice] {
        &self.frontier
    }

    /// What the schedule promises; nothing is measured yet.
    pub fn certificate(&self) -> Certificate {
        crate::certificate::promise(self)
    }
}

/// Slices that are tried beside the full width.
const SLICES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Heights of row blocks that are tried.
const ROW_BLOCKS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// Numbers in a cache line; all buffers begin at a multiple of it.
pub(crate) const LINE: u64 = 16;

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
    /// The same options for some nodes alone: their receptive field is computed, nothing else, with the same bits.
    ///
    /// # Errors
    /// `InvalidParameter` for a node that the graph has not; as [`Planner::schedule`], the field's sizes in place of the graph's.
    pub fn of_nodes(&self, nodes: &[u32]) -> Result<Plan<'a>, Error> {
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
    /// over edges. It is the same result but for the last bits. In other layers (a maximum, attention) it changes nothing.
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

    /// Every recipe of every layer with its cost.
    fn ways(&self, s: usize, store: Store, rows_after: &dyn Fn(usize) -> u64) -> Ways {
        let disk = self.disk.zip(self.buffers());
        let sizes = Sizes { graph: self.graph, disk, features: self.features, machine: &self.machine, threads: self.threads, s, store };
        let mut input = Input::Features(self.features);
        let mut hops = 0;
        let mut ways = Vec::new();
        // Outputs that jumping knowledge will join, but for the last one.
        let (join, mut kept) = (self.spec.join(), Vec::new());
        for (k, layer) in self.spec.layers().iter().enumerate() {
            let keeps_input = k > 0 && join.is_some_and(|join| k < join);
            let joins = join == Some(k);
            let context = Context { input, order: self.order, keeps_input, earlier: if joins { &kept } else { &[] } };
            let beside = if joins { 0 } else { kept.iter().map(|layout: &Layout| layout.panels(s) as u64).sum() };
            let priced = |recipe: Recipe| {
                let cost = cost(&recipe, &sizes, beside, &|after| rows_after(hops + after));
                (recipe, cost)
            };
            let of_layer = recipes(layer, context, s, !store.is_direct()).into_iter().map(priced).collect::<Vec<_>>();
            let (recipe, _) = &of_layer[0];
            match input {
                Input::Value(layout) if keeps_input => kept.push(layout),
                _ if joins => kept.clear(),
                _ => {}
            }
            input = Input::Value(recipe.values[recipe.output]);
            hops += recipe.hops;
            ways.push(of_layer);
        }
        ways
    }

    fn settle(
        &self,
        chosen: Chosen,
        budget: Option<u64>,
        (minimum, limiting_layer): (u64, usize),
        resident: Resident,
        frontier: Vec<Choice>,
    ) -> Schedule {
        let Chosen { candidate, ways, peak, seconds } = chosen;
        let n = self.graph.nodes;
        let picked = ways.iter().zip(candidate.ways.iter()).map(|(&way, of_layer)| &of_layer[way]).collect::<Vec<_>>();
        let (mut hops, mut hops_before, mut input) = (0, Vec::new(), Input::Features(self.features));
        let mut layers = Vec::new();
        for (layer, (recipe, cost)) in self.spec.layers().iter().zip(&picked) {
            hops_before.push(hops);
            hops += recipe.hops;
            layers.push(PlannedLayer {
                op: layer.op,
                order: order(layer, input, self.order),
                panels: candidate.units(cost),
                vectors: cost.vectors,
                bytes: candidate.unit.unwrap_or(0).saturating_mul(candidate.units(cost)),
                flops: cost.flops,
                seconds: cost.seconds,
            });
            input = Input::Value(recipe.values[recipe.output]);
        }
        let Input::Value(final_layout) = input else { unreachable!("a model has a layer") };
        let most = |of: &dyn Fn(&Cost) -> u64| picked.iter().map(|(_, cost)| of(cost)).max().unwrap_or(0);
        let sum = |of: &dyn Fn(&Cost) -> u64| picked.iter().map(|(_, cost)| of(cost)).fold(0u64, u64::saturating_add);
        let spilled = candidate.tier == Tier::Spill;
        let overhead = candidate.overhead + candidate.lists(candidate.threads()) * most(&|cost| cost.panels.max(cost.slots));
        let mut widths = self.spec.layers().iter().map(|layer| (layer.in_channels as u64, layer.width() as u64)).collect::<Vec<_>>();
        widths[0].0 = 0;
        let n4 = 4 * u128::from(n);
        // A number as it is kept, with its bound where there is one.
        let per_number = u128::from(if candidate.store.half { 2u8 } else { 4 } + if candidate.store.bounds { 4 } else { 0 });
        let capped = |bytes: u128| u64::try_from(bytes).unwrap_or(u64::MAX);
        let full_width = widths.iter().map(|&(a, b)| n4 * u128::from((a + b).max(2 * b))).max().unwrap_or(0);
        let gather = self.spec.layers().iter().map(|layer| {
            let nodes = n4 * (layer.in_channels as u128 + layer.width() as u128);
            8 * u128::from(self.graph.edges) * message_width(layer) as u128 + nodes
        });
        Schedule {
            tier: candidate.tier,
            slice: candidate.slice,
            row_block: candidate.row_block,
            threads: self.threads,
            budget,
            predicted_peak: peak,
            arena: peak - overhead - candidate.owned.unwrap_or(0),
            overhead,
            minimum,
            limiting_layer,
            lower_bound: capped(widths.iter().map(|&(_, b)| per_number * u128::from(n) * u128::from(b)).max().unwrap_or(0)),
            undecomposed_peak: capped(gather.max().unwrap_or(0)),
            full_width_peak: capped(full_width),
            resident,
            bytes_read: sum(&|cost| cost.read).saturating_add(candidate.last_read),
            bytes_written: sum(&|cost| cost.written),
            disk: if spilled {
                most(&|cost| cost.slots).saturating_mul(candidate.store.bytes()).saturating_mul(n).saturating_mul(candidate.slice as u64)
            } else {
                0
            },
            seconds,
            layers,
            panels: candidate.buffers.max(if candidate.store.is_direct() { most(&|cost| cost.panels) } else { 0 }) as usize,
            store: candidate.store,
            graph_on_disk: self.disk.is_some(),
            buffers: candidate.disk_buffers,
            precision: self.precision,
            slots: most(&|cost| cost.slots) as usize,
            vectors: candidate.ways.iter().flatten().map(|(_, cost)| cost.vectors).max().unwrap_or(0) as usize,
            scratch: candidate.scratch as usize,
            recipes: picked.into_iter().map(|(recipe, _)| recipe.clone()).collect(),
            nodes: n as usize,
            output_columns: self.spec.out_channels(),
            hops_before,
            final_layout,
            frontier,
        }
    }
}

/// Columns of the widest group of any value of a layer, its input excepted.
fn widest(layer: &LayerSpec) -> usize {
    if layer.op == Op::Jk {
        return 0;
    }
    let hidden = if layer.op == Op::Gin { layer.hidden_channels() } else { 0 };
    let project = if layer.project { layer.in_channels } else { 0 };
    layer.out_channels.max(hidden).max(project)
}

/// Columns of a message, where there is one an edge.
fn message_width(layer: &LayerSpec) -> usize {
    match layer.op {
        Op::Linear | Op::Jk => 0,
        Op::Gcn | Op::Appnp => layer.out_channels,
        Op::Gat | Op::Gatv2 => layer.heads * layer.out_channels,
        Op::Sgc | Op::Sage | Op::Gin | Op::Graphconv | Op::Tag => layer.in_channels,
    }
}

/// Every recipe of every layer, with its cost.
type Ways = Vec<Vec<(Recipe, Cost)>>;

/// A tier, a slice and a row block, with every recipe of every layer.
///
/// Bytes are fixed ones and, for each panel of values in memory, a unit: one function for what is accepted, for the minimum and for the
/// allocation.
struct Candidate {
    tier: Tier,
    slice: usize,
    row_block: usize,
    store: Store,
    ways: Rc<Ways>,
    /// Arena beside panels of values: scratch, vectors and buffers, at their most over all recipes.
    fixed_arena: Option<u64>,
    /// Declared beside the arena.
    overhead: u64,
    owned: Option<u64>,
    /// Of one panel of values in memory.
    unit: Option<u64>,
    /// Panels in f32 that sources are read into.
    buffers: u64,
    /// Those of each part, of a graph on disk.
    disk_buffers: Option<BufferSizes>,
    /// Numbers of scratch for one row of a block.
    scratch: u64,
    /// Bytes of the output that are read back from a file, and how long that takes.
    last_read: u64,
    last_seconds: f64,
}

/// Bytes declared for handles, for the buffer of an output file and for small lists.
const OVERHEAD: u64 = 40 << 10;
/// The same, for each part that rows are split into.
const OVERHEAD_PER_THREAD: u64 = 8 << 10;
/// Bytes of the lists that name a panel, for each part and once.
const PANEL_LISTS: u64 = 48;
/// The same of a panel in f16, which comes with one of bounds.
const HALF_PANEL_LISTS: u64 = 96;

/// A candidate with one recipe for each layer.
struct Chosen<'a> {
    candidate: &'a Candidate,
    ways: Vec<usize>,
    peak: u64,
    seconds: f64,
}

impl Candidate {
    fn new(planner: &Planner, tier: Tier, slice: usize, store: Store, row_block: usize, ways: &Rc<Ways>, output_rows: u64) -> Self {
        let (n, threads) = (planner.graph.nodes, planner.threads as u64);
        let most = |of: fn(&Cost) -> u64| ways.iter().flatten().map(|(_, cost)| of(cost)).max().unwrap_or(0);
        let output = planner.spec.out_channels() as u64;
        // Rows of the output are gathered, with their bounds, and come through a panel's rows from a store.
        let gathered = if store.is_direct() { output } else { 2 * (output + slice as u64) };
        let scratch = most(|cost| cost.scratch).max(gathered);
        let buffers = if store.is_direct() { 0 } else { most(|cost| cost.panels) };
        let line_bytes = |numbers: Option<u64>| numbers.and_then(|k| k.checked_next_multiple_of(LINE)).and_then(|k| k.checked_mul(4));
        let panel = line_bytes(n.checked_mul(slice as u64));
        let half = n.checked_mul(slice as u64).and_then(|k| k.checked_next_multiple_of(2 * LINE)).and_then(|k| k.checked_mul(2));
        let unit = match store {
            Store { spill: true, .. } => Some(0),
            Store { half: false, bounds: false, .. } => panel,
            Store { half: false, bounds: true, .. } => panel.and_then(|bytes| bytes.checked_mul(2)),
            Store { bounds: false, .. } => half,
            Store { bounds: true, .. } => half.zip(panel).and_then(|(a, b)| a.checked_add(b)),
        };
        let sums = slice * if store.bounds { BOUNDED_SUMS } else { 1 };
        let disk_buffers = planner.buffers().map(|buffers| buffers.with_sums(sums));
        let parts = [
            disk_buffers.map_or(0, |buffers| buffers.bytes()).checked_mul(threads),
            line_bytes(scratch.checked_mul((row_block as u64).min(n.max(1)))).and_then(|b| b.checked_mul(threads)),
            line_bytes(Some(n)).and_then(|b| b.checked_mul(most(|cost| cost.vectors))),
            panel.and_then(|b| b.checked_mul(buffers)),
            // To begin at a cache line.
            Some(4 * LINE),
        ];
        let fixed_arena = parts.into_iter().try_fold(0u64, |sum, part| sum.checked_add(part?));
        let owned = if planner.owned_output { output_rows.checked_mul(4).and_then(|b| b.checked_mul(output)) } else { Some(0) };
        let overhead = OVERHEAD + OVERHEAD_PER_THREAD * threads;
        // The output is read back from a file, row by row.
        let layout = ways.last().and_then(|of_layer| of_layer.first()).map(|(recipe, _)| recipe.values[recipe.output]);
        let row = layout.map_or(0, |layout| layout.panels(slice) * slice) as u64 * store.bytes();
        let last_read = if store.spill { output_rows.saturating_mul(row) } else { 0 };
        let last_seconds = last_read as f64 / planner.machine.disk;
        Candidate {
            tier,
            slice,
            row_block,
            store,
            ways: Rc::clone(ways),
            fixed_arena,
            overhead,
            owned,
            unit,
            buffers,
            disk_buffers,
            scratch,
            last_read,
            last_seconds,
        }
    }

    fn lists(&self, threads: u64) -> u64 {
        (threads + 1) * if self.store.is_direct() || self.store.spill { PANEL_LISTS } else { HALF_PANEL_LISTS }
    }

    fn threads(&self) -> u64 {
        (self.overhead - OVERHEAD) / OVERHEAD_PER_THREAD
    }

    /// Panels of values in memory.
    fn units(&self, cost: &Cost) -> u64 {
        match self.store {
            Store { spill: true, .. } => 0,
            store if store.is_direct() => cost.panels,
            _ => cost.slots,
        }
    }

    /// Bytes that a recipe adds to the fixed ones; `None` beyond 64 bits.
    fn bytes(&self, cost: &Cost) -> Option<u64> {
        if cost.read == u64::MAX || cost.written == u64::MAX {
            return None;
        }
        let lists = self.lists(self.threads()).checked_mul(cost.panels.max(cost.slots))?;
        self.unit?.checked_mul(self.units(cost))?.checked_add(lists)
    }

    /// Bytes with so many beside the fixed ones.
    fn peak(&self, bytes: u64) -> Option<u64> {
        self.fixed_arena?.checked_add(self.overhead)?.checked_add(self.owned?)?.checked_add(bytes)
    }

    /// The smallest peak, and the layer that sets it.
    fn least(&self) -> (u64, usize) {
        let least = self.ways.iter().map(|ways| ways.iter().map(|(_, cost)| self.bytes(cost).unwrap_or(u64::MAX)).min().unwrap_or(0));
        let (layer, bytes) = least.enumerate().fold((0, 0), |best, (layer, bytes)| if bytes > best.1 { (layer, bytes) } else { best });
        (self.peak(bytes).unwrap_or(u64::MAX), layer)
    }

    /// The fastest choice of recipes within so many bytes.
    fn fastest(&self, allowed: u64) -> Option<Chosen<'_>> {
        let mut ways = Vec::with_capacity(self.ways.len());
        let (mut seconds, mut bytes) = (0.0, 0);
        for of_layer in self.ways.iter() {
            let fits = |cost: &Cost| self.bytes(cost).and_then(|bytes| self.peak(bytes)).is_some_and(|peak| peak <= allowed);
            let fitting = of_layer.iter().enumerate().filter(|(_, (_, cost))| fits(cost));
            let by_time = |a: &(usize, &(Recipe, Cost)), b: &(usize, &(Recipe, Cost))| {
                a.1.1.seconds.partial_cmp(&b.1.1.seconds).unwrap_or(Ordering::Equal)
            };
            let (way, (_, cost)) = fitting.min_by(by_time)?;
            ways.push(way);
            seconds += cost.seconds;
            bytes = bytes.max(self.bytes(cost)?);
        }
        // Blocks of a few rows leave the multiply-adds without rows to share a load of the weights.
        seconds *= 1.0 + 1.0 / self.row_block as f64;
        seconds += self.last_seconds;
        Some(Chosen { candidate: self, ways, peak: self.peak(bytes)?, seconds })
    }
}

/// The choices that no other beats in peak, input and output, and time at once.
fn frontier(candidates: &[Candidate]) -> Vec<Choice> {
    let mut all = Vec::new();
    for candidate in candidates {
        let mut caps = candidate.ways.iter().flatten().filter_map(|(_, cost)| candidate.peak(candidate.bytes(cost)?)).collect::<Vec<_>>();
        caps.sort_unstable();
        caps.dedup();
        all.extend(caps.into_iter().filter_map(|cap| {
            let chosen = candidate.fastest(cap)?;
            let costs = chosen.ways.iter().zip(candidate.ways.iter()).map(|(&way, of_layer)| of_layer[way].1);
            let io = costs.fold(candidate.last_read, |io, cost| io.saturating_add(cost.read).saturating_add(cost.written));
            let Candidate { tier, slice, row_block, .. } = *candidate;
            Some(Choice { tier, slice, row_block, peak: chosen.peak, io, seconds: chosen.seconds })
        }));
    }
    all.sort_by(|a, b| (a.peak, a.io).cmp(&(b.peak, b.io)).then(a.seconds.total_cmp(&b.seconds)));
    let mut best: Vec<Choice> = Vec::new();
    for choice in all {
        if !best.iter().any(|other| other.io <= choice.io && other.seconds <= choice.seconds) {
            best.push(choice);
        }
    }
    best
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { tier, slice, row_block, threads, .. } = self;
        let graph = if self.graph_on_disk { ", graph on disk" } else { "" };
        let (columns, rows, threads) = (counted(*slice, "column"), counted(*row_block, "row"), counted(*threads, "thread"));
        writeln!(f, "{tier}{graph}: panels of {columns}, blocks of {rows}, {threads}")?;
        for (k, layer) in self.layers.iter().enumerate() {
            let order = match layer.order {
                Order::CombineFirst => "linear map first",
                Order::AggregateFirst => "aggregation first",
            };
            let (op, panels, bytes) = (layer.op.name(), layer.panels, bytes_text(layer.bytes));
            let word = if panels == 1 { "panel " } else { "panels" };
            writeln!(f, "  layer {k}  {op:<10} {order:<17}  {panels:>4} {word}  {bytes:>11}")?;
        }
        let line = |f: &mut fmt::Formatter, name: &str, bytes: u64| writeln!(f, "{name:<40} {:>12}  ({bytes} B)", bytes_text(bytes));
        line(f, "peak, predicted", self.predicted_peak)?;
        line(f, "  of it declared overhead", self.overhead)?;
        line(f, "smallest budget with these options", self.minimum)?;
        line(f, "one whole activation (unless spilled)", self.lower_bound)?;
        line(f, "two whole activations in f32", self.full_width_peak)?;
        line(f, "a message an edge (gather and scatter)", self.undecomposed_peak)?;
        line(f, "in memory beside: graph, features, weights", self.resident.total())?;
        line(f, "read from files", self.bytes_read)?;
        write!(f, "{:<40} {:>12}  ({} B)", "written to the spill folder", bytes_text(self.bytes_written), self.bytes_written)?;
        if *tier == Tier::Fused && self.predicted_peak > self.full_width_peak {
            write!(f, "\nThe peak is two whole activations, the declared overhead, and a block of rows for each thread.")?;
        }
        Ok(())
    }
}

/// A count with its noun.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Bytes for people: `1.5 MiB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
