//! Fits with a scale, or with a scale and an offset: `y = c u(Ax) + k`.

use certus_contract::{Certificate, Check, Claim, InputError, Status};
use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::{Mat, MatRef};
use certus_newton::model::{Dense, DenseSystem, LevenbergMarquardt};
use certus_newton::{Minimiser, Minimum, Objective};
use certus_numeric::ScaledValue;
use certus_numeric::sum::{max_abs, norm2};

use crate::Error;
use crate::objective::{Loss, column_norms};
use crate::positive::Positive;
use crate::problem::{Form, Problem};
use crate::scaled_link::{Projected, ScaledPoint, Scaling};
use crate::scaled_start::scaled_candidates;
use crate::solver::{SMALL, Solver};
use crate::start::Start;

/// A scaled fit with what is known of it.
#[derive(Clone, Debug)]
pub struct ScaledSolution {
    /// The best point found, d numbers.
    pub x: Vec<f64>,
    /// c.
    pub scale: f64,
    /// k; 0 where none is fitted.
    pub offset: f64,
    /// The loss there, regularisers included.
    pub loss: f64,
    /// How the run ended.
    pub status: Status,
    /// What was measured.
    pub facts: ScaledFacts,
    /// The natural logarithm of the loss at the start and after each step; of zero, the least number.
    pub trace: Vec<f64>,
    /// What may be believed of x, c and k.
    pub certificate: Certificate,
}

/// Everything measured of one scaled fit. The certificate is derived from it.
#[derive(Clone, Debug)]
pub struct ScaledFacts {
    /// Rows of A.
    pub rows: usize,
    /// Columns of A.
    pub cols: usize,
    /// How the run ended.
    pub status: Status,
    /// Steps that were taken or refused.
    pub iterations: usize,
    /// The loss.
    pub loss: f64,
    /// What rounding can make of the loss, an estimate.
    pub rounding: f64,
    /// The largest entry of the gradient of the joint loss, by x, c and k (the largest number, where it overflows).
    pub gradient_inf: f64,
    /// The least eigenvalue of the joint Hessian scaled to a unit diagonal: free of units. Without a positive diagonal its least entry.
    pub least_scaled: f64,
    /// Whether the joint Hessian is positive definite beyond the rounding of sums and of its factorisation.
    pub positive: bool,
    /// η: `sqrt(gᵀ H⁻¹ g)` of the joint loss, where H is positive definite.
    pub newton_decrement: Option<f64>,
    /// By how much the loss falls at one more Newton step in x, c and k together; negative where it rises, `None` where it overflows.
    pub fall: Option<f64>,
}

/// Columns up to which the Hessian is formed.
const DENSE: usize = 1024;
/// The gradient tolerance at which Newton's method takes over.
const ROUGH: f64 = 1e-6;
/// The damping at radius 1, relative to the curvature.
const DAMPING: f64 = 1e-2;
/// The part of the loss that a Newton step may still promise for its model to be taken seriously.
const NEAR: f64 = 1e-8;

impl Solver {
    /// Fits `y = c u(Ax) + k`, y the target of a plain problem, with its weights and regularisers: those are of x alone.
    ///
    /// Scale and offset are projected out. Levenberg-Marquardt steps with Kaufman's Jacobian come near, Newton steps with the exact Hessian
    /// finish. [`Start::Auto`] undoes the link for several guesses of c and k; a small problem is solved from each. The fields `hessian`
    /// and `certify` are not used. Beside exp a constant column of A says what the scale says: leave it out.
    ///
    /// Nothing is proven of the distance to a minimum: no bound on the change of the joint Hessian is known here, and so none of
    /// Kantorovich's. The certificate says what is estimated: a positive definite joint Hessian, and a Newton step that promises
    /// next to nothing and keeps its word.
    ///
    /// Cost of an iteration: about eight passes over A and a Gram matrix. Memory: A, about ten vectors of n, some matrices of d².
    ///
    /// ```
    /// use certus_numeric::Array;
    /// use certus_regression::{Form, Link, Problem, Scaling, Solver};
    /// // Oxygen demand over six days of incubation, 214 (1 - e^(-0.547 t)): BoxBOD of the NIST.
    /// let days = Array::matrix(6, 1, vec![1.0, 2.0, 3.0, 5.0, 7.0, 10.0])?;
    /// let demand = [109.0, 149.0, 149.0, 191.0, 213.0, 224.0];
    /// let fit = Solver::default().solve_scaled(&Problem::new(&days, &demand, Link::Exp, Form::Plain)?, Scaling::Rise)?;
    /// assert!((fit.scale - 213.80940889).abs() < 1e-6 && (fit.x[0] + 0.54723748542).abs() < 1e-9);
    /// # Ok::<(), certus_regression::Error>(())
    /// ```
    ///
    /// Source: Golub, Pereyra, SIAM J. Numer. Anal. 10 (1973); Kaufman, BIT 15 (1975).
    ///
    /// # Errors
    /// `InvalidParameter` for an option, for another form than plain, for a start where u(Ax) is not finite or cannot be told from a
    /// constant, and where c is beyond the range of `f64`; `TooLarge` above 1024 columns.
    pub fn solve_scaled(&self, problem: &Problem<'_>, scaling: Scaling) -> Result<ScaledSolution, Error> {
        self.validate(problem)?;
        if problem.form() != Form::Plain {
            return Err(InputError::parameter("form", problem.form(), "plain for a fit with a scale").into());
        }
        if problem.cols() > DENSE {
            let limit = format!("{DENSE} columns (a Hessian is formed)");
            return Err(InputError::too_large("a", format!("{} columns", problem.cols()), limit).into());
        }
        let norms = column_norms(problem);
        let loss = Projected { problem, column_norms: &norms, scaling };
        let mut best: Option<Minimum<ScaledPoint>> = None;
        for x in self.scaled_starts(&loss)? {
            let found = self.minimise_scaled(&loss, x)?;
            let value = |found: &Minimum<ScaledPoint>| found.point.as_ref().map_or(f64::INFINITY, |point| point.loss);
            if best.as_ref().is_none_or(|best| value(&found) < value(best)) {
                best = Some(found);
            }
        }
        match best {
            Some(Minimum { x, point: Some(point), stop, iterations, trace, .. }) => {
                finish(&loss, x, &point, stop.status(), iterations, trace)
            }
            _ => Err(no_start(&problem.reference_vector())),
        }
    }

    /// The points to minimise from, the best first.
    fn scaled_starts(&self, loss: &Projected<'_, '_>) -> Result<Vec<Vec<f64>>, Error> {
        let p = loss.problem;
        let given = match &self.start {
            Start::Auto | Start::MultiStart { .. } => None,
            Start::Zero => Some(vec![0.0; p.cols()]),
            Start::Given(x) => Some(x.clone()),
        };
        if let Some(x) = given {
            return if loss.point(&x).is_some() { Ok(vec![x]) } else { Err(no_start(&x)) };
        }
        let candidates = scaled_candidates(&Loss::new(p, loss.column_norms), loss.scaling, self.seed, self.start.more());
        let valued = candidates.into_iter().filter_map(|x| loss.point(&x).map(|point| (point.loss, x)));
        let mut valued = valued.collect::<Vec<_>>();
        valued.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let all = p.a().stored() <= SMALL || matches!(self.start, Start::MultiStart { .. });
        let kept = if all { valued.len() } else { 1 };
        Ok(valued.into_iter().take(kept).map(|(_, x)| x).collect())
    }

    fn minimise_scaled(&self, loss: &Projected<'_, '_>, x: Vec<f64>) -> Result<Minimum<ScaledPoint>, Error> {
        let Some(start) = loss.point(&x) else { return Err(no_start(&x)) };
        let curvature = loss.kaufman(&start)?;
        let relative = |(j, norm): (usize, &f64)| curvature[(j, j)] / (norm * norm);
        let largest = loss.column_norms.iter().enumerate().map(relative).fold(f64::MIN_POSITIVE, f64::max);
        let metric = loss.column_norms.iter().enumerate().map(|(j, norm)| curvature[(j, j)].max(1e-6 * largest * norm * norm));
        let minimiser =
            Minimiser { gradient_tolerance: self.gradient_tolerance, max_iterations: self.max_iterations, ..Minimiser::default() };
        let system = DenseSystem::new(metric.collect(), |loss: &Projected<'_, '_>, point: &ScaledPoint| loss.kaufman(point));
        let rough = Minimiser { gradient_tolerance: self.gradient_tolerance.max(ROUGH), ..minimiser };
        let before = rough.minimise(loss, &mut LevenbergMarquardt::new(system, DAMPING), x)?;
        let newton = Minimiser { max_iterations: self.max_iterations.saturating_sub(before.iterations), ..minimiser };
        let mut model = Dense::new(loss.column_norms.to_vec(), |loss: &Projected<'_, '_>, point: &ScaledPoint| loss.hessian(point));
        let mut found = newton.minimise(loss, &mut model, before.x)?;
        found.iterations += before.iterations;
        found.trace.splice(0..1.min(found.trace.len()), before.trace);
        Ok(found)
    }
}

fn no_start(x: &[f64]) -> Error {
    let expected = "the norm of a point where u(Ax) is finite and, with its scale and offset, not constant";
    InputError::parameter("start", norm2(x), expected).into()
}

fn finish(
    loss: &Projected<'_, '_>,
    x: Vec<f64>,
    point: &ScaledPoint,
    status: Status,
    iterations: usize,
    trace: Vec<f64>,
) -> Result<ScaledSolution, Error> {
    let scale = ScaledValue::new(point.scale, -point.m).to_f64();
    let Some(scale) = scale.filter(|scale| *scale != 0.0 || point.scale == 0.0) else {
        let log = point.scale.abs().ln() - point.m;
        return Err(InputError::parameter("log of the scale", log, "within the range of f64 (centre the columns of a)").into());
    };
    let facts = measure(loss, &x, point, status, iterations)?;
    let certificate = scaled_certificate(&facts);
    let trace = trace.into_iter().map(|log| log.max(f64::MIN)).collect();
    Ok(ScaledSolution { x, scale, offset: point.offset, loss: point.loss, status, facts, trace, certificate })
}

fn measure(loss: &Projected<'_, '_>, x: &[f64], point: &ScaledPoint, status: Status, iterations: usize) -> Result<ScaledFacts, Error> {
    let (p, d) = (loss.problem, loss.problem.cols());
    let (gradient, hessian) = (loss.joint_gradient(point), loss.joint_hessian(point));
    let (by_scale, by_offset) = loss.by_scale_and_offset(point, &gradient);
    let by_scale = if by_scale == 0.0 { 0.0 } else { ScaledValue::new(by_scale.abs(), point.m).to_f64().unwrap_or(f64::MAX) };
    let order = gradient.len();
    let positive = Positive::prove(hessian.as_ref(), &loss.joint_sizes(point), &vec![0.0; order], p.rows());
    let mut facts = ScaledFacts {
        rows: p.rows(),
        cols: d,
        status,
        iterations,
        loss: point.loss,
        rounding: 64.0 * f64::EPSILON * (point.terms + point.loss),
        gradient_inf: max_abs(&gradient[..d]).max(by_scale).max(by_offset.abs()),
        least_scaled: least_scaled(hessian.as_ref())?,
        positive: positive.is_some(),
        newton_decrement: None,
        fall: None,
    };
    if let Some(positive) = positive {
        facts.newton_decrement = Some(norm2(&positive.half_solve(&gradient))).filter(|eta| eta.is_finite());
        let step = positive.solve(&gradient);
        let next = x.iter().zip(&step).map(|(x, s)| x - s).collect::<Vec<_>>();
        let (scale, offset) = (point.scale - step[d], point.offset - loss.offset_step(point, &step));
        facts.fall = loss.joint_loss(&next, point.m, scale, offset).map(|after| point.loss - after);
    }
    Ok(facts)
}

/// The least eigenvalue of H scaled to a unit diagonal; the least entry of the diagonal where that is not positive.
fn least_scaled(h: MatRef<'_, f64>) -> Result<f64, Error> {
    let order = h.nrows();
    let least = (0..order).map(|j| h[(j, j)]).fold(f64::INFINITY, f64::min);
    if least <= 0.0 {
        return Ok(least);
    }
    let roots = (0..order).map(|j| h[(j, j)].sqrt()).collect::<Vec<_>>();
    let scaled = Mat::from_fn(order, order, |i, j| h[(i, j)] / roots[i] / roots[j]);
    Ok(symmetric_eigenvalues(scaled.as_ref())?.first().copied().unwrap_or(0.0))
}

/// The certificate of a scaled fit: estimates, no bounds.
pub fn scaled_certificate(facts: &ScaledFacts) -> Certificate {
    let promise = facts.newton_decrement.map(|eta| 0.5 * eta * eta);
    let least = if facts.positive { facts.least_scaled } else { facts.least_scaled.min(0.0) };
    let curvature = "least eigenvalue of the joint Hessian in x, c and k, scaled to a unit diagonal, > 0 beyond the rounding of its factor";
    let claim = Claim::new("x, c and k are near a strict local minimum", "second-order conditions; no bound on the distance")
        .assumes(Check::gt("positive_curvature", curvature, least, 0.0).estimated())
        .assumes(
            Check::le(
                "small_decrement",
                "half the squared Newton decrement <= 1e-8 of the loss, or its rounding",
                promise.or(Some(f64::NAN)),
                (NEAR * facts.loss).max(facts.rounding),
            )
            .estimated(),
        )
        .guarantees(
            Check::le(
                "fall_of_a_newton_step",
                "the loss falls by <= the squared Newton decrement, and rounding, at one more Newton step",
                facts.fall,
                promise.map(|promise| 2.0 * promise + facts.rounding),
            )
            .estimated(),
        );
    Certificate::new([claim])
}
