//! Steps over panels: one panel through a sum over edges and its epilogue.

use std::ops::Range;

use rayon::prelude::*;

use super::panel_sums::{Errors, PanelSums};
use super::parts::{Part, blocks, first_error, readers};
use super::runner::{Place, Runner, Sum};
use crate::cost::Store;
use crate::error::Error;
use crate::graph::Wanted;
use crate::kernels::epilogue::{Bound, OtherErrors};
use crate::kernels::{RowsOf, fits};
use crate::model::Params;
use crate::pool::{Access, Numbers, Values, cut};
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
        let ranges = graph.split(at.rows, self.schedule.threads);
        let wanted = match sum {
            Sum::Edges(operator) => graph.wanted(|weighted, loops| Wanted::for_sums(Some(operator), epilogue, weighted, loops)),
            Sum::Attention { .. } => Wanted::for_attention(),
        };
        let id_of = |value: Val| values.of(value)[frame.1];
        let (mix, skip) = (epilogue.mix.map(|(alpha, value)| (alpha, id_of(value))), epilogue.skip.map(id_of));
        let Store { bounds: bounded, half, .. } = self.schedule.store;
        let direct = self.schedule.store.is_direct();
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
        let sums = PanelSums { sum, one_plus_eps: params.one_plus_eps, epilogue, live: columns.len(), scores };
        let checked = |bad: Option<usize>| if check { overflow(at.layer, bad) } else { Ok(()) };
        let result = if direct {
            let out = self.pool.lend(place.1);
            let of = |id: usize| RowsOf { data: self.pool.panel(id), first: 0, stride: s };
            let source = of(place.0);
            let bound = Bound { mix: mix.map(|(alpha, id)| (alpha, of(id))), skip: skip.map(of), ..bound };
            let parts = cut(&mut out[..at.rows * s], s, &ranges).into_iter().zip(&ranges);
            let parts = parts.zip(readers(graph, &mut self.disk_buffers, ranges.len())).collect::<Vec<_>>();
            let work = parts.into_par_iter().map(|((out, part), mut reader)| {
                reader.windows(part.clone(), &wanted, |rows, window| {
                    let out = &mut out[(rows.start - part.start) * s..(rows.end - part.start) * s];
                    checked(sums.run(window, rows, source, bound, out, None)?)
                })
            });
            let work = work.collect();
            self.pool.take_back(place.1, out);
            first_error(work)
        } else {
            let block = self.block();
            let others = mix.map(|(_, id)| id).into_iter().chain(skip);
            let own = others.chain([place.1]).collect();
            self.by_rows(own, &ranges, vec![(); ranges.len()], |part, pool, ()| {
                let Part { rows, mut access, scratch, mut reader } = part;
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
                // What else a block of rows needs, with its bounds.
                let other = |access: &Access, id: usize, rows: &Range<usize>, data: &mut [f32], errors: &mut [f32]| {
                    access.read(Numbers::Values, id, s, rows.clone(), data)?;
                    if bounded { access.read(Numbers::Errors, id, s, rows.clone(), errors) } else { Ok(()) }
                };
                reader.windows(rows, &wanted, |rows, window| {
                    for rows in blocks(rows, block) {
                        let (count, first) = (rows.len() * s, rows.start);
                        let with_errors = if bounded { count } else { 0 };
                        let rows_of = |data| RowsOf { data, first, stride: s };
                        let (mut bound, mut others) = (bound, OtherErrors::default());
                        if let Some((alpha, id)) = mix {
                            let (data, errors) = (&mut mix_rows[..count], &mut mix_errors[..with_errors]);
                            other(&access, id, &rows, data, errors)?;
                            (bound.mix, others.mix) = (Some((alpha, rows_of(data))), bounded.then_some(rows_of(errors)));
                        }
                        if let Some(id) = skip {
                            let (data, errors) = (&mut skip_rows[..count], &mut skip_errors[..with_errors]);
                            other(&access, id, &rows, data, errors)?;
                            (bound.skip, others.skip) = (Some(rows_of(data)), bounded.then_some(rows_of(errors)));
                        }
                        let (out, out_errors) = (&mut out_rows[..count], &mut out_errors[..with_errors]);
                        if epilogue.accumulate {
                            other(&access, place.1, &rows, out, out_errors)?;
                        }
                        let errors = bounded.then(|| Errors { source: of(errors_at), others, out: out_errors });
                        checked(sums.run(window, rows.clone(), source, bound, out, errors)?)?;
                        if half {
                            checked(out.chunks_exact(s).position(|row| !fits(row, half)).map(|k| first + k))?;
                        }
                        access.write(place.1, s, rows, out, bounded.then_some(out_errors))?;
                    }
                    Ok(())
                })
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
