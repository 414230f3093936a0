//! Regularisers chosen by what they are worth on queries that were set aside.

use super::problem::{Problem, Sequence};
use super::solver::{Solution, Solver};
use crate::Error;
use crate::holdout::Split;

/// The weights that did best, and what all of them were worth.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The weights of the logit regularisers of X and of Y.
    pub weights: (f64, f64),
    /// For each pair of weights that was tried, the loss on the queries that were set aside, without regularisers.
    pub losses: Vec<f64>,
    /// The fit with the best ones, on the queries that were kept.
    pub solution: Solution,
}

impl Solver {
    /// Fits the kept queries of a split with each pair of weights of the logit regularisers, and takes the one with the least loss on
    /// those set aside. `build` makes the problem of some sequences, with all but these weights. `None` for no weights.
    ///
    /// # Errors
    /// As [`Solver::solve`], and what `build` refuses.
    pub fn select_logit_reg<'s>(
        &self,
        split: &'s Split<'_>,
        weights: &[(f64, f64)],
        build: impl Fn(Vec<Sequence<'s>>) -> Result<Problem<'s>, Error>,
    ) -> Result<Option<Selection>, Error> {
        let aside = build(split.set_aside())?;
        let mut best: Option<(f64, (f64, f64), Solution)> = None;
        let mut losses = Vec::with_capacity(weights.len());
        for &(x, y) in weights {
            let solution = self.solve(&build(split.kept())?.with_logit_reg(x, y)?)?;
            let loss = aside.data_loss(&solution.params)?;
            losses.push(loss);
            if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                best = Some((loss, (x, y), solution));
            }
        }
        Ok(best.map(|(_, weights, solution)| Selection { weights, losses, solution }))
    }
}
