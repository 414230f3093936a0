//! `certus gnn infer`.

use certus_contract::Status;
use certus_gnn::{Error, Head, MemoryFacts, Precision, Schedule, bytes_text};

use super::problem::{Data, ScheduleArgs, report};
use crate::args::{InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Run a model on a graph within a number of bytes
///
/// The output is the same to the bit for every budget, spill folder and number of threads. Where Ctrl-C stops the run there is none.
#[derive(clap::Args)]
pub(super) struct Infer {
    /// The graph: an .npz with num_nodes, indptr, indices (row = target, entries = sources), optionally edge_weight and sparse features;
    /// or a folder with indptr.npy, indices.npy and perhaps edge_weight.npy
    #[arg(long, value_name = "G.npz")]
    graph: InFile,
    /// The model's description: layers with op, prefix, in_channels, out_channels and options
    #[arg(long, value_name = "M.json")]
    model: InFile,
    /// Its weights: .safetensors or .npz
    #[arg(long, value_name = "FILE")]
    weights: InFile,
    /// Features in place of those in the graph's file: .npy (dense, streamed or mapped) or SciPy's sparse .npz
    #[arg(long, value_name = "FILE")]
    features: Option<InFile>,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// What the output is
    #[arg(long, value_enum, default_value_t)]
    head: HeadArg,
    /// Where the output goes, f32, nodes x columns: .npy
    #[arg(long, value_name = "FILE", value_parser = npy)]
    out: OutFile,
}

fn npy(text: &str) -> Result<OutFile, String> {
    if text.ends_with(".npy") { OutFile::any(text) } else { Err("must end in .npy".into()) }
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum HeadArg {
    /// The last layer's numbers
    #[default]
    Logits,
    /// The logarithm of their softmax
    LogSoftmax,
    /// Their softmax
    Softmax,
}

impl From<HeadArg> for Head {
    fn from(head: HeadArg) -> Head {
        match head {
            HeadArg::Logits => Head::Logits,
            HeadArg::LogSoftmax => Head::LogSoftmax,
            HeadArg::Softmax => Head::Softmax,
        }
    }
}

/// The bytes for people.
fn held(plan: &Schedule, facts: &MemoryFacts) -> String {
    let Schedule { tier, slice, row_block, .. } = plan;
    let [held, predicted, read, written] =
        [facts.measured_peak, facts.predicted_peak, facts.bytes_read, facts.bytes_written].map(bytes_text);
    format!(
        "\n{tier}, columns a panel {slice}, rows a block {row_block}: {held} held of {predicted} predicted, {read} read, {written} written"
    )
}

impl Verb for Infer {
    const EXAMPLES: &'static [&'static str] = &[
        "certus gnn infer --graph community.npz --model gcn.json --weights gcn.safetensors --budget 200KiB --out logits.npy",
        "certus gnn infer --graph community.npz --model gcn.json --weights gcn.safetensors --budget 80KiB --spill . --out logits.npy",
        "certus gnn infer --graph community.npz --model gcn.json --weights gcn.safetensors --graph-on-disk --out logits.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let data = Data::read(&self.graph, &self.model, &self.weights, self.features.as_ref(), &self.schedule, ctx)?;
        let plan = self.schedule.apply(data.planner()).plan()?;
        let staged = ctx.stage(&self.out)?;
        let solution = match plan.run_to_npy(staged.path(), self.head.into(), ctx.observer()) {
            Ok(solution) => solution,
            // There is no part of an answer: the plan and its promise are what is known.
            Err(Error::Stopped { .. }) => {
                let report =
                    report(Report::new(Status::Stopped), &plan).warnings(["Stopped: the output was not complete, and is not there"]);
                return Ok(report.certificate(plan.certificate()));
            }
            Err(error) => return Err(staged.named(error)),
        };
        let facts = &solution.facts;
        let report = report(Report::new(solution.status), &plan)
            .metric("measured_peak", facts.measured_peak)
            .metric("bytes_read", facts.bytes_read)
            .metric("bytes_written", facts.bytes_written)
            .metric("fused", facts.fused)
            .note(held(&plan, facts))
            .warnings(&solution.warnings)
            .warnings(data.model.notes().iter().map(|note| format!("WeightsConverted: {note}")))
            .certificate(solution.certificate);
        let report = match (plan.precision, facts.error_bound) {
            (Precision::F32 | Precision::F16Unbounded, _) => report,
            (_, found) => report
                .metric("max_error_bound", found.map(|found| f64::from(found.largest)))
                .metric("certified_nodes", found.map(|found| found.certified)),
        };
        Ok(report.staged(staged))
    }
}
