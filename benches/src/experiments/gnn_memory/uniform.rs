//! A uniform random graph, 128 columns to 64: the layer for which the memory of PyTorch Geometric is known.

use std::rc::Rc;

use certus_gnn::synth::hash_features;
use certus_gnn::{Features, Graph, MemoryBudget, Op, Tier};
use certus_numeric::Seed;
use certus_numeric::seed::{bounded, hash64};
use rayon::prelude::*;

use super::cases::{Bits, Case, Reference, measure, promise, row};
use super::contest::{Contest, Rival, write_graph};
use super::curves;
use super::gather::Rates;
use crate::frame::{Context, Failure};
use crate::peers::Exchange;
use crate::results::{Certified, Experiment, Promise};

/// What sixteen columns may take: an activation of 64, a panel, and a little.
const GOAL: u64 = 65 << 20;
const STRIDE: usize = 4;

/// So many edges whose ends are independent; loops and equal edges stay, as random as they are.
pub(super) fn graph(nodes: usize, edges: usize, seed: u64) -> Result<Graph, Failure> {
    let end = |side: &str, k: u64| bounded(hash64(Seed(seed).key(side), k), nodes as u64) as u32;
    let pairs = (0..edges as u64).into_par_iter().map(|k| {
        let (source, target) = (end("sources", k), end("targets", k));
        // Peers differ on loops that exist: there are none.
        (if source == target { (source + 1) % nodes as u32 } else { source }, target)
    });
    Ok(Graph::from_edges(nodes, pairs.collect::<Vec<_>>())?)
}

pub(super) fn run(
    context: &Context,
    rates: &Rates,
    rows: &mut Vec<Vec<String>>,
    bits: &mut Bits,
    experiment: &mut Experiment,
) -> Result<Vec<Contest>, Failure> {
    let (n, m) = context.size((200_000, 2_000_000), (4_000, 40_000));
    let graph = graph(n, m, context.seed)?;
    let features = hash_features(n, 128, Seed(context.seed));
    let exchange = Rc::new(Exchange::new()?);
    if context.peers.is_some() {
        write_graph(&exchange, &graph, &features)?;
    }
    let features = Features::dense(features)?;
    let case = Case::new(Op::Gcn, 64, &graph, &features)?;
    let work = format!("{}, uniform graph of {n} nodes and {m} edges", case.name());
    let mut reference = Reference::new(&case);
    case.write(&exchange)?;
    let mut contests = Vec::new();
    for &threads in context.thread_counts().iter().rev() {
        let mut full = None;
        for slice in [64, 32, 16, 8] {
            let planner = case.planner(threads).slice(slice);
            let within = slice == 16 && !context.quick;
            let planner = if within { planner.budget(MemoryBudget::Working(GOAL)) } else { planner };
            let plan = planner.plan()?;
            let name = if plan.tier == Tier::Fused { "Certus".into() } else { format!("Certus, panels of {slice}") };
            let (timing, facts) = measure(context, &name, &plan, threads, Some((&mut reference, bits)))?;
            rows.push(row(&work, &case, &plan, &timing, rates));
            let mut memory = promise(&work, &plan, &timing);
            if within && let Some(memory) = &mut memory {
                memory.claimed =
                    Some(Promise { bytes: GOAL, formula: "65 MiB: an activation, a panel of 16 columns, and a little".into() });
            }
            experiment.memory.extend(memory);
            if let (16, Some(facts)) = (slice, facts)
                && threads == context.threads
            {
                let certificate = serde_json::to_value(certus_gnn::certificate(&facts))?;
                experiment.certificates.push(Certified { answer: format!("{work}, panels of 16 columns"), certificate });
            }
            match &mut full {
                None => full = Some(Contest::new(&work, threads, &case, timing, reference.strided(STRIDE), STRIDE, &exchange)),
                Some(contest) => contest.panels.push(timing),
            }
        }
        contests.extend(full.map(|contest| contest.against(rivals(threads == context.threads))));
    }
    curves::slices(context, &case, &work, bits, &mut reference, experiment)?;
    Ok(contests)
}

/// All forms on all threads, the best known ones on one.
fn rivals(all: bool) -> Vec<(u8, Rival)> {
    let known = [Rival::scipy(), Rival::torch(), Rival::edges()];
    let others = [Rival::edges_cached(), Rival::pyg_sparse(), Rival::pieces(2), Rival::pieces(8)];
    let others = others.into_iter().filter(|_| all).map(|rival| (0, rival));
    known.into_iter().map(|rival| (0, rival)).chain(others).collect()
}
