//! A pilot: the same problem on some of its rows, where a large fit begins.
//!
//! The answer on m rows drawn at random is as near to that on all as sampling errors allow, about the square root of d / m: a few steps
//! on all rows do the rest.

use certus_linalg::Matrix;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::sum::{max_abs, par_blocks};
use certus_numeric::{Array, Csr, Seed};
use rayon::prelude::*;

use crate::Error;
use crate::problem::{Form, Problem};
use crate::rows::{BLOCK, sum_rows};

/// Stored entries from which a pilot is worth its while.
const LARGE: usize = 1 << 20;
/// One row in so many, unless that is few for the columns.
const ONE_IN: usize = 16;
const ROWS_A_COLUMN: usize = 40;
/// What of a row's chance in the plain form is the same for all; the rest goes with the square of its target, as the curvature does at a
/// good fit.
const EVEN: f64 = 0.25;

/// Some rows of a problem, weighted for all.
pub(crate) struct Pilot {
    a: Sample,
    b: Vec<f64>,
    weights: Vec<f64>,
    row_reg: Vec<f64>,
    offset: Vec<f64>,
}

enum Sample {
    Dense(Array),
    Sparse(Csr),
}

impl Pilot {
    /// `None` where the problem is small, or has few rows for its columns.
    pub(crate) fn draw(p: &Problem<'_>, seed: Seed) -> Result<Option<Pilot>, Error> {
        let (n, d) = (p.rows(), p.cols());
        let count = (n / ONE_IN).max(ROWS_A_COLUMN * d);
        if p.a().stored() < LARGE || count > n / 4 {
            return Ok(None);
        }
        let even = count as f64 / n as f64;
        let largest = max_abs(p.b()).max(f64::MIN_POSITIVE);
        let square = |i: usize| (p.b()[i] / largest).powi(2);
        let mean = sum_rows(n, square) / n as f64;
        // A sum over rows needs the same chance for all.
        let by_target = p.form() == Form::Plain && mean > 0.0;
        let chance = |i: usize| even * if by_target { (EVEN + (1.0 - EVEN) * square(i) / mean).min(1.0 / even) } else { 1.0 };
        let key = seed.key("pilot rows");
        let drawn = |i: &usize| unit_interval(hash64(key, *i as u64)) < chance(*i);
        let rows = par_blocks(n, BLOCK, |rows| rows.filter(drawn).collect::<Vec<_>>()).concat();
        if rows.is_empty() {
            return Ok(None);
        }
        let a = match p.a() {
            Matrix::Dense(a) => {
                let mut values = vec![0.0; rows.len() * d];
                values.par_chunks_mut(d).zip(&rows).for_each(|(row, &i)| row.copy_from_slice(a.row(i)));
                Sample::Dense(Array::matrix(rows.len(), d, values)?)
            }
            Matrix::Sparse(a) => {
                let blocks = par_blocks(rows.len(), BLOCK, |block| {
                    let (mut indices, mut values) = (Vec::new(), Vec::new());
                    for &i in &rows[block] {
                        let (columns, entries) = a.row(i);
                        indices.extend_from_slice(columns);
                        values.extend_from_slice(entries);
                    }
                    (indices, values)
                });
                let (indices, values): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
                let ends = rows.iter().scan(0, |end, &i| {
                    *end += a.indptr()[i + 1] - a.indptr()[i];
                    Some(*end)
                });
                let pointers = std::iter::once(0).chain(ends).collect();
                Sample::Sparse(Csr::new(rows.len(), d, pointers, indices.concat(), values.concat())?)
            }
        };
        // The sum of u over the sample is that share of the one over all: the targets of the forms with a sum are so much larger, and the
        // squares of the normalised form's residuals by the square of it.
        let of_target = if p.form() == Form::Plain { 1.0 } else { 1.0 / even };
        let of_weight = |i: usize| if p.form() == Form::Normalised { even } else { 1.0 / chance(i) };
        let of_rows = |f: &dyn Fn(usize) -> f64| rows.iter().map(|&i| f(i)).collect::<Vec<_>>();
        Ok(Some(Pilot {
            a,
            b: of_rows(&|i| of_target * p.b()[i]),
            weights: of_rows(&|i| of_weight(i) * p.weight(i)),
            row_reg: of_rows(&|i| (p.row_reg_squared(i) / chance(i)).sqrt()),
            offset: of_rows(&|i| p.offset(i)),
        }))
    }

    /// The problem on the sample, regularised as the whole one.
    pub(crate) fn problem<'a>(&'a self, whole: &Problem<'a>) -> Result<Problem<'a>, Error> {
        let a = match &self.a {
            Sample::Dense(a) => Matrix::from(a),
            Sample::Sparse(a) => Matrix::from(a),
        };
        let mut p = Problem::new(a, &self.b, whole.link(), whole.form())?.with_data_weights(&self.weights)?.with_ridge(whole.ridge())?;
        if whole.has_row_reg() {
            p = p.with_row_reg(&self.row_reg)?;
        }
        if whole.has_offset() {
            p = p.with_offset(&self.offset)?;
        }
        match whole.reference_given() {
            Some(reference) => p.with_reference(reference),
            None => Ok(p),
        }
    }
}
