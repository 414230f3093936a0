//! Twenty thousand people in four communities write words. Who belongs where, and how few bytes does it take to tell?
//!
//! Of one in twenty it is known. The words of a community are hardly more frequent among its members, so that logistic regression on people's own
//! words is right less than every second time. Two graph convolutions that learn from the same words, averaged over neighbours, are nearly
//! always right. They then run with less and less memory, first in narrower panels, then with panels in files, and give the same bits each
//! time. Bytes and seconds go into `memory_curve.svg`, in the folder that is the first argument (by default this one).
//!
//! ```sh
//! cargo run --release -p certus-gnn --example memory_curve
//! ```
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "an example prints what it finds, takes times, and writes a plot")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use certus_gnn::synth::{Cleanup, hash_feature, sbm};
use certus_gnn::train::{Labels, Trainer, Training};
use certus_gnn::{Activation, Features, Graph, LayerSpec, MemoryBudget, Model, ModelSpec, Op, Planner, Tier};
use certus_numeric::{Array, Csr, Seed};
use plotters::prelude::*;

const COMMUNITIES: usize = 4;
const PEOPLE: usize = 5_000;
const WORDS: usize = 120;
const HIDDEN: usize = 64;
/// Of so many people the community of one is known; another's is for comparing epochs.
const KNOWN: usize = 20;
/// Acquaintances within the community, and in all the others together.
const WITHIN: f64 = 15.0;
const ACROSS: f64 = 5.0;
/// Of Adam.
const EPOCHS: usize = 30;
/// Budgets in hundredths of what full width takes.
const PERCENT: [u64; 7] = [100, 75, 60, 50, 25, 12, 8];

fn main() -> Result<(), Box<dyn Error>> {
    let people = COMMUNITIES * PEOPLE;
    let (graph, features) = (graph()?, words()?);
    let sentence = format!("{people} people in {COMMUNITIES} communities, {} acquaintances", graph.edges() / 2);
    println!("{sentence}, {} words of {WORDS} written.", features.nnz());
    let features = Features::sparse(features)?;

    let labels = labels();
    let alone = ModelSpec::new(vec![LayerSpec::new(Op::Linear, "linear", WORDS, COMMUNITIES)])?;
    let learned = Trainer::default().with_weight_decay(1e-2).train(&Training::new(&alone, &graph, &features, &labels)?)?;
    let before = learned.facts;
    let bound = before.convex.map_or(f64::INFINITY, |convex| convex.distance_bound);
    let spec = convolutions()?;
    let start = Instant::now();
    let learned = Trainer::default().with_epochs(EPOCHS).with_dropout(0.0).train(&Training::new(&spec, &graph, &features, &labels)?)?;
    let (after, seconds) = (learned.facts, start.elapsed().as_secs_f64());
    let network = Model::new(spec, &learned.weights)?;
    let percent = |score: certus_gnn::train::Score| 100.0 * score.share().unwrap_or(f64::NAN);
    println!(
        "Learned from {} people, by their own words alone (within {bound:.0e} of the best weights): {:.1} % right.",
        before.train.total,
        percent(before.test)
    );
    println!("With the words of their neighbours, twice ({} epochs in {seconds:.1} s): {:.1} %.", after.epochs, percent(after.test));
    let expected = Planner::new(&network, &graph, &features).plan()?.run_classes(certus_contract::ignore_events)?.output.class;

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
        measured.push(point(peak, seconds));
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
    let estimates = |spilled: bool| {
        let chosen = frontier.iter().filter(move |choice| (choice.tier == Tier::Spill) == spilled);
        chosen.map(|choice| point(choice.peak, choice.seconds)).collect::<Vec<_>>()
    };
    let series = [("measured", measured), ("estimated, in memory", estimates(false)), ("estimated, by spilling", estimates(true))];
    plot(&path, &series)?;
    println!("Milliseconds by MiB: {}", path.display());
    Ok(())
}

/// In MiB and milliseconds.
fn point(bytes: u64, seconds: f64) -> (f64, f64) {
    (bytes as f64 / f64::from(1 << 20), 1e3 * seconds)
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

fn labels() -> Labels {
    let people = COMMUNITIES * PEOPLE;
    let every = |from: usize, to: usize| (0..people as u32).filter(|i| (from..to).contains(&(*i as usize % KNOWN))).collect();
    let classes = (0..people).map(|i| (i / PEOPLE) as i64).collect();
    Labels { classes, train: every(0, 1), validation: every(1, 2), test: every(2, KNOWN) }
}

/// Two graph convolutions.
fn convolutions() -> Result<ModelSpec, certus_gnn::Error> {
    let first = LayerSpec { activation: Activation::Relu, ..LayerSpec::new(Op::Gcn, "conv1", WORDS, HIDDEN) };
    ModelSpec::new(vec![first, LayerSpec::new(Op::Gcn, "conv2", HIDDEN, COMMUNITIES)])
}

/// The largest number of each row, the first of equals.
fn classes(output: &Array<f32>) -> Vec<u32> {
    let largest = |row: &[f32]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    (0..output.rows()).map(|i| largest(output.row(i)) as u32).collect()
}

/// Time against memory, both on logarithmic scales.
/// Each series of (MiB, milliseconds) under its name.
fn plot(path: &Path, series: &[(&'static str, Vec<(f64, f64)>)]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let all = || series.iter().flat_map(|(_, points)| points);
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
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("held / MiB").y_desc("time / ms").x_label_formatter(&|x| format!("{x}")).y_label_formatter(&|y| format!("{y}")).draw()?;
    let colours = [RGBColor(31, 119, 180), RGBColor(214, 96, 39), RGBColor(120, 120, 120)];
    for ((name, points), colour) in series.iter().zip(colours) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
        chart.draw_series(line)?.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    root.present()?;
    Ok(())
}
