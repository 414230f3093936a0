//! `certus linalg`: least squares and leverage scores.

use certus_contract::{Certificate, Check, Claim, Status};
use certus_io::{read_matrix, read_vector};
use certus_linalg::least_squares::{self, Problem, Solver};
use certus_linalg::sketch::SketchKind;
use certus_linalg::{Matrix, leverage};
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
        "certus linalg least-squares --a diabetes.npz:x --b b.npy --certify full --out x.npy",
        "certus linalg least-squares --a sparse.npz --b labels.npy --method sketch --sketch-rows 500 --certify full --out x.npy",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let (a, b) = (read_matrix(&self.a)?, read_vector(&self.b)?);
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

/// How much each row of A matters to its column space: the leverage scores of diag(sqrt h) A
///
/// A score is between 0 and 1; all together add up to the rank.
#[derive(clap::Args)]
struct Leverage {
    /// The matrix A, n x d: .npy, .npz:NAME, SciPy's sparse .npz, or .mtx
    #[arg(long, value_name = "FILE")]
    a: InFile,
    /// The weights h of the rows, n numbers of at least 0 [default: 1]
    #[arg(long, value_name = "FILE")]
    weights: Option<InFile>,
    /// From a sketch of A, to a factor of about 1 +- epsilon
    #[arg(long)]
    approximate: bool,
    /// The factor for --approximate, above 0 and below 1
    #[arg(long, value_name = "E", default_value = "0.5", value_parser = args::positive, requires = "approximate")]
    epsilon: f64,
    /// Where the scores go, n numbers: .npy, or .npz with the array tau
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

/// The chance that an approximate score is off by more.
const FAILURE: f64 = 0.01;

impl Verb for Leverage {
    const EXAMPLES: &'static [&'static str] =
        &["certus linalg leverage --a digits.npz:x --out tau.npy", "certus linalg leverage --a sparse.mtx --approximate --out tau.npy"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let a = read_matrix(&self.a)?;
        let weights = self.weights.as_ref().map(read_vector).transpose()?;
        let (a, weights) = (view(&a), weights.as_deref());
        let found = if self.approximate {
            leverage::approximate_leverage_scores(a, weights, self.epsilon, FAILURE, ctx.seed())?
        } else {
            leverage::leverage_scores(a, weights)?
        };
        let sum = found.scores.iter().sum::<f64>();
        Ok(Report::new(Status::Done)
            .metric("rank", found.rank)
            .metric("sum", sum)
            .metric("largest", found.scores.iter().copied().fold(0.0, f64::max))
            .metric("relative_error", found.relative_error)
            .certificate(Certificate::new([scores_add_up(sum, &found)]))
            .array(&self.out, "tau", Array::vector(found.scores)))
    }
}

/// The scores are the diagonal of a projection, whose trace is its rank.
fn scores_add_up(sum: f64, found: &leverage::Leverage) -> Claim {
    let rank = found.rank as f64;
    let rounding = 4.0 * found.scores.len() as f64 * f64::EPSILON;
    let sum =
        Check::le("sum", "|sum of the scores - rank| / rank <= limit", (sum - rank).abs() / rank.max(1.0), found.relative_error + rounding);
    let claim = Claim::new("Leverage scores add up to the rank", "trace of a projection; Drineas and Mahoney 2018, section 2.7");
    if found.relative_error == 0.0 {
        return claim.guarantees(sum);
    }
    let each = Check::le("each_score", "|score / true score - 1| <= limit for all rows", None, found.relative_error);
    claim.guarantees(sum.trivial(1.0).estimated()).guarantees(each.trivial(1.0).estimated())
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
