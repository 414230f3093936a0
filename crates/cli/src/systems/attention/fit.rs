//! `certus attention fit`.

use certus_attention::layer::{Params, Solver};
use certus_attention::{Certify, Method, Sketch, Split};
use certus_io::read_array;

use super::problem::{ProblemArgs, ValuesArgs};
use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Find X and Y so that an attention layer gives the target
///
/// Minimises |softmax(scale A1 X A2') A3 Y - target|^2 and regularisers by Newton's method in the logit metric, with the best Y for each X.
/// The certificate proves, where it can, that a local minimum in X lies near, Y held fixed.
#[derive(clap::Args)]
pub(super) struct Fit {
    #[command(flatten)]
    problem: ProblemArgs,
    #[command(flatten)]
    values: ValuesArgs,
    /// Where X begins [default: --x-ref]
    #[arg(long, value_name = "FILE")]
    x0: Option<InFile>,
    /// Where Y begins; the best Y for the first X takes its place [default: --y-ref]
    #[arg(long, value_name = "FILE")]
    y0: Option<InFile>,
    #[command(flatten)]
    solver: SolverArgs,
    /// Set aside so much of each sequence's queries, the last ones, and give the loss on them
    #[arg(long, value_name = "FRACTION", value_parser = args::positive)]
    holdout: Option<f64>,
    /// Where the arrays x and y go: .npz
    #[arg(long, value_name = "FILE", value_parser = OutFile::archive)]
    out: OutFile,
}

/// How a fit is made.
#[derive(clap::Args)]
pub(super) struct SolverArgs {
    /// How the Hessian enters a step
    #[arg(long, value_enum, default_value_t = MethodArg::Auto)]
    method: MethodArg,
    /// What --method sketched preconditions with
    #[arg(long, value_enum, default_value_t = SketchArg::Auto)]
    sketch: SketchArg,
    /// Stop when the norm of the gradient is at most this times the larger of 1 and that at the start
    #[arg(long, value_name = "E", default_value = "1e-8", value_parser = args::positive)]
    pub(super) gtol: f64,
    /// Most iterations
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = args::count)]
    pub(super) max_iter: usize,
    /// What to spend on the certificate
    #[arg(long, value_enum, default_value_t = args::Certify::Cheap)]
    certify: args::Certify,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum MethodArg {
    /// By counts of operations
    Auto,
    /// As a matrix
    DenseNewton,
    /// As a product: conjugate gradients with the Kronecker preconditioner
    Krylov,
    /// As a product, preconditioned by a sketched Hessian (--sketch), for one head and many queries
    Sketched,
    /// As a matrix, and only whole Newton steps: the theorem's iteration, which may get nowhere
    Plain,
    /// Not at all, to compare with
    Lbfgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SketchArg {
    /// Weights of rank one where they are near enough, else sampled queries
    Auto,
    /// Queries drawn by leverage
    Rows,
    /// The weights of queries and keys as a matrix of rank one, and nothing random
    RankOne,
    /// The same by TensorSketch: no cheaper, to compare with the theorem
    TensorSketch,
    /// The same by TensorSRHT
    TensorSrht,
}

impl SolverArgs {
    pub(super) fn sketch(&self) -> Sketch {
        match self.sketch {
            SketchArg::Auto => Sketch::Auto,
            SketchArg::Rows => Sketch::Rows,
            SketchArg::RankOne => Sketch::RankOne,
            SketchArg::TensorSketch => Sketch::TensorSketch,
            SketchArg::TensorSrht => Sketch::TensorSrht,
        }
    }

    pub(super) fn method(&self) -> Method {
        match self.method {
            MethodArg::Auto => Method::Auto,
            MethodArg::DenseNewton => Method::DenseNewton,
            MethodArg::Krylov => Method::Krylov,
            MethodArg::Sketched => Method::Sketched,
            MethodArg::Plain => Method::Plain,
            MethodArg::Lbfgs => Method::Lbfgs,
        }
    }

    pub(super) fn certify(&self) -> Certify {
        self.certify.into()
    }

    pub(super) fn solver(&self, ctx: &Context) -> Solver {
        Solver {
            method: self.method(),
            sketch: self.sketch(),
            gradient_tolerance: self.gtol,
            max_iterations: self.max_iter,
            seed: ctx.seed(),
            certify: self.certify(),
            ..Solver::default()
        }
    }
}

impl Verb for Fit {
    const EXAMPLES: &'static [&'static str] = &[
        "certus attention fit --a1 rounded.npz:q --a2 rounded.npz:k --a3 rounded.npz:v --target output.npy --scale 0.1767767 --x-ref identity.npy --y-ref identity.npy --logit-reg-x 1e-2 --logit-reg-y 1e-2 --holdout 0.2 --out fit.npz",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let array = |file: &Option<InFile>| file.as_ref().map(read_array).transpose();
        let (x0, y0) = (array(&self.x0)?, array(&self.y0)?);
        let data = self.problem.read(Some(&self.values))?;
        let sequences = self.problem.sequences(&data)?;
        let split = self.holdout.map(|fraction| Split::new(&sequences, fraction)).transpose()?;
        let problem = self.problem.layer(split.as_ref().map_or_else(|| sequences.clone(), Split::kept), &self.values, &data)?;
        let reference = problem.reference();
        let start = Params { x: x0.unwrap_or(reference.x), y: y0.unwrap_or(reference.y) };
        let solution = self.solver.solver(ctx).with_start(start).solve_with(&problem, ctx.observer())?;
        let holdout = match &split {
            Some(split) => Some(self.problem.layer(split.set_aside(), &self.values, &data)?.data_loss(&solution.params)?),
            None => None,
        };
        Ok(super::report(&solution)
            .metric("holdout_loss", holdout)
            .trace(solution.trace.iter().copied())
            .array(&self.out, "x", solution.params.x)
            .array(&self.out, "y", solution.params.y))
    }
}
