//! `certus regression sensitivity`.

use certus_io::{read_matrix, read_vector};
use certus_numeric::Array;

use super::problem::ProblemArgs;
use crate::args::{Certify, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::systems::linalg::view;
use crate::verb::Verb;

/// How the minimiser near x moves when b and A do: its derivative
///
/// The certificate is that of x: where it proves nothing, the derivative may be that of no minimiser.
#[derive(clap::Args)]
pub(super) struct Sensitivity {
    #[command(flatten)]
    problem: ProblemArgs,
    /// The target b, n numbers
    #[arg(long, value_name = "FILE")]
    b: InFile,
    /// The minimiser x, d numbers
    #[arg(long, value_name = "FILE")]
    x: InFile,
    /// The direction in which b moves, n numbers
    #[arg(long, value_name = "FILE", required_unless_present = "d_design")]
    d_target: Option<InFile>,
    /// The direction in which A moves, n x d, in any format of A
    #[arg(long, value_name = "FILE")]
    d_design: Option<InFile>,
    /// What to spend on the certificate of x
    #[arg(long, value_enum, default_value_t = Certify::Cheap)]
    certify: Certify,
    /// Where the derivative goes, d numbers: .npy, or .npz with the array dx
    #[arg(long, value_name = "FILE", value_parser = OutFile::array)]
    out: OutFile,
}

impl Verb for Sensitivity {
    const EXAMPLES: &'static [&'static str] =
        &["certus regression sensitivity --a design.npy --b b.npy --link exp --form plain --x fitted.npy --d-target b.npy --out dx.npy"];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        let (x, d_target) = (read_vector(&self.x)?, self.d_target.as_ref().map(read_vector).transpose()?);
        let (data, options) = self.problem.read(read_vector(&self.b)?)?;
        let problem = data.problem(&options)?;
        let sensitivity = certus_regression::Sensitivity::new(&problem, &x)?;
        let mut dx = vec![0.0; x.len()];
        let mut add = |part: Vec<f64>| dx.iter_mut().zip(part).for_each(|(dx, part)| *dx += part);
        if let Some(db) = &d_target {
            add(sensitivity.to_target(db)?);
        }
        if let Some(file) = &self.d_design {
            let da = read_matrix(file)?;
            add(sensitivity.to_design(view(&da))?);
        }
        Ok(super::report(&problem.certify(&x, self.certify.into())?).array(&self.out, "dx", Array::vector(dx)))
    }
}
