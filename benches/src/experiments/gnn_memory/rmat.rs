//! A graph by recursive quadrants: five layers at three widths, at full width and in 60 % of its bytes.

use std::rc::Rc;

use certus_gnn::synth::{Cleanup, hash_features, rmat};
use certus_gnn::{Choice, Features, Graph, Op, Tier};
use certus_numeric::Seed;

use super::cases::{Bits, Case, Reference, measure, promise, row};
use super::contest::{Contest, panels_goal, rounds, write_graph};
use super::curves;
use super::gather::Rates;
use crate::frame::{Context, Failure};
use crate::peers::Exchange;
use crate::results::Experiment;

const OPS: [Op; 5] = [Op::Gcn, Op::Sage, Op::Gat, Op::Gin, Op::Sgc];
/// The part of the bytes of two whole activations that panels may have.
const PART: f64 = 0.6;
const QUADRANTS: (f64, f64, f64) = (0.57, 0.19, 0.19);
/// At this width each run takes seconds: on all threads alone.
const WIDE: usize = 256;

pub(super) fn run(
    context: &Context,
    rates: &Rates,
    rows: &mut Vec<Vec<String>>,
    bits: &mut Bits,
    experiment: &mut Experiment,
) -> Result<Vec<Contest>, Failure> {
    let (scale, stride) = context.size((20, 64), (12, 4));
    let graph = rmat(scale, 10, QUADRANTS, Cleanup { symmetrise: false, ..Cleanup::default() }, Seed(context.seed))?;
    let graph_name = format!("R-MAT graph of {} nodes and {} edges", graph.nodes(), graph.edges());
    let mut contests = Vec::new();
    for width in context.size(vec![64, 16, WIDE], vec![64]) {
        let features = hash_features(graph.nodes(), width, Seed(context.seed));
        let exchange = Rc::new(Exchange::new()?);
        if context.peers.is_some() {
            write_graph(&exchange, &graph, &features)?;
        }
        let features = Features::dense(features)?;
        // Four heads of sixteen columns are one width.
        for op in OPS.into_iter().filter(|&op| op != Op::Gat || width == 64) {
            let case = Case::new(op, width, &graph, &features)?;
            case.write(&exchange)?;
            let layer = Layer { work: format!("{}, {graph_name}", case.name()), case, stride, exchange: &exchange };
            contests.push(layer.run(context, rates, rows, bits, experiment)?);
        }
        if width == 64 {
            more(context, &graph, &graph_name, &features, bits, experiment)?;
        }
    }
    Ok(contests)
}

/// The curves of one layer: time by columns of a panel, and by the budget.
fn more(
    context: &Context,
    graph: &Graph,
    graph_name: &str,
    features: &Features,
    bits: &mut Bits,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let case = Case::new(Op::Gcn, features.columns(), graph, features)?;
    let mut reference = Reference::new(&case);
    let work = format!("{}, {graph_name}", case.name());
    curves::slices(context, &case, &work, bits, &mut reference, experiment)?;
    curves::budgets(context, &case, &work, bits, &mut reference, experiment)?;
    curves::on_disk(context, &case, &work, bits, &mut reference, experiment)
}

/// A layer to be measured.
struct Layer<'a> {
    work: String,
    case: Case<'a>,
    stride: usize,
    exchange: &'a Rc<Exchange>,
}

impl Layer<'_> {
    fn run(
        &self,
        context: &Context,
        rates: &Rates,
        rows: &mut Vec<Vec<String>>,
        bits: &mut Bits,
        experiment: &mut Experiment,
    ) -> Result<Contest, Failure> {
        let Layer { work, case, stride, exchange } = self;
        let mut reference = Reference::new(case);
        let mut contest = None;
        for &threads in context.thread_counts().iter().rev() {
            let all = threads == context.threads;
            if !all && case.layer.width() == WIDE {
                continue;
            }
            let full = case.planner(threads).tier(Tier::Fused).plan()?;
            let (full_time, _) = measure(context, "Certus", &full, threads, Some((&mut reference, &mut *bits)))?;
            rows.push(row(work, case, &full, &full_time, rates));
            let smaller = self.smaller(full.full_width_peak, threads)?;
            let mut panel_time = None;
            if let Some(choice) = smaller {
                let plan = case.plan_of(&choice, threads)?;
                let (timing, _) = measure(context, "Certus, panels", &plan, threads, Some((&mut reference, &mut *bits)))?;
                rows.push(row(work, case, &plan, &timing, rates));
                experiment.memory.extend(promise(work, &plan, &timing).filter(|_| all));
                panel_time = Some(timing);
            }
            panels_goal(context, work, &full_time, panel_time.as_ref(), experiment);
            if all {
                experiment.memory.extend(promise(work, &full, &full_time));
                let rivals = rounds(case.layer.op, case.layer.width());
                let found = Contest::new(work, threads, case, full_time, reference.strided(*stride), *stride, exchange).against(rivals);
                contest = Some(found);
            }
        }
        contest.ok_or_else(|| "no number of threads".into())
    }

    /// The fastest choice in memory within a part of the bytes of two whole activations.
    fn smaller(&self, full: u64, threads: usize) -> Result<Option<Choice>, Failure> {
        let allowed = (PART * full as f64) as u64;
        let schedule = self.case.planner(threads).schedule()?;
        let fitting = schedule.frontier().iter().filter(|choice| choice.peak <= allowed).copied();
        Ok(fitting.min_by(|a, b| a.seconds.total_cmp(&b.seconds)))
    }
}
