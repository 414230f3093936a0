//! A transformer's head is stored in three bits. How much of its output can be had back, and how soon?
//!
//! The weights of one real head (layer 3, head 0 of all-MiniLM-L6-v2) were rounded column by column; its queries, keys and values are known
//! on 63 tokens, before and after. X goes between the rounded queries and keys, Y behind the rounded values; both are fitted to what the
//! head gave before, by Newton's method and, to compare, by L-BFGS, and tried on another text. The losses go into `recover_head.svg`, in the
//! folder that is the first argument (by default this one).
//!
//! ```sh
//! cargo run --release -p certus-attention --example recover_head
//! ```
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "an example prints what it finds, and writes a plot")]

use std::error::Error;
use std::path::PathBuf;

use certus_attention::Method;
use certus_attention::layer::{Params, Problem, Sequence, Solver};
use certus_attention::recover::{Projections, Recovery, output};
use certus_attention::{Certify, Mask};
use certus_io::{Npz, Source};
use certus_numeric::Array;
use plotters::prelude::*;

/// The weights of the regularisers.
const PULL: f64 = 1.0;
/// Steps that L-BFGS may take.
const STEPS: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let mut head = Npz::open(Source::memory("head.npz", include_bytes!("../../../data/head.npz").as_slice()))?;
    let mut projections = |prefix: &str, suffix: &str| -> Result<[Array; 3], Box<dyn Error>> {
        let mut read = |name: &str| head.array::<f64>(&format!("{prefix}{name}{suffix}"));
        Ok([read("q")?, read("k")?, read("v")?])
    };
    let (seen, unseen) = (projections("", "")?, projections("unseen_", "")?);
    let scale = 1.0 / (seen[0].cols() as f64).sqrt();
    let (target, other_target) = (output(&of(&seen), scale, Mask::None)?, output(&of(&unseen), scale, Mask::None)?);

    println!("Squared error of the output over the squared output:");
    println!("bits  text   as rounded  Y fitted  X and Y fitted");
    for bits in ["_3bit", "_4bit"] {
        let (rounded, [q, k, v]) = (projections("", bits)?, projections("unseen_", bits)?);
        // 63 tokens alone do not tell what 2048 numbers should be: the pull towards the identity is strong.
        let recovery = Recovery { logit_reg_x: PULL, logit_reg_y: PULL, ..Recovery::default() };
        let found = recovery.recover(&of(&seen), &of(&rounded))?;
        let errors = found.errors;
        println!("{}     seen  {:11.4}  {:8.4}  {:14.4}", &bits[1..2], errors.rounded, errors.values_only, errors.fitted);
        let other = Problem::new(vec![Sequence::new(&q, &k, &v, &other_target)])?.with_scale(scale)?;
        let size = other_target.as_slice().iter().map(|v| v * v).sum::<f64>();
        let error = |params: &Params| other.data_loss(params).map(|loss| loss / size);
        let values = Solver::default().fit_values(&problem(&rounded, &target, scale)?)?;
        let [as_rounded, values, fitted] = [&identity(&rounded), &values.params, &found.solution.params].map(error);
        println!("      other {:11.4}  {:8.4}  {:14.4}", as_rounded?, values?, fitted?);
    }

    let rounded = projections("", "_3bit")?;
    let problem = problem(&rounded, &target, scale)?;
    let newton = Solver::default().with_certify(Certify::Full).solve(&problem)?;
    let lbfgs = Solver::default().with_method(Method::Lbfgs).with_max_iterations(STEPS).solve(&problem)?;
    println!(
        "\nNewton: loss {:.6} after {} steps. L-BFGS: {:.6} after {} steps.\n\n{}",
        newton.loss, newton.facts.iterations, lbfgs.loss, lbfgs.facts.iterations, newton.certificate
    );
    let path = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from).join("recover_head.svg");
    plot(&path, newton.loss, &[("Newton", newton.trace), ("L-BFGS", lbfgs.trace)])?;
    println!("The losses by step: {}", path.display());
    Ok(())
}

fn of([q, k, v]: &[Array; 3]) -> Projections<'_> {
    Projections { q, k, v }
}

fn identity([q, _, v]: &[Array; 3]) -> Params {
    Params { x: Array::identity(q.cols()), y: Array::identity(v.cols()) }
}

/// The rounded head against the outputs of the original, pulled towards the identity.
fn problem<'a>(rounded: &'a [Array; 3], target: &'a Array, scale: f64) -> Result<Problem<'a>, certus_attention::Error> {
    let [q, k, v] = rounded;
    let problem = Problem::new(vec![Sequence::new(q, k, v, target)])?.with_scale(scale)?.with_logit_reg(PULL, PULL)?;
    problem.with_reference(&identity(rounded))
}

/// The loss above the best one against the step, both on logarithmic scales.
fn plot(path: &std::path::Path, best: f64, runs: &[(&str, Vec<f64>)]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let highest = runs.iter().flat_map(|(_, trace)| trace).fold(best, |a, b| a.max(*b));
    let mut chart = ChartBuilder::on(&root)
        .caption("Loss above the minimum, by step", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d((1f64..STEPS as f64).log_scale(), (1e-9 * highest..2.0 * highest).log_scale())?;
    chart.configure_mesh().x_desc("step").y_label_formatter(&|y| format!("{y:.0e}")).draw()?;
    for ((name, trace), colour) in runs.iter().zip([RGBColor(31, 119, 180), RGBColor(214, 96, 39)]) {
        let points = trace.iter().enumerate().map(|(k, loss)| ((k.max(1)) as f64, (loss - best).max(1e-9 * highest)));
        let line = LineSeries::new(points, colour.stroke_width(2));
        chart.draw_series(line)?.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    root.present()?;
    Ok(())
}
