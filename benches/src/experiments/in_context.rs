//! Fits of X to a given attention matrix, normalised and rescaled: time against L-BFGS-B on JAX, starts, derivatives.

use certus_attention::map::{Form, Problem, Sequence, Solver};
use certus_io::Npz;
use certus_numeric::Array;
use certus_numeric::softmax::softmax_row;
use serde_json::Value;

use super::attention::{Best, COLUMNS, Kernel, NEAR, Race, Rival, TARGET, archive, norm, normal, push_row, short_runs, sum};
use crate::frame::{Context, Entry, Failure};
use crate::peers::Exchange;
use crate::results::{Certified, ClaimLine, Experiment, Outcome, Table};

pub(super) const IN_CONTEXT: Entry = Entry {
    name: "in_context",
    title: "Fitting an attention matrix",
    question: "Is X fitted to a given attention matrix faster than by L-BFGS-B on JAX, and does the convex start help?",
    run,
};

const HARBOUR: &[u8] = include_bytes!("../../../crates/attention/tests/cases/real/harbour_L3.npz");
/// Bits to which queries and keys are rounded.
const BITS: i32 = 3;
const FORMS: [Form; 2] = [Form::Normalised, Form::Rescaled];
const RIVALS: &[Rival] = &[("SciPy L-BFGS-B on JAX", "lbfgsb", 5.0)];
/// Fits whose starts are compared.
const INSTANCES: u64 = 10;

/// Queries, keys, and the attention that they should have.
struct Data {
    name: String,
    a1: Array,
    a2: Array,
    b: Array,
    scale: f64,
    logit_reg: f64,
    reference: Array,
}

impl Data {
    /// Head 0 of a sentence encoder, its queries and keys rounded; the target is its own attention.
    fn real() -> Result<Data, Failure> {
        let mut file = archive("harbour_L3.npz", HARBOUR)?;
        let (a1, a2) = (rounded(&first(&mut file, "q")?), rounded(&first(&mut file, "k")?));
        let (b, d) = (first(&mut file, "probs")?, a1.cols());
        let name = format!("real head rounded to {BITS} bits, {} tokens", a1.rows());
        Ok(Data { name, a1, a2, b, scale: 1.0 / (d as f64).sqrt(), logit_reg: 1e-3, reference: Array::identity(d) })
    }

    /// Normal inputs; the target is the attention of some X, its logits disturbed.
    fn synthetic(n: usize, d: usize, seed: u64) -> Data {
        let (a1, a2) = (normal(n, d, 1.0, seed, "queries"), normal(n, d, 1.0, seed, "keys"));
        let x = normal(d, d, 1.0 / (d as f64).sqrt(), seed, "x");
        let scale = 1.0 / (d as f64).sqrt();
        let half = Array::from_fn(n, d, |i, k| (0..d).map(|j| a1.row(i)[j] * x.row(j)[k]).sum::<f64>());
        let logits = Array::from_fn(n, n, |i, k| scale * half.row(i).iter().zip(a2.row(k)).map(|(q, k)| q * k).sum::<f64>());
        let mut b = sum(&logits, &normal(n, n, 0.5, seed, "disturbance"));
        for i in 0..n {
            softmax_row(b.row_mut(i));
        }
        Data { name: format!("synthetic, n = m = {n}, d = {d}"), a1, a2, b, scale, logit_reg: 1e-3, reference: Array::zeros(vec![d, d]) }
    }

    fn problem(&self, form: Form) -> Result<Problem<'_>, Failure> {
        let problem = Problem::new(vec![Sequence::new(&self.a1, &self.a2, &self.b)], form)?.with_scale(self.scale)?;
        Ok(problem.with_logit_reg(self.logit_reg)?.with_reference(&self.reference)?)
    }

    fn write(&self, exchange: &Exchange) -> Result<(), Failure> {
        for (name, array) in [("a1", &self.a1), ("a2", &self.a2), ("b", &self.b), ("x", &self.reference)] {
            exchange.write(name, array)?;
        }
        Ok(())
    }

    fn arguments(&self, form: Form) -> Vec<(&'static str, Value)> {
        vec![("form", form.name().into()), ("tau", self.scale.into()), ("lx", self.logit_reg.into())]
    }
}

/// Head 0 of an array of heads.
fn first(file: &mut Npz, name: &str) -> Result<Array, Failure> {
    let heads = file.array::<f64>(name)?;
    let [_, rows, cols] = *heads.shape() else { return Err(format!("{name} has no heads").into()) };
    Ok(Array::matrix(rows, cols, heads.as_slice()[..rows * cols].to_vec())?)
}

/// To so many bits, the sign among them, in steps of one size.
fn rounded(a: &Array) -> Array {
    let largest = a.as_slice().iter().fold(0.0f64, |l, v| l.max(v.abs()));
    let step = largest / f64::from((1 << (BITS - 1)) - 1);
    a.map(|v| step * (v / step).round())
}

/// The gradient to reach in the rescaled form, relative to that at the start.
const RESCALED: f64 = 1e-9;

/// Loss and norm of the gradient.
fn measured(problem: &Problem<'_>, x: &Array) -> Result<(f64, f64), Failure> {
    let found = problem.evaluate(x)?;
    Ok((found.loss.to_f64().unwrap_or(f64::INFINITY), norm(&[&found.gradient]) * found.log_scale.exp()))
}

fn run(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    experiment.notes.push(format!(
        "Everybody starts at the reference of the regulariser (the identity on the real head, zero on the synthetic one). Ours ends at a \
         gradient of {TARGET:e} (rescaled: {RESCALED:e}) of that at the start, and its time includes the certificate; peers end at its loss and a part of {NEAR:e} of \
         it. Compilation is not counted."
    ));
    let mut rows = Vec::new();
    let (n, d) = context.size((256, 32), (48, 8));
    for data in [Data::real()?, Data::synthetic(n, d, context.seed)] {
        for form in FORMS {
            fit(context, &data, form, &mut rows, experiment)?;
        }
    }
    experiment.tables.push(Table { title: "Fits".into(), columns: COLUMNS.map(String::from).to_vec(), rows });
    starts(context, experiment)?;
    derivatives(context, experiment)
}

fn fit(context: &Context, data: &Data, form: Form, rows: &mut Vec<Vec<String>>, experiment: &mut Experiment) -> Result<(), Failure> {
    let problem = data.problem(form)?;
    let (_, at_start) = measured(&problem, &data.reference)?;
    // The weights of the rescaled form's rows differ by orders: a gradient of the usual size is not yet near the least loss.
    let tolerance = if form == Form::Rescaled { RESCALED } else { TARGET };
    let solver = Solver::default().with_gradient_tolerance(tolerance * at_start.min(1.0));
    let work = format!("{}, {}", data.name, form.name());
    let exchange = Exchange::new()?;
    data.write(&exchange)?;
    let mut best = Best::new();
    for &threads in context.thread_counts().iter().rev() {
        let work_of_ours = || context.protocol().time("Certus", threads, || solver.solve(&problem));
        let (solution, mut ours) = context.on_threads(threads, work_of_ours)?;
        let solution = solution?;
        ours.note = format!("chose {}", solution.facts.method.name());
        let (loss, gradient) = measured(&problem, &solution.x)?;
        let relative = gradient / at_start;
        push_row(rows, &work, &ours, solution.facts.iterations as f64, loss, relative);
        if threads == context.threads {
            experiment.claims.push(ClaimLine {
                text: format!("{work}: gradient relative to that at the start"),
                expected: format!("at most {TARGET:.0e}"),
                measured: format!("{relative:.1e}, {}", solution.status),
                outcome: if relative <= TARGET { Outcome::Met } else { Outcome::Missed },
            });
            experiment.certificates.push(Certified { answer: work.clone(), certificate: serde_json::to_value(&solution.certificate)? });
        }
        let judge = |exchange: &Exchange| Ok(measured(&problem, &exchange.read("x")?)?.0);
        let arguments = data.arguments(form);
        let race = Race { work: &work, threads, exchange: &exchange, arguments, ours, loss, known: f64::INFINITY, judge: &judge };
        race.run(context, RIVALS, &mut best, rows, experiment)?;
    }
    best.claims(&work, context.quick, experiment);
    Ok(())
}

/// The normalised form from zero, and from the minimiser of the cross-entropy.
fn starts(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((128, 16), (32, 6));
    let instances = context.size(INSTANCES, 3);
    let synthetic = (0..instances).map(|k| Data::synthetic(n, d, context.seed + k));
    let (mut rows, mut worse, mut saved) = (Vec::new(), 0, Vec::new());
    for (k, data) in [Data::real()?].into_iter().chain(synthetic).enumerate() {
        let problem = data.problem(Form::Normalised)?;
        let zero = Array::zeros(vec![data.reference.rows(), data.reference.cols()]);
        let solver = Solver::default().with_start(zero).with_gradient_tolerance(TARGET);
        let of_start = |solver: &Solver, problem: &Problem<'_>| -> Result<(f64, usize, f64), Failure> {
            let work = || context.protocol().time("Certus", context.threads, || solver.solve(problem));
            let (solution, timing) = context.on_threads(context.threads, work)?;
            let solution = solution?;
            Ok((solution.loss.to_f64().unwrap_or(f64::INFINITY), solution.facts.iterations, 1e3 * timing.wall.median))
        };
        let (from_zero, plain, zero_ms) = of_start(&solver, &problem)?;
        let (from_convex, warm, convex_ms) = of_start(&solver.clone().with_convex_start(), &problem)?;
        let (_, before, _) = of_start(&solver, &data.problem(Form::CrossEntropy)?)?;
        worse += usize::from(from_convex > from_zero * (1.0 + NEAR));
        saved.push(1.0 - warm as f64 / plain as f64);
        let name = if k == 0 { data.name } else { format!("{}, {k}", data.name) };
        let loss = |loss: f64| format!("{loss:.8e}");
        let mut row = vec![name, loss(from_zero), plain.to_string(), format!("{zero_ms:.2}"), loss(from_convex), warm.to_string()];
        row.extend([before.to_string(), format!("{convex_ms:.2}")]);
        rows.push(row);
    }
    let columns = [
        "problem",
        "loss from zero",
        "iterations",
        "time / ms",
        "loss from the convex start",
        "iterations",
        "those before, of the cross-entropy",
        "time of both / ms",
    ];
    experiment.tables.push(Table {
        title: "The normalised form from zero and from the minimiser of the cross-entropy".into(),
        columns: columns.map(String::from).to_vec(),
        rows,
    });
    let outcome = |met: bool| {
        if context.quick {
            Outcome::Open
        } else if met {
            Outcome::Met
        } else {
            Outcome::Missed
        }
    };
    experiment.claims.push(ClaimLine {
        text: "fits that the convex start leaves at a higher loss than zero does".into(),
        expected: "0".into(),
        measured: format!("{worse} of {}", saved.len()),
        outcome: outcome(worse == 0),
    });
    let saved = crate::measure::median(&saved);
    experiment.claims.push(ClaimLine {
        text: "iterations of the normalised form that the convex start saves, the median".into(),
        expected: "at least 25 %".into(),
        measured: format!("{:.0} %", 100.0 * saved),
        outcome: outcome(saved >= 0.25),
    });
    Ok(())
}

fn derivatives(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    let (n, d) = context.size((1024, 64), (96, 8));
    let data = Data { logit_reg: 0.0, reference: normal(d, d, 0.1, context.seed, "point"), ..Data::synthetic(n, d, context.seed) };
    let direction = normal(d, d, 1.0, context.seed, "dx");
    let exchange = Exchange::new()?;
    data.write(&exchange)?;
    exchange.write("dx", &direction)?;
    let protocol = short_runs(context);
    for form in FORMS {
        let (problem, at) = (data.problem(form)?, &data.reference);
        for threads in context.thread_counts() {
            let kernel = |work: &str, ours, answer: &Array| {
                let work = format!("{}, {work}, n = m = {n}, d = {d}", form.name());
                let (arguments, expected) = (data.arguments(form), vec![("x", answer.as_slice().to_vec())]);
                Kernel { work, threads, exchange: &exchange, arguments, ours, expected, part: 1.0 }
            };
            let (found, ours) = context.on_threads(threads, || protocol.time("Certus", threads, || problem.evaluate(at)))?;
            let found = found?;
            kernel("loss and gradient", ours, &found.gradient).run(context, &[("JAX value_and_grad", "gradient", 1.5)], experiment)?;
            let whole = || protocol.time("Certus", threads, || problem.linearise(at).and_then(|found| found.hessian_times(&direction)));
            let (product, ours) = context.on_threads(threads, whole)?;
            kernel("product with the Hessian", ours, &product?).run(context, &[("JAX jvp of grad", "product", 1.5)], experiment)?;
            let found = problem.linearise(at)?;
            let next = || protocol.time("Certus", threads, || found.hessian_times(&direction));
            let (product, ours) = context.on_threads(threads, next)?;
            let list = [("JAX linearize of grad", "next_product", 1.5)];
            kernel("one more product with the Hessian", ours, &product?).run(context, &list, experiment)?;
        }
    }
    Ok(())
}
