//! Directions of x that the loss does not depend on.

use certus_linalg::factor::{Cholesky, PivotedQr, symmetric_eigen};
use certus_linalg::operator::LinearOperator;
use certus_linalg::{Error, Mat};

use crate::answer::{Answer, Known};
use crate::objective::Loss;
use crate::problem::{Form, Link, Problem};

/// Orthonormal directions along which the curvature is zero to rounding; `None` where there are none, or the Hessian was not formed.
pub(crate) fn unseen_directions(loss: &Loss<'_, '_>, answer: &Answer) -> Result<Option<Mat<f64>>, Error> {
    let Some(h) = answer.curvature.hessian() else { return Ok(None) };
    let is_clear = matches!(&answer.curvature, Known::Earlier(formed) if formed.is_clear);
    // A ridge sees every direction, however little.
    if is_clear || loss.problem.ridge() > 0.0 {
        return Ok(None);
    }
    let d = h.nrows();
    // Relative to the terms that an entry is the sum of: what they cancel to is rounding.
    let scales =
        loss.curvature_size(&answer.point, h).into_iter().map(f64::sqrt).map(|s| if s > 0.0 { s } else { 1.0 }).collect::<Vec<_>>();
    let scaled = Mat::from_fn(d, d, |i, j| h[(i, j)] / (scales[i] * scales[j]));
    if Cholesky::new("the Hessian", scaled.as_ref()).is_ok_and(|factor| has_clear_inverse(&factor)) {
        return Ok(None);
    }
    let eigen = symmetric_eigen(scaled.as_ref())?;
    let flat = (0..d).filter(|&j| eigen.values[j].abs() <= 1e-13 * d as f64).collect::<Vec<_>>();
    if flat.is_empty() {
        return Ok(None);
    }
    // Back from scaled variables, and orthonormal again.
    let directions = Mat::from_fn(d, flat.len(), |i, k| eigen.vectors[(i, flat[k])] / scales[i]);
    let mut directions = PivotedQr::new(directions)?.q(flat.len());
    // What rounding left in columns that have no part in a direction would be all that some sparse rows see of it.
    for mut v in directions.col_iter_mut() {
        let largest = (0..d).map(|j| scales[j] * v[j].abs()).fold(0.0, f64::max);
        (0..d).filter(|&j| scales[j] * v[j].abs() <= UNSEEN * largest).collect::<Vec<_>>().into_iter().for_each(|j| v[j] = 0.0);
    }
    // Flat here is not flat everywhere: the loss must not depend on them at all.
    let unseen = directions.col_iter().all(|v| is_unseen(loss.problem, &v.iter().copied().collect::<Vec<_>>()));
    Ok(unseen.then_some(directions))
}

/// Whether all pivots of a matrix with a diagonal of about 1 are far from rounding.
pub(crate) fn has_clear_inverse(factor: &Cholesky) -> bool {
    (0..factor.lower().nrows()).all(|j| factor.lower()[(j, j)].powi(2) > 1e-11)
}

/// Whether A v is zero to the rounding of v in all rows that count, or for the normalised exp without a row regulariser a constant: then the
/// loss is the same at x and at x + v, for every x.
fn is_unseen(problem: &Problem<'_>, v: &[f64]) -> bool {
    if problem.form() == Form::Normalised && problem.rows() == 1 && !problem.has_row_reg() {
        return true;
    }
    let (image, size) = (problem.a().times(v), problem.a().absolute_times(&v.iter().map(|v| v.abs()).collect::<Vec<_>>()));
    let softmax = problem.link() == Link::Exp && problem.form() == Form::Normalised && !problem.has_row_reg();
    let constant = if softmax { image.first().copied().unwrap_or(0.0) } else { 0.0 };
    // In a form with a sum, rows without weight enter the sum.
    let counts = |i: usize| problem.form() != Form::Plain || problem.weight(i) > 0.0 || problem.row_reg_squared(i) > 0.0;
    (0..image.len()).all(|i| !counts(i) || (image[i] - constant).abs() <= UNSEEN * (size[i] + constant.abs()))
}

/// What A v may be of the terms that it is the sum of: v comes from eigenvectors.
const UNSEEN: f64 = 1e-12;
