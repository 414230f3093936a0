//! What is proven of sketches, with the constants: the distortion for given rows, and the rows for a given distortion.
//!
//! Notation: d is the dimension of the subspace, s the rows of the sketch, delta the failure probability over its seed,
//! epsilon the distortion: (1 - epsilon) |x|^2 <= |S x|^2 <= (1 + epsilon) |x|^2 on the whole subspace.

/// A proven bound on the distortion of one fixed subspace by a random sketch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbeddingBound {
    /// The distortion; 1 or more says nothing about the smallest singular value.
    pub epsilon: f64,
    /// The name of the argument.
    pub theorem: &'static str,
    /// Where it is proven.
    pub source: &'static str,
}

impl EmbeddingBound {
    pub(super) fn new(delta: f64, epsilon: f64, theorem: &'static str, source: &'static str) -> Option<Self> {
        (delta > 0.0 && delta < 1.0).then_some(EmbeddingBound { epsilon, theorem, source })
    }
}

/// Gaussian sketch: epsilon = (1 + eta)^2 - 1 with eta = (sqrt d + sqrt(2 ln(2 / delta))) / sqrt s.
///
/// The extreme singular values of an s x d matrix of independent N(0, 1/s) leave [1 - sqrt(d / s) - t, 1 + sqrt(d / s) + t]
/// with probability at most exp(-s t^2 / 2) each (Davidson and Szarek 2001, theorem II.13); S Q is such a matrix.
pub fn gaussian_epsilon(rows: usize, d: usize, delta: f64) -> f64 {
    let eta = gaussian_root(d, delta) / (rows as f64).sqrt();
    eta * (2.0 + eta)
}

/// The least rows with [`gaussian_epsilon`] at most `epsilon`.
pub fn gaussian_rows(d: usize, epsilon: f64, delta: f64) -> f64 {
    // sqrt(1 + epsilon) - 1, without cancellation.
    let eta = epsilon / ((1.0 + epsilon).sqrt() + 1.0);
    (gaussian_root(d, delta) / eta).powi(2).ceil()
}

fn gaussian_root(d: usize, delta: f64) -> f64 {
    (d as f64).sqrt() + (2.0 * (2.0 / delta).ln()).sqrt()
}

/// The distortion by a second moment: epsilon = sqrt(variance / (s delta)), where E |Q^T S^T S Q - I|_F^2 <= variance / s.
///
/// Chebyshev's inequality for the Frobenius norm, which is at least the spectral norm. The variances are those of
/// [`count_sketch_variance`], [`tensor_sketch_variance`] and [`tensor_srht_variance`].
pub fn second_moment_epsilon(rows: usize, variance: f64, delta: f64) -> f64 {
    (variance / (rows as f64 * delta)).sqrt()
}

/// The least rows with [`second_moment_epsilon`] at most `epsilon`.
pub fn second_moment_rows(variance: f64, epsilon: f64, delta: f64) -> f64 {
    (variance / (epsilon * epsilon * delta)).ceil()
}

/// CountSketch: d^2 + d (Nelson and Nguyen 2013, theorem 3; Meng and Mahoney 2013, theorem 1).
///
/// For columns x, y the error of x^T S^T S y has variance (|x|^2 |y|^2 + (x^T y)^2 - 2 sum x_i^2 y_i^2) / s at most.
pub fn count_sketch_variance(d: usize) -> f64 {
    let d = d as f64;
    d * d + d
}

/// TensorSketch of q factors: (2 + 3^q) d^2 (Avron, Nguyen and Woodruff 2014, lemma 7 and theorem 8).
pub fn tensor_sketch_variance(d: usize, factors: usize) -> f64 {
    (2.0 + 3f64.powi(factors as i32)) * (d as f64).powi(2)
}

/// TensorSRHT of q factors: 3^q d^2 - d.
///
/// A row of sqrt(s) S is w = (sigma_1 (x) ... (x) sigma_q) for independent sign vectors; given the signs D the rows are
/// drawn independently and E w w^T = I over the draw, so that the errors of different rows are uncorrelated and
/// E |Q^T S^T S Q - I|_F^2 = (E |Q^T w|^4 - d) / s. By E <w, x>^4 <= 3^q |x|^4 (one factor of 3 for each Rademacher vector)
/// and Cauchy-Schwarz over pairs of columns, E |Q^T w|^4 <= 3^q d^2. (Ahle et al. 2020 have the better dependence on delta
/// without constants.)
pub fn tensor_srht_variance(d: usize, factors: usize) -> f64 {
    3f64.powi(factors as i32) * (d as f64).powi(2) - d as f64
}

/// The distortion by the matrix Chernoff bound (Tropp 2012, theorem 5.1.1 in the survey of 2015): s independent rows, or rows
/// without replacement, each with |sqrt(s) S_r Q|^2 <= `norm`; `failures` is d over the probability that each tail may have.
///
/// Solves h(epsilon) = norm ln(failures) / s with h(e) = (1 + e) ln(1 + e) - e; the lower tail has the larger exponent
/// e + (1 - e) ln(1 - e), so it is no less safe.
pub fn chernoff_epsilon(rows: usize, norm: f64, failures: f64) -> f64 {
    chernoff_inverse(norm * failures.ln() / rows as f64)
}

/// The least rows with [`chernoff_epsilon`] at most `epsilon`.
pub fn chernoff_rows(norm: f64, epsilon: f64, failures: f64) -> f64 {
    (norm * failures.ln() / chernoff_exponent(epsilon)).ceil()
}

/// h(e) = (1 + e) ln(1 + e) - e.
fn chernoff_exponent(e: f64) -> f64 {
    if e < 1e-3 {
        // The series: the difference cancels.
        return e * e * (0.5 - e * (1.0 / 6.0 - e * (1.0 / 12.0 - e * (1.0 / 20.0))));
    }
    (1.0 + e) * e.ln_1p() - e
}

/// The e >= 0 with h(e) = y, rounded outwards, by Newton's method from above, where h is convex and the steps are monotone.
fn chernoff_inverse(y: f64) -> f64 {
    if y.is_nan() || y <= 0.0 || y.is_infinite() {
        return y.max(0.0);
    }
    // h(e) >= e^2 / (2 + 2 e / 3) (Bernstein), which has this inverse.
    let mut e = y / 3.0 + (y * y / 9.0 + 2.0 * y).sqrt();
    for _ in 0..64 {
        let step = (chernoff_exponent(e) - y) / e.ln_1p();
        if step <= 4.0 * f64::EPSILON * e {
            break;
        }
        e -= step;
    }
    e * (1.0 + 8.0 * f64::EPSILON)
}

/// SRHT: the largest squared row norm n |e_j^T H D Q|^2 <= (sqrt d + sqrt(8 ln(3 n / delta)))^2, except with probability
/// delta / 3 (Tropp 2011, lemma 3.3); never above n.
pub fn srht_row_norm(n: usize, d: usize, delta: f64) -> f64 {
    ((d as f64).sqrt() + (8.0 * (3.0 * n as f64 / delta).ln()).sqrt()).powi(2).min(n as f64)
}

/// SRHT of a space of n (a power of two) dimensions: matrix Chernoff for rows without replacement (Tropp 2011, lemma 3.4)
/// with the row norms of [`srht_row_norm`], delta / 3 for them and for each tail. All n rows are an orthogonal matrix: 0.
pub fn srht_epsilon(rows: usize, n: usize, d: usize, delta: f64) -> f64 {
    if rows >= n { 0.0 } else { chernoff_epsilon(rows, srht_row_norm(n, d, delta), 3.0 * d.max(1) as f64 / delta) }
}

/// The least rows with [`srht_epsilon`] at most `epsilon`; n if that is less.
pub fn srht_rows(n: usize, d: usize, epsilon: f64, delta: f64) -> f64 {
    chernoff_rows(srht_row_norm(n, d, delta), epsilon, 3.0 * d.max(1) as f64 / delta).min(n as f64)
}

/// Row sampling with replacement: `overestimate` is the largest leverage score over its probability, max tau_i / p_i (d if
/// the probabilities are the scores over their sum). Matrix Chernoff with delta / 2 for each tail.
pub fn sampling_epsilon(rows: usize, overestimate: f64, d: usize, delta: f64) -> f64 {
    chernoff_epsilon(rows, overestimate, 2.0 * d.max(1) as f64 / delta)
}

/// The least rows with [`sampling_epsilon`] at most `epsilon`.
pub fn sampling_rows(overestimate: f64, d: usize, epsilon: f64, delta: f64) -> f64 {
    chernoff_rows(overestimate, epsilon, 2.0 * d.max(1) as f64 / delta)
}
