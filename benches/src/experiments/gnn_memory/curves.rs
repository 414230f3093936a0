//! Time against the columns of a panel, against the budget, and against the edges.

use certus_gnn::synth::hash_features;
use certus_gnn::{Features, GraphFile, MemoryBudget, Op, Planner, Tier};
use certus_io::write_npy;
use certus_numeric::{Array, Seed};

use super::cases::{Bits, Case, MIB, Reference, measure};
use super::{judged, uniform};
use crate::frame::{Context, Failure};
use crate::results::{Axis, ClaimLine, Curve, Experiment, Plot, Point, Scaling, Table};
use crate::scaling;

/// Edges a node where the number of edges grows.
const DEGREE: usize = 10;
/// Budgets in hundredths of the bytes of full width.
const PERCENT: [u64; 6] = [100, 75, 60, 50, 25, 10];

/// Time against the columns of a panel.
pub(super) fn slices(
    context: &Context,
    case: &Case<'_>,
    work: &str,
    bits: &mut Bits,
    reference: &mut Reference,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let threads = context.threads;
    let (mut seconds, mut estimates) = (Vec::new(), Vec::new());
    for slice in [1, 2, 4, 8, 16, 32, 64] {
        let plan = case.planner(threads).slice(slice).plan()?;
        let (timing, _) = measure(context, "Certus", &plan, threads, Some((&mut *reference, &mut *bits)))?;
        seconds.push(Point { x: slice as f64, y: timing.wall.median });
        estimates.push(Point { x: slice as f64, y: plan.seconds });
    }
    experiment.plots.push(Plot {
        title: "Time by the columns of a panel".into(),
        caption: format!(
            "{work}, {threads} threads. Below sixteen columns a random read takes part of a cache line, unless the caches hold the panel; at \
             the right end stands full width. The planner's estimate is for a small server of its own."
        ),
        x: Axis { label: "columns of a panel".into(), log: true },
        y: Axis { label: "time / s".into(), log: true },
        curves: vec![Curve { name: "measured".into(), points: seconds }, Curve { name: "the planner's estimate".into(), points: estimates }],
    });
    Ok(())
}

/// Time against the budget: in memory as long as it does, then with panels in files.
pub(super) fn budgets(
    context: &Context,
    case: &Case<'_>,
    work: &str,
    bits: &mut Bits,
    reference: &mut Reference,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let threads = context.threads;
    let folder = tempfile::tempdir()?;
    let planner = case.planner(threads).spill_dir(folder.path());
    let full = case.planner(threads).tier(Tier::Fused).schedule()?.predicted_peak;
    let schedule = planner.schedule()?;
    let (mut rows, mut points) = (Vec::new(), Vec::new());
    for percent in PERCENT {
        // A small graph's tenth is less than what any run declares.
        let budget = (full / 100 * percent).max(schedule.minimum);
        let budget = if percent == 100 { full } else { budget };
        let plan = planner.clone().budget(MemoryBudget::Working(budget)).plan()?;
        let (timing, _) = measure(context, "Certus", &plan, threads, Some((&mut *reference, &mut *bits)))?;
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB);
        points.push(Point { x: plan.predicted_peak as f64 / MIB, y: timing.wall.median });
        rows.push(vec![
            format!("{percent}"),
            mib(budget),
            plan.tier.to_string(),
            plan.slice.to_string(),
            plan.row_block.to_string(),
            mib(plan.predicted_peak),
            timing.peak_bytes.map_or("-".into(), mib),
            mib(plan.bytes_read),
            mib(plan.bytes_written),
            format!("{:.4}", timing.wall.median),
        ]);
    }
    let columns = [
        "budget / % of full width",
        "budget / MiB",
        "schedule",
        "panel / columns",
        "block / rows",
        "predicted / MiB",
        "measured / MiB",
        "read / MiB",
        "written / MiB",
        "wall / s",
    ];
    let title = format!("Budgets: {work}, {threads} threads");
    experiment.tables.push(Table { title, columns: columns.map(String::from).to_vec(), rows });
    let estimates = schedule.frontier().iter().map(|choice| Point { x: choice.peak as f64 / MIB, y: choice.seconds }).collect();
    experiment.plots.push(Plot {
        title: "Time by the budget".into(),
        caption: format!(
            "{work}, {threads} threads. From the right: full width, panels in memory down to one activation and a panel, then panels in files. \
             All give the same bits. The estimates are the planner's frontier, for a disk of 0.5 GB/s."
        ),
        x: Axis { label: "bytes held / MiB".into(), log: true },
        y: Axis { label: "time / s".into(), log: true },
        curves: vec![Curve { name: "measured".into(), points }, Curve { name: "the planner's frontier".into(), points: estimates }],
    });
    Ok(())
}

/// Columns of a panel where the graph is on disk: each panel reads the edges once more.
const DISK_SLICES: [usize; 3] = [64, 32, 16];

/// Time and bytes of a graph that stays on disk, over those of one in memory.
pub(super) fn on_disk(
    context: &Context,
    case: &Case<'_>,
    work: &str,
    bits: &mut Bits,
    reference: &mut Reference,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let (threads, folder) = (context.threads, tempfile::tempdir()?);
    let graph = case.graph();
    let numbers = |of: &[u64]| of.iter().map(|&k| k as i64).collect::<Vec<_>>();
    write_npy(folder.path().join("indptr.npy"), &Array::vector(numbers(graph.indptr())))?;
    write_npy(folder.path().join("indices.npy"), &Array::vector(graph.indices().to_vec()))?;
    let file = GraphFile::open(folder.path())?;
    let mut rows = Vec::new();
    for slice in DISK_SLICES {
        let mut timed = |planner: Planner| -> Result<_, Failure> {
            let plan = planner.slice(slice).plan()?;
            let (timing, _) = measure(context, "Certus", &plan, threads, Some((&mut *reference, &mut *bits)))?;
            Ok((plan.resident.graph, plan.bytes_read, timing.wall.median))
        };
        let (held, _, memory) = timed(case.planner(threads))?;
        let (held_of_disk, read, disk) = timed(case.planner_on(&file, threads))?;
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB);
        rows.push(vec![
            slice.to_string(),
            mib(held),
            mib(held_of_disk),
            mib(read),
            format!("{memory:.4}"),
            format!("{:.2}", disk / memory),
        ]);
    }
    let columns =
        ["panel / columns", "graph / MiB", "graph on disk, held / MiB", "read / MiB", "in memory, wall / s", "on disk, time over that"];
    let title = format!("Graph on disk: {work}, {threads} threads (the system's cache of files has room for it)");
    experiment.tables.push(Table { title, columns: columns.map(String::from).to_vec(), rows });
    Ok(())
}

/// Time against edges, as many a node in each graph.
pub(super) fn growth(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (mut points, width) = (Vec::new(), 64);
    for nodes in context.size(vec![1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20], vec![1 << 10, 1 << 11, 1 << 12]) {
        let graph = uniform::graph(nodes, DEGREE * nodes, context.seed)?;
        let features = Features::dense(hash_features(nodes, width, Seed(context.seed)))?;
        let case = Case::new(Op::Gcn, width, &graph, &features)?;
        let plan = case.planner(1).tier(Tier::Fused).plan()?;
        let (timing, _) = measure(context, "Certus", &plan, 1, None)?;
        points.push(Point { x: graph.edges() as f64, y: timing.wall.median });
    }
    let fit = scaling::fit(&points);
    let slope = fit.as_ref().map_or(f64::NAN, |fit| fit.slope);
    let work = format!("GCN {width} -> {width} at full width, uniform graphs of {DEGREE} edges a node, one thread");
    experiment.claims.push(ClaimLine {
        text: format!("{work}: exponent of the edges"),
        expected: "1.0, by 0.1 at most".into(),
        measured: format!("{slope:.2}"),
        outcome: judged(context, (slope - 1.0).abs() <= 0.1),
    });
    let claimed = if context.quick { None } else { Some(1.1) };
    experiment.scalings.push(Scaling { work, size: "edges".into(), cost: "time / s".into(), points, fit, claimed });
    Ok(())
}
