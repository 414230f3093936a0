//! One term of a row: a row through a matrix, and what becomes of the bounds of its errors.

use std::ops::Range;

use certus_numeric::Csr;

use crate::features::{DenseFeatures, FeatureStats};
use crate::kernels::combine::{Combine, CombineSparse};
use crate::kernels::epilogue::no_bound_if_nan;
use crate::model::Params;
use crate::simd::dispatch;
use crate::steps::{From, Layout, Meeting, RowOut, Term};

/// The rows that meet a matrix.
pub(super) enum Input<'i> {
    /// Side by side, of this width.
    Dense(&'i [f32], usize),
    /// Rows of features in memory, by their own numbers.
    RowsByIndex(&'i DenseFeatures),
    Sparse(&'i Csr<f32>),
}

/// One term: each row through its matrix, or as it is.
#[allow(clippy::too_many_arguments)]
pub(super) fn map_rows(
    input: &Input,
    params: &Params,
    term: &Term,
    rows: Range<usize>,
    feature_row: impl Fn(usize) -> usize,
    out: &mut [f32],
    width: usize,
    add: bool,
) {
    let matrix = term.matrix.as_ref().map(|matrix| (&params.matrices[&matrix.slot], matrix.columns.clone()));
    match (input, matrix) {
        (Input::Dense(x, x_stride), Some((w, columns))) => {
            dispatch(Combine { x, x_stride: *x_stride, rows: rows.len(), w, columns, out, out_stride: width, add, absolute: false });
        }
        (Input::Dense(x, _), None) => put(out, x, add),
        (Input::RowsByIndex(array), Some((w, columns))) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                let x = array.row(feature_row(i));
                dispatch(Combine {
                    x,
                    x_stride: x.len(),
                    rows: 1,
                    w,
                    columns: columns.clone(),
                    out,
                    out_stride: width,
                    add,
                    absolute: false,
                });
            }
        }
        (Input::RowsByIndex(array), None) => {
            rows.zip(out.chunks_exact_mut(width)).for_each(|(i, out)| put(out, array.row(feature_row(i)), add));
        }
        (Input::Sparse(csr), Some((w, columns))) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                let (indices, values) = csr.row(feature_row(i));
                dispatch(CombineSparse { indices, values, w, columns: columns.clone(), out, add });
            }
        }
        (Input::Sparse(csr), None) => {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                if !add {
                    out.fill(0.0);
                }
                let (indices, values) = csr.row(feature_row(i));
                indices.iter().zip(values).for_each(|(&k, &x)| out[k as usize] += x);
            }
        }
    }
}

/// Rows of `columns` numbers into some columns of rows of `width`.
pub(super) fn put_beside(x: &[f32], columns: usize, first: usize, out: &mut [f32], width: usize) {
    for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(width)) {
        out[first..first + columns].copy_from_slice(x);
    }
}

/// The larger of both numbers.
pub(super) fn put_larger(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = if x > *out { x } else { *out });
}

fn put(out: &mut [f32], x: &[f32], add: bool) {
    if add {
        out.iter_mut().zip(x).for_each(|(out, x)| *out += x);
    } else {
        out.copy_from_slice(x);
    }
}

/// Inner widths of all terms of an output: how many terms its sums have at most.
pub(super) fn inner_width(out: &RowOut, layouts: &[Layout], stats: FeatureStats) -> usize {
    out.terms
        .iter()
        .map(|term| match term.from {
            From::Features => stats.columns(),
            From::Value(value) => layouts[value].columns(),
        })
        .sum()
}

/// Bounds on the distance of rows from those of another run, whose inputs are within the bounds of each term: by the weights without signs.
pub(super) fn bound_rows<'t>(
    params: &Params,
    terms: impl Iterator<Item = (&'t Term, &'t [f32], &'t [f32], usize)> + Clone,
    inner: usize,
    errors: &mut [f32],
    width: usize,
    rest: &mut [f32],
) {
    let g = (inner + 6) as f32 * 2f32.powi(-23);
    let mut touched = false;
    for (term, x, e, columns) in terms.clone() {
        // Nothing is rounded where rows are moved or compared.
        match term.meets {
            Meeting::Beside(column) => {
                put_beside(e, columns, column, errors, width);
                continue;
            }
            Meeting::Larger => {
                put_larger(e, errors);
                continue;
            }
            Meeting::Added => {}
        }
        let v = &mut rest[..x.len()];
        for ((v, x), e) in v.chunks_exact_mut(columns).zip(x.chunks_exact(columns)).zip(e.chunks_exact(columns)) {
            // A row that is the same in both runs gives the same.
            let same = e.iter().all(|&e| e == 0.0);
            for ((v, x), e) in v.iter_mut().zip(x).zip(e) {
                *v = if same { 0.0 } else { (1.0 + 3.0 * g) * e + 3.0 * g * x.abs() };
            }
        }
        match &term.matrix {
            None => errors.iter_mut().zip(&*v).for_each(|(errors, v)| *errors += v),
            Some(matrix) => dispatch(Combine {
                x: v,
                x_stride: columns,
                rows: x.len() / columns,
                w: &params.matrices[&matrix.slot],
                columns: matrix.columns.clone(),
                out: errors,
                out_stride: width,
                add: touched,
                absolute: true,
            }),
        }
        touched = true;
    }
    // What is the same in both runs is settled by the inputs: a product of bounds may be too small for a number.
    let differs = |row: usize| {
        terms.clone().any(|(term, _, e, columns)| term.meets == Meeting::Added && e[row * columns..][..columns].iter().any(|e| *e != 0.0))
    };
    for (row, errors) in errors.chunks_exact_mut(width).enumerate() {
        let differs = differs(row);
        errors.iter_mut().for_each(|e| {
            *e = if !differs && *e == 0.0 {
                0.0
            } else if g <= 1.0 / 3.0 {
                no_bound_if_nan(*e + 2f32.powi(-100))
            } else {
                f32::INFINITY
            }
        });
    }
}
