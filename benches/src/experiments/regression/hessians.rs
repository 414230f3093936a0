//! How the time grows with the non-zeros, and which Hessian pays where.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use certus_contract::{Event, Status};
use certus_numeric::Seed;
use certus_regression::{Error, Hessian, Problem, Solver, Start};

use super::data::Data;
use super::{PER_ROW, goal, timed};
use crate::frame::{Context, Failure};
use crate::measure::{Protocol, median};
use crate::results::{Axis, ClaimLine, Curve, Experiment, Outcome, Plot, Point, Scaling, Table};
use crate::scaling;

/// Time of one iteration and of a whole fit against the stored entries.
pub(super) fn growth(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
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
pub(super) fn crossover(context: &Context, experiment: &mut Experiment) -> Result<(), Failure> {
    const NAMES: [&str; 4] = ["exact", "sampled", "matrix-free", "automatic"];
    let rows_grid = context.size(vec![3_000, 30_000], vec![2_000]);
    let columns_grid = context.size(vec![30, 100, 300], vec![30, 100]);
    // Short fits, compared with each other: many runs of them.
    let protocol = Protocol { runs: 15, budget: Duration::from_secs(context.size(3, 1)), ..Protocol::default() };
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
                    chosen = solved.map_or_else(|_| "-".into(), |solution| solution.facts.hessian_choice.name().into());
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
