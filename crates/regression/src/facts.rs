//! What is measured of an answer: curvature, decrement, and how fast the curvature can change nearby.

use std::borrow::Cow;

use certus_contract::Status;
use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::product::{matvec, weighted_gram};
use certus_linalg::{Mat, MatRef};
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::sum::{max_abs, norm2};

use crate::Error;
use crate::answer::{Answer, Course};
use crate::curvature::slack;
use crate::hessian::Hessian;
use crate::lipschitz::{lipschitz, rows_above};
use crate::objective::Loss;
use crate::point::Point;
use crate::positive::{Positive, RowNorms};
use crate::problem::{Form, Link, Problem};
use crate::proof::Proof;
use crate::rounding::Rounding;
use crate::rows::{each_row, max_rows};
use crate::sampling::SamplingError;
use crate::solver::Certify;

/// Everything measured of one answer. The certificate is derived from it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Rows of A.
    pub rows: usize,
    /// Columns of A.
    pub cols: usize,
    /// Directions of x that the loss sees.
    pub rank: usize,
    /// Steps on all rows that were taken or refused.
    pub iterations: usize,
    /// How the run ended.
    pub status: Status,
    /// The largest entry of the gradient (the largest number, where it overflows).
    pub gradient_inf: f64,
    /// How the Hessian was used; sampled, if it was at any point.
    pub hessian_choice: Hessian,
    /// How far the sampled Hessians were from those of all rows; `None` where none was sampled.
    pub sampling_error: Option<SamplingError>,
    /// The least eigenvalue of the Hessian on the directions that the loss sees; `None` where it was not formed or overflows. In fits of
    /// large data it may be that of an earlier step's, some thousandths off; [`Problem::certify`] forms the present one.
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
        let whole = if total.mantissa() == 0.0 { 0.0 } else { ScaledValue::from(point.regulariser).ratio(total) };
        let mut facts = Facts {
            rows: p.rows(),
            cols: d,
            rank: d - unseen.map_or(0, |u| u.ncols()),
            iterations,
            status,
            gradient_inf: scaled(max_abs(&answer.gradient), unit).unwrap_or(f64::MAX),
            hessian_choice,
            sampling_error: answer.course.as_ref().and_then(|course| course.sampling),
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
        let Some(hessian) = answer.curvature.hessian() else {
            facts.reason = "the Hessian was not formed".into();
            return Ok(facts);
        };
        facts.a_posteriori(loss, answer, hessian, unseen, certify)?;
        Ok(facts)
    }

    /// Theorems 4 and 5: strong convexity at every point, from the data and the regulariser.
    fn convexity(&mut self, p: &Problem<'_>, certify: Certify) -> Result<(), Error> {
        let Some(slack) = slack(p) else { return Ok(()) };
        let (n, d) = (p.rows(), p.cols());
        let least = -max_rows(n, f64::NEG_INFINITY, |i| -slack(i));
        self.least_slack = Some(least).filter(|least| least.is_finite());
        if least >= 0.0 && p.ridge() > 0.0 {
            self.modulus = Some(p.ridge());
        }
        let by_directions = certify == Certify::Full && max_rows(n, 0.0, |i| slack(i).abs()).is_finite();
        if d > FORMED || !(least > 0.0 || by_directions) {
            return Ok(());
        }
        let slack = each_row(n, slack);
        let mut bound = weighted_gram(p.a(), &slack);
        (0..bound.ncols()).for_each(|j| bound[(j, j)] += p.ridge());
        let absolute = slack.iter().map(|s| s.abs()).collect::<Vec<_>>();
        let sizes = p.a().column_squares(Some(&absolute));
        // The slack is rounded down: it has no error that could help.
        if let Some(positive) = Positive::prove(bound.as_ref(), &sizes, &vec![0.0; sizes.len()], p.rows()) {
            let modulus: f64 = 1.0 / positive.largest_inverse;
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
        let mut h = Cow::Borrowed(hessian);
        if let Some(unseen) = unseen {
            let h = h.to_mut();
            let size = (0..d).map(|j| h[(j, j)].abs()).sum::<f64>() / d as f64;
            for direction in unseen.col_iter() {
                for j in 0..d {
                    for i in 0..d {
                        h[(i, j)] += size * direction[i] * direction[j];
                    }
                }
            }
        }
        let h = Mat::as_ref(&h);
        if !(0..d).all(|j| h[(j, j)].is_finite()) {
            self.reason = "the Hessian overflows".into();
            return Ok(());
        }
        let Proof { positive, errors, bounds } = Proof::new(loss, answer, h, certify);
        let Some(positive) = positive else {
            let least = symmetric_eigenvalues(h)?.first().copied();
            self.lambda_min = least.and_then(|v| scaled(v, unit));
            self.reason = match least {
                Some(least) if least < 0.0 => "the Hessian has a negative eigenvalue".into(),
                _ => "the Hessian is not positive definite beyond rounding".into(),
            };
            return Ok(());
        };
        self.positive = true;
        self.lambda_min = scaled(positive.least, unit);

        let mut near = Near::new(loss, answer, &positive, &errors, bounds, certify);
        if !near.rows.exact && p.form() == Form::Plain && near.is_rough() {
            near.refine(loss, answer, &positive, &errors);
        }
        if !near.rows.exact && certify == Certify::Cheap && near.is_rough() && near.is_within(HOPELESS) {
            near = Near::new(loss, answer, &positive, &errors, None, Certify::Full);
        }
        let Near { rounding, decrement, lipschitz, .. } = near;
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
        self.newton_decrement = scaled(decrement, 0.5 * unit);
        self.lipschitz = lipschitz.and_then(|m| scaled(m, -0.5 * unit));
        let (steps, distance) = newton_steps(loss, answer, &positive, if certify == Certify::Full { 3 } else { 1 });
        let distance = (distance - 3.0 * rounding).max(0.0);
        let half = half_unit(unit);
        self.distance = scaled(distance, half);
        self.euclidean_distance = Some(norm2(&steps) - 3.0 * rounding * positive.largest_inverse.sqrt()).map(|v| v.max(0.0));
        if let Some(modulus) = self.modulus {
            // |g| in true units; its rounding error in the Euclidean norm is at most sqrt(trace H) times that in the norm of H⁻¹.
            let trace = (0..d).map(|j| h[(j, j)]).sum::<f64>();
            let gradient = norm2(&answer.gradient) + rounding * trace.sqrt();
            self.convex_radius = scaled(gradient, unit).map(|gradient| gradient / modulus).filter(|r| r.is_finite());
        }
        if certify == Certify::Full {
            self.contraction = Contraction::measure(loss, answer, &positive, near.spread(), &errors, rounding, &steps);
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
            self.generic(p, answer, lipschitz, h, unit);
        }
        let mut radius = energy * positive.largest_inverse.sqrt();
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
        let r = norm2(p.a().values()).max(norm2(&answer.x)).max(norm2(p.b())).max(answer.point.largest).max(weights);
        let generic = 20.0 * r * r * std::f64::consts::LOG10_E;
        if ours.is_finite() && generic.is_finite() {
            self.lipschitz_log10 = Some((ours, generic));
        }
    }
}

/// What holds near the answer, with one choice of row norms.
struct Near {
    rows: RowNorms,
    /// Those of the rows less their mean, for the softmax, which sees differences of rows alone.
    centred: Option<RowNorms>,
    /// A bound of the rounding of the gradient, in the norm of H⁻¹.
    rounding: f64,
    /// η, rounding included.
    decrement: f64,
    /// M_* within 2 η.
    lipschitz: Option<f64>,
}

impl Near {
    /// `bounds` are those of the row norms, where they are known.
    fn new(
        loss: &Loss<'_, '_>,
        answer: &Answer,
        positive: &Positive,
        errors: &Rounding<'_, '_>,
        bounds: Option<RowNorms>,
        certify: Certify,
    ) -> Near {
        let p = loss.problem;
        let rows = bounds.unwrap_or_else(|| RowNorms::new(p.a(), positive, None, certify));
        let softmax = p.form() == Form::Normalised && p.link() == Link::Exp;
        let centred = |mean: &Vec<f64>| match rows.exact {
            true => RowNorms::new(p.a(), positive, Some(mean), certify),
            // The bound of the rows themselves took a pass over A: that of the rest is beside it.
            false => rows.less(positive, mean),
        };
        let centred = answer.point.images.first().filter(|_| softmax).map(centred);
        let rounding = errors.of_gradient(&rows, positive);
        let decrement = (norm2(&positive.half_solve(&answer.gradient)) + rounding) * (1.0 + 1e-10) + SMALLEST;
        let mut near = Near { rows, centred, rounding, decrement, lipschitz: None };
        near.lipschitz = lipschitz(p, &answer.point, near.spread(), errors, 2.0 * decrement);
        near
    }

    /// Computes the norms of the rows that alone stand in the way, where they are few.
    fn refine(&mut self, loss: &Loss<'_, '_>, answer: &Answer, positive: &Positive, errors: &Rounding<'_, '_>) {
        let (p, point) = (loss.problem, &answer.point);
        let rows = rows_above(p, point, &self.rows, errors, 2.0 * self.decrement, 0.1 / self.decrement);
        if rows.len() <= p.rows() / 16 {
            self.rows.refine(p.a(), positive, &rows);
            self.lipschitz = lipschitz(p, point, &self.rows, errors, 2.0 * self.decrement);
        }
    }

    fn spread(&self) -> &RowNorms {
        self.centred.as_ref().unwrap_or(&self.rows)
    }

    /// Whether the row norms are too large to prove anything, or nearly so.
    fn is_rough(&self) -> bool {
        !self.is_within(0.4)
    }

    fn is_within(&self, most: f64) -> bool {
        self.lipschitz.is_some_and(|m| m * self.decrement <= most)
    }
}

/// Theorem 3, the Hessian exact but for its rounding, or sampled: how fast the error falls from the start, in the norm of the Hessian at
/// the answer.
#[derive(Clone, Copy, Debug)]
pub struct Contraction {
    /// M_* times the error of the start.
    pub a: f64,
    /// The factor by which the theorem says that each step shrinks the error.
    pub factor: f64,
    /// Steps that were not whole Newton steps: held back by the trust region, or refused.
    pub held_back: usize,
    /// `factor^steps` times the error of the start, in the norm of the Hessian, and what rounding of the last gradients and of x adds.
    pub bound: f64,
}

impl Contraction {
    /// `None` where not all steps were made with the Hessian itself or a sampled one, whose error counts as what was asked for.
    /// `from_minimum` is x less the minimum.
    fn measure(
        loss: &Loss<'_, '_>,
        answer: &Answer,
        positive: &Positive,
        rows: &RowNorms,
        errors: &Rounding<'_, '_>,
        of_gradient: f64,
        from_minimum: &[f64],
    ) -> Option<Contraction> {
        let Course { start, steps, held_back, sampling } = answer.course.as_ref()?;
        let error = start.iter().zip(&answer.x).zip(from_minimum).map(|((s, x), from)| s - x + from).collect::<Vec<_>>();
        let error = positive.norm(&error);
        let a = lipschitz(loss.problem, &answer.point, rows, errors, error).unwrap_or(f64::INFINITY) * error;
        let of_sample = sampling.map_or(0.0, |sampling| sampling.requested);
        let of_hessian = of_sample + (1.0 + of_sample) * positive.excess;
        let factor = if a < 1.0 && of_hessian < 1.0 {
            ((1.0 + a) / (1.0 - a)).sqrt() * (of_hessian + a / (2.0 * (1.0 - a))) / (1.0 - of_hessian)
        } else {
            f64::INFINITY
        };
        let bound = if factor < 1.0 {
            let floor = 4.0 * (of_gradient + positive.spacing(&answer.x)) / (1.0 - factor) + SMALLEST;
            factor.powi((*steps).min(1 << 20) as i32) * error + floor
        } else {
            error
        };
        let bound = scaled(bound, half_unit(loss.log_unit(&answer.point))).unwrap_or(f64::MAX);
        Some(Contraction { a: a.min(f64::MAX), factor: factor.min(f64::MAX), held_back: *held_back, bound })
    }
}

/// The unit of distances in the norm of the Hessian: that of the loss wherever it has room.
fn half_unit(unit: f64) -> f64 {
    if unit.abs() <= 300.0 { 0.5 * unit } else { 0.0 }
}

/// Columns up to which matrices are formed for facts alone.
const FORMED: usize = 1024;

/// M_* times the decrement beyond which exact row norms would not help either.
const HOPELESS: f64 = 100.0;

/// More than what numbers lose that are too small.
const SMALLEST: f64 = 1e-290;

/// `value e^log`, if finite.
fn scaled(value: f64, log: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    ScaledValue::new(value, log).to_f64()
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
    let ratio = point.data.ratio(loss.data_at_reference()?);
    ratio.is_finite().then_some(1.0 - ratio)
}
