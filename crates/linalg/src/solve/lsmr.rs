//! LSMR: least squares by Golub-Kahan bidiagonalisation, with a gradient that falls at every step.

use std::ops::ControlFlow;

use certus_contract::{Event, Status};
use certus_numeric::sum::par_dot;

use crate::operator::LinearOperator;

/// When [`lsmr`] stops.
#[derive(Clone, Copy, Debug)]
pub struct LsmrOptions {
    /// Stop when `|Aᵀ r| <= tolerance |A| |r|`, or when `|r| <= tolerance (|b| + |A| |x|)`, by LSMR's own estimates. Default 1e-12.
    pub tolerance: f64,
    /// |A| in these rules; `None` (default): the Frobenius norm of the part of A seen so far.
    pub matrix_norm: Option<f64>,
    /// Stop also when `|Aᵀ r|` is at most this. Default 0.
    pub gradient: f64,
    /// The limit of |r| in the second rule, in place of `tolerance (|b| + |A| |x|)`; `None` by default.
    pub residual: Option<f64>,
    /// Default 1000.
    pub max_iterations: usize,
}

impl Default for LsmrOptions {
    fn default() -> Self {
        LsmrOptions { tolerance: 1e-12, matrix_norm: None, gradient: 0.0, residual: None, max_iterations: 1000 }
    }
}

/// What [`lsmr`] found.
#[derive(Clone, Debug)]
pub struct Lsmr {
    /// The approximate minimiser of `|A x - b|`, d entries.
    pub x: Vec<f64>,
    /// `|Aᵀ r|` by LSMR's recurrence, at the start and after each iteration.
    pub gradients: Vec<f64>,
    /// `|r|` by LSMR's recurrence, at the start and after each iteration.
    pub residuals: Vec<f64>,
    /// The diagonal and subdiagonal of the bidiagonal matrix: its singular values lie among A's and approach the extreme ones.
    pub bidiagonal: Vec<[f64; 2]>,
    /// Why it stopped.
    pub status: Status,
}

impl Lsmr {
    /// The number of iterations, each one pass over A.
    pub fn iterations(&self) -> usize {
        self.gradients.len() - 1
    }

    /// Estimates of the largest and the smallest singular value of A, from inside. Cost: a few hundred passes over the bidiagonal.
    pub fn singular_extremes(&self) -> Option<(f64, f64)> {
        let k = self.bidiagonal.len();
        let largest = singular_value(&self.bidiagonal, k)?;
        Some((largest, singular_value(&self.bidiagonal, 1)?))
    }
}

/// The singular value of the given rank, 1 the smallest, of a lower bidiagonal matrix, to rounding: by bisection, from the signs
/// of the pivots of `[[-x, Bᵀ], [B, -x]]`, which is tridiagonal when rows and columns take turns.
///
/// Source: Demmel, Kahan, SIAM J. Sci. Stat. Comput. 11 (1990), section 4.
fn singular_value(bidiagonal: &[[f64; 2]], rank: usize) -> Option<f64> {
    let largest = bidiagonal.iter().flatten().fold(0.0, |largest: f64, v| largest.max(*v));
    if bidiagonal.is_empty() || !largest.is_finite() {
        return None;
    }
    let k = bidiagonal.len();
    // The eigenvalues are plus and minus each singular value, and one 0.
    let below = |x: f64| {
        let (mut pivot, mut negative) = (-x, 1);
        for v in bidiagonal.iter().flatten() {
            let divisor = if pivot == 0.0 { f64::MIN_POSITIVE } else { pivot };
            pivot = -x - v * (v / divisor);
            negative += usize::from(pivot < 0.0);
        }
        negative.saturating_sub(k + 1)
    };
    let (mut low, mut high) = (0.0, 2.0 * largest);
    for _ in 0..256 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) >= rank { high = middle } else { low = middle }
    }
    Some(0.5 * (low + high))
}

/// Minimises `|A x - b|` from x = 0; the minimum-norm solution where A is rank-deficient.
///
/// Each iteration costs one pass over A and O(m + d) beside it. Memory: one vector of m entries and five of d.
/// The observer sees `|Aᵀ r|` after each iteration.
///
/// Source: Fong, Saunders, SIAM J. Sci. Comput. 33 (2011).
///
/// # Panics
/// If `b` has not as many entries as A has rows.
pub fn lsmr<A: LinearOperator>(a: &A, b: &[f64], options: &LsmrOptions, observer: impl FnMut(&Event) -> ControlFlow<()>) -> Lsmr {
    assert_eq!(b.len(), a.rows(), "the right-hand side has {} entries, the matrix {} rows", b.len(), a.rows());
    let gradient = a.transpose_times(b);
    lsmr_from(a, b.to_vec(), gradient, options, observer)
}

/// As [`lsmr`], for a right-hand side `b` whose `gradient` `Aᵀ b` is known already. Consumes both.
pub fn lsmr_from<A: LinearOperator>(
    a: &A,
    b: Vec<f64>,
    gradient: Vec<f64>,
    options: &LsmrOptions,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Lsmr {
    let d = a.cols();
    // u is kept unscaled: its norm is beta, so that no pass is spent on dividing by it.
    let (mut u, mut w) = (b, gradient);
    let mut beta = norm(&u);
    let mut v = w.iter().map(|w| if beta > 0.0 { w / beta } else { 0.0 }).collect::<Vec<_>>();
    let mut alpha = norm(&v);
    scale(&mut v, alpha);

    let norm_b = beta;
    let mut run =
        Lsmr { x: vec![0.0; d], gradients: vec![alpha * beta], residuals: vec![beta], bidiagonal: Vec::new(), status: Status::Converged };
    if alpha * beta == 0.0 {
        return run;
    }
    let (mut zeta_bar, mut alpha_bar, mut rho, mut rho_bar, mut c_bar, mut s_bar) = (alpha * beta, alpha, 1.0, 1.0, 1.0, 0.0);
    let mut h = v.clone();
    let mut h_bar = vec![0.0; d];
    let mut residual = ResidualNorm::new(beta);
    let mut norm_a_squared = alpha * alpha;

    for iteration in 1..=options.max_iterations {
        // Bidiagonalisation: beta u = A v - alpha u, alpha v = Aᵀ u - beta v.
        let alpha_before = alpha;
        beta = a.bidiagonal_step(&v, alpha / beta, &mut u, &mut w).sqrt();
        if beta > 0.0 {
            v.iter_mut().zip(&w).for_each(|(v, w)| *v = w / beta - beta * *v);
            alpha = norm(&v);
            scale(&mut v, alpha);
        } else {
            alpha = 0.0;
        }
        run.bidiagonal.push([alpha_before, beta]);

        // Rotations that make the bidiagonal upper, then its transpose upper too.
        let rho_before = rho;
        let (c, s, r) = rotation(alpha_bar, beta);
        rho = r;
        let theta = s * alpha;
        alpha_bar = c * alpha;
        let rho_bar_before = rho_bar;
        let theta_bar = s_bar * rho;
        (c_bar, s_bar, rho_bar) = rotation(c_bar * rho, theta);
        let zeta = c_bar * zeta_bar;
        zeta_bar *= -s_bar;

        let (keep, step) = (theta_bar * rho / (rho_before * rho_bar_before), zeta / (rho * rho_bar));
        for j in 0..d {
            h_bar[j] = h[j] - keep * h_bar[j];
            run.x[j] += step * h_bar[j];
            h[j] = v[j] - theta / rho * h[j];
        }

        residual.update(c, s, theta_bar, rho_bar, zeta);
        norm_a_squared += beta * beta;
        let norm_a = options.matrix_norm.unwrap_or(norm_a_squared.sqrt());
        norm_a_squared += alpha * alpha;
        let (gradient, residual) = (zeta_bar.abs(), residual.norm());
        run.gradients.push(gradient);
        run.residuals.push(residual);

        let flow = observer(&Event::new("iterate", iteration as u64).of(options.max_iterations as u64).value(gradient));
        let solved = gradient <= (options.tolerance * norm_a * residual).max(options.gradient)
            || residual <= options.residual.unwrap_or_else(|| options.tolerance * (norm_b + norm_a * norm(&run.x)));
        if solved || alpha == 0.0 {
            return run;
        }
        if flow.is_break() {
            run.status = Status::Stopped;
            return run;
        }
    }
    run.status = Status::MaxIterations;
    run
}

/// The norm of the residual, by the recurrence of Fong and Saunders, section 5.
struct ResidualNorm {
    beta_dd: f64,
    beta_d: f64,
    rho_d: f64,
    tau_tilde: f64,
    theta_tilde: f64,
    zeta: f64,
    norm: f64,
}

impl ResidualNorm {
    fn new(beta: f64) -> Self {
        ResidualNorm { beta_dd: beta, beta_d: 0.0, rho_d: 1.0, tau_tilde: 0.0, theta_tilde: 0.0, zeta: 0.0, norm: beta }
    }

    fn update(&mut self, c: f64, s: f64, theta_bar: f64, rho_bar: f64, zeta: f64) {
        let beta_hat = c * self.beta_dd;
        self.beta_dd *= -s;
        let theta_before = self.theta_tilde;
        let (c_tilde, s_tilde, rho_tilde) = rotation(self.rho_d, theta_bar);
        self.theta_tilde = s_tilde * rho_bar;
        self.rho_d = c_tilde * rho_bar;
        self.beta_d = -s_tilde * self.beta_d + c_tilde * beta_hat;
        self.tau_tilde = (self.zeta - theta_before * self.tau_tilde) / rho_tilde;
        let tau = (zeta - self.theta_tilde * self.tau_tilde) / self.rho_d;
        self.zeta = zeta;
        self.norm = (self.beta_d - tau).hypot(self.beta_dd);
    }

    fn norm(&self) -> f64 {
        self.norm
    }
}

fn norm(x: &[f64]) -> f64 {
    par_dot(x, x).sqrt()
}

fn scale(x: &mut [f64], by: f64) {
    if by > 0.0 {
        x.iter_mut().for_each(|x| *x /= by);
    }
}

/// `(c, s, r)` with `c a + s b = r` and `c b = s a`.
fn rotation(a: f64, b: f64) -> (f64, f64, f64) {
    let r = a.hypot(b);
    if r == 0.0 { (1.0, 0.0, 0.0) } else { (a / r, b / r, r) }
}
