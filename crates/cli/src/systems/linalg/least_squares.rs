//! `certus linalg least-squares`.

use certus_io::{read_matrix, read_vector};
use certus_linalg::least_squares::{self, Problem, Solver};
use certus_linalg::sketch::SketchKind;
use certus_numeric::Array;

use super::view;
use crate::args::{self, Certify, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Minimise |A x - b| over x
///
/// A is tall, dense or sparse. The certificate says how far x may be from the minimiser.
#[derive(clap::Args)]
pub(super) struct LeastSquares {
    /// The matrix A, n x d: .npy, .npz:NAME, SciPy's sparse .npz, or .mtx
    #[arg(long, value_name = "FILE")]
    a: InFile,
    /// The right-hand side b, n numbers
    #[arg(long, value_name = "FILE")]
    b: InFile,
    /// What preconditions LSMR: the triangular factor of A, or of a sketch of A, or nothing but the norms of A's columns
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// The random distribution of the sketch
    #[arg(long, value_enum, default_value_t = Distribution::CountSketch)]
    sketch: Distribution,
    /// Rows of the sketch, at least d [default: by the sizes]
    #[arg(long, value_name = "N", value_parser = args::count)]
    sketch_rows: Option<usize>,
    /// Backward error at which to stop
    #[arg(long, value_name = "E", default_value = "1e-12", value_parser = args::positive)]
    tol: f64,
    /// Most passes over A
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = args::count)]
    max_iter: usize,
    /// What to spend on the certificate: full bounds the spectrum and measures the error, at the cost of a QR
    #[arg(long, value_enum, default_value_t = Certify::Cheap)]
    certify: Certify,
    /// Where x goes, d numbers: .npy, or .npz with the array x
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    /// By the sizes, and by the progress of lsmr
    Auto,
    /// The triangular factor of A
    Qr,
    /// That of a sketch of A
    Sketch,
    /// The norms of A's columns
    Lsmr,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Distribution {
    /// One non-zero a column: the fastest
    #[value(name = "countsketch")]
    CountSketch,
    /// A few non-zeros a column
    Osnap,
    /// Subsampled randomised Hadamard transform
    Srht,
    /// Dense
    Gaussian,
}

impl From<Method> for least_squares::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Auto => least_squares::Method::Auto,
            Method::Qr => least_squares::Method::Qr,
            Method::Sketch => least_squares::Method::Sketch,
            Method::Lsmr => least_squares::Method::Lsmr,
        }
    }
}

impl From<Distribution> for SketchKind {
    fn from(sketch: Distribution) -> Self {
        match sketch {
            Distribution::CountSketch => SketchKind::CountSketch,
            Distribution::Osnap => SketchKind::Osnap,
            Distribution::Srht => SketchKind::Srht,
            Distribution::Gaussian => SketchKind::Gaussian,
        }
    }
}

impl Verb for LeastSquares {
    const EXAMPLES: &'static [&'static str] = &[
        "certus linalg least-squares --a diabetes.npz:x --b b.npy --certify full --out x.npy",
        "certus linalg least-squares --a sparse.npz --b labels.npy --method sketch --sketch-rows 500 --certify full --out x.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        // The small file first, so that what is wrong with it is told at once.
        let b = read_vector(&self.b)?;
        let a = read_matrix(&self.a)?;
        let problem = Problem::new(view(&a), &b)?;
        let solver = Solver {
            method: self.method.into(),
            sketch: self.sketch.into(),
            sketch_rows: self.sketch_rows,
            tolerance: self.tol,
            max_iterations: self.max_iter,
            seed: ctx.seed(),
            certify: self.certify.into(),
        };
        let solution = solver.solve_with(&problem, ctx.observer())?;
        let facts = &solution.facts;
        Ok(Report::new(solution.status)
            .metric("residual", facts.residual)
            .metric("gradient", facts.gradient)
            .metric("backward_error", facts.backward_error)
            .metric("forward_bound", facts.forward_bound)
            .metric("iterations", facts.iterations)
            .metric("sketch_rows", facts.sketch_rows)
            .warnings(&solution.warnings)
            .trace(solution.trace)
            .certificate(solution.certificate)
            .array(&self.out, "x", Array::vector(solution.x)))
    }
}
