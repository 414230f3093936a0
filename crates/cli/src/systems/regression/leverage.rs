//! `certus regression leverage`: that of linear algebra, where users of a regression look for it.

use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;
use crate::systems::linalg::leverage;
use crate::verb::Verb;

/// How much each row of A matters to its column space: the leverage scores of diag(sqrt h) A
///
/// An exact score is between 0 and 1; all together add up to the rank.
#[derive(clap::Args)]
pub(super) struct RowLeverage {
    #[command(flatten)]
    leverage: leverage::Leverage,
}

impl Verb for RowLeverage {
    const EXAMPLES: &'static [&'static str] = &["certus regression leverage --a design.npy --weights b.npy --out tau.npy"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        self.leverage.run(ctx)
    }
}
