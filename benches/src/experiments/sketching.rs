//! Least squares by sketch-preconditioned LSMR, against NumPy and SciPy; the cost of each sketch against the non-zeros.

use certus_contract::Status;
use certus_linalg::least_squares::{Certify, Method, Problem, Solution, Solver, backward_error};
use certus_linalg::sketch::{SketchKind, TensorSketch};
use certus_linalg::{Matrix, view};
use certus_numeric::seed::unit_interval;
use certus_numeric::{Array, Csr, Seed};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::machine::counted;
use crate::frame::{Context, Entry, Failure};
use crate::peers::{Answer, Call, Exchange};
use crate::results::{
    Agreement, Axis, Certified, ClaimLine, Comparison, Curve, Experiment, Memory, Outcome, Peer, Plot, Point, Promise, Scaling, Table,
    Timing,
};
use crate::{memory, scaling};

pub(super) const SKETCHING: Entry = Entry {
    name: "sketching",
    title: "Least squares by sketching",
    question: "Does a sketch make least squares fast whatever the condition of the data, and can the answer prove itself?",
    run,
};

/// The backward error that everybody must reach.
const TOLERANCE: f64 = 1e-12;
/// The smallest of the singular values that the ill-conditioned data are given, relatively.
const SMALL: f64 = 1e-6;

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    experiment.notes.push(format!(
        "Everybody runs to a backward error of {TOLERANCE:e}, computed for all answers by the same code: the relative change of the matrix \
         under which the answer is exact. SciPy's tolerance is the loosest of 1e-11, 1e-12 and 1e-13 that reaches it; on ill-conditioned data it is {TOLERANCE:e}, \
         and at most 4000 passes."
    ));
    let mut rows = Vec::new();
    for ill in [false, true] {
        dense(context, ill, experiment, &mut rows)?;
    }
    for ill in [false, true] {
        sparse(context, ill, experiment, &mut rows)?;
    }
    experiment.tables.push(Table {
        title: "Answers".into(),
        columns: ["work", "solver", "threads", "passes", "backward error", "wall / s"].map(String::from).to_vec(),
        rows,
    });
    shipped(experiment)?;
    sketch_growth(context, experiment)?;
    tensor_sketch(context, experiment)
}

/// Columns in pairs whose second is the first plus a part of its own, down to `SMALL`: no scaling of columns removes that.
fn own_part(ill: bool, column: usize, columns: usize) -> f64 {
    if ill { SMALL.powf(column as f64 / columns as f64) } else { 1.0 }
}

fn dense_data(n: usize, d: usize, ill: bool, seed: Seed) -> (Array, Vec<f64>) {
    let mut rng = seed.stream("dense data");
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut a = Array::zeros([n, d]);
    let mut b = Vec::with_capacity(n);
    for i in 0..n {
        let row = a.row_mut(i);
        for j in 0..d {
            let own = normal();
            row[j] = if ill && j % 2 == 1 { row[j - 1] + own_part(true, j, d) * own } else { own };
        }
        b.push(row.iter().sum::<f64>() + normal());
    }
    (a, b)
}

/// Five pairs of columns in each row.
fn sparse_data(n: usize, d: usize, ill: bool, seed: Seed) -> Result<(Csr, Vec<f64>), Failure> {
    let mut rng = seed.stream("sparse data");
    let (mut indptr, mut indices, mut values, mut b) = (vec![0], Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let mut pairs = std::array::from_fn::<usize, 5, _>(|_| (unit_interval(rng.next_u64()) * (d / 2) as f64) as usize);
        pairs.sort_unstable();
        let mut total = StandardNormal.sample(&mut rng);
        for (k, pair) in pairs.iter().enumerate() {
            if k > 0 && pairs[k - 1] == *pair {
                continue;
            }
            let (first, own): (f64, f64) = (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
            let second = if ill { first + own_part(true, 2 * pair, d) * own } else { own };
            indices.extend([2 * *pair as u32, 2 * *pair as u32 + 1]);
            values.extend([first, second]);
            total += first + second;
        }
        indptr.push(values.len());
        b.push(total);
    }
    Ok((Csr::new(n, d, indptr, indices, values)?, b))
}

fn condition_word(ill: bool) -> &'static str {
    if ill { "condition 1e6" } else { "well conditioned" }
}

fn dense(context: &Context, ill: bool, experiment: &mut Experiment, rows: &mut Vec<Vec<String>>) -> Result<(), Failure> {
    let (n, d) = context.size((200_000, 200), (10_000, 60));
    let (a, b) = dense_data(n, d, ill, Seed(context.seed));
    let problem = Problem::new(&a, &b)?;
    let work = format!("dense {n} x {d}, {}", condition_word(ill));
    let exchange = Exchange::new()?;
    if context.peers.is_some() {
        exchange.write("a", &a)?;
        exchange.write("b", &Array::vector(b.clone()))?;
    }
    for threads in context.thread_counts().into_iter().rev() {
        let solver = Solver::default().with_method(Method::Sketch).with_seed(Seed(context.seed));
        let name = "Certus, sketch";
        let (solution, ours) = timed(context, name, threads, &problem, &solver)?;
        push_row(rows, &work, &ours, Some(solution.facts.iterations), solution.facts.backward_error);
        for (name, method) in [("Certus, automatic", Method::Auto), ("Certus, QR", Method::Qr)] {
            let (other, timing) = timed(context, name, threads, &problem, &solver.with_method(method))?;
            push_row(rows, &work, &timing, Some(other.facts.iterations), other.facts.backward_error);
        }
        let mut peers = Vec::new();
        if let Some(python) = &context.peers {
            let call = Call::new("NumPy lstsq", "linalg", "lstsq").threads(threads);
            if let Some(answer) = python.run(&call, &exchange, experiment) {
                let x = exchange.read("x")?;
                push_row(rows, &work, &answer.timing(&call), None, backward_error(&problem, x.as_slice()));
                peers.push(peer(&answer, &call, &solution, x.as_slice(), ill));
            }
        }
        if threads == context.threads {
            reached(&work, &solution, experiment);
            if let Some(lstsq) = peers.first() {
                let ratio = lstsq.ratio(&ours);
                goal(&format!("{work}: time of NumPy lstsq over ours"), ratio, 5.0, context.quick, experiment);
            }
            experiment.certificates.push(Certified { answer: work.clone(), certificate: serde_json::to_value(&solution.certificate)? });
            if ill {
                convergence(&problem, &solution, &work, experiment)?;
            }
        }
        experiment.comparisons.push(Comparison { work: format!("{work}, {}", counted(threads)), ours, peers });
    }
    Ok(())
}

fn sparse(context: &Context, ill: bool, experiment: &mut Experiment, rows: &mut Vec<Vec<String>>) -> Result<(), Failure> {
    let (n, d) = context.size((1_000_000, 1000), (50_000, 100));
    let (a, b) = sparse_data(n, d, ill, Seed(context.seed))?;
    let problem = Problem::new(&a, &b)?;
    let work = format!("sparse {n} x {d}, 10 non-zeros a row, {}", condition_word(ill));
    let solver = Solver::default().with_seed(Seed(context.seed));
    let threads = context.threads;
    let (solution, ours) = timed(context, "Certus, automatic", threads, &problem, &solver)?;
    push_row(rows, &work, &ours, Some(solution.facts.iterations), solution.facts.backward_error);
    reached(&work, &solution, experiment);
    experiment.certificates.push(Certified { answer: work.clone(), certificate: serde_json::to_value(&solution.certificate)? });

    let (_, peak) = memory::peak(|| solver.solve(&problem));
    let sketch = (solution.facts.sketch_rows * d) as u64;
    // Beside LSMR's vectors: the sketch and its copies while it is factored, and the private columns of the blocks.
    let claimed = Promise {
        bytes: 8 * (4 * n as u64 + 5 * sketch + 70 * d as u64 + 4 * (d * d) as u64),
        formula: "8 (4 n + 5 s d + 70 d + 4 d^2)".into(),
    };
    experiment.memory.extend(peak.map(|peak_bytes| Memory { work: work.clone(), peak_bytes, claimed: Some(claimed) }));

    let mut peers = Vec::new();
    if let Some(python) = &context.peers {
        let exchange = Exchange::new()?;
        exchange.write("indptr", &Array::vector(a.indptr().iter().map(|&p| p as i64).collect()))?;
        exchange.write("indices", &Array::vector(a.indices().iter().map(|&j| j as i32).collect()))?;
        exchange.write("values", &Array::vector(a.values().to_vec()))?;
        exchange.write("b", &Array::vector(b.clone()))?;
        // Thousands of passes take minutes: where they are needed, one tolerance and so many passes must do.
        for tolerance in if ill { vec![TOLERANCE] } else { vec![1e-11, 1e-12, 1e-13] } {
            let call = Call::new("SciPy lsmr", "linalg", "lsmr").threads(threads).runs(if ill { 1 } else { 3 });
            let call = call.argument("d", d).argument("tolerance", tolerance).argument("iterations", 4000);
            let Some(answer) = python.run(&call, &exchange, experiment) else { break };
            let x = exchange.read("x")?;
            let error = backward_error(&problem, x.as_slice());
            if error <= TOLERANCE || tolerance == TOLERANCE / 10.0 || ill {
                let mut timing = answer.timing(&call);
                timing.note = format!("atol = btol = {tolerance:e}, {} passes", answer.metric("passes"));
                push_row(rows, &work, &timing, Some(answer.metric("passes") as usize), error);
                let mut peer = peer(&answer, &call, &solution, x.as_slice(), ill);
                if error > TOLERANCE {
                    timing.note += ", and its backward error is still above ours: answers that cannot agree yet";
                    peer.agreement = None;
                }
                peer.timing = timing;
                goal(
                    &format!("{work}: time of SciPy lsmr over ours"),
                    peer.ratio(&ours),
                    if ill { 3.0 } else { 1.0 },
                    context.quick,
                    experiment,
                );
                peers.push(peer);
                break;
            }
        }
    }
    if ill {
        convergence(&problem, &solution, &work, experiment)?;
    }
    experiment.comparisons.push(Comparison { work: format!("{work}, {}", counted(threads)), ours, peers });
    Ok(())
}

fn timed(context: &Context, name: &str, threads: usize, problem: &Problem<'_>, solver: &Solver) -> Result<(Solution, Timing), Failure> {
    let (solution, timing) = context.on_threads(threads, || context.protocol().time(name, threads, || solver.solve(problem)))?;
    Ok((solution?, timing))
}

fn push_row(rows: &mut Vec<Vec<String>>, work: &str, timing: &Timing, passes: Option<usize>, backward: f64) {
    rows.push(vec![
        work.into(),
        timing.name.clone(),
        timing.threads.to_string(),
        passes.map_or_else(|| "-".into(), |p| p.to_string()),
        format!("{backward:.1e}"),
        format!("{:.4}", timing.wall.median),
    ]);
}

/// Answers of equal backward error differ by at most a multiple of it times the squared condition.
fn peer(answer: &Answer, call: &Call<'_>, ours: &Solution, theirs: &[f64], ill: bool) -> Peer {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut theirs.iter().zip(&ours.x).map(|(t, o)| t - o)) / norm(&mut ours.x.iter().copied());
    let tolerance = if ill { 1e-3 } else { 1e-9 };
    let agreement = Agreement { quantity: "relative difference of x".into(), difference, tolerance };
    Peer { timing: answer.timing(call), agreement: Some(agreement) }
}

fn reached(work: &str, solution: &Solution, experiment: &mut Experiment) {
    let good = solution.status == Status::Converged && solution.facts.backward_error <= TOLERANCE;
    experiment.claims.push(ClaimLine {
        text: format!("{work}: backward error"),
        expected: format!("at most {TOLERANCE:e}"),
        measured: format!("{:.1e}", solution.facts.backward_error),
        outcome: if good { Outcome::Met } else { Outcome::Failed },
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
    experiment.claims.push(ClaimLine {
        text: text.into(),
        expected: format!("at least {at_least}"),
        measured: format!("{ratio:.1}"),
        outcome,
    });
}

fn convergence(problem: &Problem<'_>, solution: &Solution, work: &str, experiment: &mut Experiment) -> Result<(), Failure> {
    let curve = |name: &str, trace: &[f64]| {
        let first = trace.first().copied().unwrap_or(1.0);
        let points = trace.iter().enumerate().map(|(k, g)| Point { x: k as f64, y: (g / first).max(1e-18) }).collect();
        Curve { name: name.into(), points }
    };
    let plain = Solver { max_iterations: 300, ..Solver::default().with_method(Method::Lsmr) }.solve(problem)?;
    let sketched = Solver::default().with_method(Method::Sketch).solve(problem)?;
    let mut curves = vec![curve("LSMR with columns scaled", &plain.trace), curve("LSMR under a sketch", &sketched.trace)];
    if solution.trace.len() > 1 && solution.trace != sketched.trace {
        curves.push(curve("automatic", &solution.trace));
    }
    experiment.plots.push(Plot {
        title: format!("Convergence: {work}"),
        caption: "The preconditioned gradient, relative to its start, after each pass over the matrix.".into(),
        x: Axis { label: "passes".into(), log: false },
        y: Axis { label: "relative gradient".into(), log: true },
        curves,
    });
    Ok(())
}

/// The data that every user has: they come with the repository.
fn shipped(experiment: &mut Experiment) -> Result<(), Failure> {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    for name in ["diabetes", "digits"] {
        let archive = data.join(name).with_extension("npz");
        let a = certus_io::read_array(certus_io::Source::named(&archive, "x"))?;
        let b = certus_io::read_vector(certus_io::Source::named(&archive, "y"))?;
        let solution = Solver::default().with_certify(Certify::Full).solve(&Problem::new(&a, &b)?)?;
        reached(name, &solution, experiment);
        experiment.certificates.push(Certified { answer: name.into(), certificate: serde_json::to_value(&solution.certificate)? });
    }
    Ok(())
}

/// Time of each sketch against the stored entries.
fn sketch_growth(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let rows = 1000;
    let sizes = context.size(vec![30_000, 100_000, 300_000, 1_000_000], vec![5_000, 10_000, 20_000]);
    for kind in SketchKind::ALL {
        let mut points = Vec::new();
        for &n in &sizes {
            // The dense sketches do s or log n times the work an entry, so that they run on fewer.
            let n = if matches!(kind, SketchKind::Gaussian) { n / 10 } else { n };
            let (a, _) = sparse_data(n, 100, false, Seed(context.seed))?;
            let sketch = kind.build(rows, n, Seed(context.seed))?;
            let (_, timing) = context.on_threads(context.threads, || {
                context.protocol().time(kind.to_string(), context.threads, || sketch.apply(Matrix::from(&a)))
            })?;
            points.push(Point { x: a.nnz() as f64, y: timing.wall.median });
        }
        let fit = scaling::fit(&points);
        let claimed = if context.quick { None } else { Some(1.1) };
        let (work, size, cost) = (format!("{kind} of a sparse matrix, {rows} rows"), "non-zeros".into(), "time / s".into());
        experiment.scalings.push(Scaling { work, size, cost, points, fit, claimed });
    }
    Ok(())
}

/// A Kronecker product of two tall factors, sketched without its rows.
fn tensor_sketch(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d, s) = context.size((10_000, 30, 4096), (2000, 12, 512));
    let factor = |name: &str| {
        let mut rng = Seed(context.seed).stream(name);
        Array::from_fn(n, d, |_, _| StandardNormal.sample(&mut rng))
    };
    let (a, b) = (factor("left"), factor("right"));
    let sketch = TensorSketch::new(s, &[n, n], Seed(context.seed))?;
    let factors = [Matrix::from(&a), Matrix::from(&b)];
    let (result, peak) = memory::peak(|| sketch.apply_kronecker(&factors));
    let result = result?;
    let work = format!("TensorSketch ({s} rows) of a Kronecker product of two {n} x {d} factors");
    let claimed = Promise { bytes: 8 * (3 * s * d * d + 40 * s * d) as u64, formula: "8 (3 s d^2 + 40 s d)".into() };
    let formed = 8.0 * (n * n) as f64 * (d * d) as f64;
    experiment.memory.extend(peak.map(|peak_bytes| Memory { work: work.clone(), peak_bytes, claimed: Some(claimed) }));
    let (_, timing) = context
        .on_threads(context.threads, || context.protocol().time("TensorSketch", context.threads, || sketch.apply_kronecker(&factors)))?;

    // The sketch keeps the Gram matrix, which the factors give exactly.
    let (ga, gb) = certus_linalg::kron::Kron::new(view::view(&a), view::view(&b)).gram();
    let exact = certus_linalg::kron::Kron::new(ga.as_ref(), gb.as_ref()).formed();
    let sketched = certus_linalg::product::gram(view::view(&result));
    let scale = |m: &certus_linalg::Mat<f64>| m.col_iter().flat_map(|c| c.iter().map(|v| v * v).collect::<Vec<_>>()).sum::<f64>().sqrt();
    let error = scale(&(&sketched - &exact)) / scale(&exact);
    // Twice the root of the second moment: sqrt((2 + 3^2) d^4 / s) over |I|_F = d, by Chebyshev exceeded once in four draws at most.
    let limit = 2.0 * (11.0 * (d * d) as f64 / s as f64).sqrt();
    experiment.claims.push(ClaimLine {
        text: format!("{work}: relative error of its Gram matrix"),
        expected: format!("at most {limit:.2}"),
        measured: format!("{error:.3}"),
        outcome: if error <= limit { Outcome::Met } else { Outcome::Failed },
    });
    experiment.notes.push(format!("{work}: {:.3} s; the product itself would take {:.1e} bytes.", timing.wall.median, formed));
    Ok(())
}
