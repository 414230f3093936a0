//! Twenty thousand people in four communities write words. Who belongs where, and how few bytes does it take to tell?
//!
//! The words of a community are hardly more frequent among its members, so that counting them is right less than every second time. A network of
//! two graph convolutions that counts the same words, averaged over neighbours, is nearly always right. It then runs with less and less memory,
//! first in narrower panels, then with panels in files, and gives the same bits each time. Bytes and seconds go into `memory_curve.svg`, in the
//! folder that is the first argument (by default this one).
//!
//! ```sh
//! cargo run --release -p certus-gnn --example memory_curve
//! ```
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "an example prints what it finds, takes times, and writes a plot")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use certus_gnn::synth::{Cleanup, hash_feature, sbm};
use certus_gnn::{Activation, Features, Graph, LayerSpec, MemoryBudget, Model, ModelSpec, Op, Planner, Weights};
use certus_numeric::{Array, Csr, Seed};
use plotters::prelude::*;

const COMMUNITIES: usize = 4;
const PEOPLE: usize = 5_000;
const WORDS: usize = 120;
const HIDDEN: usize = 64;
/// Acquaintances within the community, and in all the others together.
const WITHIN: f64 = 15.0;
const ACROSS: f64 = 5.0;
/// Budgets in hundredths of what full width takes.
const PERCENT: [u64; 7] = [100, 75, 60, 50, 25, 12, 8];

fn main() -> Result<(), Box<dyn Error>> {
    let people = COMMUNITIES * PEOPLE;
    let (graph, features) = (graph()?, words()?);
    let sentence = format!("{people} people in {COMMUNITIES} communities, {} acquaintances", graph.edges() / 2);
    println!("{sentence}, {} words of {WORDS} written.", features.nnz());
    let features = Features::sparse(features)?;

    let linear = model(Op::Linear)?;
    let network = model(Op::Gcn)?;
    let right = |model: &Model| -> Result<(f64, Vec<u32>), certus_gnn::Error> {
        let class = Planner::new(model, &graph, &features).plan()?.run_classes(certus_contract::ignore_events)?.output.class;
        let right = class.iter().enumerate().filter(|&(i, &class)| i / PEOPLE == class as usize).count();
        Ok((100.0 * right as f64 / people as f64, class))
    };
    let ((before, _), (after, expected)) = (right(&linear)?, right(&network)?);
    println!("Their own words alone, counted: {before:.1} % right. With those of their neighbours, twice: {after:.1} %.");

    let folder = tempfile::tempdir()?;
    let planner = Planner::new(&network, &graph, &features).owned_output();
    let spilling = planner.clone().spill_dir(folder.path());
    let frontier = spilling.schedule()?.frontier().to_vec();
    println!("\nThe planner's frontier: no choice has fewer bytes, less to read and write, and less time (an estimate) at once.");
    println!("       bytes  tier    columns  rows of a block  read and written  estimate / ms");
    for choice in &frontier {
        let (tier, ms) = (choice.tier, 1e3 * choice.seconds);
        println!("{:12}  {tier:6}  {:7}  {:15}  {:16}  {ms:13.2}", choice.peak, choice.slice, choice.row_block, choice.io);
    }

    let full = planner.slice(HIDDEN).schedule()?.predicted_peak;
    let (mut measured, mut first) = (Vec::new(), None);
    println!("\n  %      budget  tier    columns     predicted      measured    time / ms  the same bits");
    for percent in PERCENT {
        let plan = spilling.clone().budget(MemoryBudget::Working(full * percent / 100)).plan()?;
        // The first run is not timed: files and pages are new to it.
        let solution = plan.run()?;
        let start = Instant::now();
        plan.run()?;
        let seconds = start.elapsed().as_secs_f64();
        let bits = solution.output.as_slice().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let same = first.get_or_insert_with(|| bits.clone()) == &bits;
        assert!(same && classes(&solution.output) == expected, "a budget changed the answer");
        let (facts, ms) = (&solution.facts, 1e3 * seconds);
        let (predicted, peak) = (facts.predicted_peak, facts.measured_peak);
        println!("{percent:3}  {:10}  {:6}  {:7}  {predicted:12}  {peak:12}  {ms:11.2}  yes", full * percent / 100, plan.tier, plan.slice);
        measured.push((peak as f64, seconds));
    }
    let minimum = spilling.schedule()?.minimum;
    let solution = spilling.clone().budget(MemoryBudget::Working(minimum)).plan()?.run()?;
    assert_eq!(classes(&solution.output), expected);
    println!(
        "\nWith {minimum} bytes, the least of all, {} of them for the answer itself:\n\n{}",
        4 * people * COMMUNITIES,
        solution.certificate
    );
    let refused = spilling.budget(MemoryBudget::Working(minimum - 1)).plan();
    println!("With one byte less: {}", refused.err().map_or("it runs".to_owned(), |error| error.to_string()));

    let path = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from).join("memory_curve.svg");
    let estimates = frontier.iter().map(|choice| (choice.peak as f64, choice.seconds)).collect::<Vec<_>>();
    plot(&path, &measured, &estimates)?;
    println!("Seconds by bytes: {}", path.display());
    Ok(())
}

fn graph() -> Result<Graph, certus_gnn::Error> {
    let (inside, outside) = ((PEOPLE - 1) as f64, ((COMMUNITIES - 1) * PEOPLE) as f64);
    sbm(&[PEOPLE; COMMUNITIES], WITHIN / inside, ACROSS / outside, Cleanup::default(), Seed(0))
}

/// A word belongs to one community, whose members write it a little more often.
fn words() -> Result<Csr<f32>, Box<dyn Error>> {
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for i in 0..COMMUNITIES * PEOPLE {
        let writes = |&j: &usize| hash_feature(Seed(0), i, j) > if community(j) == i / PEOPLE { 0.85 } else { 0.9 };
        indices.extend((0..WORDS).filter(writes).map(|j| j as u32));
        indptr.push(indices.len());
    }
    let values = vec![1.0; indices.len()];
    Ok(Csr::new(COMMUNITIES * PEOPLE, WORDS, indptr, indices, values)?)
}

/// The community of a word.
fn community(word: usize) -> usize {
    word / (WORDS / COMMUNITIES)
}

/// Two layers that count each community's words: with neighbours, or without; then the model is linear.
fn model(op: Op) -> Result<Model, certus_gnn::Error> {
    let activation = if op == Op::Linear { Activation::None } else { Activation::Relu };
    let first = LayerSpec { activation, ..LayerSpec::new(op, "conv1", WORDS, HIDDEN) };
    let spec = ModelSpec::new(vec![first, LayerSpec::new(op, "conv2", HIDDEN, COMMUNITIES)])?;
    let own = |is_own: bool, value: f32| if is_own { value } else { -0.3 * value };
    let mut weights = Weights::new();
    weights.insert("conv1.lin.weight", Array::from_fn(HIDDEN, WORDS, |i, j| own(i % COMMUNITIES == community(j), 1.0)));
    weights.insert("conv1.bias", Array::vector(vec![0.0; HIDDEN]));
    weights.insert("conv2.lin.weight", Array::from_fn(COMMUNITIES, HIDDEN, |i, j| own(j % COMMUNITIES == i, 0.1)));
    weights.insert("conv2.bias", Array::vector(vec![0.0; COMMUNITIES]));
    Model::new(spec, &weights)
}

/// The largest number of each row, the first of equals.
fn classes(output: &Array<f32>) -> Vec<u32> {
    let largest = |row: &[f32]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    (0..output.rows()).map(|i| largest(output.row(i)) as u32).collect()
}

/// Seconds against bytes, both on logarithmic scales.
fn plot(path: &Path, measured: &[(f64, f64)], estimates: &[(f64, f64)]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let all = || measured.iter().chain(estimates);
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let least = all().map(pick).fold(f64::INFINITY, f64::min);
        0.8 * least..1.25 * all().map(pick).fold(least, f64::max)
    };
    let mut chart = ChartBuilder::on(&root)
        .caption("Time against memory: the same bits everywhere", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(range(|point| point.0).log_scale(), range(|point| point.1).log_scale())?;
    let mebibytes = |bytes: &f64| format!("{:.2}", bytes / 1024.0 / 1024.0);
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("bytes held / MiB").y_desc("time / s").x_label_formatter(&mebibytes).y_label_formatter(&|s| format!("{s:.0e}")).draw()?;
    for (name, points, colour) in
        [("measured", measured, RGBColor(31, 119, 180)), ("the planner's estimate", estimates, RGBColor(214, 96, 39))]
    {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
        chart.draw_series(line)?.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
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
