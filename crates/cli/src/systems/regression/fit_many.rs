//! `certus regression fit-many`.

use certus_contract::Status;
use certus_io::read_array;
use certus_numeric::Array;
use certus_regression::Solution;

use super::fit::SolverArgs;
use super::problem::ProblemArgs;
use crate::args::{InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Fit many targets with one design, in parallel
///
/// The metrics and the certificate are those of the fit of which least is proven; the metric column says which.
#[derive(clap::Args)]
pub(super) struct FitMany {
    #[command(flatten)]
    problem: ProblemArgs,
    /// The targets B, n x k: a column each
    #[arg(long, value_name = "FILE")]
    targets: InFile,
    #[command(flatten)]
    solver: SolverArgs,
    /// Where the fits go, d x k: .npy, or .npz with the array x
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

impl Verb for FitMany {
    const EXAMPLES: &'static [&'static str] =
        &["certus regression fit-many --a sparse.npz --targets each-digit.npy --link exp --form normalised --ridge 1e-3 --out x.npy"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let solver = self.solver.solver(ctx)?;
        let targets = read_array(&self.targets)?;
        targets.require_matrix("targets")?;
        let (data, options) = self.problem.read(vec![0.0; targets.rows()])?;
        let solutions = solver.solve_many(&data.problem(&options)?, &targets)?;
        // What is not proven is worse than any bound.
        let badness = |solution: &Solution| match (solution.status.reached(), solution.facts.radius) {
            (false, _) => f64::INFINITY,
            (true, None) => f64::MAX,
            (true, Some(_)) => solution.facts.kantorovich.unwrap_or(f64::MAX),
        };
        let worst = (0..solutions.len()).max_by(|i, j| badness(&solutions[*i]).total_cmp(&badness(&solutions[*j])));
        let x = Array::from_fn(solutions.first().map_or(0, |s| s.x.len()), solutions.len(), |i, j| solutions[j].x[i]);
        let report = match worst {
            Some(worst) => super::report(&solutions[worst]).metric("column", worst),
            None => Report::new(Status::Done),
        };
        let proven = solutions.iter().filter(|s| s.facts.radius.is_some()).count();
        Ok(report.metric("fits", solutions.len()).metric("proven", proven).array(&self.out, "x", x))
    }
}
