//! Fits of a real head whose projections were rounded: iterations, time, the certificate and its price, the course of the loss.

use certus_attention::layer::{Params, Problem, Solution, Solver};
use certus_attention::{Certify, Method};
use certus_contract::Verdict;

use crate::experiments::attention::{Best, Layer, NEAR, Race, Rival, TARGET, norm, normal, push_row, sum, within};
use crate::frame::{Context, Failure};
use crate::peers::Exchange;
use crate::results::{Axis, Certified, ClaimLine, Curve, Experiment, Outcome, Plot, Point};

const RIVALS: &[Rival] = &[
    ("SciPy L-BFGS-B on JAX", "lbfgsb", 20.0),
    ("optax L-BFGS", "optax_lbfgs", 20.0),
    ("jaxopt L-BFGS", "jaxopt_lbfgs", 20.0),
    ("SciPy trust-krylov on JAX", "trust_krylov", 10.0),
];
const WORK: &str = "real head, 63 tokens, 2048 unknowns";
/// Standard deviation of what is added to each entry of X for a point where nothing is certain.
const PERTURBATION: f64 = 1e-4;

fn gradient(problem: &Problem<'_>, at: &Params) -> Result<(f64, f64), Failure> {
    let found = problem.evaluate(at)?;
    Ok((found.loss, norm(&[&found.gradient.x, &found.gradient.y])))
}

fn claim(text: &str, expected: String, measured: String, outcome: Outcome, experiment: &mut Experiment) {
    experiment.claims.push(ClaimLine { text: format!("{WORK}: {text}"), expected, measured, outcome });
}

fn met(condition: bool, otherwise: Outcome) -> Outcome {
    if condition { Outcome::Met } else { otherwise }
}

pub(super) fn run(context: &Context, rows: &mut Vec<Vec<String>>, experiment: &mut Experiment) -> Result<(), Failure> {
    let layer = Layer::real()?;
    let problem = layer.problem()?;
    let (_, first) = gradient(&problem, &layer.reference)?;
    // The solver's tolerance is relative to 1 where the gradient at the start is less.
    let solver = Solver::default().with_gradient_tolerance(TARGET * first.min(1.0));
    let exchange = Exchange::new()?;
    layer.write(&exchange)?;
    let methods = context.size(vec![Method::DenseNewton, Method::Krylov, Method::Auto], vec![Method::Auto]);
    let mut times = Best::new();
    for &threads in context.thread_counts().iter().rev() {
        let protocol = context.protocol();
        for &method in &methods {
            let solver = solver.clone().with_method(method);
            let name = if method == Method::Auto { "Certus".into() } else { format!("Certus, {}", method.name()) };
            let (solution, mut ours) = context.on_threads(threads, || protocol.time(name, threads, || solver.solve(&problem)))?;
            let solution = solution?;
            ours.note = if method == Method::Auto { format!("chose {}", solution.facts.method.name()) } else { String::new() };
            let relative = gradient(&problem, &solution.params)?.1 / first;
            push_row(rows, WORK, &ours, solution.facts.iterations as f64, solution.loss, relative);
            if method != Method::Auto {
                continue;
            }
            if threads == context.threads {
                judge_fit(&solution, relative, layer.best, experiment);
                certify(context, &layer, &problem, &solution, ours.wall.median, rows, experiment)?;
            }
            let judge = |exchange: &Exchange| {
                let at = Params { x: exchange.read("x")?, y: exchange.read("y")? };
                Ok(gradient(&problem, &at)?.0)
            };
            let (arguments, loss, known) = (layer.arguments(), solution.loss, layer.best);
            let race = Race { work: WORK, threads, exchange: &exchange, arguments, ours, loss, known, judge: &judge };
            race.run(context, RIVALS, &mut times, rows, experiment)?;
        }
    }
    times.claims(WORK, context.quick, experiment);
    course(context, &layer, &problem, &solver, experiment)
}

fn judge_fit(solution: &Solution, relative: f64, best: f64, experiment: &mut Experiment) {
    let text = "gradient relative to that at the start";
    let measured = format!("{relative:.1e}, {}", solution.status);
    claim(text, format!("at most {TARGET:.0e}"), measured, met(relative <= TARGET, Outcome::Missed), experiment);
    let iterations = solution.facts.iterations;
    claim("iterations", "at most 10".into(), iterations.to_string(), met(iterations <= 10, Outcome::Missed), experiment);
    let above = (solution.loss / best - 1.0).max(0.0);
    within(&format!("{WORK}: loss above that of the reference minimiser"), above, NEAR, experiment);
}

/// The certificate at the answer and near it, and its price.
fn certify(
    context: &Context,
    layer: &Layer,
    problem: &Problem<'_>,
    solution: &Solution,
    fit_seconds: f64,
    rows: &mut Vec<Vec<String>>,
    experiment: &mut Experiment,
) -> Result<(), Failure> {
    let d = layer.reference.x.rows();
    let x = sum(&solution.params.x, &normal(d, d, PERTURBATION, context.seed, "perturbation"));
    let beside = problem.certify(&Params { x, y: solution.params.y.clone() }, Certify::Cheap)?;
    let full = problem.certify(&solution.params, Certify::Full)?;
    for (answer, found, expected) in [("the fit", &full, Verdict::Holds), ("the fit, X perturbed", &beside, Verdict::NotApplicable)] {
        let (verdict, h) = (found.certificate.verdict(), found.facts.kantorovich.and_then(|k| k.h).unwrap_or(f64::NAN));
        let text = format!("certificate of {answer}");
        let measured = format!("{verdict:?}, h = {h:.1e}");
        claim(&text, format!("{expected:?}"), measured, met(verdict == expected, Outcome::Missed), experiment);
        let certificate = serde_json::to_value(&found.certificate)?;
        experiment.certificates.push(Certified { answer: format!("{WORK}: {answer}"), certificate });
    }
    let work =
        || context.protocol().time("Certus, the certificate alone", context.threads, || problem.certify(&solution.params, Certify::Cheap));
    let (_, timing) = context.on_threads(context.threads, work)?;
    push_row(rows, WORK, &timing, f64::NAN, solution.loss, f64::NAN);
    let share = timing.wall.median / fit_seconds;
    let outcome = if context.quick { Outcome::Open } else { met(share < 0.2, Outcome::Missed) };
    claim("time of the certificate in that of the fit", "less than 20 %".into(), format!("{:.1} %", 100.0 * share), outcome, experiment);
    Ok(())
}

/// The loss against the iterations.
fn course(context: &Context, layer: &Layer, problem: &Problem<'_>, solver: &Solver, experiment: &mut Experiment) -> Result<(), Failure> {
    let newton = solver.clone().with_gradient_tolerance(1e-12).solve(problem)?;
    let steps = context.size(1000, 100);
    let lbfgs = solver.clone().with_method(Method::Lbfgs).with_max_iterations(steps).solve(problem)?;
    let best = newton.loss.min(layer.best);
    let curve = |name: &str, trace: &[f64]| {
        let above = trace.iter().enumerate().map(|(k, loss)| Point { x: (k + 1) as f64, y: loss / best - 1.0 });
        Curve { name: name.into(), points: above.filter(|point| point.y > 1e-14).collect() }
    };
    experiment.plots.push(Plot {
        title: "Newton's method and L-BFGS on a real head".into(),
        caption: "How far the loss is above the best known, relatively, at the start and after each iteration. Newton's method falls to \
                  rounding within about ten iterations; L-BFGS with twenty pairs is a few per cent above after a hundred."
            .into(),
        x: Axis { label: "iteration + 1".into(), log: true },
        y: Axis { label: "loss / best - 1".into(), log: true },
        curves: vec![curve("Newton", &newton.trace), curve("L-BFGS", &lbfgs.trace)],
    });
    Ok(())
}
