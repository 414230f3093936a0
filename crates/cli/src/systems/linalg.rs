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
    /// What preconditions LSMR: the triangular factor of A, or of a sketch of A, or nothing but the norms of A's columns
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// The random distribution of the sketch
    #[arg(long, value_enum, default_value_t = Sketch::CountSketch)]
    sketch: Sketch,
    /// Backward error at which to stop
    #[arg(long, value_name = "E", default_value_t = 1e-12, value_parser = args::positive)]
    tol: f64,
    /// Most passes over A
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = args::count)]
    max_iter: usize,
    /// What to spend on the certificate: full measures the spectrum and the error exactly, at the cost of a QR
    #[arg(long, value_enum, default_value_t = Certify::Cheap)]
    certify: Certify,
    /// Where x goes, d numbers: .npy, or .npz with the array x
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    /// By the sizes
    Auto,
    /// The triangular factor of A
    Qr,
    /// That of a sketch of A
    Sketch,
    /// The norms of A's columns
    Lsmr,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sketch {
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

#[derive(Clone, Copy, clap::ValueEnum)]
enum Certify {
    /// What the solve shows by the way
    Cheap,
    /// Everything
    Full,
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

impl From<Sketch> for SketchKind {
    fn from(sketch: Sketch) -> Self {
        match sketch {
            Sketch::CountSketch => SketchKind::CountSketch,
            Sketch::Osnap => SketchKind::Osnap,
            Sketch::Srht => SketchKind::Srht,
            Sketch::Gaussian => SketchKind::Gaussian,
        }
    }
}

impl From<Certify> for least_squares::Certify {
    fn from(certify: Certify) -> Self {
        match certify {
            Certify::Cheap => least_squares::Certify::Cheap,
            Certify::Full => least_squares::Certify::Full,
        }
    }
}

impl Verb for LeastSquares {
    const EXAMPLES: &'static [&'static str] = &[
        "certus linalg least-squares --a diabetes.npz:x --b b.npy --out x.npy",
        "certus linalg least-squares --a sparse.npz --b labels.npy --method sketch --out x.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let (a, b) = (read_matrix(&self.a)?, read_vector(&self.b)?);
        let problem = Problem::new(view(&a), &b)?;
        let solver = Solver {
            method: self.method.into(),
            sketch: self.sketch.into(),
            tolerance: self.tol,
            max_iterations: self.max_iter,
            seed: ctx.seed(),
            certify: self.certify.into(),
            ..Solver::default()
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

/// A matrix from a file as one for a problem.
fn view(matrix: &certus_io::Matrix) -> Matrix<'_> {
    match matrix {
        certus_io::Matrix::Dense(dense) => dense.into(),
        certus_io::Matrix::Sparse(sparse) => sparse.into(),
    }
}

impl Explain for certus_linalg::Error {
    fn kind(&self) -> String {
        certus_linalg::Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        certus_linalg::Error::hint(self)
    }
}
