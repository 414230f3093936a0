//! The Kantorovich test in the logit metric: theorem 7 of the certificate's text.
//!
//! The coordinates of X are those in which the Gram matrices of all queries and of all keys are the identity, or near it: there the
//! metric is well conditioned, and directions that no logit sees are left out.
//!
//! With H the Hessian in X, M the logit metric, `H >= mu M`, the row curvature K-Lipschitz in the logits, and eta the length of Newton's
//! step: if `h = K eta / mu <= 1/2`, a stationary point lies within `2 eta / (1 + sqrt(1 - 2h))` in the logits, and below 1/2 it is a
//! local minimum. All is evaluated to the safe side, but for what the doc of a field calls an estimate.

use certus_linalg::factor::{Cholesky, Triangle, solve_triangular_vec};
use certus_linalg::product::matvec;
use certus_linalg::solve::lanczos_extremes;
use certus_linalg::{Error, Mat};
use certus_numeric::Seed;
use certus_numeric::sum::{dot, norm2};

/// What the test found at a point, with Y fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kantorovich {
    /// mu: `H >= mu M`, proven where it is above 0; else an estimate of the largest such number.
    pub mu: Option<f64>,
    /// K: how fast a row's curvature changes with its logits, within 2 eta.
    pub lipschitz: Option<f64>,
    /// eta: the length of Newton's step in the logits.
    pub eta: Option<f64>,
    /// h = K eta / mu.
    pub h: Option<f64>,
    /// A stationary point lies within this distance in the logits (Frobenius); `None` where h > 1/2.
    pub logit_radius: Option<f64>,
    /// The loss is above that of the local minimum by at most this; `None` where h >= 1/2.
    pub gap: Option<f64>,
    /// The distance to the stationary point in the logits, by further Newton steps. An estimate.
    pub logit_distance: Option<f64>,
    /// The loss above that of the stationary point, by the same. An estimate.
    pub loss_gap: Option<f64>,
    /// Whether directions of X were left out that change the logits by rounding only, or not at all.
    pub directions_left_out: bool,
}

/// What the test needs of a problem.
pub(crate) trait Local {
    /// The gradient in X after a change of X; `None` where it is not finite.
    fn gradient_after(&self, change: &[f64]) -> Option<Vec<f64>>;
    /// K on the ball of this radius in the logits.
    fn lipschitz_within(&self, radius: f64) -> f64;
    /// A bound of the rounding of the gradient, in norm, and of that of the Hessian; but for that of the logits.
    fn rounding(&self) -> (f64, f64);
    /// What the rounding of the logits does: the norm of the changes of all rows' gradients, and the largest of those of their curvatures.
    fn of_logits(&self) -> (f64, f64);
}

/// Newton steps by which the distance to the minimum is measured.
const STEPS: usize = 3;
/// The parts of an estimate of mu that a proof is tried for.
const TRIES: [f64; 4] = [0.98, 0.9, 0.5, 0.1];
/// What the same proof is to leave besides, as a part of the mean of the metric's diagonal.
const LEFT: f64 = 0.1;
const LANCZOS_STEPS: usize = 24;
/// More than what numbers lose that are too small.
const SMALLEST: f64 = 1e-290;

fn half_solve(factor: &Cholesky, x: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    solve_triangular_vec(Triangle::Lower, factor.lower(), &mut y);
    y
}

fn back_solve(factor: &Cholesky, x: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    solve_triangular_vec(Triangle::Upper, factor.lower().transpose(), &mut y);
    y
}

impl Kantorovich {
    /// The same for a loss that is e^log_unit times the one that was tested.
    pub(crate) fn in_unit(self, log_unit: f64) -> Self {
        let scaled = |value: Option<f64>| value.map(|v| v * log_unit.exp()).filter(|v| v.is_finite());
        Kantorovich {
            mu: scaled(self.mu),
            lipschitz: scaled(self.lipschitz),
            gap: scaled(self.gap),
            loss_gap: scaled(self.loss_gap),
            ..self
        }
    }

    /// At a point with this Hessian, metric and gradient in X.
    pub(crate) fn test(local: &impl Local, hessian: &Mat<f64>, metric: &Mat<f64>, gradient: &[f64]) -> Result<Kantorovich, Error> {
        let mut found = Kantorovich::default();
        let d = gradient.len();
        let Ok(factor) = Cholesky::new("the Hessian in X", hessian.as_ref()) else {
            let operator = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&matvec(hessian.as_ref(), x)));
            let least = lanczos_extremes(&operator, 1e-6, 4 * LANCZOS_STEPS, Seed(0))?.smallest;
            found.mu = Some(least.min(0.0));
            return Ok(found);
        };
        let proven = prove(local, hessian, metric, &factor)?;
        // Rows' curvatures that are off by so much change the Hessian by so much of the metric.
        let (of_slopes, of_curvature) = local.of_logits();
        let Some((mu, least)) = proven.map(|(mu, least)| (mu - of_curvature, least)).filter(|(mu, _)| *mu > 0.0) else {
            found.mu = Some(0.0);
            return Ok(found);
        };
        found.mu = Some(mu);

        let mut step = factor.solve(gradient);
        step.iter_mut().for_each(|s| *s = -*s);
        let residual = matvec(hessian.as_ref(), &step).iter().zip(gradient).map(|(hs, g)| hs + g).collect::<Vec<_>>();
        let (of_gradient, of_hessian) = local.rounding();
        // The rounding of the residual itself, with that of what it is made of.
        let trace = (0..d).map(|j| hessian[(j, j)]).sum::<f64>();
        let errors = of_gradient + (of_hessian + (d + 2) as f64 * f64::EPSILON * trace) * norm2(&step) + f64::EPSILON * norm2(gradient);
        let length = dot(&step, &matvec(metric.as_ref(), &step)).max(0.0).sqrt();
        // A change v of the rows' gradients is one of the whole by |v| at most in the inverse of the metric.
        let of_rows = (of_slopes + of_curvature * length) * (1.0 + 1e-10);
        let of_residual = norm2(&half_solve(&factor, &residual)) * (1.0 + 1e-6) + errors / least.sqrt() + of_rows / mu.sqrt();
        let eta = (length + of_residual / mu.sqrt()) * (1.0 + 1e-10) + SMALLEST;
        let lipschitz = local.lipschitz_within(2.0 * eta);
        let h = lipschitz * eta / mu * (1.0 + 1e-12);
        (found.eta, found.lipschitz, found.h) = (Some(eta), Some(lipschitz).filter(|k| k.is_finite()), Some(h).filter(|h| h.is_finite()));
        let slope = -dot(gradient, &step);
        if h <= 0.5 {
            let root = (1.0 - 2.0 * h).max(0.0).sqrt();
            found.logit_radius = Some(2.0 * eta / (1.0 + root) * (1.0 + 1e-12));
            if h < 0.5 {
                let squared = slope
                    + norm2(&residual) * norm2(&step)
                    + errors * norm2(&step)
                    + of_rows * length
                    + of_residual * of_residual
                    + SMALLEST;
                found.gap = Some(squared / (2.0 * (1.0 - (1.0 - root) / 3.0)) * (1.0 + 1e-12));
            }
        }
        let (mut total, mut gap, mut last) = (step.clone(), 0.5 * slope, eta);
        for _ in 1..STEPS {
            let Some(gradient) = local.gradient_after(&total) else { break };
            let next = factor.solve(&gradient);
            let length = dot(&next, &matvec(metric.as_ref(), &next)).max(0.0).sqrt();
            // What does not shrink is rounding, or no convergence.
            if length.is_nan() || length >= 0.5 * last {
                break;
            }
            last = length;
            gap += 0.5 * dot(&gradient, &next);
            total.iter_mut().zip(&next).for_each(|(t, s)| *t -= s);
        }
        let distance = dot(&total, &matvec(metric.as_ref(), &total)).max(0.0).sqrt();
        let rounding = of_residual / mu.sqrt();
        found.logit_distance = Some((distance - rounding).max(0.0));
        found.loss_gap = Some((gap - of_residual * of_residual).max(0.0));
        Ok(found)
    }
}

/// A proven mu with `H >= mu M + least I`, by a Cholesky factorisation with room for all rounding; and that `least`.
fn prove(local: &impl Local, hessian: &Mat<f64>, metric: &Mat<f64>, factor: &Cholesky) -> Result<Option<(f64, f64)>, Error> {
    let d = hessian.nrows();
    let whitened = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&half_solve(factor, &matvec(metric.as_ref(), &back_solve(factor, x)))));
    let estimate = 1.0 / lanczos_extremes(&whitened, 1e-3, LANCZOS_STEPS, Seed(0))?.largest;
    if !(estimate.is_finite() && estimate > 0.0) {
        return Ok(None);
    }
    let mean = (0..d).map(|j| metric[(j, j)]).sum::<f64>() / d as f64;
    let trace = (0..d).map(|j| hessian[(j, j)].abs() + estimate * metric[(j, j)]).sum::<f64>();
    // Rump 2006: a factorisation that succeeds proves the matrix positive but for this much. Forming it rounds as well.
    let rounding = (d + 8) as f64 * f64::EPSILON * trace + local.rounding().1;
    for part in TRIES {
        let (mu, least) = (part * estimate, LEFT * (1.0 - part) * estimate * mean);
        let shift = rounding + least;
        let shifted = Mat::from_fn(d, d, |i, j| hessian[(i, j)] - mu * metric[(i, j)] - if i == j { shift } else { 0.0 });
        if Cholesky::new("the Hessian less the metric", shifted.as_ref()).is_ok() {
            return Ok(Some((mu, least)));
        }
    }
    Ok(None)
}
