//! One way to run a model among all that are tried: its bytes, and its fastest recipes within so many.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Planner;
use super::schedule::{Choice, LINE, PlannedLayer, Resident, Schedule, Tier};
use crate::cost::{Cost, Sizes, Store, cost};
use crate::graph::BufferSizes;
use crate::kernels::long::BOUNDED_SUMS;
use crate::recipes::{Context, Input, order, recipes};
use crate::spec::{LayerSpec, Op};
use crate::steps::{Layout, Recipe};

/// Every recipe of every layer, with its cost.
pub(super) type Ways = Vec<Vec<(Recipe, Cost)>>;

/// A tier, a slice and a row block, with every recipe of every layer.
///
/// Bytes are fixed ones and, for each panel of values in memory, a unit: one function for what is accepted, for the minimum and for the
/// allocation.
pub(super) struct Candidate {
    pub(super) tier: Tier,
    pub(super) slice: usize,
    pub(super) row_block: usize,
    pub(super) store: Store,
    pub(super) ways: Rc<Ways>,
    /// Arena beside panels of values: scratch, vectors and buffers, at their most over all recipes.
    pub(super) fixed_arena: Option<u64>,
    /// Declared beside the arena.
    pub(super) overhead: u64,
    pub(super) owned: Option<u64>,
    /// Of one panel of values in memory.
    pub(super) unit: Option<u64>,
    /// Panels in f32 that sources are read into.
    pub(super) buffers: u64,
    /// Those of each part, of a graph on disk.
    pub(super) disk_buffers: Option<BufferSizes>,
    /// Numbers of scratch for one row of a block.
    pub(super) scratch: u64,
    /// Bytes of the output that are read back from a file, and how long that takes.
    pub(super) last_read: u64,
    pub(super) last_seconds: f64,
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
pub(super) struct Chosen<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) ways: Vec<usize>,
    pub(super) peak: u64,
    pub(super) seconds: f64,
}

impl Candidate {
    pub(super) fn new(
        planner: &Planner,
        tier: Tier,
        slice: usize,
        store: Store,
        row_block: usize,
        ways: &Rc<Ways>,
        output_rows: u64,
    ) -> Self {
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

    pub(super) fn lists(&self, threads: u64) -> u64 {
        (threads + 1) * if self.store.is_direct() || self.store.spill { PANEL_LISTS } else { HALF_PANEL_LISTS }
    }

    pub(super) fn threads(&self) -> u64 {
        (self.overhead - OVERHEAD) / OVERHEAD_PER_THREAD
    }

    /// Panels of values in memory.
    pub(super) fn units(&self, cost: &Cost) -> u64 {
        match self.store {
            Store { spill: true, .. } => 0,
            store if store.is_direct() => cost.panels,
            _ => cost.slots,
        }
    }

    /// Bytes that a recipe adds to the fixed ones; `None` beyond 64 bits.
    pub(super) fn bytes(&self, cost: &Cost) -> Option<u64> {
        if cost.read == u64::MAX || cost.written == u64::MAX {
            return None;
        }
        let lists = self.lists(self.threads()).checked_mul(cost.panels.max(cost.slots))?;
        self.unit?.checked_mul(self.units(cost))?.checked_add(lists)
    }

    /// Bytes with so many beside the fixed ones.
    pub(super) fn peak(&self, bytes: u64) -> Option<u64> {
        self.fixed_arena?.checked_add(self.overhead)?.checked_add(self.owned?)?.checked_add(bytes)
    }

    /// The smallest peak, and the layer that sets it.
    pub(super) fn least(&self) -> (u64, usize) {
        let least = self.ways.iter().map(|ways| ways.iter().map(|(_, cost)| self.bytes(cost).unwrap_or(u64::MAX)).min().unwrap_or(0));
        let (layer, bytes) = least.enumerate().fold((0, 0), |best, (layer, bytes)| if bytes > best.1 { (layer, bytes) } else { best });
        (self.peak(bytes).unwrap_or(u64::MAX), layer)
    }

    /// The fastest choice of recipes within so many bytes.
    pub(super) fn fastest(&self, allowed: u64) -> Option<Chosen<'_>> {
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

impl Planner<'_> {
    /// Every recipe of every layer with its cost.
    pub(super) fn ways(&self, s: usize, store: Store, rows_after: &dyn Fn(usize) -> u64) -> Ways {
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

    /// The schedule of a choice.
    pub(super) fn settle(
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

/// Columns of a message, where there is one an edge.
fn message_width(layer: &LayerSpec) -> usize {
    match layer.op {
        Op::Linear | Op::Jk => 0,
        Op::Gcn | Op::Appnp => layer.out_channels,
        Op::Gat | Op::Gatv2 => layer.heads * layer.out_channels,
        Op::Sgc | Op::Sage | Op::Gin | Op::Graphconv | Op::Tag => layer.in_channels,
    }
}

/// The choices that no other beats in peak, input and output, and time at once.
pub(super) fn frontier(candidates: &[Candidate]) -> Vec<Choice> {
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
