//! `certus attention evaluate`.

use certus_attention::layer::{Curvature, Params};
use certus_contract::{InputError, Status};
use certus_io::read_array;
use certus_numeric::Array;

use super::map_verb::FormArg;
use super::problem::{ProblemArgs, ValuesArgs};
use crate::args::{InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Loss and derivatives at a given point; with --certify also what is proven of it
#[derive(clap::Args)]
pub(super) struct Evaluate {
    /// Whether the outputs are compared (fit), or the attention itself (map)
    #[arg(long, value_enum)]
    problem: Kind,
    /// What is compared with the target, for map
    #[arg(long, value_enum, required_if_eq("problem", "map"))]
    form: Option<FormArg>,
    #[command(flatten)]
    data: ProblemArgs,
    #[command(flatten)]
    values: ValuesArgs,
    /// X
    #[arg(long, value_name = "FILE")]
    x: InFile,
    /// Y, for fit
    #[arg(long, value_name = "FILE", required_if_eq("problem", "fit"))]
    y: Option<InFile>,
    /// Also the Hessian, X before Y, each row by row, heads first
    #[arg(long)]
    hessian: bool,
    /// Also the product of the Hessian with this direction of X
    #[arg(long, value_name = "FILE")]
    direction_x: Option<InFile>,
    /// The direction's part in Y
    #[arg(long, value_name = "FILE")]
    direction_y: Option<InFile>,
    /// Certify the point, whoever found it
    #[arg(long)]
    certify: bool,
    /// Where the arrays go: .npz
    #[arg(long, value_name = "FILE", value_parser = OutFile::archive)]
    out: OutFile,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// |softmax(scale A1 X A2') A3 Y - target|^2
    Fit,
    /// The attention map against the target
    Map,
}

impl Verb for Evaluate {
    const EXAMPLES: &'static [&'static str] = &[
        "certus attention evaluate --problem fit --a1 rounded.npz:q --a2 rounded.npz:k --a3 rounded.npz:v --target output.npy --scale 0.1767767 --x-ref identity.npy --y-ref identity.npy --logit-reg-x 1e-2 --logit-reg-y 1e-2 --x fitted-head.npz:x --y fitted-head.npz:y --direction-x identity.npy --certify --out d.npz",
    ];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        self.refuse_what_is_of_the_other_problem()?;
        let x = read_array(&self.x)?;
        let array = |file: &Option<InFile>| file.as_ref().map(read_array).transpose();
        let (direction_x, direction_y) = (array(&self.direction_x)?, array(&self.direction_y)?);
        match (self.problem, self.form) {
            (Kind::Map, Some(form)) => self.map(form, x, direction_x),
            _ => {
                let y = array(&self.y)?.unwrap_or_else(|| Array::zeros([0, 0]));
                self.fit(Params { x, y }, direction_x, direction_y)
            }
        }
    }
}

impl Evaluate {
    fn refuse_what_is_of_the_other_problem(&self) -> Result<(), InputError> {
        let (given, other) = match self.problem {
            Kind::Fit => (self.form.map(|_| "form"), "map"),
            Kind::Map => {
                let options = [("y", &self.y), ("direction-y", &self.direction_y)];
                let given = options.into_iter().find(|(_, file)| file.is_some()).map(|(name, _)| name);
                (self.values.given().or(given), "fit")
            }
        };
        match given {
            Some(name) => Err(InputError::parameter(name, "given", format!("left out: it belongs to --problem {other}"))),
            None => Ok(()),
        }
    }

    fn fit(&self, at: Params, direction_x: Option<Array>, direction_y: Option<Array>) -> Result<Report, CliError> {
        let data = self.data.read(Some(&self.values))?;
        let sequences = self.data.sequences(&data)?;
        let single = sequences.len() == 1;
        let problem = self.data.layer(sequences, &self.values, &data)?;
        let evaluation = problem.linearise(&at)?;
        let mut report = match self.certify {
            true => super::report(&problem.certify(&at, certus_attention::Certify::Full)?),
            false => Report::new(Status::Done).metric("loss", evaluation.loss),
        };
        report = report.array(&self.out, "gradient_x", evaluation.gradient.x.clone());
        report = report.array(&self.out, "gradient_y", evaluation.gradient.y.clone());
        if self.hessian {
            report = report.array(&self.out, "hessian", evaluation.hessian(Curvature::Exact)?);
        }
        if direction_x.is_some() || direction_y.is_some() {
            let direction = Params {
                x: direction_x.unwrap_or_else(|| Array::zeros(at.x.shape().to_vec())),
                y: direction_y.unwrap_or_else(|| Array::zeros(at.y.shape().to_vec())),
            };
            let product = evaluation.hessian_times(&direction, Curvature::Exact)?;
            report = report.array(&self.out, "hvp_x", product.x).array(&self.out, "hvp_y", product.y);
        }
        if single && at.x.ndim() == 2 {
            report = report.array(&self.out, "row_beta", Array::vector(evaluation.row_beta()?));
        }
        Ok(report)
    }

    fn map(&self, form: FormArg, x: Array, direction: Option<Array>) -> Result<Report, CliError> {
        let data = self.data.read(None)?;
        let problem = self.data.map(form.into(), self.data.map_sequences(&data)?, &data)?;
        let evaluation = problem.linearise(&x)?;
        let mut report = match self.certify {
            true => super::map_report(&problem.certify(&x, certus_attention::Certify::Full)?),
            false => Report::new(Status::Done)
                .metric("loss", evaluation.loss.to_f64())
                .metric("log_loss", Some(evaluation.loss.ln()).filter(|log| log.is_finite())),
        };
        report = report.metric("log_scale", evaluation.log_scale).array(&self.out, "gradient_x", evaluation.gradient.clone());
        if self.hessian {
            report = report.array(&self.out, "hessian", evaluation.hessian()?);
        }
        if let Some(direction) = direction {
            report = report.array(&self.out, "hvp_x", evaluation.hessian_times(&direction)?);
        }
        Ok(report)
    }
}
