//! The Kantorovich test in the logit metric: theorem 7 of the certificate's text.
//!
//! The coordinates of X are those in which the Gram matrices of all queries and of all keys are the identity, or near it: there the
//! metric is well conditioned, and directions that no logit sees are left out.
//!
//! With H the Hessian in X, M the logit metric, `H >= mu M`, the row curvature K-Lipschitz in the logits, and eta the length of Newton's
//! step: if `h = K eta / mu <= 1/2`, a stationary point lies within `2 eta / (1 + sqrt(1 - 2h))` in the logits. Its Hessian is at least
//! `sqrt(1 - 2h)` times that here: below 1/2 it is a local minimum, at 1/2 it need not be one. All is evaluated to the safe side, but for what the doc of a field calls an estimate.

use certus_contract::{Status, ignore_events};
use certus_linalg::factor::{Cholesky, Triangle, solve_triangular_vec};
use certus_linalg::product::matvec;
use certus_linalg::solve::{Pcg, PcgOptions, lanczos_extremes, lanczos_smallest, pcg};
use certus_linalg::{Error, Mat};
use certus_numeric::Seed;
use certus_numeric::sum::{dot, norm2};

/// What the test found at a point, with Y fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kantorovich {
    /// mu: `H >= mu M`, proven where it is above 0 and the test is no estimate; else an estimate of the largest such number.
    pub mu: Option<f64>,
    /// The largest such number, by Lanczos' method. An estimate, from above, rounding included.
    pub curvature: Option<f64>,
    /// K: how fast a row's curvature changes with its logits, within 2 eta.
    pub lipschitz: Option<f64>,
    /// The same as far as the start that the point was come to from; where a stationary point is near.
    pub lipschitz_to_start: Option<f64>,
    /// eta: the length of Newton's step in the logits.
    pub eta: Option<f64>,
    /// h = K eta / mu.
    pub h: Option<f64>,
    /// A stationary point lies within this distance in the logits (Frobenius); `None` where h > 1/2.
    pub logit_radius: Option<f64>,
    /// The loss is above that of the stationary point by at most this; `None` where h > 1/2.
    pub gap: Option<f64>,
    /// The distance to the stationary point in the logits, by further Newton steps. An estimate.
    pub logit_distance: Option<f64>,
    /// The loss above that of the stationary point, by the same. An estimate.
    pub loss_gap: Option<f64>,
    /// Whether mu and eta are estimates, by products with the Hessian, and not proven.
    pub estimated: bool,
    /// Whether directions of X were left out that change the logits by rounding only, or not at all.
    pub directions_left_out: bool,
}

/// What the test needs of a problem, in the new coordinates of X.
pub(crate) trait Local: Sync {
    /// The product of the Hessian in X with v.
    fn hessian_times(&self, v: &[f64]) -> Vec<f64>;
    /// The product of the logit metric with v.
    fn metric_times(&self, v: &[f64]) -> Vec<f64>;
    /// What the metric is a multiple of the identity by, where it is one.
    fn metric_is(&self) -> Option<f64>;
    /// The gradient in X after a change of X; `None` where it is not finite.
    fn gradient_after(&self, change: &[f64]) -> Option<Vec<f64>>;
    /// K on the ball of this radius in the logits.
    fn lipschitz_within(&self, radius: f64) -> f64;
    /// A bound of the rounding of the gradient, in norm, and of that of the Hessian; but for that of the logits.
    fn rounding(&self) -> (f64, f64);
    /// What the rounding of the logits does: the norm of the changes of all rows' gradients, and the largest of those of their curvatures.
    fn of_logits(&self) -> (f64, f64);
}

/// The accuracy of the least curvature where it is estimated, relative to it; and steps of Lanczos' method for it.
const ESTIMATE: f64 = 0.2;
const ESTIMATE_STEPS: usize = 64;
/// The residual of a Newton step that is estimated, relative to the gradient.
const SOLVED: f64 = 3e-2;
/// The same where that leaves the test to fail closely: h in this range.
const WELL_SOLVED: f64 = 3e-3;
const CLOSE: std::ops::Range<f64> = 0.5..2.0;
/// The same of a step that only measures.
const MEASURED: f64 = 0.1;
/// The parts of an estimate of mu that a proof is tried for.
const TRIES: [f64; 4] = [0.98, 0.9, 0.5, 0.1];
/// What the same proof is to leave besides, as a part of the mean of the metric's diagonal.
const LEFT: f64 = 0.1;
const LANCZOS_STEPS: usize = 24;
/// More than what numbers lose that are too small.
const SMALLEST: f64 = 1e-290;

/// What an eigenvalue may be off, relative to the largest.
fn rounding(d: usize) -> f64 {
    (64 * (d + 64)) as f64 * f64::EPSILON
}

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
    /// Whether the stationary point is a local minimum: h < 1/2. At 1/2 there is one, of which nothing more is known.
    pub fn is_minimum(&self) -> bool {
        self.logit_radius.is_some() && self.h.is_some_and(|h| h < 0.5)
    }

    /// With the Lipschitz constant as far as the start, which is at this distance in the logits.
    pub(crate) fn reaching(self, local: &impl Local, start_distance: Option<f64>) -> Self {
        let distance = start_distance.zip(self.logit_radius).map(|(start, radius)| start + radius);
        Kantorovich { lipschitz_to_start: distance.map(|distance| local.lipschitz_within(distance)), ..self }
    }

    /// The same for a loss that is e^log_unit times the one that was tested; without what is not finite.
    pub(crate) fn in_unit(self, log_unit: f64) -> Self {
        let finite = |value: Option<f64>, unit: f64| value.map(|v| v * unit).filter(|v| v.is_finite());
        let unit = log_unit.exp();
        Kantorovich {
            mu: finite(self.mu, unit),
            curvature: finite(self.curvature, unit),
            lipschitz: finite(self.lipschitz, unit),
            lipschitz_to_start: finite(self.lipschitz_to_start, unit),
            eta: finite(self.eta, 1.0),
            h: finite(self.h, 1.0),
            logit_radius: finite(self.logit_radius, 1.0),
            gap: finite(self.gap, unit),
            logit_distance: finite(self.logit_distance, 1.0),
            loss_gap: finite(self.loss_gap, unit),
            ..self
        }
    }

    /// By products alone: mu and eta are estimates.
    ///
    /// Cost: some tens of products with the Hessian, and as many for each step that measures the distance.
    pub(crate) fn estimate(local: &impl Local, gradient: &[f64]) -> Result<Kantorovich, Error> {
        let (mut found, d) = (Kantorovich { estimated: true, ..Kantorovich::default() }, gradient.len());
        let hessian = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&local.hessian_times(x)));
        let metric = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&local.metric_times(x)));
        let top = match local.metric_is() {
            Some(multiple) => multiple,
            None => {
                let extremes = lanczos_extremes(&metric, 1e-2, ESTIMATE_STEPS, Seed(0))?;
                extremes.largest + extremes.largest_error
            }
        };
        let solve = |g: &[f64], tolerance: f64| {
            let options = PcgOptions { tolerance, max_iterations: 10 * ESTIMATE_STEPS };
            pcg(&hessian, g, |r, z| z.copy_from_slice(r), &options, ignore_events)
        };
        let steps = || {
            let solved = solve(gradient, SOLVED);
            let next = solve_after(local, &solved.x, &|g| solve(g, MEASURED));
            (solved, next)
        };
        // Small products leave threads idle: the curvature and the steps are had side by side.
        let (extremes, (solved, mut next)) = rayon::join(|| lanczos_smallest(&hessian, ESTIMATE, ESTIMATE_STEPS, Seed(0)), steps);
        let extremes = extremes?;
        // With another metric the quotient of two eigenvalues is no estimate from above.
        let above = (extremes.smallest + rounding(d) * extremes.largest.abs() + local.rounding().1) / top;
        found.curvature = local.metric_is().map(|_| above);
        let mu = (extremes.smallest - extremes.smallest_error) / top;
        found.mu = Some(mu);
        if mu.is_nan() || mu <= 0.0 {
            return Ok(found);
        }
        let length = |v: &[f64]| dot(v, &local.metric_times(v)).max(0.0).sqrt();
        let weigh = |found: &mut Kantorovich, solved: &Pcg| {
            let step = solved.x.iter().map(|s| -s).collect::<Vec<_>>();
            // |r| in the inverse of H, which is at least mu times the metric and its own least eigenvalue.
            let residual = solved.residuals.last().copied().unwrap_or(0.0) + local.rounding().0 + f64::EPSILON * norm2(gradient);
            let of_residual = residual / (extremes.smallest - extremes.smallest_error).sqrt() + local.of_logits().0 / mu.sqrt();
            let of_slope = residual * norm2(&step);
            found.weigh(local, gradient, &step, length(&step), mu, of_residual, of_slope);
            (step, of_residual, of_slope)
        };
        let (mut step, mut of_residual, mut of_slope) = weigh(&mut found, &solved);
        if found.h.is_some_and(|h| CLOSE.contains(&h)) {
            let solved = solve(gradient, WELL_SOLVED);
            (step, of_residual, of_slope) = weigh(&mut found, &solved);
            next = solve_after(local, &solved.x, &|g| solve(g, MEASURED));
        }
        found.measure(gradient, &step, &next, length, of_residual / mu.sqrt(), of_slope);
        Ok(found)
    }

    /// At a point with this Hessian, metric and gradient in X: mu is proven, and all is rounded to the safe side.
    pub(crate) fn test(local: &impl Local, hessian: &Mat<f64>, metric: &Mat<f64>, gradient: &[f64]) -> Result<Kantorovich, Error> {
        let (mut found, d) = (Kantorovich::default(), gradient.len());
        let Ok(factor) = Cholesky::new("the Hessian in X", hessian.as_ref()) else {
            let operator = (d, |x: &[f64], y: &mut [f64]| y.copy_from_slice(&matvec(hessian.as_ref(), x)));
            let mean = (0..d).map(|j| metric[(j, j)]).sum::<f64>() / d as f64;
            let extremes = lanczos_extremes(&operator, 1e-6, ESTIMATE_STEPS, Seed(0))?;
            let above = (extremes.smallest + rounding(d) * extremes.largest.abs() + local.rounding().1) / mean;
            (found.mu, found.curvature) = (Some((extremes.smallest / mean).min(0.0)), local.metric_is().map(|_| above));
            return Ok(found);
        };
        let curvature = least_curvature(metric, &factor)?;
        found.curvature = Some(curvature * (1.0 + rounding(d))).filter(|c| c.is_finite());
        // Rows' curvatures that are off by so much change the Hessian by so much of the metric.
        let (of_slopes, of_curvature) = local.of_logits();
        let proven = prove(local, hessian, metric, curvature).map(|(mu, least)| (mu - of_curvature, least));
        let Some((mu, least)) = proven.filter(|(mu, _)| *mu > 0.0) else {
            found.mu = Some(0.0);
            return Ok(found);
        };
        found.mu = Some(mu);
        let step = factor.solve(gradient).into_iter().map(|s| -s).collect::<Vec<_>>();
        let residual = matvec(hessian.as_ref(), &step).iter().zip(gradient).map(|(hs, g)| hs + g).collect::<Vec<_>>();
        let (of_gradient, of_hessian) = local.rounding();
        // The rounding of the residual itself, with that of what it is made of.
        let trace = (0..d).map(|j| hessian[(j, j)]).sum::<f64>();
        let errors = of_gradient + (of_hessian + (d + 2) as f64 * f64::EPSILON * trace) * norm2(&step) + f64::EPSILON * norm2(gradient);
        // A change v of the rows' gradients is one of the whole by |v| at most in the inverse of the metric.
        let length = dot(&step, &matvec(metric.as_ref(), &step)).max(0.0).sqrt();
        let of_rows = (of_slopes + of_curvature * length) * (1.0 + 1e-10);
        let of_residual = norm2(&half_solve(&factor, &residual)) * (1.0 + 1e-6) + errors / least.sqrt() + of_rows / mu.sqrt();
        let of_slope = (norm2(&residual) + errors) * norm2(&step) + of_rows * length;
        found.weigh(local, gradient, &step, length, mu, of_residual, of_slope);
        let solve = |g: &[f64]| Pcg { x: factor.solve(g), residuals: Vec::new(), status: Status::Done, negative_direction: None };
        let back = step.iter().map(|s| -s).collect::<Vec<_>>();
        let next = solve_after(local, &back, &solve);
        let length = |v: &[f64]| dot(v, &matvec(metric.as_ref(), v)).max(0.0).sqrt();
        found.measure(gradient, &step, &next, length, of_residual / mu.sqrt(), of_slope);
        Ok(found)
    }

    /// eta, K, h and what follows, for Newton's step: `of_residual` bounds what it is off, in the norm of the inverse of H, and `of_slope`
    /// what the slope along it is off.
    fn weigh(&mut self, local: &impl Local, gradient: &[f64], step: &[f64], length: f64, mu: f64, of_residual: f64, of_slope: f64) {
        let eta = (length + of_residual / mu.sqrt()) * (1.0 + 1e-10) + SMALLEST;
        let lipschitz = local.lipschitz_within(2.0 * eta);
        let h = lipschitz * eta / mu * (1.0 + 1e-12);
        (self.eta, self.lipschitz, self.h) = (Some(eta), Some(lipschitz).filter(|k| k.is_finite()), Some(h).filter(|h| h.is_finite()));
        if h.is_nan() || h > 0.5 {
            return;
        }
        let root = (1.0 - 2.0 * h).max(0.0).sqrt();
        self.logit_radius = Some(2.0 * eta / (1.0 + root) * (1.0 + 1e-12));
        let squared = -dot(gradient, step) + of_slope + of_residual * of_residual + SMALLEST;
        self.gap = Some(squared / (2.0 * (1.0 - (1.0 - root) / 3.0)) * (1.0 + 1e-12));
    }

    /// Distance and gap by two Newton steps, less their rounding: the gap by the gradients before and after the first, along both.
    fn measure(
        &mut self,
        gradient: &[f64],
        first: &[f64],
        (after, second): &(Vec<f64>, Vec<f64>),
        length: impl Fn(&[f64]) -> f64,
        rounding: f64,
        of_slope: f64,
    ) {
        // What does not shrink is rounding, or no convergence.
        let shrinks = length(second) < 0.5 * length(first);
        let total = first.iter().zip(second).map(|(a, b)| if shrinks { a + b } else { *a }).collect::<Vec<_>>();
        self.logit_distance = Some((length(&total) - rounding).max(0.0));
        let fallen = -0.5 * (dot(gradient, first) + dot(after, first) + if shrinks { dot(after, second) } else { 0.0 });
        self.loss_gap = Some((fallen - of_slope - rounding * rounding).max(0.0));
    }
}

/// The gradient after X has moved by `-back`, and Newton's step there.
fn solve_after(local: &impl Local, back: &[f64], solve: &impl Fn(&[f64]) -> Pcg) -> (Vec<f64>, Vec<f64>) {
    let moved = back.iter().map(|s| -s).collect::<Vec<_>>();
    match local.gradient_after(&moved) {
        Some(gradient) => {
            let step = solve(&gradient).x.iter().map(|s| -s).collect();
            (gradient, step)
        }
        None => (vec![0.0; moved.len()], vec![0.0; moved.len()]),
    }
}

/// The largest mu with `H >= mu M`, from the factor of H. An estimate, from above.
fn least_curvature(metric: &Mat<f64>, factor: &Cholesky) -> Result<f64, Error> {
    let whitened = |x: &[f64], y: &mut [f64]| y.copy_from_slice(&half_solve(factor, &matvec(metric.as_ref(), &back_solve(factor, x))));
    Ok(1.0 / lanczos_extremes(&(metric.nrows(), whitened), 1e-3, LANCZOS_STEPS, Seed(0))?.largest)
}

/// A proven mu with `H >= mu M + least I`, by a Cholesky factorisation with room for all rounding; and that `least`.
fn prove(local: &impl Local, hessian: &Mat<f64>, metric: &Mat<f64>, estimate: f64) -> Option<(f64, f64)> {
    let d = hessian.nrows();
    if !(estimate.is_finite() && estimate > 0.0) {
        return None;
    }
    let mean = (0..d).map(|j| metric[(j, j)]).sum::<f64>() / d as f64;
    let trace = (0..d).map(|j| hessian[(j, j)].abs() + estimate * metric[(j, j)]).sum::<f64>();
    // Rump 2006: a factorisation that succeeds proves the matrix positive but for this much. Forming it rounds as well.
    let off = (d + 8) as f64 * f64::EPSILON * trace + local.rounding().1;
    for part in TRIES {
        let (mu, least) = (part * estimate, LEFT * (1.0 - part) * estimate * mean);
        let shift = off + least;
        let shifted = Mat::from_fn(d, d, |i, j| hessian[(i, j)] - mu * metric[(i, j)] - if i == j { shift } else { 0.0 });
        if Cholesky::new("the Hessian less the metric", shifted.as_ref()).is_ok() {
            return Some((mu, least));
        }
    }
    None
}
