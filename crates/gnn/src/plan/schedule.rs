//! A schedule: what a run will hold, read, write and take, and what else there would be.

use std::fmt;

use certus_contract::Certificate;

use crate::cost::Store;
use crate::graph::BufferSizes;
use crate::recipes::Order;
use crate::spec::Op;
use crate::steps::{Layout, Recipe};

/// Numbers in a cache line; all buffers begin at a multiple of it.
pub(crate) const LINE: u64 = 16;

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

    pub(super) fn is_half(self) -> bool {
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
    /// Features of a file that is mapped into memory: pages that the system takes back at will, and no part of the total.
    pub mapped: u64,
}

impl Resident {
    /// All of it, but for what is mapped.
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
    pub(super) frontier: Vec<Choice>,
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
        if self.resident.mapped > 0 {
            line(f, "mapped from a file", self.resident.mapped)?;
        }
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
