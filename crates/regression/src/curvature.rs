//! How negative the curvature of a data term can be, and how fast it changes: for any point, from the data alone.
//!
//! Proofs: Theorems 4, 5 and 7 of the certificate's text. The softmax bounds serve attention too.

use crate::problem::{Form, Link, Problem};

/// 1 / (3 sqrt 3): the least curvature of a softmax least-squares term is `-C` times this (Theorem 5).
pub const SOFTMAX_CURVATURE: f64 = 0.192_450_089_729_875_26;

/// `w²` above which one row of the plain form is convex for every z, per unit of ω: exact (Theorem 4).
///
/// ```
/// use certus_regression::{Link, curvature::plain_threshold};
/// assert_eq!(plain_threshold(Link::Exp, 4.0), 2.0);
/// assert_eq!((plain_threshold(Link::Cosh, 3.0), plain_threshold(Link::Cosh, 5.0)), (2.0, 4.125));
/// assert_eq!(plain_threshold(Link::Sinh, 4.0), 1.0);
/// ```
pub fn plain_threshold(link: Link, b: f64) -> f64 {
    match link {
        Link::Exp if b > 0.0 => b * b / 8.0,
        Link::Exp => 0.0,
        Link::Cosh if b <= 4.0 => b - 1.0,
        Link::Cosh => 1.0 + b * b / 8.0,
        Link::Sinh => b * b / 8.0 - 1.0,
    }
}

/// C of Theorem 5: the range of `ω o (f - b)` over all probability vectors f.
pub fn residual_range(problem: &Problem<'_>) -> f64 {
    let rows = problem.b().iter().enumerate().map(|(i, b)| (problem.weight(i), b));
    let (up, down) =
        rows.fold((f64::NEG_INFINITY, f64::NEG_INFINITY), |(up, down), (omega, b)| (up.max(omega * (1.0 - b)), down.max(omega * b)));
    up + down
}

/// k of Theorem 7: the third derivative of a normalised exp or cosh term along d is at most `k range(A d)³`.
pub fn third_derivative(problem: &Problem<'_>) -> f64 {
    let largest = (0..problem.rows()).map(|i| problem.weight(i)).fold(0.0, f64::max);
    largest / (4.0 * 3f64.sqrt()) + residual_range(problem) / 8.0
}

/// `w_i²` less what row i needs for convexity at every point, rounded down, as a function of i; `None` where no such bound is known
/// (rescaled, normalised sinh).
pub fn slack<'p>(problem: &'p Problem<'_>) -> Option<impl Fn(usize) -> f64 + Sync + 'p> {
    let of_all = match (problem.form(), problem.link()) {
        (Form::Plain, _) => 0.0,
        (Form::Normalised, Link::Exp) => SOFTMAX_CURVATURE * residual_range(problem),
        (Form::Normalised, Link::Cosh) => 2.0 * SOFTMAX_CURVATURE * residual_range(problem),
        _ => return None,
    };
    Some(move |i: usize| {
        let plain = problem.form() == Form::Plain;
        let needs = if plain { problem.weight(i) * plain_threshold(problem.link(), problem.b()[i]) } else { of_all };
        let has = problem.row_reg_squared(i);
        // But for what is exactly zero.
        has - needs - 8.0 * f64::EPSILON * (has + needs.abs())
    })
}
