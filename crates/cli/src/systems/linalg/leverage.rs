//! `certus linalg leverage`.

use certus_contract::Status;
use certus_io::{read_matrix, read_vector};
use certus_linalg::leverage;
use certus_numeric::Array;

use super::view;
use crate::args::{self, Certify, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// How much each row of A matters to its column space: the leverage scores of diag(sqrt h) A
///
/// An exact score is between 0 and 1; all together add up to the rank.
#[derive(clap::Args)]
pub(crate) struct Leverage {
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
    /// What to spend on the certificate: full finds some scores again by least squares
    #[arg(long, value_enum, default_value_t = Certify::Cheap)]
    certify: Certify,
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
        let weights = self.weights.as_ref().map(read_vector).transpose()?;
        let a = read_matrix(&self.a)?;
        let (a, weights) = (view(&a), weights.as_deref());
        let found = if self.approximate {
            leverage::approximate_leverage_scores(a, weights, self.epsilon, FAILURE, ctx.seed())?
        } else {
            leverage::leverage_scores(a, weights)?
        };
        let certificate = leverage::certificate(a, weights, &found, self.certify.into(), ctx.seed())?;
        let sum = found.scores.iter().sum::<f64>();
        Ok(Report::new(Status::Done)
            .metric("rank", found.rank)
            .metric("sum", sum)
            .metric("largest", found.scores.iter().copied().fold(0.0, f64::max))
            .metric("relative_error", found.relative_error)
            .certificate(certificate)
            .array(&self.out, "tau", Array::vector(found.scores)))
    }
}
