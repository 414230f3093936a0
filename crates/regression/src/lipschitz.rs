//! How fast the Hessian can change near a point, in its own norm: Theorems 6 to 8 of the certificate's text.

use certus_numeric::sum::{norm2, par_blocks};

use crate::curvature::third_derivative;
use crate::point::Point;
use crate::positive::RowNorms;
use crate::problem::{Form, Link, Problem};
use crate::rounding::Rounding;
use crate::rows::{BLOCK, each_row, max_rows, sum_and_max, sum_rows};

/// M_* on the ball of this radius in the norm of the Hessian; `None` where it cannot be bounded.
pub(crate) fn lipschitz(p: &Problem<'_>, point: &Point, rows: &RowNorms, rounding: &Rounding<'_, '_>, radius: f64) -> Option<f64> {
    let n = p.rows();
    let ell = rows.all();
    let bound = match (p.form(), p.link()) {
        (Form::Normalised, Link::Exp) => everywhere(p, rows).min(softmax(p, point, rows, rounding, radius)),
        (Form::Normalised, Link::Cosh) => everywhere(p, rows),
        (Form::Plain, _) => {
            // lambda_max(Aᵀ diag(T ell) A, H) <= its trace, and <= the largest ratio where all rows have positive curvature.
            let of_row = |i: usize| {
                let third = third(p, point, rounding, ell, radius, i);
                (third * ell[i].powi(3), ratio(third, point, rounding, ell, i))
            };
            let (trace, ratio) = sum_and_max(n, of_row);
            trace.min(ratio) * (1.0 + 1e-9)
        }
        (Form::Rescaled, _) => {
            let reached = reached(p, point, rounding, ell, radius);
            let omega = max_rows(n, 0.0, |i| p.weight(i));
            let nb = norm2(p.b());
            let sum_u = sum_rows(n, |i| reached[i].0);
            let residual = |i: usize| reached[i].0 + sum_u * p.b()[i].abs();
            let beta = sum_rows(n, |i| p.weight(i) * p.b()[i].abs() * residual(i));
            // Lam(t) = lambda_max(Aᵀ diag(t) A, H) <= Σ t ell².
            let lam = |t: &(dyn Fn(usize) -> f64 + Sync)| sum_rows(n, |i| t(i) * ell[i] * ell[i]);
            let v_squared = lam(&|i| reached[i].1.powi(2));
            let v_sum = sum_rows(n, |i| reached[i].1);
            let first = v_squared.sqrt() + nb * (v_sum * lam(&|i| reached[i].1)).sqrt();
            let second = lam(&|i| (reached[i].0 * ell[i]).powi(2)).sqrt() + nb * lam(&|i| reached[i].0);
            let third = lam(&|i| (p.weight(i) * residual(i) + beta) * reached[i].1 * ell[i]);
            3.0 * omega * first * second + third
        }
        (Form::Normalised, Link::Sinh) => {
            let reached = reached(p, point, rounding, ell, radius);
            let omega = max_rows(n, 0.0, |i| p.weight(i));
            let change = sum_rows(n, |i| reached[i].1 * ell[i] * radius);
            let s0 = point.sum.abs() - rounding.of_sum() - change;
            if s0.is_nan() || s0 <= 0.0 {
                return None;
            }
            let norm = |f: &(dyn Fn(usize) -> f64 + Sync)| sum_rows(n, |i| f(i).powi(2)).sqrt();
            let (a0, s1) = (norm(&|i| reached[i].0) / s0, norm(&|i| reached[i].1) / s0);
            let (a1, a2) = (max_rows(n, 0.0, |i| reached[i].1) / s0, max_rows(n, 0.0, |i| reached[i].0) / s0);
            let f1 = a1 + a0 * s1;
            let f2 = a2 + 2.0 * a1 * s1 + a0 * a2 + 2.0 * a0 * s1 * s1;
            let f3 = a1 + 3.0 * a2 * s1 + 3.0 * a1 * a2 + a0 * a1 + 6.0 * a1 * s1 * s1 + 6.0 * a0 * s1 * a2 + 6.0 * a0 * s1.powi(3);
            let spread = sum_rows(n, |i| ell[i] * ell[i]);
            let residual = norm(&|i| p.weight(i) * (point.u[i] / point.sum - p.b()[i])) + omega * f1 * spread.sqrt() * radius;
            (3.0 * omega * f1 * f2 + residual * f3) * spread.powf(1.5)
        }
    };
    Some(bound * (1.0 + 1e-9)).filter(|b| b.is_finite())
}

/// Theorem 7: at every x, from cumulants.
fn everywhere(p: &Problem<'_>, rows: &RowNorms) -> f64 {
    third_derivative(p) * (2.0 * rows.largest()).powi(3)
}

/// The normalised exp on the ball, where the shares f are small: much less than [`everywhere`].
///
/// Along y = A d, with t = y - fᵀy and the moments μ2, μ3 of t: `f' = f t`, `f'' = f (t² - μ2)`, `f''' = f (t³ - 3 t μ2 - μ3)`, so that the
/// third derivative of `½ Σ ω (f - b)²` is `Σ ω (3 f² t (t² - μ2) + (f - b) f (t³ - 3 t μ2 - μ3))`. At x, |t_i| is at most ell_i, the norm
/// of row i less the mean row. On the ball f_i grows by at most e^(ell_i radius), because the mean of e^δ is at least 1 where that of δ is
/// 0, and falls by at most e^-((ell_i + ell_max) radius), which bounds the changes of f and of the mean of y.
fn softmax(p: &Problem<'_>, point: &Point, rows: &RowNorms, rounding: &Rounding<'_, '_>, radius: f64) -> f64 {
    let (n, ell, largest) = (p.rows(), rows.all(), rows.largest());
    let rounded = 4.0 * rounding.of_sums;
    let share = |i: usize| (1.0 + rounded) * point.u[i] / point.sum;
    let change = |i: usize| grown((ell[i] + largest) * radius) - 1.0 + rounded;
    let mean = sum_rows(n, |i| share(i) * change(i) * ell[i]);
    let f = each_row(n, |i| share(i) * grown(ell[i] * radius));
    let tau = |i: usize| ell[i] + mean;
    let second = sum_rows(n, |i| f[i] * tau(i).powi(2));
    let third = sum_rows(n, |i| f[i] * tau(i).powi(3));
    let of_row = |i: usize| {
        let (f, t) = (f[i], tau(i));
        let residual = (point.u[i] / point.sum - p.b()[i]).abs() + share(i) * change(i);
        p.weight(i) * f * (3.0 * f * t * (t * t + second) + residual * (t.powi(3) + 3.0 * t * second + third))
    };
    sum_rows(n, of_row)
}

/// An upper bound of e^t for t >= 0.
fn grown(t: f64) -> f64 {
    if t <= 1.0 { 1.0 + t + t * t } else { t.exp() }
}

/// A bound of the third derivative of row i of the plain form within the radius.
fn third(p: &Problem<'_>, point: &Point, rounding: &Rounding<'_, '_>, ell: &[f64], radius: f64, i: usize) -> f64 {
    let (u, v) = reach(p.link(), point, rounding, ell[i] * radius, i);
    p.weight(i) * v * (4.0 * u + rounding.target(i))
}

/// What row i alone says of M_*: its third derivative over its curvature; infinite without one.
fn ratio(third: f64, point: &Point, rounding: &Rounding<'_, '_>, ell: &[f64], i: usize) -> f64 {
    let h = point.rows.h[i];
    let theta = if rounding.of_curvatures <= 1e-3 { (1.0 - rounding.of_curvatures) * h } else { h - rounding.of_row_curvature(i) };
    match (third > 0.0, theta > 0.0) {
        (false, _) => 0.0,
        (true, true) => third * ell[i] / theta,
        (true, false) => f64::INFINITY,
    }
}

/// The rows of the plain form that alone make M_* larger than this.
pub(crate) fn rows_above(
    p: &Problem<'_>,
    point: &Point,
    rows: &RowNorms,
    rounding: &Rounding<'_, '_>,
    radius: f64,
    most: f64,
) -> Vec<usize> {
    let ell = rows.all();
    let above = |i: &usize| ratio(third(p, point, rounding, ell, radius, *i), point, rounding, ell, *i) > most;
    par_blocks(p.rows(), BLOCK, |rows| rows.filter(above).collect::<Vec<_>>()).concat()
}

/// [`reach`] of each row.
fn reached(p: &Problem<'_>, point: &Point, rounding: &Rounding<'_, '_>, ell: &[f64], radius: f64) -> Vec<(f64, f64)> {
    let of = |i: usize| reach(p.link(), point, rounding, ell[i] * radius, i);
    par_blocks(p.rows(), BLOCK, |rows| rows.map(of).collect::<Vec<_>>()).concat()
}

/// Upper bounds of |u_i| and |u'_i|, times e^-m, where z_i moves by at most `by`.
fn reach(link: Link, point: &Point, rounding: &Rounding<'_, '_>, by: f64, i: usize) -> (f64, f64) {
    let up = 1.0 + rounding.relative(i);
    let (u, v) = (point.u[i].abs() * up, point.v()[i].abs() * up);
    // Up to 1: cosh t <= 1 + t², sinh t <= t + t².
    let (cosh, sinh) = if by <= 1.0 { (1.0 + by * by, by + by * by) } else { (by.cosh(), by.sinh()) };
    let rounded = 1.0 + 1e-12;
    match link {
        Link::Exp => (u * grown(by) * rounded, v * grown(by) * rounded),
        Link::Cosh | Link::Sinh => ((u * cosh + v * sinh) * rounded, (v * cosh + u * sinh) * rounded),
    }
}
