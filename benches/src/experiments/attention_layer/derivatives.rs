//! Gradients, products with the Hessian and Hessians: time against JAX, share of the peak, memory, growth.

use certus_attention::layer::{Curvature, Evaluation, Params};
use certus_linalg::product::matmul;
use certus_linalg::view::view;

use crate::experiments::attention::{Kernel, Layer, Rival, normal, short_runs};
use crate::frame::{Context, Failure};
use crate::memory;
use crate::peers::Exchange;
use crate::results::{ClaimLine, Experiment, Memory, Outcome, Point, Promise, Scaling, Table};
use crate::scaling;

const GRADIENT: &[Rival] = &[("JAX value_and_grad", "gradient", 1.5)];
const PRODUCT: &[Rival] = &[("JAX jvp of grad", "product", 1.5)];
const NEXT_PRODUCT: &[Rival] = &[("JAX linearize of grad", "next_product", 1.5)];
const HESSIAN: &[Rival] = &[("JAX Hessian, 32 columns at a time", "columns", 40.0)];
/// Columns of the Hessian that the peer computes.
const COLUMNS: usize = 64;
const PROMISED: u64 = 200_000_000;

pub(super) fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let mut shares = Vec::new();
    for (n, d) in context.size(vec![(512, 32), (2048, 64)], vec![(128, 16)]) {
        first_and_second(context, n, d, &mut shares, experiment)?;
    }
    let columns = ["n = m", "d", "threads", "keeps the maps", "time / ms", "products / Gflop", "Gflop/s", "peak / Gflop/s", "share / %"];
    experiment.tables.push(Table {
        title: "Matrix products in loss and gradient".into(),
        columns: columns.map(String::from).to_vec(),
        rows: shares,
    });
    hessian(context, experiment)?;
    footprint(context, experiment)?;
    growth(context, experiment)
}

/// Gflop/s of matrix products: the fastest run of the fastest size, since a peak is what nothing exceeds.
fn peak(context: &Context, threads: usize) -> Result<f64, Failure> {
    let mut best = 0.0f64;
    for n in context.size(vec![256, 512, 1024], vec![128, 256]) {
        let (a, b) = (normal(n, n, 1.0, context.seed, "left"), normal(n, n, 1.0, context.seed, "right"));
        let work = || short_runs(context).time("product", threads, || matmul(view(&a), view(&b)));
        let (_, timing) = context.on_threads(threads, work)?;
        best = best.max(2e-9 * (n as f64).powi(3) / timing.wall.min);
    }
    Ok(best)
}

fn first_and_second(
    context: &Context,
    n: usize,
    d: usize,
    shares: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let layer = Layer::synthetic(n, d, context.seed);
    let (problem, at) = (layer.problem()?, &layer.reference);
    let direction = Params { x: normal(d, d, 1.0, context.seed, "dx"), y: normal(d, d, 1.0, context.seed, "dy") };
    let exchange = Exchange::new()?;
    layer.write(&exchange)?;
    exchange.write("dx", &direction.x)?;
    exchange.write("dy", &direction.y)?;
    let protocol = short_runs(context);
    for threads in context.thread_counts() {
        let kernel = |work: &str, ours, answer: &'_ Params| {
            let (work, arguments) = (format!("{work}, n = m = {n}, d = {d}"), layer.arguments());
            let expected = vec![("x", answer.x.as_slice().to_vec()), ("y", answer.y.as_slice().to_vec())];
            Kernel { work, threads, exchange: &exchange, arguments, ours, expected, part: 1.0 }
        };
        let peak = peak(context, threads)?;
        let (found, ours) = context.on_threads(threads, || protocol.time("Certus", threads, || problem.evaluate(at)))?;
        // Without the maps the logits are computed twice.
        share(context, (n, d, threads), false, 5.0, ours.wall.median, peak, shares, experiment);
        kernel("loss and gradient", ours, &found?.gradient).run(context, GRADIENT, experiment)?;

        let (kept, timing) = context.on_threads(threads, || protocol.time("Certus", threads, || problem.linearise(at)))?;
        let kept = kept?;
        share(context, (n, d, threads), true, 4.0, timing.wall.median, peak, shares, experiment);
        let product = |kept: &Evaluation<'_, '_>| kept.hessian_times(&direction, Curvature::Exact);
        let work = || protocol.time("Certus", threads, || problem.hessian_product(at, &direction, Curvature::Exact));
        let (found, ours) = context.on_threads(threads, work)?;
        kernel("product with the Hessian", ours, &found?).run(context, PRODUCT, experiment)?;
        let (found, ours) = context.on_threads(threads, || protocol.time("Certus", threads, || product(&kept)))?;
        kernel("one more product with the Hessian", ours, &found?).run(context, NEXT_PRODUCT, experiment)?;
    }
    Ok(())
}

/// How near the `passes` matrix products of n m d multiply-adds bring a gradient to the peak.
fn share(
    context: &Context,
    (n, d, threads): (usize, usize, usize),
    keeps: bool,
    passes: f64,
    seconds: f64,
    peak: f64,
    rows: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) {
    let gigaflop = 2e-9 * passes * (n * n * d) as f64;
    let share = gigaflop / seconds / peak;
    let mut row = vec![n.to_string(), d.to_string(), threads.to_string(), if keeps { "yes" } else { "no" }.into()];
    row.extend([1e3 * seconds, gigaflop, gigaflop / seconds, peak].map(|v| format!("{v:.3}")));
    row.push(format!("{:.1}", 100.0 * share));
    rows.push(row);
    if !keeps {
        experiment.claims.push(ClaimLine {
            text: format!("loss and gradient, n = m = {n}, d = {d}, {threads} threads: time of its products at the peak in the whole"),
            expected: "at least 60 %".into(),
            measured: format!("{:.1} %", 100.0 * share),
            // Above 1 the peak was disturbed, and says nothing.
            outcome: if context.quick || share > 1.0 {
                Outcome::Open
            } else if share >= 0.6 {
                Outcome::Met
            } else {
                Outcome::Missed
            },
        });
    }
}

fn hessian(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((512, 32), (64, 8));
    let layer = Layer::synthetic(n, d, context.seed);
    let (problem, at) = (layer.problem()?, &layer.reference);
    let exchange = Exchange::new()?;
    layer.write(&exchange)?;
    for threads in context.thread_counts() {
        let work = || context.protocol().time("Certus", threads, || problem.linearise(at)?.hessian(Curvature::Exact));
        let (found, ours) = context.on_threads(threads, work)?;
        let (found, unknowns) = (found?, 2 * d * d);
        let some = (0..COLUMNS).flat_map(|k| found.row(k * (unknowns / COLUMNS)).to_vec()).collect();
        let mut arguments = layer.arguments();
        arguments.push(("columns", COLUMNS.into()));
        let work = format!("Hessian in X and Y, n = m = {n}, d = {d}");
        let (expected, part) = (vec![("columns", some)], COLUMNS as f64 / unknowns as f64);
        Kernel { work, threads, exchange: &exchange, arguments, ours, expected, part }.run(context, HESSIAN, experiment)?;
    }
    experiment.notes.push(format!("Of its Hessian JAX computes {COLUMNS} columns, and the time is scaled up to all."));
    Ok(())
}

fn footprint(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((8192, 64), (512, 16));
    let layer = Layer::synthetic(n, d, context.seed);
    let problem = layer.problem()?;
    let measure = || {
        // The first product of a thread sets up room for packed blocks, which the thread keeps: it is counted, once.
        let first = memory::peak(|| problem.evaluate(&layer.reference));
        (first, memory::peak(|| problem.evaluate(&layer.reference)))
    };
    let ((found, first), (_, next)) = context.on_threads(context.threads, measure)?;
    found?;
    for (when, peak) in [("the first one", first), ("a later one", next)] {
        let claimed = Some(Promise { bytes: PROMISED, formula: format!("200 MB; the attention map alone has 8 n m = {}", 8 * n * n) });
        let work = format!("loss and gradient, n = m = {n}, d = {d}, {} threads, {when}: beside the inputs", context.threads);
        experiment.memory.extend(peak.map(|peak_bytes| Memory { work, peak_bytes, claimed }));
    }
    Ok(())
}

fn growth(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let d = 32;
    let mut points = Vec::new();
    for n in context.size(vec![256, 512, 1024, 2048], vec![64, 128, 256]) {
        let layer = Layer::synthetic(n, d, context.seed);
        let problem = layer.problem()?;
        let work = || short_runs(context).time("Certus", 1, || problem.evaluate(&layer.reference));
        let (_, timing) = context.on_threads(1, work)?;
        points.push(Point { x: n as f64, y: timing.wall.median });
    }
    let fit = scaling::fit(&points);
    let slope = fit.as_ref().map_or(f64::NAN, |fit| fit.slope);
    let work = format!("loss and gradient, d = {d}, one thread");
    experiment.claims.push(ClaimLine {
        text: format!("{work}: exponent of n = m"),
        expected: "2.0, by 0.1 at most".into(),
        measured: format!("{slope:.2}"),
        outcome: if context.quick {
            Outcome::Open
        } else if (slope - 2.0).abs() <= 0.1 {
            Outcome::Met
        } else {
            Outcome::Missed
        },
    });
    let claimed = if context.quick { None } else { Some(2.1) };
    experiment.scalings.push(Scaling { work, size: "n = m".into(), cost: "time / s".into(), points, fit, claimed });
    Ok(())
}
