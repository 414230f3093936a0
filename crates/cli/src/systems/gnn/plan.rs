//! `certus gnn plan`.

use certus_contract::Status;
use certus_gnn::{Choice, Schedule, bytes_text};
use serde_json::json;

use super::problem::{Data, ScheduleArgs, Sizes, from_sizes, read_spec, report};
use crate::args::InFile;
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// What a model would hold in memory, and the smallest budget that would do
///
/// From data, or from sizes alone: then features are taken as dense and streamed from a file, and no weights are needed.
///
/// lower_bound is one whole activation: every plan in memory holds that much; with --spill less will do. minimum_budget is the least with
/// the given options, and grows with --threads.
#[derive(clap::Args)]
pub(super) struct Plan {
    /// The graph: an .npz with num_nodes, indptr, indices (row = target, entries = sources), optionally edge_weight and sparse features;
    /// or a folder with indptr.npy, indices.npy and perhaps edge_weight.npy
    #[arg(long, value_name = "G.npz", required_unless_present = "sizes")]
    graph: Option<InFile>,
    /// The model's description: layers with op, prefix, in_channels, out_channels and options
    #[arg(long, value_name = "M.json")]
    model: InFile,
    /// Its weights: .safetensors or .npz
    #[arg(long, value_name = "FILE", required_unless_present = "sizes")]
    weights: Option<InFile>,
    /// Features in place of those in the graph's file: .npy (dense, streamed or mapped) or SciPy's sparse .npz
    #[arg(long, value_name = "FILE")]
    features: Option<InFile>,
    /// The graph's sizes in place of a graph: nodes=N,edges=M[,max-degree=D]
    #[arg(long, value_name = "SIZES", conflicts_with_all = ["graph", "weights", "features"])]
    sizes: Option<Sizes>,
    #[command(flatten)]
    schedule: ScheduleArgs,
}

impl Verb for Plan {
    const EXAMPLES: &'static [&'static str] = &[
        "certus gnn plan --graph community.npz --model gcn.json --weights gcn.safetensors --budget 200KiB",
        "certus gnn plan --sizes nodes=169343,edges=1166243 --model arxiv.json --spill .",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        self.schedule.check()?;
        let schedule = match (&self.sizes, &self.graph, &self.weights) {
            (Some(sizes), ..) => from_sizes(&read_spec(&self.model)?, *sizes, &self.schedule).schedule()?,
            (None, Some(graph), Some(weights)) => {
                let data = Data::read(graph, &self.model, weights, self.features.as_ref(), &self.schedule, ctx)?;
                self.schedule.apply(data.planner()).plan()?.schedule().clone()
            }
            // clap asks for one or the other.
            _ => return Err(CliError::new("Usage", "neither --sizes nor --graph and --weights are given", "Give one of them.")),
        };
        Ok(show(report(Report::new(Status::Done), &schedule), &schedule, self.schedule.calibrate))
    }
}

/// The frontier as a field and for people, and the certificate of what is promised.
fn show(report: Report, schedule: &Schedule, calibrated: bool) -> Report {
    let frontier = schedule.frontier().iter().map(|choice| {
        let Choice { tier, slice, row_block, peak, io, seconds } = *choice;
        json!({ "peak": peak, "io": io, "seconds": seconds, "tier": tier.to_string(), "slice": slice, "row_block": row_block })
    });
    let mut report = report.field("frontier", frontier.collect::<Vec<_>>()).note(format!("\n{schedule}"));
    let chosen = |choice: &Choice| {
        (choice.tier, choice.slice, choice.row_block, choice.peak)
            == (schedule.tier, schedule.slice, schedule.row_block, schedule.predicted_peak)
    };
    let shown = ends_of_groups(schedule.frontier(), chosen);
    if !shown.is_empty() {
        let machine = if calibrated { "this machine, its disk excepted" } else { "a small server (--calibrate for this one)" };
        report = report
            .note(format!("\nWhat more or fewer bytes buy (seconds are estimates for {machine}; of each width the least and the fastest; * this plan):"))
            .note(format!("  {:>11}  {:>13}  {:>12}  {:<6}  {:>7}  {:>5}", "bytes held", "seconds", "file traffic", "tier", "columns", "rows"));
    }
    for choice in shown {
        let mark = if chosen(choice) { '*' } else { ' ' };
        let Choice { tier, slice, row_block, peak, io, seconds } = *choice;
        let (peak, io) = (bytes_text(peak), bytes_text(io));
        report = report.note(format!("{mark} {peak:>11}  {seconds:>11.4} s  {io:>12}  {tier:<6}  {slice:>7}  {row_block:>5}"));
    }
    report.certificate(schedule.certificate())
}

/// Of the choices of one tier and width those with the fewest bytes and with the least time, and those marked: the others differ in the
/// height of blocks alone.
fn ends_of_groups(frontier: &[Choice], marked: impl Fn(&Choice) -> bool) -> Vec<&Choice> {
    let group = |choice: &Choice| (choice.tier, choice.slice);
    let end = |k: usize, choice: &Choice| {
        let same = |other: &&Choice| group(other) == group(choice);
        frontier[..k].iter().find(same).is_none() || frontier[k + 1..].iter().find(same).is_none()
    };
    frontier.iter().enumerate().filter(|&(k, choice)| end(k, choice) || marked(choice)).map(|(_, choice)| choice).collect()
}
