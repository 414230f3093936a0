//! One layer on one graph, and how a schedule of it is measured.

use std::time::Duration;

use certus_contract::ignore_events;
use certus_gnn::synth::hash_feature;
use certus_gnn::{
    Choice, Features, Graph, GraphStore, Head, LayerSpec, MemoryBudget, MemoryFacts, Model, ModelSpec, Op, Plan, Planner, Tier, Weights,
};
use certus_numeric::{Array, Seed};
use serde_json::{Map, Value, json};

use super::gather::Rates;
use crate::frame::{Context, Failure};
use crate::measure::Protocol;
use crate::memory;
use crate::peers::Exchange;
use crate::results::{ClaimLine, Experiment, Memory, Outcome, Promise, Timing};

pub(super) const MIB: f64 = 1024.0 * 1024.0;
/// Hops of SGC, heads of GAT.
const HOPS: usize = 2;
const HEADS: usize = 4;

/// A layer with weights, on a graph with features.
pub(super) struct Case<'a> {
    pub(super) layer: LayerSpec,
    pub(super) model: Model,
    weights: Weights,
    graph: &'a Graph,
    features: &'a Features,
}

impl<'a> Case<'a> {
    /// `output` columns in all; for GAT those of its heads together.
    pub(super) fn new(op: Op, output: usize, graph: &'a Graph, features: &'a Features) -> Result<Self, Failure> {
        let plain = LayerSpec::new(op, op.name(), features.columns(), output);
        let layer = match op {
            Op::Gat => LayerSpec { heads: HEADS, out_channels: output / HEADS, ..plain },
            Op::Sgc => LayerSpec { hops: Some(HOPS), ..plain },
            _ => plain,
        };
        let weights = weights(&layer);
        let model = Model::new(ModelSpec::new(vec![layer.clone()])?, &weights)?;
        Ok(Case { layer, model, weights, graph, features })
    }

    pub(super) fn name(&self) -> String {
        let LayerSpec { in_channels, out_channels, heads, .. } = self.layer;
        match self.layer.op {
            Op::Gat => format!("GAT {in_channels} -> {heads} x {out_channels}"),
            Op::Sgc => format!("SGC {in_channels} -> {out_channels}, {HOPS} hops"),
            Op::Sage => format!("SAGE mean {in_channels} -> {out_channels}"),
            op => format!("{} {in_channels} -> {out_channels}", op.name().to_uppercase()),
        }
    }

    pub(super) fn planner(&self, threads: usize) -> Planner<'_> {
        self.planner_on(self.graph, threads)
    }

    /// The same on another form of the graph.
    pub(super) fn planner_on<'g>(&'g self, graph: impl Into<GraphStore<'g>>, threads: usize) -> Planner<'g> {
        Planner::new(&self.model, graph, self.features).threads(threads)
    }

    pub(super) fn graph(&self) -> &Graph {
        self.graph
    }

    /// A choice of the frontier as a plan.
    pub(super) fn plan_of(&self, choice: &Choice, threads: usize) -> Result<Plan<'_>, Failure> {
        let Choice { tier, slice, row_block, peak, .. } = *choice;
        let planner = self.planner(threads).tier(tier).slice(slice).row_block(row_block);
        Ok(planner.budget(MemoryBudget::Working(peak)).plan()?)
    }

    /// Numbers that the edges move: one for each edge, column and hop.
    pub(super) fn moved(&self) -> f64 {
        self.graph.edges() as f64 * (self.layer.width() * self.layer.steps()) as f64
    }

    /// The tensors by the names that peers know.
    pub(super) fn write(&self, exchange: &Exchange) -> Result<(), Failure> {
        for (name, tensor) in self.weights.tensors() {
            exchange.write(&name.replace('.', "-"), tensor)?;
        }
        Ok(())
    }

    /// The layer as peers know it.
    pub(super) fn described(&self) -> Value {
        let LayerSpec { op, prefix, in_channels, out_channels, heads, hops, .. } = &self.layer;
        let mut layer = Map::new();
        layer.insert("op".into(), op.name().into());
        layer.insert("prefix".into(), prefix.as_str().into());
        layer.insert("in_channels".into(), (*in_channels).into());
        layer.insert("out_channels".into(), (*out_channels).into());
        layer.insert("heads".into(), (*heads).into());
        if let Some(hops) = hops {
            layer.insert("K".into(), (*hops).into());
        }
        json!([layer])
    }
}

/// Tensors of unit columns, under the names of PyTorch Geometric.
fn weights(layer: &LayerSpec) -> Weights {
    let (input, output, heads) = (layer.in_channels, layer.out_channels, layer.heads);
    let matrix = |rows: usize, cols: usize, k: u64| {
        Array::from_fn(rows, cols, |i, j| hash_feature(Seed(k).split("weights"), i, j) / (cols as f32).sqrt())
    };
    let vector = |length: usize, k: u64| Array::vector((0..length).map(|j| hash_feature(Seed(k).split("weights"), 0, j)).collect());
    let tensors = match layer.op {
        Op::Sgc => vec![("lin.weight", matrix(output, input, 1)), ("lin.bias", vector(output, 2))],
        Op::Sage => {
            vec![("lin_l.weight", matrix(output, input, 1)), ("lin_l.bias", vector(output, 2)), ("lin_r.weight", matrix(output, input, 3))]
        }
        Op::Gin => vec![
            ("nn.0.weight", matrix(output, input, 1)),
            ("nn.0.bias", vector(output, 2)),
            ("nn.2.weight", matrix(output, output, 3)),
            ("nn.2.bias", vector(output, 4)),
        ],
        Op::Gat => vec![
            ("lin.weight", matrix(heads * output, input, 1)),
            ("bias", vector(heads * output, 2)),
            ("att_src", matrix(heads, output, 3)),
            ("att_dst", matrix(heads, output, 4)),
        ],
        _ => vec![("lin.weight", matrix(output, input, 1)), ("bias", vector(output, 2))],
    };
    let mut weights = Weights::new();
    for (name, tensor) in tensors {
        weights.insert(format!("{}.{name}", layer.prefix), tensor);
    }
    weights
}

/// The rows of the first run, which all later ones must give.
pub(super) struct Reference {
    rows: Vec<f32>,
    columns: usize,
    filled: bool,
}

impl Reference {
    pub(super) fn new(case: &Case<'_>) -> Self {
        let columns = case.layer.width();
        Reference { rows: vec![0.0; case.graph.nodes() * columns], columns, filled: false }
    }

    /// Each so many-th row.
    pub(super) fn strided(&self, stride: usize) -> Vec<f32> {
        self.rows.chunks_exact(self.columns).step_by(stride).flatten().copied().collect()
    }
}

/// Schedules whose rows were compared, and how many had another bit somewhere.
#[derive(Default)]
pub(super) struct Bits {
    compared: usize,
    different: usize,
}

impl Bits {
    pub(super) fn claim(&self, experiment: &mut Experiment) {
        experiment.claims.push(ClaimLine {
            text: "schedules and numbers of threads that give another bit than the first one of the same layer".into(),
            expected: "0".into(),
            measured: format!("{} of {}", self.different, self.compared),
            outcome: if self.different == 0 { Outcome::Met } else { Outcome::Failed },
        });
    }
}

/// One run that counts bytes and compares bits, if wanted, then timed ones.
pub(super) fn measure(
    context: &Context,
    name: &str,
    plan: &Plan<'_>,
    threads: usize,
    check: Option<(&mut Reference, &mut Bits)>,
) -> Result<(Timing, Option<MemoryFacts>), Failure> {
    let (mut peak_bytes, mut found) = (None, None);
    if let Some((reference, bits)) = check {
        let mut different = 0;
        let (columns, filled) = (reference.columns, reference.filled);
        let take = |first: usize, rows: &[f32]| {
            let kept = &mut reference.rows[first * columns..][..rows.len()];
            if filled {
                different += kept.iter().zip(rows).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            } else {
                kept.copy_from_slice(rows);
            }
            Ok(())
        };
        let work = || {
            // What a thread takes as it begins is none of the run's.
            rayon::broadcast(|_| ());
            memory::peak(|| plan.run_rows(Head::Logits, ignore_events, take))
        };
        let (facts, peak) = context.on_threads(threads, work)?;
        (found, peak_bytes) = (Some(facts?), peak);
        if filled {
            bits.compared += 1;
            bits.different += usize::from(different > 0);
        }
        reference.filled = true;
    }
    let protocol = Protocol { warm_up: 0, runs: context.size(5, 2), budget: Duration::from_millis(context.size(1500, 100)) };
    let work = || {
        plan.run_rows(Head::Logits, ignore_events, |_, rows| {
            std::hint::black_box(rows);
            Ok(())
        })
    };
    let (facts, timing) = context.on_threads(threads, || protocol.time(name, threads, work))?;
    facts?;
    Ok((Timing { peak_bytes, ..timing }, found))
}

pub(super) const COLUMNS: [&str; 11] = [
    "work",
    "schedule",
    "threads",
    "panel / columns",
    "block / rows",
    "predicted / MiB",
    "measured / MiB",
    "read and written / MiB",
    "wall / s",
    "edges x columns / s",
    "plain random reads / %",
];

/// A row of the table of schedules.
pub(super) fn row(work: &str, case: &Case<'_>, plan: &Plan<'_>, timing: &Timing, rates: &Rates) -> Vec<String> {
    let seconds = timing.wall.median;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB);
    let plain = 4.0 * case.moved() / rates.of(timing.threads);
    vec![
        work.into(),
        plan.tier.to_string(),
        timing.threads.to_string(),
        plan.slice.to_string(),
        plan.row_block.to_string(),
        mib(plan.predicted_peak),
        timing.peak_bytes.map_or("-".into(), mib),
        mib(plan.bytes_read + plan.bytes_written),
        format!("{seconds:.4}"),
        format!("{:.2e}", case.moved() / seconds),
        format!("{:.0}", 100.0 * plain / seconds),
    ]
}

/// What the allocator counted against what the plan predicted.
pub(super) fn promise(work: &str, plan: &Plan<'_>, timing: &Timing) -> Option<Memory> {
    let claimed = Promise { bytes: plan.predicted_peak, formula: format!("the plan's: {}, {} columns a panel", plan.tier, plan.slice) };
    let work = format!("{work}, {}, {} threads", if plan.tier == Tier::Fused { "full width" } else { "panels" }, timing.threads);
    Some(Memory { work, peak_bytes: timing.peak_bytes?, claimed: Some(claimed) })
}
