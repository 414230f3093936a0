//! Steps over panels: one panel through a sum over edges and its epilogue.

use std::ops::Range;

use rayon::prelude::*;

use super::parts::{blocks, first_error, split_by_edges};
use super::runner::{Place, Runner, Sum};
use crate::error::Error;
use crate::kernels::RowsOf;
use crate::kernels::aggregate::{Aggregate, AggregateBounded};
use crate::kernels::attend::Attend;
use crate::kernels::epilogue::{Bound, OtherErrors};
use crate::model::Params;
use crate::pool::{Numbers, Values, cut};
use crate::simd::dispatch;
use crate::steps::{Epilogue, Val, VectorSlot};

impl Runner<'_> {
    /// One panel through the sum and the epilogue. `place`: the panels read and written.
    pub(super) fn panel(
        &mut self,
        at: &Place,
        values: &Values,
        place: (usize, usize),
        frame: (Val, usize),
        epilogue: &Epilogue,
        sum: Sum,
    ) -> Result<(), Error> {
        let (s, graph, check) = (self.s, self.graph, self.plan.check_finite);
        let params = self.plan.model.params(at.layer);
        let columns = at.recipe.values[frame.0].columns_of(frame.1, s);
        let bound = bind(params, epilogue, columns.clone());
        let live = columns.len();
        let ranges = split_by_edges(graph, at.rows, self.schedule.threads);
        let id_of = |value: Val| values.of(value)[frame.1];
        let (mix, skip) = (epilogue.mix.map(|(alpha, value)| (alpha, id_of(value))), epilogue.skip.map(id_of));
        let (direct, bounded) = (self.schedule.store.is_direct(), self.schedule.store.bounds);
        let errors_at = self.schedule.panels / 2;
        if !direct {
            // The source's panel comes into memory; what else is read and written comes and goes by blocks.
            self.load(0, place.0, at.from, Numbers::Values)?;
            if bounded {
                self.load(errors_at, place.0, at.from, Numbers::Errors)?;
            }
        }
        let vectors = std::mem::take(&mut self.vectors);
        let scores = match &vectors[..] {
            [source, target, ..] => (&**source, &**target),
            _ => (&[][..], &[][..]),
        };
        let run = |rows: Range<usize>, source: RowsOf, bound: Bound, out: &mut [f32]| match sum {
            Sum::Edges(operator) => dispatch(Aggregate {
                graph,
                rows,
                source,
                live,
                operator: *operator,
                one_plus_eps: params.one_plus_eps,
                epilogue,
                bound,
                out,
            }),
            Sum::Attention { loops, slope } => dispatch(Attend {
                graph,
                rows,
                source,
                live,
                source_scores: scores.0,
                target_scores: scores.1,
                loops,
                slope,
                epilogue,
                bound,
                out,
            }),
        };
        let checked = |bad: Option<usize>| if check { overflow(at.layer, bad) } else { Ok(()) };
        let result = if direct {
            let out = self.pool.lend(place.1);
            let of = |id: usize| RowsOf { data: self.pool.panel(id), first: 0, stride: s };
            let source = of(place.0);
            let bound = Bound { mix: mix.map(|(alpha, id)| (alpha, of(id))), skip: skip.map(of), ..bound };
            let parts = cut(&mut out[..at.rows * s], s, &ranges);
            let work = parts.into_par_iter().zip(ranges).map(|(out, rows)| checked(run(rows, source, bound, out))).collect();
            self.pool.take_back(place.1, out);
            first_error(work)
        } else {
            let block = self.block();
            let others = mix.map(|(_, id)| id).into_iter().chain(skip);
            let own = others.chain([place.1]).collect();
            self.by_rows(own, &ranges, vec![(); ranges.len()], |access, scratch, rows, pool, ()| {
                let of = |id: usize| RowsOf { data: pool.panel(id), first: 0, stride: s };
                let source = of(0);
                let mut rest = scratch;
                let mut take = |wanted: bool| {
                    let (taken, left) = std::mem::take(&mut rest).split_at_mut(if wanted { block * s } else { 0 });
                    rest = left;
                    taken
                };
                let [out_rows, mix_rows, skip_rows] = [true, mix.is_some(), skip.is_some()].map(&mut take);
                let [out_errors, mix_errors, skip_errors] = [bounded, bounded && mix.is_some(), bounded && skip.is_some()].map(&mut take);
                for rows in blocks(rows, block) {
                    let (count, first) = (rows.len() * s, rows.start);
                    let (mut bound, mut others) = (bound, OtherErrors::default());
                    if let Some((alpha, id)) = mix {
                        access.read(Numbers::Values, id, s, rows.clone(), &mut mix_rows[..count])?;
                        bound.mix = Some((alpha, RowsOf { data: &mix_rows[..count], first, stride: s }));
                        if bounded {
                            access.read(Numbers::Errors, id, s, rows.clone(), &mut mix_errors[..count])?;
                            others.mix = Some(RowsOf { data: &mix_errors[..count], first, stride: s });
                        }
                    }
                    if let Some(id) = skip {
                        access.read(Numbers::Values, id, s, rows.clone(), &mut skip_rows[..count])?;
                        bound.skip = Some(RowsOf { data: &skip_rows[..count], first, stride: s });
                        if bounded {
                            access.read(Numbers::Errors, id, s, rows.clone(), &mut skip_errors[..count])?;
                            others.skip = Some(RowsOf { data: &skip_errors[..count], first, stride: s });
                        }
                    }
                    let out = &mut out_rows[..count];
                    if epilogue.accumulate {
                        access.read(Numbers::Values, place.1, s, rows.clone(), out)?;
                    }
                    let Sum::Edges(operator) = sum else {
                        checked(run(rows.clone(), source, bound, out))?;
                        access.write(place.1, s, rows, out, None)?;
                        continue;
                    };
                    if !bounded {
                        checked(run(rows.clone(), source, bound, out))?;
                        access.write(place.1, s, rows, out, None)?;
                        continue;
                    }
                    let out_errors = &mut out_errors[..count];
                    if epilogue.accumulate {
                        access.read(Numbers::Errors, place.1, s, rows.clone(), out_errors)?;
                    }
                    let (operator, one_plus_eps) = (*operator, params.one_plus_eps);
                    let values = Aggregate { graph, rows: rows.clone(), source, live, operator, one_plus_eps, epilogue, bound, out };
                    let source_errors = of(errors_at);
                    checked(dispatch(AggregateBounded { values, source_errors, others, out_errors }))?;
                    access.write(place.1, s, rows, &out_rows[..count], Some(out_errors))?;
                }
                Ok(())
            })
        };
        self.vectors = vectors;
        result
    }
}

/// The part of an epilogue's vectors for some columns, and its other rows.
pub(super) fn bind<'b>(params: &'b Params, epilogue: &Epilogue, columns: Range<usize>) -> Bound<'b> {
    let vector = |slot: VectorSlot| &params.vectors[&slot][columns.clone()];
    Bound {
        divide: epilogue.divide,
        mix: None,
        bias: epilogue.bias.map(vector),
        affine: epilogue.affine.map(|(scale, shift)| (vector(scale), vector(shift))),
        activation: epilogue.activation,
        skip: None,
    }
}

fn overflow(layer: usize, bad: Option<usize>) -> Result<(), Error> {
    match bad {
        Some(node) => Err(Error::Overflow { layer, node }),
        None => Ok(()),
    }
}
