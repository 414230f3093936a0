//! `certus regression evaluate`.

use certus_contract::Status;
use certus_io::read_vector;
use certus_numeric::Array;

use super::problem::ProblemArgs;
use crate::args::{Certify, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Loss, gradient and Hessian at a given x; with --certify also what is proven of it
#[derive(clap::Args)]
pub(super) struct Evaluate {
    #[command(flatten)]
    problem: ProblemArgs,
    /// The target b, n numbers
    #[arg(long, value_name = "FILE")]
    b: InFile,
    /// The point x, d numbers
    #[arg(long, value_name = "FILE")]
    x: InFile,
    /// Certify x, whoever found it
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "cheap")]
    certify: Option<Certify>,
    /// Where the arrays gradient (d) and hessian (d x d) go, to be multiplied by e^log_scale: .npz
    #[arg(long, value_name = "FILE", value_parser = OutFile::archive)]
    out: OutFile,
}

impl Verb for Evaluate {
    const EXAMPLES: &'static [&'static str] =
        &["certus regression evaluate --a design.npy --b b.npy --link exp --form plain --x fitted.npy --certify --out d.npz"];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        let x = read_vector(&self.x)?;
        let (data, options) = self.problem.read(read_vector(&self.b)?)?;
        let problem = data.problem(&options)?;
        let evaluation = problem.evaluate(&x)?;
        let report = match self.certify {
            Some(certify) => super::report(&problem.certify(&x, certify.into())?),
            None => Report::new(Status::Done)
                .metric("loss", evaluation.loss.to_f64())
                .metric("log_loss", Some(evaluation.loss.ln()).filter(|log| log.is_finite())),
        };
        Ok(report.metric("log_scale", evaluation.log_scale).array(&self.out, "hessian", evaluation.hessian()).array(
            &self.out,
            "gradient",
            Array::vector(evaluation.gradient),
        ))
    }
}
