//! `certus linalg`: least squares and leverage scores.

use certus_io::{read_matrix, read_vector};
use certus_linalg::Matrix;
use certus_linalg::least_squares::{self, Problem, Solver};
use certus_linalg::sketch::SketchKind;
use certus_numeric::Array;

use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::{CliError, Explain};
use crate::report::Report;
use crate::samples;
use crate::verb::{System, Verb};

/// The verbs, and the files of their examples.
pub(crate) fn system() -> System {
    System::new("linalg", "Least squares and leverage scores, dense or sparse")
        .verb::<LeastSquares>("least-squares")
        .verb::<Leverage>("leverage")
        .sample("diabetes.npz", samples::diabetes)
        .sample("digits.npz", samples::digits)
        .sample("b.npy", samples::progression)
        .sample("sparse.npz", samples::pixels)
        .sample("sparse.mtx", samples::pixels_as_text)
        .sample("labels.npy", samples::labels)
}

/// Minimise |A x - b| over x
///
/// A is tall, dense or sparse. The certificate says how far x may be from the minimiser.
#[derive(clap::Args)]
struct LeastSquares {
    /// The matrix A, n x d: .npy, .npz:NAME, SciPy's sparse .npz, or .mtx
    #[arg(long, value_name = "FILE")]
    a: InFile,
    /// The right-hand side b, n numbers
    #[arg(long, value_name = "FILE")]
    b: InFile,
    /// QR of A, or LSMR with a sketch of A as its preconditioner [default: by the sizes]
    #[arg(long, value_enum)]
    method: Option<Method>,
    /// The random distribution of the sketch [default: by the format of A]
    #[arg(long, value_enum)]
    sketch: Option<Sketch>,
    /// Backward error to reach, relative to A
    #[arg(long, value_name = "E", default_value_t = 1e-12, value_parser = args::positive)]
    tol: f64,
    /// Where x goes, d numbers: .npy, or .npz with the array x
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    Qr,
    Sketch,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sketch {
    #[value(name = "countsketch")]
    CountSketch,
    Osnap,
    Srht,
    Gaussian,
}

impl Verb for LeastSquares {
    const EXAMPLES: &'static [&'static str] = &[
        "certus linalg least-squares --a diabetes.npz:x --b b.npy --out x.npy",
        "certus linalg least-squares --a sparse.npz --b labels.npy --method sketch --out x.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let (a, b) = (read_matrix(&self.a)?, read_vector(&self.b)?);
        let problem = Problem::new(view(&a), &b)?;
        let solution = self.solver(ctx).solve_with(&problem, ctx.observer())?;
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
