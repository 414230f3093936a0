//! Triangular systems.

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{MatMut, MatRef, Par};
use rayon::prelude::*;

/// Which triangle of a matrix holds the system; the other is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triangle {
    /// On and below the diagonal.
    Lower,
    /// On and above the diagonal.
    Upper,
}

/// Replaces `b` by `T⁻¹ b` for any number of right-hand sides, in parallel blocks of columns. Cost: d² flops each.
///
/// # Panics
/// If the dimensions do not fit.
pub fn solve_triangular(triangle: Triangle, t: MatRef<'_, f64>, b: MatMut<'_, f64>) {
    const COLUMNS: usize = 128;
    let solve = |b: MatMut<'_, f64>| match triangle {
        Triangle::Lower => solve_lower_triangular_in_place(t, b, Par::Seq),
        Triangle::Upper => solve_upper_triangular_in_place(t, b, Par::Seq),
    };
    if b.ncols() == 1 {
        let mut x = b.as_ref().col(0).iter().copied().collect::<Vec<_>>();
        solve_triangular_vec(triangle, t, &mut x);
        b.col_mut(0).iter_mut().zip(x).for_each(|(b, x)| *b = x);
    } else if b.ncols() <= COLUMNS {
        solve(b);
    } else {
        b.par_col_chunks_mut(COLUMNS).for_each(solve);
    }
}

/// Replaces `x` by `T⁻¹ x`: by columns where they are contiguous, else by rows. Bound by memory: one pass over the triangle.
///
/// # Panics
/// If the dimensions do not fit.
pub fn solve_triangular_vec(triangle: Triangle, t: MatRef<'_, f64>, x: &mut [f64]) {
    let d = x.len();
    assert!(t.nrows() == d && t.ncols() == d, "a triangular system of {} x {} with a right-hand side of {d}", t.nrows(), t.ncols());
    let lower = triangle == Triangle::Lower;
    let below = |i: usize| if lower { i + 1..d } else { 0..i };
    let solved = |i: usize| if lower { 0..i } else { i + 1..d };
    for step in 0..d {
        let i = if lower { step } else { d - 1 - step };
        if let Some(column) = t.col(i).try_as_col_major() {
            x[i] /= t[(i, i)];
            let pivot = x[i];
            let range = below(i);
            x[range.clone()].iter_mut().zip(&column.as_slice()[range]).for_each(|(x, t)| *x -= t * pivot);
        } else {
            let range = solved(i);
            let known = match t.row(i).try_as_row_major() {
                Some(row) => certus_numeric::sum::dot(&row.as_slice()[range.clone()], &x[range]),
                None => range.map(|j| t[(i, j)] * x[j]).sum(),
            };
            x[i] = (x[i] - known) / t[(i, i)];
        }
    }
}

/// The 1-norm condition number of an upper triangular matrix, from its inverse. Infinite for a zero on the diagonal. Cost: d³/3.
pub fn triangular_condition(r: MatRef<'_, f64>) -> f64 {
    let d = r.ncols();
    if (0..d).any(|i| r[(i, i)] == 0.0) {
        return f64::INFINITY;
    }
    let mut inverse = faer::Mat::<f64>::identity(d, d);
    solve_triangular(Triangle::Upper, r, inverse.as_mut());
    let norm = |m: MatRef<'_, f64>| (0..d).map(|j| m.col(j).iter().take(j + 1).map(|v| v.abs()).sum::<f64>()).fold(0.0, f64::max);
    norm(r) * norm(inverse.as_ref())
}
