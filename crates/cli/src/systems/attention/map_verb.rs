//! `certus attention map`.

use certus_attention::MapSplit;
use certus_attention::map::{Form, Solver};
use certus_io::read_array;

use super::fit::SolverArgs;
use super::problem::ProblemArgs;
use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Find X so that the attention itself is a given one
///
/// F is the row softmax of scale A1 X A2', U its exponentials before they are divided by their sums.
#[derive(clap::Args)]
pub(super) struct Map {
    /// What is compared with the target B: |F - B|^2, |U - diag(U 1) B|^2, or the cross-entropy, which is convex
    #[arg(long, value_enum)]
    form: FormArg,
    #[command(flatten)]
    problem: ProblemArgs,
    /// Where X begins [default: --x-ref]
    #[arg(long, value_name = "FILE")]
    x0: Option<InFile>,
    /// Begin at the minimiser of the cross-entropy
    #[arg(long)]
    convex_start: bool,
    #[command(flatten)]
    solver: SolverArgs,
    /// Set aside so much of each sequence's queries, the last ones, and give the loss on them
    #[arg(long, value_name = "FRACTION", value_parser = args::positive)]
    holdout: Option<f64>,
    /// Where the array x goes: .npz
    #[arg(long, value_name = "FILE", value_parser = OutFile::archive)]
    out: OutFile,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum FormArg {
    /// |F - B|^2
    Normalised,
    /// |U - diag(U 1) B|^2
    Rescaled,
    /// sum of logsumexp(s) - <b, s>
    CrossEntropy,
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Form {
        match form {
            FormArg::Normalised => Form::Normalised,
            FormArg::Rescaled => Form::Rescaled,
            FormArg::CrossEntropy => Form::CrossEntropy,
        }
    }
}

impl Verb for Map {
    const EXAMPLES: &'static [&'static str] = &[
        "certus attention map --form normalised --a1 rounded.npz:q --a2 rounded.npz:k --target head.npz:probs --scale 0.1767767 --x-ref identity.npy --logit-reg-x 1e-3 --convex-start --out fit.npz",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let start = self.x0.as_ref().map(read_array).transpose()?;
        let data = self.problem.read(None)?;
        let sequences = self.problem.map_sequences(&data)?;
        let split = self.holdout.map(|fraction| MapSplit::new(&sequences, fraction)).transpose()?;
        let kept = split.as_ref().map_or_else(|| sequences.clone(), MapSplit::kept);
        let problem = self.problem.map(self.form.into(), kept, &data)?;
        let solver = Solver {
            method: self.solver.method(),
            sketch: self.solver.sketch(),
            start,
            convex_start: self.convex_start,
            gradient_tolerance: self.solver.gtol,
            max_iterations: self.solver.max_iter,
            seed: ctx.seed(),
            certify: self.solver.certify(),
            ..Solver::default()
        };
        let solution = solver.solve_with(&problem, ctx.observer())?;
        let holdout = match &split {
            Some(split) => self.problem.map(self.form.into(), split.set_aside(), &data)?.data_loss(&solution.x)?.to_f64(),
            None => None,
        };
        let report = super::map_report(&solution).metric("holdout_loss", holdout).trace(solution.trace.iter().copied());
        Ok(report.array(&self.out, "x", solution.x))
    }
}
