//! Exponential regression against what Python users run, all to one size of the gradient; growth, memory, and the choice of the
//! Hessian.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use certus_contract::{Event, Status};
use certus_linalg::Matrix;
use certus_numeric::seed::bounded;
use certus_numeric::{Array, Csr, Seed};
use certus_regression::{Error, Form, Hessian, Link, Problem, Solution, Solver, Start};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;

use crate::frame::{Context, Entry, Failure};
use crate::measure::{Protocol, median};
use crate::peers::{Answer, Call, Exchange};
use crate::results::{
    Agreement, Axis, Certified, ClaimLine, Comparison, Curve, Experiment, Memory, Outcome, Peer, Plot, Point, Promise, Scaling, Spread,
    Table, Timing,
};
use crate::{memory, scaling};

pub(super) const REGRESSION: Entry = Entry {
    name: "regression",
    title: "Exponential regression",
    question: "Is a fit of exp(Ax) faster than what people run, does its time grow as the non-zeros do, does it choose its Hessian well?",
    run,
};

/// The largest entry of the gradient that everybody must reach, relative to that at x = 0.
const TARGET: f64 = 1e-8;
/// How far above the target a gradient may be that another code has computed.
const SLACK: f64 = 1.01;
/// Standard deviation of A x, and of the noise relative to the target.
const SPREAD: f64 = 0.7;
const NOISE: f64 = 0.05;
/// Standard deviation of A x at a start where exp overflows.
const FAR: f64 = 500.0;
/// Non-zeros in a row of the sparse data.
const PER_ROW: usize = 10;

/// A peer: its name, its function in `peers/regression.py`, and how many times faster we mean to be.
type Rival = (&'static str, &'static str, Option<f64>);

const DENSE: &[Rival] = &[
    ("NumPy Gauss-Newton", "gauss_newton", Some(1.5)),
    ("SciPy least_squares trf exact", "trf_exact", Some(1.5)),
    ("SciPy least_squares trf lsmr", "trf_lsmr", Some(1.5)),
    ("SciPy least_squares lm", "lm", Some(1.5)),
    ("SciPy curve_fit", "curve_fit", Some(1.5)),
    ("statsmodels GLM", "statsmodels_glm", Some(1.5)),
    ("glum", "glum_glm", Some(1.5)),
    ("jaxopt LevenbergMarquardt", "jaxopt_lm", Some(1.5)),
    ("Optimistix LevenbergMarquardt", "optimistix_lm", Some(1.5)),
];

const SPARSE: &[Rival] = &[
    ("SciPy sparse Gauss-Newton, CG", "gauss_newton_cg", Some(3.0)),
    ("SciPy least_squares trf lsmr", "trf_lsmr", Some(10.0)),
    ("glum", "glum_glm", Some(3.0)),
];

const SMALL: &[Rival] = &[
    ("NumPy Gauss-Newton", "small_gauss_newton", None),
    ("SciPy least_squares trf exact", "small_trf", None),
    ("SciPy least_squares lm", "small_lm", None),
    ("SciPy curve_fit", "small_curve_fit", None),
    ("Optimistix LevenbergMarquardt, vmap", "small_optimistix", Some(1.0)),
];

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    experiment.notes.push(format!(
        "Everybody runs until no entry of the gradient is above {TARGET:e} of the largest at x = 0, computed for all answers by the same \
         code, and starts at x = 0 unless said. Who stops by something else has the loosest power of ten that reaches it, found \
         beforehand. Our times include the certificate."
    ));
    let mut rows = Vec::new();
    let [few, many] = context.size([20, 200], [10, 30]);
    dense(context, few, &context.thread_counts(), &mut rows, experiment)?;
    dense(context, many, &[context.threads], &mut rows, experiment)?;
    for d in context.size([100, 1000], [50, 100]) {
        sparse(context, d, &mut rows, experiment)?;
    }
    overflow(context, &mut rows, experiment)?;
    small(context, &mut rows, experiment)?;
    let columns = ["work", "solver", "threads", "iterations", "loss", "largest gradient", "wall / s", "cpu / s", "note"];
    experiment.tables.push(Table { title: "Answers".into(), columns: columns.map(String::from).to_vec(), rows });
    growth(context, experiment)?;
    crossover(context, experiment)
}

/// A matrix and a target: exp(A x) for some x, with noise.
struct Data {
    a: Design,
    b: Vec<f64>,
}

enum Design {
    Dense(Array),
    Sparse(Csr),
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

impl Data {
    /// `per_row` entries in each of `n` rows, one in each strip of columns. As many as there are columns make it dense.
    fn new(n: usize, d: usize, per_row: usize, seed: u64) -> Result<Self, Failure> {
        let mut rng = Seed(seed).stream("regression data");
        let truth: Vec<f64> = (0..d).map(|_| SPREAD / (per_row as f64).sqrt() * normal(&mut rng)).collect();
        let (strip, dense) = (d / per_row, per_row == d);
        let (mut indices, mut values, mut b) = (Vec::new(), Vec::with_capacity(n * per_row), Vec::with_capacity(n));
        for _ in 0..n {
            let mut z = 0.0f64;
            for k in 0..per_row {
                let column = if dense { k } else { k * strip + bounded(rng.next_u64(), strip as u64) as usize };
                let value = normal(&mut rng);
                z += truth[column] * value;
                values.push(value);
                if !dense {
                    indices.push(column as u32);
                }
            }
            b.push(noisy(z.exp(), &mut rng));
        }
        let a = if dense {
            Design::Dense(Array::matrix(n, d, values)?)
        } else {
            Design::Sparse(Csr::new(n, d, (0..=n).map(|i| i * per_row).collect(), indices, values)?)
        };
        Ok(Data { a, b })
    }

    fn matrix(&self) -> Matrix<'_> {
        match &self.a {
            Design::Dense(a) => Matrix::from(a),
            Design::Sparse(a) => Matrix::from(a),
        }
    }

    fn plain(&self) -> Result<Problem<'_>, Failure> {
        Ok(Problem::new(self.matrix(), &self.b, Link::Exp, Form::Plain)?)
    }

    fn write(&self, exchange: &Exchange) -> Result<(), Failure> {
        match &self.a {
            Design::Dense(a) => exchange.write("a", a)?,
            Design::Sparse(a) => {
                exchange.write("indptr", &Array::vector(a.indptr().iter().map(|&p| p as i64).collect()))?;
                exchange.write("indices", &Array::vector(a.indices().iter().map(|&j| j as i32).collect()))?;
                exchange.write("values", &Array::vector(a.values().to_vec()))?;
            }
        }
        exchange.write("b", &Array::vector(self.b.clone()))?;
        Ok(())
    }
}

fn noisy(value: f64, rng: &mut impl Rng) -> f64 {
    value * (1.0 + NOISE * normal(rng))
}

/// The loss at `x` and the largest entry of its gradient; NaN where `x` is no point at all.
fn measured(problem: &Problem<'_>, x: &[f64]) -> (f64, f64) {
    let Ok(found) = problem.evaluate(x) else { return (f64::NAN, f64::NAN) };
    let largest = found.gradient.iter().map(|g| g.abs()).fold(0.0, f64::max);
    (found.loss.to_f64().unwrap_or(f64::INFINITY), largest * found.log_scale.exp())
}

/// `solver` with the loosest tolerance, among powers of ten, whose answer has no entry of the gradient above `target`.
fn loosest(solver: &Solver, problem: &Problem<'_>, target: f64) -> Result<Solver, Failure> {
    let mut solver = solver.clone();
    for power in 5..=20 {
        solver = solver.with_gradient_tolerance(10f64.powi(-power));
        if measured(problem, &solver.solve(problem)?.x).1 <= target {
            break;
        }
    }
    Ok(solver)
}

fn timed(context: &Context, name: &str, threads: usize, problem: &Problem<'_>, solver: &Solver) -> Result<(Solution, Timing), Failure> {
    let (solution, timing) = context.on_threads(threads, || context.protocol().time(name, threads, || solver.solve(problem)))?;
    Ok((solution?, timing))
}

fn reached(work: &str, status: Status, (loss, gradient): (f64, f64), target: f64, experiment: &mut Experiment) {
    let outcome = if gradient <= target {
        Outcome::Met
    } else if loss.is_finite() && !status.reached() {
        // It says itself that it is not there: slow, but not wrong.
        Outcome::Missed
    } else {
        Outcome::Failed
    };
    experiment.claims.push(ClaimLine {
        text: format!("{work}: largest entry of the gradient"),
        expected: format!("at most {target:.1e}"),
        measured: format!("{gradient:.1e}, {status}"),
        outcome,
    });
}

fn goal(text: &str, ratio: f64, at_least: f64, quick: bool, experiment: &mut Experiment) {
    // At the sizes of a quick run the goal says nothing.
    let outcome = if quick {
        Outcome::Open
    } else if ratio >= at_least {
        Outcome::Met
    } else {
        Outcome::Missed
    };
    let (expected, measured) = (format!("at least {at_least}"), format!("{ratio:.2}"));
    experiment.claims.push(ClaimLine { text: text.into(), expected, measured, outcome });
}

fn push_row(rows: &mut Vec<Vec<String>>, work: &str, timing: &Timing, iterations: f64, (loss, gradient): (f64, f64)) {
    rows.push(vec![
        work.into(),
        timing.name.clone(),
        timing.threads.to_string(),
        if iterations.is_finite() { iterations.to_string() } else { "-".into() },
        format!("{loss:.9e}"),
        format!("{gradient:.1e}"),
        format!("{:.3e}", timing.wall.median),
        format!("{:.3e}", timing.cpu_seconds),
        timing.note.clone(),
    ]);
}

/// The relative difference of two vectors in the 2-norm; NaN if their lengths differ.
fn distance(theirs: &[f64], ours: &[f64]) -> f64 {
    if theirs.len() != ours.len() {
        return f64::NAN;
    }
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut theirs.iter().zip(ours).map(|(t, o)| t - o)) / norm(&mut ours.iter().copied())
}

/// What the peers are asked, and how an answer is judged.
struct Contest<'a> {
    work: &'a str,
    threads: usize,
    exchange: &'a Exchange,
    arguments: Vec<(&'static str, Value)>,
    /// The largest entry of the gradient that counts as an answer.
    target: f64,
    /// Fits in one call, among which its time is divided.
    fits: usize,
    /// Loss, largest entry of the gradient, relative distance from our answer.
    judge: &'a dyn Fn(&[f64]) -> [f64; 3],
}

/// Runs all of `list`. Who is absent or fails has a row with the reason; who stops short of the target is not compared.
fn rivals(
    context: &Context,
    list: &[Rival],
    contest: &Contest<'_>,
    ours: &Timing,
    rows: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) -> Result<Vec<Peer>, Failure> {
    let Some(python) = &context.peers else { return Ok(Vec::new()) };
    let (mut peers, mut disagreement) = (Vec::new(), f64::NAN);
    for &(name, function, at_least) in list {
        let mut call = Call::new(name, "regression", function).threads(contest.threads);
        for (argument, value) in &contest.arguments {
            call = call.argument(argument, value.clone());
        }
        let Some(answer) = python.run(&call, contest.exchange, experiment) else {
            let reason = experiment.skipped.last().map_or_else(String::new, |skipped| skipped.reason.clone());
            let row = [contest.work, name, &call.threads.to_string(), "-", "-", "-", "-", "-", &reason].map(String::from);
            rows.push(row.to_vec());
            continue;
        };
        let [loss, gradient, difference] = (contest.judge)(contest.exchange.read("x")?.as_slice());
        let reached = gradient <= SLACK * contest.target;
        let timing = Timing { note: remark(&answer, gradient, contest.target, reached), ..each(answer.timing(&call), contest.fits) };
        push_row(rows, contest.work, &timing, answer.metric("iterations"), (loss, gradient));
        let agreement = Agreement { quantity: "relative difference of x".into(), difference, tolerance: 1e-6 };
        let peer = Peer { timing, agreement: reached.then_some(agreement) };
        if reached {
            disagreement = disagreement.max((loss / answer.metric("loss") - 1.0).abs());
            if let Some(at_least) = at_least {
                goal(&format!("{}: time of {name} over ours", contest.work), peer.ratio(ours), at_least, context.quick, experiment);
            }
        }
        peers.push(peer);
    }
    if !disagreement.is_nan() {
        experiment.claims.push(ClaimLine {
            text: format!("{}: our loss at their answers against NumPy's, relatively", contest.work),
            expected: "at most 1e-10".into(),
            measured: format!("{disagreement:.1e}"),
            outcome: if disagreement <= 1e-10 { Outcome::Met } else { Outcome::Failed },
        });
    }
    Ok(peers)
}

fn remark(answer: &Answer, gradient: f64, target: f64, reached: bool) -> String {
    let mut parts = Vec::new();
    let tolerance = answer.metric("tolerance");
    if tolerance.is_finite() {
        parts.push(format!("tolerance {tolerance:.0e}"));
    }
    let products = answer.metric("products");
    if products.is_finite() {
        parts.push(format!("{products} products"));
    }
    if !reached {
        parts.push(format!("ended at a gradient of {gradient:.1e}, above {target:.1e}: no answer to compare"));
    }
    parts.join("; ")
}

/// The time of one of so many fits.
fn each(timing: Timing, fits: usize) -> Timing {
    let part = |seconds: f64| seconds / fits as f64;
    let Spread { runs, median, mad, min, max } = timing.wall;
    let wall = Spread { runs, median: part(median), mad: part(mad), min: part(min), max: part(max) };
    Timing { wall, cpu_seconds: part(timing.cpu_seconds), first_seconds: timing.first_seconds.map(part), ..timing }
}

/// Ours from `start` and from its own start, and the peers from `start`.
fn compete(
    context: &Context,
    data: &Data,
    work: &str,
    start: &[f64],
    list: &[Rival],
    thread_counts: &[usize],
    rows: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let problem = data.plain()?;
    let target = TARGET * measured(&problem, &vec![0.0; start.len()]).1;
    let given = if start.iter().all(|v| *v == 0.0) { Start::Zero } else { Start::Given(start.to_vec()) };
    let solver = Solver::default().with_seed(Seed(context.seed));
    let own = loosest(&solver, &problem, target)?;
    let same = loosest(&solver.with_start(given), &problem, target)?;
    let exchange = Exchange::new()?;
    if context.peers.is_some() {
        data.write(&exchange)?;
        exchange.write("start", &Array::vector(start.to_vec()))?;
    }
    for &threads in thread_counts.iter().rev() {
        let (freely, timing) = timed(context, "Certus, its own start", threads, &problem, &own)?;
        push_row(rows, work, &timing, freely.facts.iterations as f64, measured(&problem, &freely.x));
        let (solution, ours) = timed(context, "Certus", threads, &problem, &same)?;
        push_row(rows, work, &ours, solution.facts.iterations as f64, measured(&problem, &solution.x));
        if threads == context.threads {
            reached(&format!("{work}, its own start"), freely.status, measured(&problem, &freely.x), target, experiment);
            reached(work, solution.status, measured(&problem, &solution.x), target, experiment);
            experiment.certificates.push(Certified { answer: work.into(), certificate: serde_json::to_value(&solution.certificate)? });
        }
        let judge = |x: &[f64]| {
            let (loss, gradient) = measured(&problem, x);
            [loss, gradient, distance(x, &solution.x)]
        };
        let arguments = vec![("target", Value::from(target)), ("d", Value::from(start.len()))];
        let contest = Contest { work, threads, exchange: &exchange, arguments, target, fits: 1, judge: &judge };
        let peers = rivals(context, list, &contest, &ours, rows, experiment)?;
        experiment.comparisons.push(Comparison { work: format!("{work}, {threads} threads"), ours, peers });
    }
    Ok(())
}

fn dense(
    context: &Context,
    d: usize,
    thread_counts: &[usize],
    rows: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let n = context.size(100_000, 5_000);
    let data = Data::new(n, d, d, context.seed)?;
    compete(context, &data, &format!("dense {n} x {d}"), &vec![0.0; d], DENSE, thread_counts, rows, experiment)
}

fn sparse(context: &Context, d: usize, rows: &mut Vec<Vec<String>>, experiment: &mut Experiment) -> Result<(), Failure> {
    let n = context.size(1_000_000, 20_000);
    let data = Data::new(n, d, PER_ROW, context.seed)?;
    let work = format!("sparse {n} x {d}, {PER_ROW} non-zeros a row");
    compete(context, &data, &work, &vec![0.0; d], SPARSE, &[context.threads], rows, experiment)?;
    let solver = Solver::default().with_seed(Seed(context.seed));
    footprint(&work, &data, &data.plain()?, &solver, experiment);

    // No peer has the normalised form.
    let sum: f64 = data.b.iter().sum();
    let shares: Vec<f64> = data.b.iter().map(|b| b / sum).collect();
    let problem = Problem::new(data.matrix(), &shares, Link::Exp, Form::Normalised)?;
    let work = format!("{work}, normalised");
    let target = TARGET * measured(&problem, &vec![0.0; d]).1;
    for (name, solver) in [("Certus, its own start", solver.clone()), ("Certus", solver.with_start(Start::Zero))] {
        let solver = loosest(&solver, &problem, target)?;
        let (solution, ours) = timed(context, name, context.threads, &problem, &solver)?;
        push_row(rows, &work, &ours, solution.facts.iterations as f64, measured(&problem, &solution.x));
        if name == "Certus" {
            reached(&work, solution.status, measured(&problem, &solution.x), target, experiment);
            footprint(&work, &data, &problem, &solver, experiment);
            experiment.certificates.push(Certified { answer: work.clone(), certificate: serde_json::to_value(&solution.certificate)? });
            experiment.comparisons.push(Comparison { work: work.clone(), ours, peers: Vec::new() });
        }
    }
    Ok(())
}

/// Peak memory of a fit with the arrays of its sparse matrix, against those arrays.
fn footprint(work: &str, data: &Data, problem: &Problem<'_>, solver: &Solver, experiment: &mut Experiment) {
    let Design::Sparse(a) = &data.a else { return };
    let arrays = (12 * a.nnz() + 8 * (a.rows() + 1)) as u64;
    let (_, peak) = memory::peak(|| solver.solve(problem));
    let claimed = Some(Promise { bytes: 5 * arrays / 2, formula: "2.5 (12 nnz + 8 (n + 1))".into() });
    let work = format!("{work}: the CSR arrays and what a fit adds");
    experiment.memory.extend(peak.map(|peak| Memory { work, peak_bytes: arrays + peak, claimed }));
}

/// A start at which exp(A x) is far beyond all numbers.
fn overflow(context: &Context, rows: &mut Vec<Vec<String>>, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((100_000, 20), (2_000, 5));
    let data = Data::new(n, d, d, context.seed)?;
    let far = FAR / (d as f64).sqrt();
    let start: Vec<f64> = (0..d).map(|j| if j % 2 == 0 { far } else { -far }).collect();
    let list: Vec<Rival> = DENSE.iter().map(|&(name, function, _)| (name, function, None)).collect();
    compete(context, &data, &format!("dense {n} x {d}, overflow at the start"), &start, &list, &[context.threads], rows, experiment)
}

/// Fits so small that what counts is the overhead.
fn small(context: &Context, rows: &mut Vec<Vec<String>>, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d, fits) = (30, 3, context.size(10_000, 200));
    let data = Data::new(n, d, d, context.seed)?;
    let mut rng = Seed(context.seed).stream("small targets");
    let targets = Array::from_fn(fits, n, |_, i| noisy(data.b[i], &mut rng));
    let zeros = vec![0.0; d];
    let problem = |k: usize| Problem::new(data.matrix(), targets.row(k), Link::Exp, Form::Plain);
    let fit_all = |solver: &Solver| -> Result<Vec<f64>, Error> {
        let mut answers = Vec::with_capacity(fits * d);
        for k in 0..fits {
            answers.extend(solver.solve(&problem(k)?)?.x);
        }
        Ok(answers)
    };
    // The sum of the losses, and the largest gradient relative to its own at x = 0.
    let judged = |answers: &[f64]| -> Result<(f64, f64), Error> {
        let (mut total, mut worst) = (0.0, 0.0f64);
        for (k, x) in answers.chunks_exact(d).enumerate() {
            let problem = problem(k)?;
            let (loss, gradient) = measured(&problem, x);
            let relative = gradient / measured(&problem, &zeros).1;
            total += loss;
            worst = worst.max(if relative.is_nan() { f64::INFINITY } else { relative });
        }
        Ok((total, worst))
    };
    let mut solver = Solver::default().with_seed(Seed(context.seed)).with_start(Start::Zero);
    for power in 5..=15 {
        solver = solver.with_gradient_tolerance(10f64.powi(-power));
        if judged(&fit_all(&solver)?)?.1 <= TARGET {
            break;
        }
    }
    let (answers, timing) = context.on_threads(1, || context.protocol().time("Certus", 1, || fit_all(&solver)))?;
    let (answers, ours) = (answers?, each(timing, fits));
    let work = format!("{n} x {d}, one of {fits} fits");
    let found = judged(&answers)?;
    push_row(rows, &work, &ours, f64::NAN, found);
    reached(&work, Status::Done, found, TARGET, experiment);
    let microseconds = 1e6 * ours.wall.median;
    experiment.claims.push(ClaimLine {
        text: format!("{work}: time"),
        expected: "at most 6 us".into(),
        measured: format!("{microseconds:.1} us"),
        outcome: if context.quick {
            Outcome::Open
        } else if microseconds <= 6.0 {
            Outcome::Met
        } else {
            Outcome::Missed
        },
    });

    // Python takes a hundred times as long: fewer will do.
    let their_fits = context.size(500, 20);
    let exchange = Exchange::new()?;
    if context.peers.is_some() {
        exchange.write("a", &Array::matrix(n, d, data.matrix().values().to_vec())?)?;
        exchange.write("targets", &targets)?;
        exchange.write("start", &Array::vector(zeros.clone()))?;
    }
    let judge = |x: &[f64]| {
        let (loss, gradient) = judged(x).unwrap_or((f64::NAN, f64::NAN));
        [loss, gradient, distance(x, &answers[..their_fits * d])]
    };
    let arguments = vec![("relative", Value::from(TARGET)), ("fits", Value::from(their_fits))];
    let contest = Contest { work: &work, threads: 1, exchange: &exchange, arguments, target: TARGET, fits: their_fits, judge: &judge };
    let peers = rivals(context, SMALL, &contest, &ours, rows, experiment)?;
    experiment.comparisons.push(Comparison { work, ours, peers });
    Ok(())
}

/// Time of one iteration and of a whole fit against the stored entries.
fn growth(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let sizes = context.size(vec![10_000, 30_000, 100_000, 300_000, 1_000_000], vec![1_000, 3_000, 10_000]);
    let solver = Solver::default().with_seed(Seed(context.seed)).with_start(Start::Zero);
    let (mut iterations, mut fits) = (Vec::new(), Vec::new());
    for n in sizes {
        let data = Data::new(n, 100, PER_ROW, context.seed)?;
        let (problem, x) = (data.plain()?, (n * PER_ROW) as f64);
        let (_, timing) = timed(context, "Certus", context.threads, &problem, &solver)?;
        fits.push(Point { x, y: timing.wall.median });
        // Of one kind at all sizes.
        let exact = solver.clone().with_hessian(Hessian::Exact);
        let y = context.on_threads(context.threads, || iteration_seconds(&exact, &problem, context.size(7, 3)))??;
        iterations.push(Point { x, y });
    }
    for (work, points) in
        [("one iteration of a sparse fit with the exact Hessian, 100 columns", iterations), ("a sparse fit, 100 columns", fits)]
    {
        let fit = scaling::fit(&points);
        let claimed = if context.quick { None } else { Some(1.1) };
        let (size, cost) = ("non-zeros".into(), "time / s".into());
        experiment.scalings.push(Scaling { work: work.into(), size, cost, points, fit, claimed });
    }
    Ok(())
}

/// Seconds between two events of one phase: the median over so many fits.
fn iteration_seconds(solver: &Solver, problem: &Problem<'_>, fits: usize) -> Result<f64, Error> {
    let mut gaps = Vec::new();
    for _ in 0..fits {
        let mut last: Option<(&'static str, Instant)> = None;
        solver.solve_with(problem, |event: &Event| {
            let now = Instant::now();
            if let Some((phase, before)) = last
                && phase == event.phase
            {
                gaps.push((now - before).as_secs_f64());
            }
            last = Some((event.phase, now));
            ControlFlow::Continue(())
        })?;
    }
    Ok(median(&gaps))
}

/// Which Hessian is fastest where, and whether the automatic choice finds it.
fn crossover(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    const NAMES: [&str; 4] = ["exact", "sampled", "matrix-free", "automatic"];
    let rows_grid = context.size(vec![3_000, 30_000], vec![2_000]);
    let columns_grid = context.size(vec![30, 100, 300], vec![30, 100]);
    let protocol = Protocol { runs: 3, budget: Duration::from_secs(context.size(3, 1)), ..Protocol::default() };
    let mut curves = NAMES.map(|name| Curve { name: name.into(), points: Vec::new() });
    let (mut rows, mut worst) = (Vec::new(), 0.0f64);
    let largest = rows_grid.last().copied();
    for &n in &rows_grid {
        for &d in &columns_grid {
            for density in [0.01, 0.1, 1.0] {
                let per_row = ((density * d as f64).round() as usize).max(1);
                let data = Data::new(n, d, per_row, context.seed)?;
                let problem = data.plain()?;
                let mut row = vec![n.to_string(), d.to_string(), per_row.to_string()];
                let (mut seconds, mut chosen) = ([f64::NAN; 4], String::new());
                for (k, hessian) in [Hessian::Exact, Hessian::Sampled, Hessian::MatrixFree, Hessian::Auto].into_iter().enumerate() {
                    let solver = Solver::default().with_seed(Seed(context.seed)).with_start(Start::Zero).with_hessian(hessian);
                    let work = || protocol.time(NAMES[k], context.threads, || solver.solve(&problem));
                    let (solved, timing) = context.on_threads(context.threads, work)?;
                    let median = timing.wall.median;
                    row.push(match &solved {
                        Ok(solution) if solution.status == Status::Converged => {
                            seconds[k] = median;
                            format!("{median:.4}")
                        }
                        Ok(solution) => format!("{median:.4}, {}", solution.status),
                        Err(error) => error.to_string(),
                    });
                    chosen = solved.map_or_else(|_| "-".into(), |solution| format!("{:?}", solution.facts.hessian_choice));
                }
                let [exact, sampled, matrix_free, automatic] = seconds;
                // A method that did not converge is NaN, and the least of numbers passes over it.
                let ratio = if automatic.is_nan() { f64::INFINITY } else { automatic / exact.min(sampled).min(matrix_free) };
                worst = worst.max(ratio);
                row.extend([chosen, format!("{ratio:.2}")]);
                rows.push(row);
                if density == 1.0 && Some(n) == largest {
                    for (curve, y) in curves.iter_mut().zip(seconds) {
                        curve.points.extend(y.is_finite().then_some(Point { x: d as f64, y }));
                    }
                }
            }
        }
    }
    let columns = ["n", "d", "non-zeros a row", "exact / s", "sampled / s", "matrix-free / s", "automatic / s", "chosen", "over fastest"];
    experiment.tables.push(Table {
        title: "A fit by each kind of Hessian, from x = 0 to the default tolerance".into(),
        columns: columns.map(String::from).to_vec(),
        rows,
    });
    experiment.plots.push(Plot {
        title: "Where a Hessian pays".into(),
        caption: "Time of a fit of the largest dense data against the number of columns, for each kind of Hessian.".into(),
        x: Axis { label: "columns".into(), log: true },
        y: Axis { label: "time / s".into(), log: true },
        curves: curves.into(),
    });
    experiment.claims.push(ClaimLine {
        text: "time with the automatic Hessian over the fastest, at worst".into(),
        expected: "at most 1.3".into(),
        measured: format!("{worst:.2}"),
        outcome: if worst.is_infinite() {
            Outcome::Failed
        } else if context.quick {
            Outcome::Open
        } else if worst <= 1.3 {
            Outcome::Met
        } else {
            Outcome::Missed
        },
    });
    formed_or_applied(context, experiment)
}

/// Many dense columns, where a Gram matrix costs most: the exact Hessian at each step against the automatic choice.
fn formed_or_applied(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((30_000, 1_000), (2_000, 50));
    let data = Data::new(n, d, d, context.seed)?;
    let problem = data.plain()?;
    let solver = Solver::default().with_seed(Seed(context.seed)).with_start(Start::Zero);
    let protocol = Protocol { runs: 3, budget: Duration::from_secs(context.size(20, 1)), ..Protocol::default() };
    let seconds = |hessian: Hessian| {
        let solver = solver.clone().with_hessian(hessian);
        let work = || protocol.time(hessian.name(), context.threads, || solver.solve(&problem));
        context.on_threads(context.threads, work).map(|(_, timing)| timing.wall.median)
    };
    let gain = seconds(Hessian::Exact)? / seconds(Hessian::Auto)?;
    let text = format!("dense {n} x {d}: time with the exact Hessian at each step over the automatic choice");
    goal(&text, gain, 3.0, context.quick, experiment);
    Ok(())
}
