//! `certus gnn plan`.

use certus_contract::Status;
use certus_gnn::Schedule;
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
    /// Features in place of those in the graph's file: .npy (dense, streamed) or SciPy's sparse .npz
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

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        let schedule = match (&self.sizes, &self.graph, &self.weights) {
            (Some(sizes), ..) => from_sizes(&read_spec(&self.model)?, *sizes, &self.schedule).schedule()?,
            (None, Some(graph), Some(weights)) => {
                let data = Data::read(graph, &self.model, weights, self.features.as_ref(), &self.schedule)?;
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
        json!({ "peak": choice.peak, "io": choice.io, "seconds": choice.seconds, "tier": choice.tier.to_string(), "slice": choice.slice })
    });
    let mut report = report.field("frontier", frontier.collect::<Vec<_>>()).note(format!("\n{schedule}"));
    if !schedule.frontier().is_empty() {
        let machine = if calibrated { "this machine, its disk excepted" } else { "a small server; --calibrate for this one" };
        report = report.note(format!("\nWhat more or fewer bytes buy (seconds are estimates for {machine}):"));
    }
    for choice in schedule.frontier() {
        let (seconds, io, peak) = (choice.seconds, choice.io, choice.peak);
        let choice = format!("{}, {} columns", choice.tier, choice.slice);
        report = report.note(format!("{peak:>16} B  {seconds:>11.4} s  {io:>16} B read and written  {choice}"));
    }
    report.certificate(schedule.certificate())
}
