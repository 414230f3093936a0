//! What is measured of an answer: curvature, decrement, and how fast the curvature can change nearby.

use certus_contract::Status;
use certus_linalg::factor::{Cholesky, Triangle, solve_triangular, solve_triangular_vec, symmetric_eigenvalues};
use certus_linalg::operator::LinearOperator;
use certus_linalg::product::{matvec, weighted_gram};
use certus_linalg::{Mat, MatRef, Matrix};
use certus_newton::Objective;
use certus_numeric::Csr;
use certus_numeric::sum::{dot, max_abs, norm2, par_blocks};

use crate::Error;
use crate::curvature::{residual_range, slack, third_derivative};
use crate::objective::{Loss, Point, chain};
use crate::problem::{Form, Link, Problem};
use crate::solver::{Answer, Certify, Hessian};

/// Everything measured of one answer. The certificate is derived from it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Rows of A.
    pub rows: usize,
    /// Columns of A.
    pub cols: usize,
    /// Directions of x that the loss sees.
    pub rank: usize,
    /// Steps that were taken or refused.
    pub iterations: usize,
    /// How the run ended.
    pub status: Status,
    /// The largest entry of the gradient (the largest number, where it overflows).
    pub gradient_inf: f64,
    /// How the Hessian was used.
    pub hessian_choice: Hessian,
    /// The least eigenvalue of the Hessian on the directions that the loss sees; `None` where it was not formed or overflows.
    pub lambda_min: Option<f64>,
    /// Whether the Hessian is positive definite there, beyond all rounding.
    pub positive: bool,
    /// η: an upper bound of `sqrt(gᵀ H⁻¹ g)`, rounding of the gradient included.
    pub newton_decrement: Option<f64>,
    /// M_*: a bound on how fast the Hessian changes within 2 η, in its own norm.
    pub lipschitz: Option<f64>,
    /// M_* η.
    pub kantorovich: Option<f64>,
    /// A bound on the distance to the stationary point in the norm of the Hessian (both in the unit of the point, where the loss is
    /// beyond e^±300); `None` unless proven.
    pub energy_radius: Option<f64>,
    /// A bound on `|x - x*|_2`; `None` unless proven.
    pub radius: Option<f64>,
    /// The distance to the stationary point in the norm of the Hessian, by Newton steps.
    pub distance: Option<f64>,
    /// `|x - x*|_2`, by Newton steps, less their rounding.
    pub euclidean_distance: Option<f64>,
    /// `|g| / modulus`, rounding of the gradient included: a bound on `|x - x*|_2`.
    pub convex_radius: Option<f64>,
    /// The classical contraction, from the start (with full certification).
    pub contraction: Option<Contraction>,
    /// log10 of our bound on the Lipschitz constant of the Hessian in the Euclidean norm, and of the generic one (with full
    /// certification).
    pub lipschitz_log10: Option<(f64, f64)>,
    /// A modulus of strong convexity that holds for every x, beyond rounding; `None` where none is known.
    pub modulus: Option<f64>,
    /// The least of `w_i²` less what row i needs for convexity; `None` where no bound is known.
    pub least_slack: Option<f64>,
    /// Whether the whole loss is zero to rounding: each residual at that of its own terms, and no regulariser.
    pub zero_loss: bool,
    /// The part of the loss that is regulariser.
    pub regularisation_share: f64,
    /// `1 - D(x) / D(x_ref)`; `None` where D(x_ref) has no value.
    pub explained: Option<f64>,
    /// Why nothing is proven, where nothing is.
    pub reason: String,
}

/// What is proven of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A local minimum lies within this distance.
    ProvenLocalMinimum {
        /// The bound on `|x - x*|_2`.
        radius: f64,
    },
    /// The global minimum lies within this distance.
    ProvenGlobalMinimum {
        /// The bound on `|x - x*|_2`.
        radius: f64,
    },
    /// Nothing is proven.
    NotProven {
        /// Why.
        reason: String,
    },
}

impl Facts {
    /// What follows from the facts.
    pub fn outcome(&self) -> Outcome {
        match self.radius {
            Some(radius) if self.rank == self.cols && (self.modulus.is_some() || self.zero_loss) => Outcome::ProvenGlobalMinimum { radius },
            Some(radius) => Outcome::ProvenLocalMinimum { radius },
            None => Outcome::NotProven { reason: self.reason.clone() },
        }
    }

    pub(crate) fn measure(
        loss: &Loss<'_, '_>,
        answer: &Answer,
        unseen: Option<&Mat<f64>>,
        certify: Certify,
        status: Status,
        iterations: usize,
        hessian_choice: Hessian,
    ) -> Result<Facts, Error> {
        let (p, point) = (loss.problem, &answer.point);
        let unit = loss.log_unit(point);
        let d = p.cols();
        let total = point.loss();
        let whole = if total.mantissa() == 0.0 { 0.0 } else { certus_numeric::ScaledValue::from(point.regulariser).ratio(total) };
        let mut facts = Facts {
            rows: p.rows(),
            cols: d,
            rank: d - unseen.map_or(0, |u| u.ncols()),
            iterations,
            status,
            gradient_inf: scaled(max_abs(&answer.gradient), unit).unwrap_or(f64::MAX),
            hessian_choice,
            lambda_min: None,
            positive: false,
            newton_decrement: None,
            lipschitz: None,
            kantorovich: None,
            energy_radius: None,
            radius: None,
            distance: None,
            euclidean_distance: None,
            convex_radius: None,
            contraction: None,
            lipschitz_log10: None,
            modulus: None,
            least_slack: None,
            zero_loss: loss.is_zero(point),
            regularisation_share: whole.clamp(0.0, 1.0),
            explained: explained(loss, point),
            reason: String::new(),
        };
        facts.convexity(p, certify)?;
        let Some(hessian) = &answer.curvature else {
            facts.reason = "the Hessian was not formed".into();
            return Ok(facts);
        };
        facts.a_posteriori(loss, answer, hessian, unseen, certify)?;
        Ok(facts)
    }

    /// Theorems 4 and 5: strong convexity at every point, from the data and the regulariser.
    fn convexity(&mut self, p: &Problem<'_>, certify: Certify) -> Result<(), Error> {
        let Some(slack) = slack(p) else { return Ok(()) };
        let least = slack.iter().copied().fold(f64::INFINITY, f64::min);
        self.least_slack = Some(least).filter(|least| least.is_finite());
        if least >= 0.0 && p.ridge() > 0.0 {
            self.modulus = Some(p.ridge());
        }
        if p.cols() > FORMED || !(least > 0.0 || (certify == Certify::Full && slack.iter().all(|s| s.is_finite()))) {
            return Ok(());
        }
        let mut bound = weighted_gram(p.a(), &slack);
        (0..bound.ncols()).for_each(|j| bound[(j, j)] += p.ridge());
        let absolute = slack.iter().map(|s| s.abs()).collect::<Vec<_>>();
        let rounding = p.a().column_squares(Some(&absolute));
        if let Some(positive) = Positive::prove(bound.as_ref(), &rounding, p.rows()) {
            let modulus = (1.0 - positive.shrink) / positive.inverse_norm();
            if modulus.is_finite() && modulus > self.modulus.unwrap_or(0.0) {
                self.modulus = Some(modulus);
            }
        }
        Ok(())
    }

    /// Theorem 9, with the constants of Theorems 6 to 8.
    fn a_posteriori(
        &mut self,
        loss: &Loss<'_, '_>,
        answer: &Answer,
        hessian: &Mat<f64>,
        unseen: Option<&Mat<f64>>,
        certify: Certify,
    ) -> Result<(), Error> {
        let (p, point) = (loss.problem, &answer.point);
        let (d, unit) = (p.cols(), loss.log_unit(point));
        // On the directions that the loss does not see, any curvature will do: nothing has a part along them.
        let mut h = hessian.clone();
        if let Some(unseen) = unseen {
            let size = (0..d).map(|j| h[(j, j)].abs()).sum::<f64>() / d as f64;
            for direction in unseen.col_iter() {
                for j in 0..d {
                    for i in 0..d {
                        h[(i, j)] += size * direction[i] * direction[j];
                    }
                }
            }
        }
        if !(0..d).all(|j| h[(j, j)].is_finite()) {
            self.reason = "the Hessian overflows".into();
            return Ok(());
        }
        let rounding = loss.curvature_size(point);
        let Some(positive) = Positive::prove(h.as_ref(), &rounding, p.rows()) else {
            let least = symmetric_eigenvalues(h.as_ref())?.first().copied();
            self.lambda_min = least.and_then(|v| scaled(v, unit));
            self.reason = match least {
                Some(least) if least < 0.0 => "the Hessian has a negative eigenvalue".into(),
                _ => "the Hessian is not positive definite beyond rounding".into(),
            };
            return Ok(());
        };
        self.positive = true;
        self.lambda_min = scaled(positive.least, unit);

        let rows = RowNorms::new(p.a(), &positive, None, certify);
        // The softmax sees differences of rows alone.
        let centre = (p.form() == Form::Normalised && p.link() == Link::Exp).then(|| p.a().transpose_times(&point.rows.u[0]));
        let spread = centre.map(|centre| RowNorms::new(p.a(), &positive, Some(&centre), certify));
        let rounding = rounding_of_gradient(loss, answer, &rows, &positive);
        if let Some(unseen) = unseen {
            let along = matvec(unseen.transpose(), &answer.gradient);
            let along = matvec(unseen.as_ref(), &along);
            if norm2(&positive.half_solve(&along)) > 4.0 * rounding {
                self.reason = "the curvature is zero to rounding along directions in which the gradient is not".into();
                self.positive = false;
                self.lambda_min = None;
                return Ok(());
            }
        }
        let decrement = (norm2(&positive.half_solve(&answer.gradient)) + rounding) * (1.0 + 1e-10) + SMALLEST;
        let decrement = decrement / (1.0 - positive.shrink).sqrt();
        self.newton_decrement = scaled(decrement, 0.5 * unit);
        let lipschitz = lipschitz(p, point, spread.as_ref().unwrap_or(&rows), 2.0 * decrement);
        self.lipschitz = lipschitz.and_then(|m| scaled(m, -0.5 * unit));
        let (steps, distance) = newton_steps(loss, answer, &positive, if certify == Certify::Full { 3 } else { 1 });
        let distance = (distance - 3.0 * rounding).max(0.0);
        // In the unit of the loss wherever that has room.
        let half = if unit.abs() <= 300.0 { 0.5 * unit } else { 0.0 };
        self.distance = scaled(distance, half);
        self.euclidean_distance = Some(norm2(&steps) - 3.0 * rounding * positive.largest_inverse.sqrt()).map(|v| v.max(0.0));
        if let Some(modulus) = self.modulus {
            // |g| in true units; its rounding error in the Euclidean norm is at most sqrt(trace H) times that in the norm of H⁻¹.
            let trace = (0..d).map(|j| h[(j, j)]).sum::<f64>();
            let gradient = norm2(&answer.gradient) + rounding * trace.sqrt();
            self.convex_radius = scaled(gradient, unit).map(|gradient| gradient / modulus).filter(|r| r.is_finite());
        }
        if certify == Certify::Full {
            self.contraction = Contraction::measure(loss, answer, &positive, spread.as_ref().unwrap_or(&rows), self.hessian_choice);
        }
        let Some(lipschitz) = lipschitz else {
            self.reason = "the change of the Hessian near x cannot be bounded".into();
            return Ok(());
        };
        let kantorovich = lipschitz * decrement * (1.0 + 1e-12);
        self.kantorovich = Some(kantorovich).filter(|k| k.is_finite());
        if kantorovich.is_nan() || kantorovich > 0.5 {
            self.reason = format!("M_* times the Newton decrement is {kantorovich:.3e}, above 1/2");
            return Ok(());
        }
        let energy = 2.0 * decrement / (1.0 + (1.0 - 2.0 * kantorovich).sqrt()) * (1.0 + 1e-12);
        self.energy_radius = scaled(energy, half);
        if certify == Certify::Full {
            self.generic(p, answer, lipschitz, h.as_ref(), unit);
        }
        let mut radius = energy * (positive.largest_inverse / (1.0 - positive.shrink)).sqrt();
        if let Some(by_convexity) = self.convex_radius {
            radius = radius.min(by_convexity);
        }
        self.radius = Some(radius).filter(|r| r.is_finite());
        if self.radius.is_none() {
            self.reason = "the bound on the distance overflows".into();
        }
        Ok(())
    }
}

impl Facts {
    /// The figure that the literature's constants give: `exp(20 R²)` for R at least 4, `|A|`, `|b|`, `|x|`, the largest `|Ax|` and the weights.
    fn generic(&mut self, p: &Problem<'_>, answer: &Answer, lipschitz: f64, h: MatRef<'_, f64>, unit: f64) {
        // M <= M_* |H|^(3/2), the norm at most its trace.
        let trace = (0..h.nrows()).map(|j| h[(j, j)]).sum::<f64>();
        let ours = lipschitz.log10() + 1.5 * trace.log10() + unit * std::f64::consts::LOG10_E;
        let weights = (0..p.rows()).map(|i| p.weight(i)).fold(4.0, f64::max);
        let r = norm2(p.a().values()).max(norm2(&answer.x)).max(norm2(p.b())).max(max_abs(&answer.point.z)).max(weights);
        let generic = 20.0 * r * r * std::f64::consts::LOG10_E;
        if ours.is_finite() && generic.is_finite() {
            self.lipschitz_log10 = Some((ours, generic));
        }
    }
}

/// Theorem 3: how fast the error falls from the start, in the norm of the Hessian at the answer.
#[derive(Clone, Copy, Debug)]
pub struct Contraction {
    /// M_* times the error of the start.
    pub a: f64,
    /// The relative error of the Hessians that the steps used.
    pub eps: f64,
    /// The factor by which the theorem says that each step shrinks the error.
    pub factor: f64,
    /// `factor^steps` times the error of the start, in the norm of the Hessian.
    pub bound: f64,
}

impl Contraction {
    fn measure(loss: &Loss<'_, '_>, answer: &Answer, positive: &Positive, rows: &RowNorms, choice: Hessian) -> Option<Contraction> {
        let error = positive.norm(&answer.start.iter().zip(&answer.x).map(|(s, x)| s - x).collect::<Vec<_>>());
        let a = lipschitz(loss.problem, &answer.point, rows, error).unwrap_or(f64::INFINITY) * error;
        let eps = if choice == Hessian::Sampled { crate::sample::ERROR } else { 0.0 };
        let factor = if a < 1.0 {
            ((1.0 + a) / (1.0 - a)).sqrt() * (eps / (1.0 - eps) + a / (2.0 * (1.0 - a) * (1.0 - eps)))
        } else {
            f64::INFINITY
        };
        let unit = loss.log_unit(&answer.point);
        let unit = if unit.abs() <= 300.0 { 0.5 * unit } else { 0.0 };
        let bound =
            scaled(if factor < 1.0 { factor.powi(answer.steps.min(1 << 20) as i32) * error } else { error }, unit).unwrap_or(f64::MAX);
        Some(Contraction { a: a.min(f64::MAX), eps, factor: factor.min(f64::MAX), bound })
    }
}

/// Columns up to which matrices are formed for facts alone.
const FORMED: usize = 1024;

/// More than what numbers lose that are too small.
const SMALLEST: f64 = 1e-290;

/// `value e^log`, if finite.
fn scaled(value: f64, log: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    certus_numeric::ScaledValue::new(value, log).to_f64()
}

/// A matrix that is positive definite beyond the rounding of its entries.
pub(crate) struct Positive {
    scales: Vec<f64>,
    factor: Cholesky,
    inverse: Mat<f64>,
    /// The true matrix is at least (1 - shrink) times the one that was factored.
    pub(crate) shrink: f64,
    /// The least eigenvalue.
    pub(crate) least: f64,
    /// An upper bound of the largest eigenvalue of the inverse.
    pub(crate) largest_inverse: f64,
}

impl Positive {
    /// By a Cholesky factorisation of `H - c I` in scaled variables (Rump 2006). `squares` bounds the diagonal of the sums of absolute
    /// terms of H, each of `terms` of them.
    pub(crate) fn prove(h: MatRef<'_, f64>, squares: &[f64], terms: usize) -> Option<Positive> {
        let d = h.nrows();
        let scales = (0..d).map(|j| h[(j, j)].sqrt()).collect::<Vec<_>>();
        if !scales.iter().all(|s| *s > 0.0 && s.is_finite()) {
            return None;
        }
        let scaled = Mat::from_fn(d, d, |i, j| h[(i, j)] / (scales[i] * scales[j]));
        let sums = squares.iter().zip(&scales).map(|(s, scale)| s / (scale * scale)).sum::<f64>();
        // Sums of all terms (whatever blocks they come in), the scaling; then the factorisation of a matrix of trace d.
        let entry = (terms + 64) as f64 * f64::EPSILON * (sums + d as f64);
        let shift = entry + (d + 2) as f64 * f64::EPSILON * d as f64;
        let mut shifted = scaled.clone();
        (0..d).for_each(|j| shifted[(j, j)] -= shift);
        Cholesky::new("the shifted Hessian", shifted.as_ref()).ok()?;
        let factor = Cholesky::new("the Hessian", scaled.as_ref()).ok()?;
        let inverse = factor.inverse();
        let largest = inverse.col_iter().flat_map(|c| c.iter()).map(|v| v * v).sum::<f64>().sqrt();
        let shrink = 2.0 * shift * largest;
        if shrink.is_nan() || shrink >= 0.5 {
            return None;
        }
        let mut positive = Positive { scales, factor, inverse, shrink, least: 0.0, largest_inverse: 0.0 };
        positive.largest_inverse = positive.inverse_norm();
        positive.least = positive.least_eigenvalue().unwrap_or(1.0 / positive.largest_inverse);
        // Proven to be nearly that, by another shifted factorisation, or else bounded by the Frobenius norm of the inverse.
        let claimed = positive.least * (1.0 - 1e-6);
        (0..d).for_each(|j| shifted[(j, j)] -= claimed / (positive.scales[j] * positive.scales[j]));
        if Cholesky::new("the Hessian less its least eigenvalue", shifted.as_ref()).is_ok() {
            positive.largest_inverse = positive.largest_inverse.min(1.0 / claimed);
        }
        Some(positive)
    }

    /// The y with `|y|² = gᵀ H⁻¹ g`.
    fn half_solve(&self, g: &[f64]) -> Vec<f64> {
        let mut y = g.iter().zip(&self.scales).map(|(g, s)| g / s).collect::<Vec<_>>();
        solve_triangular_vec(Triangle::Lower, self.factor.lower(), &mut y);
        y
    }

    /// The norm of s in the norm of H.
    fn norm(&self, s: &[f64]) -> f64 {
        let scaled = s.iter().zip(&self.scales).map(|(s, scale)| s * scale).collect::<Vec<_>>();
        let lower = self.factor.lower();
        norm2(&(0..scaled.len()).map(|j| (j..scaled.len()).map(|i| lower[(i, j)] * scaled[i]).sum::<f64>()).collect::<Vec<_>>())
    }

    /// `H⁻¹ g`.
    pub(crate) fn solve(&self, g: &[f64]) -> Vec<f64> {
        let y = self.factor.solve(&g.iter().zip(&self.scales).map(|(g, s)| g / s).collect::<Vec<_>>());
        y.iter().zip(&self.scales).map(|(y, s)| y / s).collect()
    }

    /// The norm of a sparse row in the norm of H⁻¹.
    fn inverse_norm_of(&self, (columns, values): (&[u32], &[f64])) -> f64 {
        let entries = || columns.iter().zip(values).map(|(&j, v)| (j as usize, v / self.scales[j as usize]));
        let square = entries().map(|(i, a)| entries().fold(0.0, |sum, (j, b)| sum + self.inverse[(i, j)] * b) * a).sum::<f64>();
        square.max(0.0).sqrt()
    }

    /// The norms of some rows, less a centre, in the norm of H⁻¹: those of `L⁻¹ D⁻¹ (a - c)`.
    fn inverse_norms(&self, a: Matrix<'_>, rows: std::ops::Range<usize>, centre: Option<&[f64]>) -> Vec<f64> {
        let (d, first) = (self.scales.len(), rows.start);
        let mut block = Mat::from_fn(d, rows.len(), |j, k| match a {
            Matrix::Dense(a) => a.row(first + k)[j],
            Matrix::Sparse(_) => 0.0,
        });
        if let Matrix::Sparse(a) = a {
            for (k, i) in rows.clone().enumerate() {
                let (columns, values) = a.row(i);
                columns.iter().zip(values).for_each(|(&j, v)| block[(j as usize, k)] = *v);
            }
        }
        for k in 0..rows.len() {
            for j in 0..d {
                block[(j, k)] = (block[(j, k)] - centre.map_or(0.0, |c| c[j])) / self.scales[j];
            }
        }
        solve_triangular(Triangle::Lower, self.factor.lower(), block.as_mut());
        block.col_iter().map(|column| column.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()
    }

    /// The square root of entry j of the diagonal of H⁻¹.
    fn deviation(&self, j: usize) -> f64 {
        self.inverse[(j, j)].max(0.0).sqrt() / self.scales[j]
    }

    /// An upper bound of the largest eigenvalue of H⁻¹: its Frobenius norm.
    pub(crate) fn inverse_norm(&self) -> f64 {
        let d = self.scales.len();
        let squares = (0..d)
            .flat_map(|j| (0..d).map(move |i| (i, j)))
            .map(|(i, j)| (self.inverse[(i, j)] / (self.scales[i] * self.scales[j])).powi(2));
        squares.sum::<f64>().sqrt() * (1.0 + 1e-9)
    }

    /// The least eigenvalue of H, from the largest of its inverse, which scaling does not spoil: all of them for small matrices, else
    /// by the power method.
    fn least_eigenvalue(&self) -> Option<f64> {
        let d = self.scales.len();
        if d <= 128 {
            let inverse = Mat::from_fn(d, d, |i, j| self.inverse[(i, j)] / (self.scales[i] * self.scales[j]));
            return symmetric_eigenvalues(inverse.as_ref()).ok()?.last().map(|largest| 1.0 / largest);
        }
        let mut x = (0..d).map(|j| self.deviation(j)).collect::<Vec<_>>();
        let mut value = None;
        for _ in 0..20 {
            let y = self.solve(&x);
            value = Some(dot(&x, &x) / dot(&x, &y));
            let norm = norm2(&y);
            x = y.iter().map(|y| y / norm).collect();
        }
        value
    }
}

/// Upper bounds of `|a_i|` in the norm of H⁻¹, less a centre where given.
pub(crate) struct RowNorms {
    norms: Vec<f64>,
}

/// Pairs of entries that share a row.
fn pairs(a: &Csr) -> usize {
    a.indptr().windows(2).map(|row| (row[1] - row[0]).pow(2)).sum()
}

/// Work up to which these norms are computed, not bounded: with cheap and with full certification.
const EXACT_NORMS: [usize; 2] = [1 << 25, 1 << 33];
/// Rows that are worked on together.
const NORM_ROWS: usize = 256;

impl RowNorms {
    fn new(a: Matrix<'_>, positive: &Positive, centre: Option<&[f64]>, certify: Certify) -> RowNorms {
        let d = a.cols();
        let exact = a.rows().saturating_mul(d * d) <= EXACT_NORMS[usize::from(certify == Certify::Full)];
        let norms = match (exact, a) {
            (true, _) => {
                let blocks = par_blocks(a.rows(), NORM_ROWS, |rows| positive.inverse_norms(a, rows, centre));
                blocks.concat()
            }
            (false, Matrix::Sparse(a)) if centre.is_none() && pairs(a) <= EXACT_NORMS[1] / 64 => {
                let blocks = par_blocks(a.rows(), NORM_ROWS, |rows| rows.map(|i| positive.inverse_norm_of(a.row(i))).collect::<Vec<_>>());
                blocks.concat()
            }
            _ => {
                // The triangle inequality over the entries of a row.
                let deviations = (0..d).map(|j| positive.deviation(j)).collect::<Vec<_>>();
                let of_centre = centre.map_or(0.0, |c| c.iter().zip(&deviations).map(|(c, s)| c.abs() * s).sum());
                a.absolute_times(&deviations).into_iter().map(|v| v + of_centre).collect()
            }
        };
        let up = 1.0 / (1.0 - positive.shrink).sqrt() * (1.0 + 1e-9);
        RowNorms { norms: norms.into_iter().map(|norm| norm * up).collect() }
    }

    fn largest(&self) -> f64 {
        max_abs(&self.norms)
    }
}

/// M_* on the ball of this radius in the norm of the Hessian; `None` where it cannot be bounded.
fn lipschitz(p: &Problem<'_>, point: &Point, rows: &RowNorms, radius: f64) -> Option<f64> {
    let n = p.rows();
    let ell = &rows.norms;
    let bound = match (p.form(), p.link()) {
        (Form::Normalised, Link::Exp | Link::Cosh) => third_derivative(p) * (2.0 * rows.largest()).powi(3),
        (Form::Plain, _) => {
            let scale = (-point.m).exp();
            let third = (0..n).map(|i| {
                let (u, v) = reach(p.link(), point.z[i], ell[i] * radius, point.m);
                p.weight(i) * v * (4.0 * u + (p.b()[i] * scale).abs())
            });
            let third = third.collect::<Vec<_>>();
            // lambda_max(Aᵀ diag(T ell) A, H) <= its trace, and <= the largest ratio where all rows have positive curvature.
            let trace = (0..n).map(|i| third[i] * ell[i].powi(3)).sum::<f64>();
            let ratio = (0..n).filter(|i| third[*i] > 0.0).map(|i| {
                let theta = point.rows.h[i];
                if theta > 0.0 { third[i] * ell[i] / theta } else { f64::INFINITY }
            });
            let ratio = ratio.fold(0.0, f64::max);
            trace.min(if ratio.is_nan() { f64::INFINITY } else { ratio }) * (1.0 + 1e-9)
        }
        (Form::Rescaled, _) => {
            let reached = (0..n).map(|i| reach(p.link(), point.z[i], ell[i] * radius, point.m)).collect::<Vec<_>>();
            let omega = (0..n).map(|i| p.weight(i)).fold(0.0, f64::max);
            let nb = norm2(p.b());
            let sum_u = reached.iter().map(|r| r.0).sum::<f64>();
            let residual = |i: usize| reached[i].0 + sum_u * p.b()[i].abs();
            let beta = (0..n).map(|i| p.weight(i) * p.b()[i].abs() * residual(i)).sum::<f64>();
            // Lam(t) = lambda_max(Aᵀ diag(t) A, H) <= Σ t ell².
            let lam = |t: &dyn Fn(usize) -> f64| (0..n).map(|i| t(i) * ell[i] * ell[i]).sum::<f64>();
            let v_squared = lam(&|i| reached[i].1.powi(2));
            let v_sum = reached.iter().map(|r| r.1).sum::<f64>();
            let first = v_squared.sqrt() + nb * (v_sum * lam(&|i| reached[i].1)).sqrt();
            let second = lam(&|i| (reached[i].0 * ell[i]).powi(2)).sqrt() + nb * lam(&|i| reached[i].0);
            let third = lam(&|i| (p.weight(i) * residual(i) + beta) * reached[i].1 * ell[i]);
            3.0 * omega * first * second + third
        }
        (Form::Normalised, Link::Sinh) => {
            let reached = (0..n).map(|i| reach(p.link(), point.z[i], ell[i] * radius, point.m)).collect::<Vec<_>>();
            let omega = (0..n).map(|i| p.weight(i)).fold(0.0, f64::max);
            let change = (0..n).map(|i| reached[i].1 * ell[i] * radius).sum::<f64>();
            // S itself is rounded: its terms, relative to their sizes, and their sum.
            let size = (0..n).map(|i| point.u[i].abs() + point.v()[i].abs()).sum::<f64>();
            let s0 = point.sum.abs() - gamma(n + 64) * size * (1.0 + max_abs(&point.z)) - change;
            if s0.is_nan() || s0 <= 0.0 {
                return None;
            }
            let norm = |f: &dyn Fn(usize) -> f64| (0..n).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
            let (a0, s1) = (norm(&|i| reached[i].0) / s0, norm(&|i| reached[i].1) / s0);
            let (a1, a2) = (reached.iter().fold(0.0, |m: f64, r| m.max(r.1)) / s0, reached.iter().fold(0.0, |m: f64, r| m.max(r.0)) / s0);
            let f1 = a1 + a0 * s1;
            let f2 = a2 + 2.0 * a1 * s1 + a0 * a2 + 2.0 * a0 * s1 * s1;
            let f3 = a1 + 3.0 * a2 * s1 + 3.0 * a1 * a2 + a0 * a1 + 6.0 * a1 * s1 * s1 + 6.0 * a0 * s1 * a2 + 6.0 * a0 * s1.powi(3);
            let spread = (0..n).map(|i| ell[i] * ell[i]).sum::<f64>();
            let residual = norm(&|i| p.weight(i) * (point.u[i] / point.sum - p.b()[i])) + omega * f1 * spread.sqrt() * radius;
            (3.0 * omega * f1 * f2 + residual * f3) * spread.powf(1.5)
        }
    };
    Some(bound * (1.0 + 1e-9)).filter(|b| b.is_finite())
}

/// Upper bounds of |u| and |u'| within `move_by` of z, times e^-m.
fn reach(link: Link, z: f64, move_by: f64, m: f64) -> (f64, f64) {
    let up = 1.0 + 1e-12;
    match link {
        Link::Exp => {
            let u = (z + move_by - m).exp() * up;
            (u, u)
        }
        Link::Cosh | Link::Sinh => {
            let far = z.abs() + move_by;
            let (grow, fall) = ((far - m).exp(), (-far - m).exp());
            let (cosh, sinh) = (0.5 * (grow + fall) * up, 0.5 * grow * up);
            if link == Link::Cosh { (cosh, sinh) } else { (sinh, cosh) }
        }
    }
}

/// An upper bound of the rounding error of the gradient in the norm of H⁻¹: `|Σ a_i e_i| <= Σ |e_i| ell_i`.
fn rounding_of_gradient(loss: &Loss<'_, '_>, answer: &Answer, rows: &RowNorms, positive: &Positive) -> f64 {
    let (p, point) = (loss.problem, &answer.point);
    let (n, eps) = (p.rows(), 0.5 * f64::EPSILON);
    let longest = match p.a() {
        Matrix::Dense(a) => a.cols(),
        Matrix::Sparse(a) => a.indptr().windows(2).map(|row| row[1] - row[0]).max().unwrap_or(0),
    };
    let dz = p.a().absolute_times(&answer.x.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let sums = gamma(longest + 2);
    // z - m is rounded too.
    let shifted = |i: usize| if point.m == 0.0 { 0.0 } else { 2.0 * eps * (point.z[i].abs() + 3.0 * point.m.abs()) };
    let relative = (0..n).map(|i| (sums * (dz[i] + p.offset(i).abs()) + shifted(i)).exp_m1() + 8.0 * eps).collect::<Vec<_>>();
    let scale = (-point.m).exp();
    let (u, v) = (&point.u, point.v());
    // What each entry of the gradient in z may be off by: that of its own terms, and that of the sums that all share.
    let worst = max_abs(&relative);
    // An error of z moves u by v: sizes are those of both.
    let size = |i: usize| u[i].abs() + v[i].abs();
    let sum = (0..n).map(size).sum::<f64>();
    let kappa = sum / point.sum.abs();
    let term = |i: usize| match p.form() {
        Form::Plain => 0.0,
        Form::Rescaled => p.weight(i) * p.b()[i].abs() * (size(i) + sum * p.b()[i].abs()),
        Form::Normalised => {
            let f = size(i) / point.sum.abs();
            p.weight(i) * f * (f + p.b()[i].abs())
        }
    };
    // The normalised form takes differences to its largest row, whose own size they have.
    let largest = (0..n).fold(0, |k, i| if u[i].abs() > u[k].abs() { i } else { k });
    let of_largest = match p.form() {
        Form::Normalised => (1.0 + kappa) * p.weight(largest) * (size(largest) / point.sum.abs() + p.b()[largest].abs()),
        _ => 0.0,
    };
    let shared = (0..n).map(term).sum::<f64>() + of_largest;
    let own = |i: usize| {
        let omega = p.weight(i);
        let (size_u, size_v) = (size(i), size(i));
        match p.form() {
            Form::Plain => {
                let (du, dv) = (relative[i] * size_u, relative[i] * size_v);
                let residual = (u[i] - p.b()[i] * scale).abs();
                omega * ((v[i].abs() + residual) * (du + dv) + du * dv)
                    + 6.0 * eps * omega * v[i].abs() * (u[i].abs() + (p.b()[i] * scale).abs())
            }
            Form::Rescaled => {
                let terms = omega * (size(i) + sum * p.b()[i].abs()) + shared;
                (8.0 * worst + 4.0 * gamma(chain(n))) * size_v * terms
            }
            Form::Normalised => {
                let pi = size_v / point.sum.abs();
                let f = size_u / point.sum.abs();
                (8.0 * worst + 4.0 * gamma(chain(n))) * kappa * pi * (omega * (f + p.b()[i].abs()) + shared)
            }
        }
    };
    let in_sum = gamma(n + 64);
    let data = (0..n).map(|i| (own(i) + in_sum * point.rows.g[i].abs()) * rows.norms[i]).sum::<f64>();
    // The ridge: each entry of x - x_ref is rounded.
    let ridge = loss.ridge(point);
    let regulariser =
        (0..p.cols()).map(|j| 4.0 * eps * ridge * (answer.x[j].abs() + p.reference(j).abs()) * positive.deviation(j)).sum::<f64>();
    let pull = if p.has_row_reg() {
        let dc = p.a().absolute_times(&p.reference_vector().iter().map(|x| x.abs()).collect::<Vec<_>>());
        let unit = (-loss.log_unit(point)).exp();
        (0..n)
            .map(|i| {
                unit * p.row_reg_squared(i)
                    * (sums * 2.0 * (dz[i] + dc[i] + p.offset(i).abs()) + 4.0 * eps * point.z[i].abs())
                    * rows.norms[i]
            })
            .sum::<f64>()
    } else {
        0.0
    };
    data + regulariser + pull
}

/// k e / (1 - k e) for the unit roundoff e.
fn gamma(k: usize) -> f64 {
    let ke = k as f64 * 0.5 * f64::EPSILON;
    ke / (1.0 - ke)
}

/// The sum of some Newton steps from the answer, all with its Hessian, x minus the stationary point; and its length in the norm of the
/// Hessian, from the gradients, which are not rounded to the spacing of x.
fn newton_steps(loss: &Loss<'_, '_>, answer: &Answer, positive: &Positive, count: usize) -> (Vec<f64>, f64) {
    let (mut total, mut scaled) = (positive.solve(&answer.gradient), positive.half_solve(&answer.gradient));
    for _ in 1..count {
        let x = answer.x.iter().zip(&total).map(|(x, s)| x - s).collect::<Vec<_>>();
        let Some(point) = loss.point(&x) else { break };
        let unit = (loss.log_unit(&point) - loss.log_unit(&answer.point)).exp();
        let gradient = loss.gradient(&point).into_iter().map(|g| unit * g).collect::<Vec<_>>();
        total.iter_mut().zip(positive.solve(&gradient)).for_each(|(t, s)| *t += s);
        scaled.iter_mut().zip(positive.half_solve(&gradient)).for_each(|(t, s)| *t += s);
    }
    (total, norm2(&scaled))
}

fn explained(loss: &Loss<'_, '_>, point: &Point) -> Option<f64> {
    let reference = loss.evaluate(&loss.problem.reference_vector()).ok()?;
    let ratio = point.data.ratio(reference.data);
    ratio.is_finite().then_some(1.0 - ratio)
}

/// The bound C of the softmax residual, where it means something.
pub(crate) fn softmax_range(p: &Problem<'_>) -> Option<f64> {
    (p.form() == Form::Normalised && p.link() != Link::Sinh).then(|| residual_range(p))
}
