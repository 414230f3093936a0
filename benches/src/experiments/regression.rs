//! Exponential regression against what Python users run, all to one size of the gradient; growth, memory, and the choice of the
//! Hessian.

mod data;
mod hessians;

use certus_contract::Status;
use certus_numeric::{Array, Seed};
use certus_regression::{Error, Form, Link, Problem, Solution, Solver, Start};
use serde_json::Value;

use self::data::{Data, Design, noisy};
use crate::frame::{Context, Entry, Failure};
use crate::memory;
use crate::peers::{Answer, Call, Exchange};
use crate::results::{Agreement, Certified, ClaimLine, Comparison, Experiment, Memory, Outcome, Peer, Promise, Spread, Table, Timing};

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
    hessians::growth(context, experiment)?;
    hessians::crossover(context, experiment)
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

pub(super) fn goal(text: &str, ratio: f64, at_least: f64, quick: bool, experiment: &mut Experiment) {
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
pub(super) fn distance(theirs: &[f64], ours: &[f64]) -> f64 {
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
                goal(
                    &format!("{}, {} threads: time of {name} over ours", contest.work, contest.threads),
                    peer.ratio(ours),
                    at_least,
                    context.quick,
                    experiment,
                );
            }
        }
        peers.push(peer);
    }
    if !disagreement.is_nan() {
        experiment.claims.push(ClaimLine {
            text: format!("{}, {} threads: our loss at their answers against NumPy's, relatively", contest.work, contest.threads),
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
