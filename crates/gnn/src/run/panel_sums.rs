//! The sums of one panel for some rows, whether their edges come at once or in pieces.

use std::ops::Range;

use super::runner::Sum;
use crate::error::Error;
use crate::graph::{LongRow, Window};
use crate::kernels::aggregate::{Aggregate, AggregateBounded, factors};
use crate::kernels::attend::Attend;
use crate::kernels::epilogue::{Bound, NO_FACTORS, OtherErrors, RowFactors};
use crate::kernels::long::{AddPiece, BoundSums, EndSums, LongSoftmax, Look, Piece, Scores, Weigh};
use crate::kernels::{RowsOf, all_finite};
use crate::simd::dispatch;
use crate::steps::{Epilogue, Operator};

/// What all rows of a panel's sums have in common.
#[derive(Clone, Copy)]
pub(super) struct PanelSums<'w> {
    pub(super) sum: Sum<'w>,
    pub(super) one_plus_eps: f32,
    pub(super) epilogue: &'w Epilogue,
    /// Columns that are computed; those up to the stride become 0.
    pub(super) live: usize,
    /// Of attention: a number of each source, and one of each target.
    pub(super) scores: (&'w [f32], &'w [f32]),
}

/// Bounds on the errors of sums: of the sources, of what is added, and where the results go.
pub(super) struct Errors<'e> {
    pub(super) source: RowsOf<'e>,
    pub(super) others: OtherErrors<'e>,
    pub(super) out: &'e mut [f32],
}

impl PanelSums<'_> {
    /// Sums and epilogue of some rows; gives the first that is not finite.
    pub(super) fn run(
        &self,
        window: &mut Window,
        rows: Range<usize>,
        source: RowsOf,
        bound: Bound,
        out: &mut [f32],
        errors: Option<Errors>,
    ) -> Result<Option<usize>, Error> {
        let PanelSums { sum, one_plus_eps, epilogue, live, scores } = *self;
        let graph = match window {
            Window::Rows(edges) => &*edges,
            Window::Long(row) => {
                self.long(row, source, bound, out, errors)?;
                return Ok((!all_finite(&out[..live])).then_some(rows.start));
            }
        };
        Ok(match (sum, errors) {
            (Sum::Edges(&operator), None) => {
                dispatch(Aggregate { graph, rows, source, live, operator, one_plus_eps, epilogue, bound, out })
            }
            (Sum::Edges(&operator), Some(errors)) => {
                let values = Aggregate { graph, rows, source, live, operator, one_plus_eps, epilogue, bound, out };
                let Errors { source: source_errors, others, out: out_errors } = errors;
                dispatch(AggregateBounded { values, source_errors, others, out_errors })
            }
            (Sum::Attention { loops, slope }, _) => {
                let (source_scores, target_scores) = scores;
                dispatch(Attend { graph, rows, source, live, source_scores, target_scores, loops, slope, epilogue, bound, out })
            }
        })
    }

    /// A row in pieces.
    fn long(&self, row: &mut LongRow, source: RowsOf, bound: Bound, out: &mut [f32], errors: Option<Errors>) -> Result<(), Error> {
        let numbers = std::mem::take(&mut row.sums);
        let (sums, rest) = numbers.split_at_mut(self.live);
        sums.fill(0.0);
        let (live, i) = (self.live, row.i);
        let accumulates = self.epilogue.accumulate;
        match (self.sum, errors) {
            (Sum::Edges(operator), None) => {
                let factors = self.long_edges(row, operator, source, sums, None)?;
                bound.apply(sums, i, 0, factors, accumulates.then_some(&out[..live]));
            }
            (Sum::Edges(operator), Some(errors)) => {
                let (e, rest) = rest.split_at_mut(live);
                let mut bounds = BoundSums::new(rest, live);
                let factors = self.long_edges(row, operator, source, sums, Some((&mut bounds, errors.source)))?;
                bounds.finish(operator.reduce, e);
                let old = accumulates.then_some((&out[..live], &errors.out[..live]));
                bound.apply_bounded(sums, e, i, 0, factors, old, errors.others);
                errors.out[..live].copy_from_slice(e);
                errors.out[live..].fill(0.0);
            }
            (Sum::Attention { loops, slope }, _) => {
                let scores = Scores::Added { sources: self.scores.0, target: self.scores.1[i], slope };
                attend_long(row, scores, loops, &[source], sums)?;
                bound.apply(sums, i, 0, NO_FACTORS, accumulates.then_some(&out[..live]));
            }
        }
        out[..live].copy_from_slice(sums);
        out[live..].fill(0.0);
        row.sums = numbers;
        Ok(())
    }

    /// Its sum over edges.
    fn long_edges(
        &self,
        row: &mut LongRow,
        operator: &Operator,
        source: RowsOf,
        sums: &mut [f32],
        mut bounds: Option<(&mut BoundSums, RowsOf)>,
    ) -> Result<RowFactors, Error> {
        let (i, has_loops) = (row.i, row.has_loops);
        let (own, factors) = factors(row, i, operator, self.one_plus_eps, self.epilogue);
        let (mut begins, mut weighted) = (true, false);
        if !operator.no_edges {
            row.pieces(|sources, weights| {
                let piece = Piece::of((i, has_loops, begins), sources, weights, operator);
                dispatch(AddPiece { piece, source, sums });
                if let Some((bounds, errors)) = &mut bounds {
                    bounds.add(&piece, source, *errors);
                }
                (begins, weighted) = (false, piece.weights.is_some());
            })?;
        }
        dispatch(EndSums { i, own, source, sums });
        if let (Some((bounds, errors)), Some(own)) = (&mut bounds, own) {
            bounds.term(own, weighted, i, source, *errors);
        }
        Ok(factors)
    }
}

/// The softmax-weighted sum over the messages of a row in pieces, whose sources' rows lie in panels side by side.
pub(super) fn attend_long(row: &mut LongRow, scores: Scores, loops: bool, panels: &[RowsOf], out: &mut [f32]) -> Result<(), Error> {
    let mut softmax = LongSoftmax::new(scores, row.i, loops, row.has_loops);
    row.pieces(|sources, _| dispatch(Look { softmax: &mut softmax, sources }))?;
    row.pieces(|sources, _| dispatch(Weigh { softmax: &mut softmax, sources, panels, ends: false, out }))?;
    dispatch(Weigh { softmax: &mut softmax, sources: &[], panels, ends: true, out });
    Ok(())
}
