//! `certus attention stability`.

use certus_attention::stability::{Attention, measure};
use certus_contract::Status;
use certus_io::read_array;

use super::problem::MaskArg;
use crate::args::{self, InFile};
use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::Verb;

/// How far an attention map moves when its inputs or X change, and how far it can at most
#[derive(clap::Args)]
pub(super) struct Stability {
    /// The queries A1, n x d1
    #[arg(long, value_name = "FILE")]
    a1: InFile,
    /// The keys A2, m x d2
    #[arg(long, value_name = "FILE")]
    a2: InFile,
    /// X, d1 x d2
    #[arg(long, value_name = "FILE")]
    x: InFile,
    /// tau, the factor of the logits
    #[arg(long, value_name = "T", default_value = "1", value_parser = args::positive)]
    scale: f64,
    /// Which keys a query sees: all, those up to its own place, or an n x m file (0 = hidden)
    #[arg(long, value_name = "none|causal|FILE", default_value = "none")]
    mask: MaskArg,
    /// The new queries [default: --a1]
    #[arg(long, value_name = "FILE")]
    new_a1: Option<InFile>,
    /// The new keys [default: --a2]
    #[arg(long, value_name = "FILE")]
    new_a2: Option<InFile>,
    /// The new X [default: --x]
    #[arg(long, value_name = "FILE")]
    new_x: Option<InFile>,
}

impl Verb for Stability {
    const EXAMPLES: &'static [&'static str] = &[
        "certus attention stability --a1 head.npz:q --a2 head.npz:k --x identity.npy --scale 0.1767767 --new-a1 rounded.npz:q --new-a2 rounded.npz:k",
    ];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        let mask = self.mask.read()?;
        let (a1, a2, x) = (read_array(&self.a1)?, read_array(&self.a2)?, read_array(&self.x)?);
        let array = |file: &Option<InFile>| file.as_ref().map(read_array).transpose();
        let (new_a1, new_a2, new_x) = (array(&self.new_a1)?, array(&self.new_a2)?, array(&self.new_x)?);
        let before = Attention { a1: &a1, a2: &a2, x: &x };
        let after = Attention { a1: new_a1.as_ref().unwrap_or(&a1), a2: new_a2.as_ref().unwrap_or(&a2), x: new_x.as_ref().unwrap_or(&x) };
        let found = measure(&before, &after, self.scale, mask.mask())?;
        Ok(Report::new(Status::Done)
            .metric("map_change", found.map_change)
            .metric("logit_change", found.logit_change)
            .certificate(found.certificate))
    }
}
