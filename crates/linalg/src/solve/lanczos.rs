//! Extreme eigenvalues and singular values by the Lanczos method.

use certus_numeric::Seed;
use certus_numeric::sum::dot;
use rand_distr::{Distribution, StandardNormal};

use crate::Error;
use crate::factor::symmetric_eigen;
use crate::operator::LinearOperator;
use crate::view::Mat;

/// A symmetric matrix that can be applied to a vector.
pub trait SymmetricOperator {
    /// The number of rows and columns, d.
    fn order(&self) -> usize;

    /// `y = A x`.
    fn apply(&self, x: &[f64], y: &mut [f64]);
}

/// A symmetric operator made of its order and a function `(x, y)` that sets `y = A x`.
impl<F: Fn(&[f64], &mut [f64])> SymmetricOperator for (usize, F) {
    fn order(&self) -> usize {
        self.0
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.1(x, y);
    }
}

/// The extreme eigenvalues of a symmetric matrix, with what is proven of them.
#[derive(Clone, Debug)]
pub struct Extremes {
    /// The smallest Ritz value: never below the smallest eigenvalue (up to rounding).
    pub smallest: f64,
    /// The largest Ritz value: never above the largest eigenvalue (up to rounding).
    pub largest: f64,
    /// Some eigenvalue lies within this distance of `smallest`.
    pub smallest_error: f64,
    /// Some eigenvalue lies within this distance of `largest`.
    pub largest_error: f64,
    /// Products with the matrix that were made.
    pub iterations: usize,
}

/// Extreme eigenvalues of a symmetric matrix, by Lanczos from a random start with full reorthogonalisation.
///
/// Stops when both error bounds are at most `tolerance` times the largest absolute Ritz value, or after `max_iterations`.
/// Cost: one product an iteration and O(k d) to keep k vectors orthogonal; memory k d. The Ritz values are inner estimates:
/// that no eigenvalue lies outside is certain only with probability (the random start sees every eigenvector).
///
/// Source: Parlett, The Symmetric Eigenvalue Problem, 1998, chapter 13.
///
/// # Errors
/// `NonFiniteMatrix`, if a product has an entry that is NaN or infinite.
pub fn lanczos_extremes<A: SymmetricOperator>(a: &A, tolerance: f64, max_iterations: usize, seed: Seed) -> Result<Extremes, Error> {
    let enough = |extremes: &Extremes| {
        let magnitude = extremes.smallest.abs().max(extremes.largest.abs());
        extremes.smallest_error.max(extremes.largest_error) <= tolerance * magnitude
    };
    lanczos(a, enough, max_iterations, seed)
}

/// As [`lanczos_extremes`], but stops when the error bound of the smallest Ritz value is at most `tolerance` times that value: for the least
/// eigenvalue of a positive definite matrix, wherever the largest may be.
///
/// # Errors
/// As [`lanczos_extremes`].
pub fn lanczos_smallest<A: SymmetricOperator>(a: &A, tolerance: f64, max_iterations: usize, seed: Seed) -> Result<Extremes, Error> {
    lanczos(a, |extremes| extremes.smallest_error <= tolerance * extremes.smallest.abs(), max_iterations, seed)
}

fn lanczos<A: SymmetricOperator>(a: &A, enough: impl Fn(&Extremes) -> bool, max_iterations: usize, seed: Seed) -> Result<Extremes, Error> {
    let d = a.order();
    let mut rng = seed.stream("Lanczos start");
    let mut q = (0..d).map(|_| StandardNormal.sample(&mut rng)).collect::<Vec<f64>>();
    normalise(&mut q);
    let mut basis = vec![q];
    let (mut diagonal, mut off): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut y = vec![0.0; d];
    loop {
        let k = diagonal.len();
        a.apply(&basis[k], &mut y);
        if y.iter().any(|v| !v.is_finite()) {
            return Err(Error::NonFiniteMatrix { what: "Lanczos iteration" });
        }
        diagonal.push(dot(&basis[k], &y));
        // Twice is enough (Kahan): one pass of Gram-Schmidt leaves what cancellation hid, the second removes it.
        for _ in 0..2 {
            for q in &basis {
                let along = dot(q, &y);
                y.iter_mut().zip(q).for_each(|(y, q)| *y -= along * q);
            }
        }
        let beta = dot(&y, &y).sqrt();
        let k = diagonal.len();
        let scale = diagonal.iter().chain(&off).fold(0.0f64, |m, v| m.max(v.abs()));
        let exhausted = k == d || beta <= f64::EPSILON * scale;
        // Solving for the Ritz values at each step would cost k³ each time.
        if exhausted || k >= max_iterations || k % 4 == 0 {
            let t = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
                0 => diagonal[i],
                1 => off[i.min(j)],
                _ => 0.0,
            });
            let ritz = symmetric_eigen(t.as_ref())?;
            let beta = if exhausted { 0.0 } else { beta };
            let extremes = Extremes {
                smallest: ritz.values[0],
                largest: ritz.values[k - 1],
                smallest_error: beta * ritz.vectors[(k - 1, 0)].abs(),
                largest_error: beta * ritz.vectors[(k - 1, k - 1)].abs(),
                iterations: k,
            };
            if exhausted || k >= max_iterations || enough(&extremes) {
                return Ok(extremes);
            }
        }
        off.push(beta);
        basis.push(y.iter().map(|y| y / beta).collect());
    }
}

/// Extreme singular values of a matrix, by [`lanczos_extremes`] on `Aᵀ A`: relative accuracy is lost below 1e-8 of the largest.
/// Gives (smallest, largest), both from inside.
///
/// # Errors
/// As [`lanczos_extremes`].
pub fn singular_extremes<A: LinearOperator>(a: &A, tolerance: f64, max_iterations: usize, seed: Seed) -> Result<(f64, f64), Error> {
    let normal = (a.cols(), |x: &[f64], y: &mut [f64]| a.apply_transpose(&a.times(x), y));
    let extremes = lanczos_extremes(&normal, tolerance, max_iterations, seed)?;
    Ok((extremes.smallest.max(0.0).sqrt(), extremes.largest.max(0.0).sqrt()))
}

fn normalise(x: &mut [f64]) {
    let norm = dot(x, x).sqrt();
    x.iter_mut().for_each(|x| *x /= norm);
}
