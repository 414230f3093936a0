//! Steps over rows: block by block through linear maps, sums over edges and an epilogue.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::panels::bind;
use super::parts::{Part, blocks, even};
use super::runner::{Place, Runner};
use super::sums::RowSums;
use super::terms::{Input, bound_rows, inner_width, map_rows, put_beside, put_larger};
use crate::cost::{self, Store};
use crate::error::{Error, not_finite};
use crate::features::FeatureData;
use crate::graph::{Incoming, Wanted};
use crate::kernels::aggregate::factors;
use crate::kernels::epilogue::{Bound, OtherErrors, l2_normalise, standardise, widened};
use crate::kernels::{RowsOf, fits};
use crate::model::Params;
use crate::plan::Plan;
use crate::pool::{Numbers, Values};
use crate::spec::Reduce;
use crate::steps::{Epilogue, From, Meeting, Operator, RowOut};
use crate::storage::NpyFeatures;

impl Runner<'_> {
    /// A step over rows: block by block, all inputs are read before any output is written.
    pub(super) fn rows(&mut self, at: &Place, outs: &[RowOut], values: &Values) -> Result<(), Error> {
        let (s, block, plan, graph) = (self.s, self.block(), self.plan, self.graph);
        let params = plan.model.params(at.layer);
        let layouts = &at.recipe.values;
        let sources = cost::sources(outs).into_iter().collect::<Vec<_>>();
        let stats = plan.features.stats();
        let mut own = Vec::new();
        for source in &sources {
            if let From::Value(value) = source {
                own.extend_from_slice(values.of(*value));
            }
        }
        for out in outs {
            own.extend_from_slice(values.of(out.out));
        }
        // What is read at random stays in the pool.
        let random = outs.iter().flat_map(|out| &out.terms).filter(|term| term.over_edges.is_some());
        let shared = random.filter_map(|term| if let From::Value(value) = term.from { Some(value) } else { None }).collect::<Vec<_>>();
        let shared_ids = shared.iter().flat_map(|&value| values.of(value)).copied().collect::<Vec<_>>();
        own.retain(|id| !shared_ids.contains(id));
        let over_edges = outs.iter().any(|out| out.terms.iter().any(|term| term.over_edges.is_some()));
        let threads = self.schedule.threads;
        let ranges = if over_edges { graph.split(at.rows, threads) } else { even(at.rows, threads) };
        let wanted = graph.wanted(|weighted, loops| Wanted::for_rows(outs, weighted, loops));
        let feature_row = |i: usize| plan.feature_rows.as_ref().map_or(i, |rows| rows[i] as usize);
        let features_read = AtomicU64::new(0);
        let Store { bounds: bounded, half, .. } = self.schedule.store;
        let result = self.by_rows(own, &ranges, vec![(); ranges.len()], |part, pool, ()| {
            let Part { rows, mut access, scratch, mut reader } = part;
            let mut rest = scratch;
            let mut take = |numbers: usize| {
                let (taken, left) = std::mem::take(&mut rest).split_at_mut(block * numbers);
                rest = left;
                taken
            };
            let mut gathered = sources.iter().map(|&source| take(cost::gathered(source, layouts, stats))).collect::<Vec<_>>();
            let mut results = outs.iter().map(|out| take(layouts[out.out].columns())).collect::<Vec<_>>();
            // The same of the bounds; those of features are 0 where both runs read the same.
            let rounded = match &plan.features.0 {
                FeatureData::Int8(features) if bounded => Some(features),
                _ => None,
            };
            let inexact = |source: From| bounded && (source != From::Features || rounded.is_some());
            let errors_of = |source: From| if inexact(source) { cost::gathered(source, layouts, stats) } else { 0 };
            let mut gathered_errors = sources.iter().map(|&source| take(errors_of(source))).collect::<Vec<_>>();
            let mut result_errors = outs.iter().map(|out| take(if bounded { layouts[out.out].columns() } else { 0 })).collect::<Vec<_>>();
            reader.windows(rows, &wanted, |rows, window| {
                for rows in blocks(rows, block) {
                    let count = rows.len();
                    for (&source, errors) in sources.iter().zip(&mut gathered_errors) {
                        match (source, rounded) {
                            (From::Value(value), _) if bounded => {
                                let layout = layouts[value];
                                let errors = &mut errors[..count * layout.columns()];
                                access.gather(Numbers::Errors, values.of(value), layout, s, rows.clone(), errors, rest)?;
                            }
                            (From::Features, Some(features)) => {
                                errors.chunks_exact_mut(stats.columns()).take(count).for_each(|row| features.errors(row));
                            }
                            _ => {}
                        }
                    }
                    for (&source, gathered) in sources.iter().zip(&mut gathered) {
                        match (source, &plan.features.0) {
                            (From::Value(value), _) => {
                                let layout = layouts[value];
                                let gathered = &mut gathered[..count * layout.columns()];
                                if shared.contains(&value) {
                                    for (k, &id) in values.of(value).iter().enumerate() {
                                        let (columns, panel) = (layout.columns_of(k, s), pool.panel(id));
                                        for (i, out) in rows.clone().zip(gathered.chunks_exact_mut(layout.columns())) {
                                            out[columns.clone()].copy_from_slice(&panel[i * s..i * s + columns.len()]);
                                        }
                                    }
                                } else {
                                    access.gather(Numbers::Values, values.of(value), layout, s, rows.clone(), gathered, rest)?;
                                }
                            }
                            (From::Features, FeatureData::Streamed(file)) => {
                                let gathered = &mut gathered[..count * stats.columns()];
                                features_read.fetch_add(read_features(plan, file, rows.clone(), gathered)?, Relaxed);
                            }
                            (From::Features, FeatureData::Int8(features)) => {
                                for (i, row) in rows.clone().zip(gathered.chunks_exact_mut(stats.columns())) {
                                    features.read(feature_row(i), row);
                                }
                            }
                            (From::Features, _) => {}
                        }
                    }
                    for ((out, result), errors) in outs.iter().zip(&mut results).zip(&mut result_errors) {
                        let width = layouts[out.out].columns();
                        // All that the block reads is read by now: results may go to their place at once.
                        let result = match access.whole_rows_mut(values.of(out.out), layouts[out.out], s, rows.clone()) {
                            Some(panel) => panel,
                            None => &mut result[..count * width],
                        };
                        if bounded {
                            let errors = &mut errors[..count * width];
                            errors.fill(0.0);
                            let terms = out.terms.iter().filter_map(|term| {
                                let place = sources.iter().position(|&source| source == term.from && inexact(source))?;
                                let columns = cost::gathered(term.from, layouts, stats);
                                let size = count * columns;
                                Some((term, &gathered[place][..size], &gathered_errors[place][..size], columns))
                            });
                            bound_rows(params, terms, inner_width(out, layouts, stats), errors, width, rest);
                        }
                        for (t, term) in out.terms.iter().enumerate() {
                            let from_scratch = sources.iter().position(|&source| source == term.from && term.over_edges.is_none());
                            let summed = &mut rest[..];
                            let input = match (term.from, term.over_edges, &plan.features.0) {
                                (From::Value(value), Some((operator, mean)), _) => {
                                    let of = |&id: &usize| RowsOf { data: pool.panel(id), first: 0, stride: s };
                                    let panels = values.of(value).iter().map(of).collect::<Vec<_>>();
                                    let (layout, width) = (layouts[value], layouts[value].columns());
                                    let sums = RowSums { operator, mean, width, one_plus_eps: params.one_plus_eps };
                                    sums.of_panels(window, rows.clone(), &panels, |k| layout.columns_of(k, s), summed)?;
                                    Input::Dense(&*summed, width)
                                }
                                (From::Features, Some((operator, mean)), features) => {
                                    let width = stats.columns();
                                    let (sums, rows) = (RowSums { operator, mean, width, one_plus_eps: params.one_plus_eps }, rows.clone());
                                    match features {
                                        FeatureData::Sparse(csr) => sums.of_sparse(window, rows, csr, feature_row, summed)?,
                                        FeatureData::Dense(array) if plan.feature_rows.is_none() => {
                                            let source = RowsOf { data: array.as_slice(), first: 0, stride: width };
                                            sums.of_panels(window, rows, &[source], |_| 0..width, summed)?;
                                        }
                                        FeatureData::Dense(array) => sums.of_dense(window, rows, array, feature_row, summed)?,
                                        FeatureData::Streamed(_) | FeatureData::Int8(_) => {
                                            unreachable!("features that come by blocks are copied before they are read at random")
                                        }
                                    }
                                    Input::Dense(&*summed, width)
                                }
                                (From::Value(value), None, _) => {
                                    let width = layouts[value].columns();
                                    Input::Dense(&gathered[from_scratch.unwrap_or(0)][..count * width], width)
                                }
                                (From::Features, None, FeatureData::Streamed(_) | FeatureData::Int8(_)) => {
                                    Input::Dense(&gathered[from_scratch.unwrap_or(0)][..count * stats.columns()], stats.columns())
                                }
                                (From::Features, None, FeatureData::Dense(array)) => match &plan.feature_rows {
                                    None => Input::Dense(
                                        &array.as_slice()[rows.start * stats.columns()..rows.end * stats.columns()],
                                        stats.columns(),
                                    ),
                                    Some(_) => Input::RowsByIndex(array),
                                },
                                (From::Features, None, FeatureData::Sparse(csr)) => Input::Sparse(csr),
                            };
                            match (term.meets, &input) {
                                (Meeting::Beside(column), &Input::Dense(x, columns)) => put_beside(x, columns, column, result, width),
                                (Meeting::Larger, &Input::Dense(x, _)) if t > 0 => put_larger(x, result),
                                _ => {
                                    map_rows(&input, params, term, rows.clone(), feature_row, result, width, t > 0);
                                    if bounded && t > 0 {
                                        // The sum with this term is rounded in both runs, also where the term itself is the same.
                                        let errors = errors[..count * width].iter_mut().zip(&*result);
                                        errors.for_each(|(e, x)| *e = widened(*e, x.abs()));
                                    }
                                }
                            }
                        }
                        let skip = out.epilogue.skip.map(|value| {
                            let place = sources.iter().position(|&source| source == From::Value(value)).unwrap_or(0);
                            let columns = layouts[value].columns();
                            RowsOf { data: &gathered[place][..count * columns], first: rows.start, stride: columns }
                        });
                        // Part of a matrix's columns goes with that part of the vectors.
                        let begin = out.terms[0].matrix.as_ref().map_or(0, |matrix| matrix.columns.start);
                        let bound = Bound { skip, ..bind(params, &out.epilogue, begin..begin + width) };
                        if bounded {
                            let skip = out.epilogue.skip.map(|value| {
                                let place = sources.iter().position(|&source| source == From::Value(value)).unwrap_or(0);
                                let columns = layouts[value].columns();
                                RowsOf { data: &gathered_errors[place][..count * columns], first: rows.start, stride: columns }
                            });
                            let others = OtherErrors { mix: None, skip };
                            let errors = &mut errors[..count * width];
                            let none = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
                            let both = result.chunks_exact_mut(width).zip(errors.chunks_exact_mut(width));
                            for (i, (row, errors)) in rows.clone().zip(both) {
                                let (_, factors) = factors(window, i, &none, params.one_plus_eps, &out.epilogue);
                                bound.apply_bounded(row, errors, i, 0, factors, None, others);
                            }
                        } else {
                            finish_rows(window, params, &out.epilogue, &bound, rows.clone(), result, width);
                        }
                        if plan.check_finite
                            && let Some(k) = result.chunks_exact(width).position(|row| !fits(row, half))
                        {
                            return Err(Error::Overflow { layer: at.layer, node: rows.start + k });
                        }
                    }
                    for ((out, result), errors) in outs.iter().zip(&results).zip(&result_errors) {
                        let (layout, size) = (layouts[out.out], count * layouts[out.out].columns());
                        if access.whole_rows(values.of(out.out), layout, s, rows.clone()).is_some() {
                            continue;
                        }
                        let errors = bounded.then(|| &errors[..size]);
                        access.scatter(values.of(out.out), layout, s, rows.clone(), (&result[..size], errors), rest)?;
                    }
                }
                Ok(())
            })
        });
        self.feature_bytes += features_read.into_inner();
        result
    }
}

/// The epilogue of whole rows.
fn finish_rows(
    graph: &impl Incoming,
    params: &Params,
    epilogue: &Epilogue,
    bound: &Bound,
    rows: Range<usize>,
    out: &mut [f32],
    width: usize,
) {
    let none = Operator { no_edges: true, ..Operator::of(Reduce::Sum) };
    for (i, row) in rows.zip(out.chunks_exact_mut(width)) {
        let (_, factors) = factors(graph, i, &none, params.one_plus_eps, epilogue);
        bound.before_norm(row, i, 0, factors, None);
        if epilogue.l2 {
            l2_normalise(row);
        }
        if let Some(eps) = epilogue.standardise {
            standardise(row, eps);
        }
        bound.after_norm(row, i, 0, factors);
    }
}

/// Rows of a feature file, checked.
fn read_features(plan: &Plan, file: &NpyFeatures, rows: Range<usize>, out: &mut [f32]) -> Result<u64, Error> {
    let columns = file.columns();
    let read = match &plan.feature_rows {
        None => file.read_rows(rows.start, out)?,
        Some(places) => {
            let mut read = 0;
            for (i, out) in rows.clone().zip(out.chunks_exact_mut(columns)) {
                read += file.read_rows(places[i] as usize, out)?;
            }
            read
        }
    };
    if plan.check_finite
        && let Some(k) = out.iter().position(|x| !x.is_finite())
    {
        let row = plan.feature_rows.as_ref().map_or(rows.start + k / columns, |places| places[rows.start + k / columns] as usize);
        return Err(not_finite("features", &[row, k % columns], file.entry(row, k % columns)?).into());
    }
    Ok(read)
}
