//! Inference of graph networks inside a memory budget: time and bytes against what people run, on one layer at a time.

mod cases;
mod contest;
mod curves;
mod gather;
mod rmat;
mod uniform;

use certus_gnn::{FeatureStats, GraphStats, LayerSpec, ModelSpec, Op, Planner};

use self::cases::Bits;
use self::contest::Patience;
use crate::frame::{Context, Entry, Failure};
use crate::results::{ClaimLine, Experiment, Outcome, Table};

pub(super) const GNN_MEMORY: Entry = Entry {
    name: "gnn_memory",
    title: "Graph networks within a memory budget",
    question: "Does inference in slices of columns keep its number of bytes, and what does it cost beside sparse products and PyTorch Geometric?",
    run,
};

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    experiment.notes.push(
        "Bytes are those above the inputs: graph, features and weights, which everybody holds. Ours are counted by the allocator, and the \
         output is handed over by rows from the activations, which are counted; those of peers are resident pages, the output among them."
            .into(),
    );
    experiment.notes.push(
        "Plain random reads are as many reads of 64 bytes as a layer has edges and columns, in a loop without prefetching, measured in the \
         same run: their time as a share of the layer's, its products included. They are a yardstick and no limit: layers prefetch, and \
         graphs by recursive quadrants read their hubs often, so that a share may be above 1. Spilled panels stay in the system's cache of files where it has room: their time is not that of a disk."
            .into(),
    );
    let patience = Patience::new(context);
    let (mut rows, mut bits) = (Vec::new(), Bits::default());
    let rates = gather::rates(context, experiment)?;
    let mut contests = uniform::run(context, &rates, &mut rows, &mut bits, experiment)?;
    contests.extend(rmat::run(context, &rates, &mut rows, &mut bits, experiment)?);
    experiment.tables.push(Table { title: "Schedules".into(), columns: cases::COLUMNS.map(String::from).to_vec(), rows });
    bits.claim(experiment);
    curves::growth(context, experiment)?;
    planner(context, experiment)?;
    // Ours is measured by now: who runs out of time is a peer.
    contest::compete(context, contests, &patience, experiment)
}

/// The planner alone, for three layers on the largest public graph.
fn planner(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let layers = [(128, 256), (256, 256), (256, 172)].iter().enumerate();
    let layers = layers.map(|(k, &(input, output))| LayerSpec::new(Op::Sage, &format!("conv{k}"), input, output)).collect();
    let spec = ModelSpec::new(layers)?;
    let graph = GraphStats { nodes: 111_059_956, edges: 1_615_685_872, weighted: false };
    let planner = Planner::from_stats(&spec, graph, FeatureStats::Streamed { columns: 128, entry_bytes: 4 }).allow_spill();
    let (schedule, timing) = context.protocol().time("planner", 1, || planner.schedule());
    let (seconds, choices) = (timing.wall.median, schedule?.frontier().len());
    experiment.claims.push(ClaimLine {
        text: format!("the planner alone, three layers of GraphSAGE on ogbn-papers100M by its sizes, {choices} choices"),
        expected: "less than 1 ms".into(),
        measured: format!("{:.3} ms", 1e3 * seconds),
        outcome: judged(context, seconds < 1e-3),
    });
    Ok(())
}

/// At the sizes of a quick run a goal says nothing.
fn judged(context: &Context, met: bool) -> Outcome {
    match (context.quick, met) {
        (true, _) => Outcome::Open,
        (false, true) => Outcome::Met,
        (false, false) => Outcome::Missed,
    }
}
