//! `certus attention recover`.

use certus_attention::layer::Solver;
use certus_attention::recover::{Projections, Recovery, round_columns};
use certus_io::read_array;
use certus_numeric::Array;

use super::problem::MaskArg;
use crate::args::{self, InFile, OutFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// Refit a head whose queries, keys and values were rounded to what it gave before
///
/// X goes between the rounded queries and keys, Y behind the rounded values. The errors are squared errors of the output over the squared
/// output: of the rounded head as it is, with Y fitted, with X and Y fitted.
#[derive(clap::Args)]
pub(super) struct Recover {
    /// The queries, n x d
    #[arg(long, value_name = "FILE")]
    q: InFile,
    /// The keys, m x d
    #[arg(long, value_name = "FILE")]
    k: InFile,
    /// The values, m x dv
    #[arg(long, value_name = "FILE")]
    v: InFile,
    /// Round each column of q, k and v to so many bits, 2 to 16
    #[arg(long, value_name = "B", required_unless_present = "rounded_q", conflicts_with_all = ["rounded_q", "rounded_k", "rounded_v"])]
    bits: Option<u32>,
    /// Queries that were rounded elsewhere
    #[arg(long, value_name = "FILE", requires_all = ["rounded_k", "rounded_v"])]
    rounded_q: Option<InFile>,
    /// Keys that were
    #[arg(long, value_name = "FILE", requires = "rounded_q")]
    rounded_k: Option<InFile>,
    /// Values that were
    #[arg(long, value_name = "FILE", requires = "rounded_q")]
    rounded_v: Option<InFile>,
    /// tau, the factor of the logits [default: 1 / sqrt(d)]
    #[arg(long, value_name = "T", value_parser = args::positive)]
    scale: Option<f64>,
    /// Which keys a query sees: all, those up to its own place, or an n x m file (0 = hidden)
    #[arg(long, value_name = "none|causal|FILE", default_value = "none")]
    mask: MaskArg,
    /// The weight of half the squared change of the logits from those of X = I
    #[arg(long, value_name = "L", default_value = "1e-2", value_parser = args::non_negative)]
    logit_reg_x: f64,
    /// The weight of half the squared change of the values from those of Y = I
    #[arg(long, value_name = "L", default_value = "1e-2", value_parser = args::non_negative)]
    logit_reg_y: f64,
    /// Set aside so much of the queries, the last ones, and give the errors on them too
    #[arg(long, value_name = "FRACTION", value_parser = args::positive)]
    holdout: Option<f64>,
    /// Where the arrays x and y go: .npz
    #[arg(long, value_name = "FILE", value_parser = OutFile::archive)]
    out: OutFile,
}

impl Verb for Recover {
    const EXAMPLES: &'static [&'static str] = &[
        "certus attention recover --q head.npz:q --k head.npz:k --v head.npz:v --bits 4 --holdout 0.2 --out recovered.npz",
        "certus attention recover --q head.npz:q --k head.npz:k --v head.npz:v --rounded-q head.npz:q_3bit --rounded-k head.npz:k_3bit --rounded-v head.npz:v_3bit --logit-reg-x 1 --logit-reg-y 1 --out recovered.npz",
    ];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let mask = self.mask.read()?;
        let [q, k, v] = [&self.q, &self.k, &self.v].map(read_array);
        let (q, k, v) = (q?, k?, v?);
        let rounded = |file: &Option<InFile>, name: &str, original: &Array| -> Result<Array, CliError> {
            match (file, self.bits) {
                (Some(file), _) => Ok(read_array(file)?),
                (None, bits) => {
                    original.require_finite(name)?;
                    Ok(round_columns(original, bits.unwrap_or_default())?)
                }
            }
        };
        let (rq, rk, rv) = (rounded(&self.rounded_q, "q", &q)?, rounded(&self.rounded_k, "k", &k)?, rounded(&self.rounded_v, "v", &v)?);
        let recovery = Recovery {
            scale: self.scale,
            mask: mask.mask(),
            logit_reg_x: self.logit_reg_x,
            logit_reg_y: self.logit_reg_y,
            holdout: self.holdout,
            solver: Solver { seed: ctx.seed(), ..Solver::default() },
        };
        let original = Projections { q: &q, k: &k, v: &v };
        let found = recovery.recover_with(&original, &Projections { q: &rq, k: &rk, v: &rv }, ctx.observer())?;
        let (errors, aside) = (found.errors, found.holdout);
        Ok(super::report(&found.solution)
            .metric("error_rounded", errors.rounded)
            .metric("error_values_only", errors.values_only)
            .metric("error_fitted", errors.fitted)
            .metric("error_rounded_holdout", aside.map(|e| e.rounded))
            .metric("error_values_only_holdout", aside.map(|e| e.values_only))
            .metric("error_fitted_holdout", aside.map(|e| e.fitted))
            .trace(found.solution.trace.iter().copied())
            .array(&self.out, "x", found.solution.params.x)
            .array(&self.out, "y", found.solution.params.y))
    }
}
