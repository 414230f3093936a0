//! `certus regression fit`.

use std::str::FromStr;

use certus_io::read_vector;
use certus_numeric::Array;
use certus_regression::{Hessian, Solver, Start};

use super::problem::ProblemArgs;
use crate::args::{self, Certify, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Find x so that u(Ax + offset) matches b
///
/// Newton's method in a trust region. The certificate proves, where it can, that a minimum lies near x, and how near.
#[derive(clap::Args)]
pub(super) struct Fit {
    #[command(flatten)]
    problem: ProblemArgs,
    /// The target b, n numbers
    #[arg(long, value_name = "FILE")]
    b: InFile,
    #[command(flatten)]
    solver: SolverArgs,
    /// Where x goes, d numbers: .npy, or .npz with the array x
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

/// How a fit is made.
#[derive(clap::Args)]
pub(super) struct SolverArgs {
    /// Where to begin: from the targets (auto), at zero, or at d numbers from a file
    #[arg(long, value_name = "auto|zero|FILE", default_value = "auto")]
    start: StartArg,
    /// How the Hessian enters a step
    #[arg(long, value_enum, default_value_t = HessianArg::Auto)]
    hessian: HessianArg,
    /// Stop when each entry of the gradient is at most this times the terms that it is the sum of
    #[arg(long, value_name = "E", default_value = "1e-10", value_parser = args::positive)]
    gtol: f64,
    /// Most iterations
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = args::count)]
    max_iter: usize,
    /// What to spend on the certificate
    #[arg(long, value_enum, default_value_t = Certify::Cheap)]
    certify: Certify,
}

#[derive(Clone)]
enum StartArg {
    Auto,
    Zero,
    File(InFile),
}

impl FromStr for StartArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(StartArg::Auto),
            "zero" => Ok(StartArg::Zero),
            _ => text.parse().map(StartArg::File),
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum HessianArg {
    /// By the sizes
    Auto,
    /// As a d x d matrix
    Exact,
    /// As a d x d matrix of rows sampled by leverage
    Sampled,
    /// As a product with a vector
    MatrixFree,
}

impl SolverArgs {
    pub(super) fn solver(&self, ctx: &Context) -> Result<Solver, CliError> {
        Ok(Solver {
            start: match &self.start {
                StartArg::Auto => Start::Auto,
                StartArg::Zero => Start::Zero,
                StartArg::File(file) => Start::Given(read_vector(file)?),
            },
            hessian: match self.hessian {
                HessianArg::Auto => Hessian::Auto,
                HessianArg::Exact => Hessian::Exact,
                HessianArg::Sampled => Hessian::Sampled,
                HessianArg::MatrixFree => Hessian::MatrixFree,
            },
            gradient_tolerance: self.gtol,
            max_iterations: self.max_iter,
            seed: ctx.seed(),
            certify: self.certify.into(),
            ..Solver::default()
        })
    }
}

impl Verb for Fit {
    const EXAMPLES: &'static [&'static str] = &[
        "certus regression fit --a design.npy --b b.npy --link exp --form plain --out x.npy",
        "certus regression fit --a sparse.npz --b threes.npy --link exp --form normalised --ridge 1e-3 --certify full --out x.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let solver = self.solver.solver(ctx)?;
        let (data, options) = self.problem.read(read_vector(&self.b)?)?;
        let solution = solver.solve_with(&data.problem(&options)?, ctx.observer())?;
        Ok(super::report(&solution).trace(solution.trace.iter().copied()).array(&self.out, "x", Array::vector(solution.x)))
    }
}
