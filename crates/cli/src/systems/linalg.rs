//! `certus linalg`: least squares and leverage scores.

use std::path::Path;

use certus_io::Matrix;
use certus_linalg::least_squares;
use certus_numeric::Array;
use clap::ValueEnum;

use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::{CliError, Explain};
use crate::report::Report;
use crate::samples;
use crate::verb::{System, Verb};

/// The verbs, and the files of their examples.
pub fn system() -> System {
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
/// A is tall, dense or sparse. The certificate tells how near x is to the minimiser.
#[derive(clap::Args)]
struct LeastSquares {
    /// The matrix A, n x d: .npy, .npz:NAME, SciPy's sparse .npz, or .mtx
    #[arg(long, value_name = "FILE")]
    a: InFile,
    /// The right side b, of length n
    #[arg(long, value_name = "FILE")]
    b: InFile,
    /// Pivoted QR, or LSMR preconditioned by a sketch of A
    #[arg(long, value_enum, default_value_t = Method::Qr)]
    method: Method,
    /// The distribution of the sketch
    #[arg(long, value_enum)]
    sketch: Option<Sketch>,
    /// Stop when the backward error is below this
    #[arg(long, value_name = "E", default_value_t = 1e-12, value_parser = args::positive)]
    tol: f64,
    /// Where x goes, of length d
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}
