//! How negative the curvature of a row can be, and how fast it changes: theorems 3 and 4 of the certificate's text.

/// 1 / sqrt 6 and 1 / sqrt 2.
const OF_SQUARE: f64 = 0.408_248_290_463_863_1;
const OF_PRODUCT: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// 1 / (2 sqrt 2): by how much an output moves with its logits, a unit of the diameter of the values.
pub(crate) const OUTPUT: f64 = 0.353_553_390_593_273_8;
/// 2 / (3 sqrt 3).
pub(crate) const GLOBAL_CURVATURE: f64 = 0.384_900_179_459_750_5;
/// sqrt 2 / (3 sqrt 3): the Lipschitz constant of the curvature of cross-entropy.
pub(crate) const CROSS_ENTROPY: f64 = 0.272_165_526_975_908_7;

/// Rounded up.
pub(crate) const UP: f64 = 1.0 + 1e-13;

/// K: the Hessian of a row's loss in its logits changes by at most K times the distance of the logits, for values within a diameter D
/// and residuals of at most R. Sharp.
///
/// ```
/// use certus_attention::bounds::lipschitz;
/// assert!((lipschitz(2.0, 1.45f64.sqrt()) - 3.33593179845).abs() < 1e-10);
/// ```
pub fn lipschitz(diameter: f64, residual: f64) -> f64 {
    lipschitz_of_heads(diameter, diameter, residual)
}

/// By how much beta is to be raised for the rounding of what it was computed from: for a row's curvature that is K-Lipschitz, for logits
/// that are off by `off` in norm, and p by `of_p`.
pub(crate) fn beta_rounding(lipschitz: f64, off: f64, of_p: f64) -> f64 {
    (lipschitz * off + 4.0 * of_p) * UP
}

/// The same for the logits of several heads together: from the largest of their diameters, and the root of the sum of their squares.
pub fn lipschitz_of_heads(largest: f64, together: f64, residual: f64) -> f64 {
    OF_SQUARE * largest * together + OF_PRODUCT * residual * largest
}

/// beta: the least eigenvalue of the Hessian of a row's loss in its logits is at least minus beta. `f` is the attention, `p` half the
/// gradient; of keys that are not seen both are 0.
///
/// ```
/// use certus_attention::bounds::row_beta;
/// let beta = row_beta(&[0.5, 0.3, 0.2], &[0.005, 0.033, -0.038], |_| true);
/// assert!((beta - 0.14795511206).abs() < 1e-10);
/// ```
pub fn row_beta(f: &[f64], p: &[f64], seen: impl Fn(usize) -> bool) -> f64 {
    let seen_slopes = || p.iter().enumerate().filter(|(j, _)| seen(*j)).map(|(_, p)| *p);
    let largest = seen_slopes().fold(0.0, |largest: f64, p| largest.max(p.abs()));
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let (mut least, mut mean, mut squares_f, mut squares_p) = (f64::INFINITY, 0.0, 0.0, 0.0);
    for (j, (f, p)) in f.iter().zip(p).enumerate() {
        if seen(j) {
            least = least.min(*p);
            mean += f * p;
            squares_f += f * f;
            squares_p += (p / unit) * (p / unit);
        }
    }
    if least == f64::INFINITY {
        return 0.0;
    }
    let norms = f64::sqrt(squares_f) * f64::sqrt(squares_p) * unit;
    let rounding = (f.len() + 8) as f64 * 2f64.powi(-50) * (largest + norms);
    (2.0 * (mean + norms - least + rounding).max(0.0)).min(f64::MAX)
}
