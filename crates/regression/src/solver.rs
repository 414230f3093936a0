//! The solver: a start, Newton's method in a trust region, and what may be believed of the answer.

use std::ops::ControlFlow;

use certus_contract::{Certificate, Event, InputError, Status, ignore_events};
use certus_newton::model::{Dense, Krylov};
use certus_newton::{Minimiser, Minimum, Objective, Stop};
use certus_numeric::{Array, ScaledValue, Seed};
use rayon::prelude::*;

use crate::Error;
use crate::answer::{Answer, Course, Known};
use crate::certificate::certificate;
use crate::facts::{Facts, Outcome};
use crate::hessian::{Diagonal, Hessian, gram_in_passes};
use crate::lagged::Lagged;
use crate::objective::{Loss, NoLoss, column_norms, dense_hessian, no_loss};
use crate::pilot::Pilot;
use crate::point::Point;
use crate::problem::{Form, Link, Problem};
use crate::sampling::{Sampler, Sampling};
use crate::start::{Start, candidates, shift_direction};
use crate::unseen::unseen_directions;
use crate::warning::warnings;

/// How much is spent on the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Certify {
    /// The a-posteriori claim.
    #[default]
    Cheap,
    /// Also convexity, and the distance to the stationary point by further Newton steps.
    Full,
}

/// Fits a [`Problem`] by Newton's method in a trust region.
#[derive(Clone, Debug, PartialEq)]
pub struct Solver {
    /// Where to begin.
    pub start: Start,
    /// How the Hessian enters a step.
    pub hessian: Hessian,
    /// How closely sampled rows stand for all, with [`Hessian::Sampled`].
    pub sampling: Sampling,
    /// Stop when each entry of the gradient is at most this times the terms that it is the sum of. Default 1e-10.
    pub gradient_tolerance: f64,
    /// Default 100.
    pub max_iterations: usize,
    /// The source of random starts.
    pub seed: Seed,
    /// How much is spent on the certificate.
    pub certify: Certify,
}

impl Default for Solver {
    fn default() -> Self {
        Solver {
            start: Start::Auto,
            hessian: Hessian::Auto,
            sampling: Sampling::default(),
            gradient_tolerance: 1e-10,
            max_iterations: 100,
            seed: Seed(0),
            certify: Certify::Cheap,
        }
    }
}

/// A fit with what is known of it.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The best point found, d numbers; along directions that the loss does not see, as near to zero as can be.
    pub x: Vec<f64>,
    /// The loss there, regularisers included.
    pub loss: ScaledValue,
    /// How the run ended.
    pub status: Status,
    /// What is proven of x.
    pub outcome: Outcome,
    /// What was measured.
    pub facts: Facts,
    /// The natural logarithm of the loss at the start and after each step; of zero, the least number.
    pub trace: Vec<f64>,
    /// What is odd but no failure; each starts with its name.
    pub warnings: Vec<String>,
    /// What may be believed of x.
    pub certificate: Certificate,
}

/// Columns up to which the Hessian is formed.
const DENSE: usize = 1024;
/// Passes over A that conjugate gradients take in a step, as a rule.
const PASSES: f64 = 4.0;
/// The same where passes are slow: from so many stored entries.
const PASSES_OF_LARGE: f64 = 2.0;
const LARGE: usize = 1 << 20;
/// Passes from which a Gram matrix of a sample of rows is made instead of one of all.
const SAMPLED_PASSES: f64 = 16.0;
/// The gradient tolerance of a pilot, whose answer is but a start.
const PILOT_TOLERANCE: f64 = 1e-5;
/// How much of the gradient the first steps from a pilot's answer may leave.
const NEAR: f64 = 1e-3;
/// Steps, and products in each, after which conjugate gradients count as slow.
const TRIED_STEPS: usize = 50;
const TRIED_PRODUCTS: usize = 60;
/// Entries of a problem up to which several starts are followed to their ends.
pub(crate) const SMALL: usize = 1 << 17;
/// Random starts.
const MOST_STARTS: usize = 1_000_000;

impl Solver {
    /// The same solver from another start.
    pub fn with_start(self, start: Start) -> Self {
        Solver { start, ..self }
    }

    /// The same solver with another use of the Hessian.
    pub fn with_hessian(self, hessian: Hessian) -> Self {
        Solver { hessian, ..self }
    }

    /// The same solver with another accuracy of [`Hessian::Sampled`].
    pub fn with_sampling(self, sampling: Sampling) -> Self {
        Solver { sampling, ..self }
    }

    /// The same solver with another certificate.
    pub fn with_certify(self, certify: Certify) -> Self {
        Solver { certify, ..self }
    }

    /// The same solver with another seed.
    pub fn with_seed(self, seed: Seed) -> Self {
        Solver { seed, ..self }
    }

    /// The same solver with another limit of iterations.
    pub fn with_max_iterations(self, max_iterations: usize) -> Self {
        Solver { max_iterations, ..self }
    }

    /// The same solver with another gradient tolerance.
    pub fn with_gradient_tolerance(self, gradient_tolerance: f64) -> Self {
        Solver { gradient_tolerance, ..self }
    }

    /// Fits the problem.
    ///
    /// Cost of an iteration: one pass over A (in the forms with a sum, two), and a Gram matrix of it (exact) or one pass a conjugate
    /// gradient step (matrix-free). From 2^20 stored entries on, a fit of a sixteenth of the rows comes first. Memory: A, about ten
    /// vectors of n, and up to 1024 columns sixteen matrices of d².
    ///
    /// # Errors
    /// `InvalidParameter` for an option; `UnboundedGauge` where there is no minimiser; `ZeroNormaliser` where no start has a value.
    pub fn solve(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        self.solve_with(problem, ignore_events)
    }

    /// As [`Solver::solve`]; the observer sees each iteration with the logarithm of the loss, and may stop the run.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn solve_with(&self, problem: &Problem<'_>, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        self.validate(problem)?;
        if problem.link() == Link::Exp && problem.form() == Form::Rescaled && !problem.is_regularised() {
            refuse_unbounded(problem)?;
        }
        let norms = column_norms(problem);
        let loss = Loss::new(problem, &norms);
        // A sample that is no problem (all its weights zero) is no pilot.
        let several = matches!(self.start, Start::MultiStart { .. });
        let pilot = if several { None } else { Pilot::draw(problem, self.seed).ok().flatten() };
        let pilot = pilot.as_ref().and_then(|pilot| pilot.problem(problem).ok());
        let of_pilot = pilot.as_ref().map(column_norms);
        let pilot = pilot.as_ref().zip(of_pilot.as_deref()).map(|(problem, norms)| Loss::new(problem, norms));
        let (run, overflow) = self.fit(&loss, pilot.as_ref(), &mut observer)?;
        let Run { found: Minimum { x, point: Some(point), gradient, stop, iterations, trace, .. }, curvature, choice, course } = run else {
            return Err(no_loss(&problem.reference_vector(), NoLoss::NotFinite));
        };
        let answer = Answer { course, x, point, gradient, curvature };
        self.finish(&loss, answer, stop, iterations, trace, choice, overflow)
    }

    /// The best of the minimisations from all starts; and whether a given one was left because it overflows.
    fn fit(
        &self,
        loss: &Loss<'_, '_>,
        pilot: Option<&Loss<'_, '_>>,
        observer: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(Run, bool), Error> {
        if let Some(pilot) = pilot
            && let Some((x, before)) = self.start_from(pilot, loss)
        {
            let run = self.minimise(loss, Some(pilot), x, &mut *observer)?;
            if run.found.point.is_some() && run.found.trace.first().is_some_and(|first| *first <= before) {
                return Ok((run, false));
            }
        }
        let (starts, overflow) = self.starts(loss)?;
        let mut best: Option<Run> = None;
        for x in starts {
            let run = self.minimise(loss, pilot, x, &mut *observer)?;
            let better = match (&best, &run.found.point) {
                (Some(best), Some(point)) => best.found.point.as_ref().is_none_or(|least| point.loss() < least.loss()),
                _ => true,
            };
            let stopped = run.found.stop == Stop::Observer;
            if better {
                best = Some(run);
            }
            if stopped {
                break;
            }
        }
        let Some(best) = best else { return Err(no_loss(&loss.problem.reference_vector(), NoLoss::NotFinite)) };
        Ok((best, overflow))
    }

    /// The answer on the pilot's rows, and the logarithm of the loss on all rows that it has to be below: that at the given start, or at
    /// the reference.
    fn start_from(&self, pilot: &Loss<'_, '_>, loss: &Loss<'_, '_>) -> Option<(Vec<f64>, f64)> {
        // The start must not depend on the coins of the run.
        let hessian = if self.hessian == Hessian::Sampled { Hessian::Exact } else { self.hessian };
        let rough = Solver { gradient_tolerance: self.gradient_tolerance.max(PILOT_TOLERANCE), hessian, ..self.clone() };
        let (run, overflow) = rough.fit(pilot, None, &mut ignore_events).ok()?;
        // A given start that overflows is left with a word, by the other way.
        let x = Some(run.found.x).filter(|_| !overflow)?;
        let before = match &self.start {
            Start::Given(start) => {
                let before = loss.evaluate(start).ok()?.loss();
                if loss.evaluate(&x).ok()?.loss() >= before {
                    return None;
                }
                before.ln()
            }
            Start::Zero if loss.problem.reference_given().is_some() => loss.evaluate(&vec![0.0; x.len()]).ok()?.loss().ln(),
            // The sum of sinh has no inverse there.
            _ => loss.data_at_reference().map_or(f64::INFINITY, ScaledValue::ln),
        };
        Some((x, before))
    }

    /// Fits many targets, the columns of `targets` (n x k), with one design. The problem's own target is not used.
    ///
    /// # Errors
    /// As [`Solver::solve`], of the first target that has one; `DimensionMismatch`, `NonFinite` for `targets`.
    pub fn solve_many(&self, problem: &Problem<'_>, targets: &Array) -> Result<Vec<Solution>, Error> {
        targets.require_matrix("targets")?;
        if targets.rows() != problem.rows() {
            let expected = format!("{} rows (the rows of a)", problem.rows());
            return Err(InputError::dimension("targets", format!("{} rows", targets.rows()), expected).into());
        }
        targets.require_finite("targets")?;
        let columns = targets.transposed();
        (0..columns.rows()).into_par_iter().map(|k| self.solve(&problem.with_target(columns.row(k))?)).collect()
    }

    pub(crate) fn validate(&self, problem: &Problem<'_>) -> Result<(), Error> {
        if !(self.gradient_tolerance > 0.0 && self.gradient_tolerance < 1.0) {
            return Err(InputError::parameter("gtol", self.gradient_tolerance, "above 0 and below 1").into());
        }
        if self.max_iterations == 0 {
            return Err(InputError::parameter("max-iter", 0, "at least 1").into());
        }
        self.sampling.validate()?;
        if let Start::Given(x) = &self.start {
            problem.require_point("start", x)?;
        }
        if self.start.more() > MOST_STARTS {
            return Err(InputError::parameter("count of starts", self.start.more(), format!("at most {MOST_STARTS}")).into());
        }
        Ok(())
    }

    /// The points to minimise from, the best first; and whether a given one was left because it overflows.
    fn starts(&self, loss: &Loss<'_, '_>) -> Result<(Vec<Vec<f64>>, bool), Error> {
        let problem = loss.problem;
        let given = match &self.start {
            Start::Auto | Start::MultiStart { .. } => None,
            Start::Zero => Some(vec![0.0; problem.cols()]),
            Start::Given(x) => Some(x.clone()),
        };
        let mut overflow = false;
        if let Some(x) = given {
            match loss.evaluate(&x) {
                Ok(point) if !loss.is_far_above(&point) => return Ok((vec![x], false)),
                Ok(_) | Err(NoLoss::NotFinite) => overflow = true,
                Err(reason) => return Err(no_loss(&x, reason)),
            }
        }
        let mut valued = Vec::new();
        let mut refused = None;
        for x in candidates(loss, self.seed, self.start.more()) {
            match loss.evaluate(&x) {
                Ok(point) => valued.push((point.loss(), x)),
                Err(reason) => refused = Some((x, reason)),
            }
        }
        if valued.is_empty() {
            let (x, reason) = refused.unwrap_or((problem.reference_vector(), NoLoss::NotFinite));
            return Err(no_loss(&x, reason));
        }
        valued.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let many = problem.a().stored() <= SMALL && (problem.is_even() || problem.form() == Form::Rescaled || problem.link() == Link::Cosh);
        let kept = if many || matches!(self.start, Start::MultiStart { .. }) { valued.len() } else { 1 };
        Ok((valued.into_iter().take(kept).map(|(_, x)| x).collect(), overflow))
    }

    /// By counts: what a Gram matrix costs in passes over A, against the passes that conjugate gradients take.
    fn choice(&self, problem: &Problem<'_>) -> Hessian {
        let d = problem.cols();
        let passes = if problem.a().stored() < LARGE { PASSES } else { PASSES_OF_LARGE };
        match self.hessian {
            Hessian::Auto if d > DENSE || gram_in_passes(problem.a()) > passes => Hessian::MatrixFree,
            Hessian::Auto => Hessian::Exact,
            chosen => chosen,
        }
    }

    fn minimise(
        &self,
        loss: &Loss<'_, '_>,
        pilot: Option<&Loss<'_, '_>>,
        x: Vec<f64>,
        mut observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Run, Error> {
        let d = loss.problem.cols();
        let choice = self.choice(loss.problem);
        let mut minimiser =
            Minimiser { gradient_tolerance: self.gradient_tolerance, max_iterations: self.max_iterations, ..Minimiser::default() };
        let (mut x, mut before) = (x, None);
        if choice == Hessian::MatrixFree {
            // Where the Hessian can be formed, it is as soon as conjugate gradients prove slow.
            let try_out = self.hessian == Hessian::Auto && d <= DENSE;
            let (most, steps) =
                if try_out { (TRIED_PRODUCTS, TRIED_STEPS.min(self.max_iterations)) } else { (2 * d + 50, self.max_iterations) };
            let tried = Minimiser { max_iterations: steps, ..minimiser };
            let mut formed = None;
            let found = if d <= DENSE {
                let sample = (gram_in_passes(loss.problem.a()) > SAMPLED_PASSES).then(|| self.seed.split("preconditioner"));
                let mut model = Krylov::new(Lagged::new(loss, sample), most).with_roughest(if pilot.is_some() { NEAR } else { 0.1 });
                let found = tried.minimise_with(loss, &mut model, x, &mut observer)?;
                formed = model.into_curvature().into_formed().filter(|_| self.certify == Certify::Cheap);
                found
            } else {
                tried.minimise_with(loss, &mut Krylov::new(Diagonal::default(), most), x, &mut observer)?
            };
            if let (Stop::Gradient, Some(point), Some(formed)) = (found.stop, &found.point, formed)
                && formed.bounds(loss, point)
            {
                return Ok(Run { found, curvature: Known::Earlier(formed), choice, course: None });
            }
            // What is flat may be a saddle, which only the Hessian shows.
            let unfinished = !matches!(found.stop, Stop::Observer | Stop::NoStart) && found.iterations < self.max_iterations;
            if !(try_out && unfinished) {
                return Ok(Run { found, curvature: Known::Nothing, choice, course: None });
            }
            minimiser.max_iterations = self.max_iterations - found.iterations;
            x = found.x.clone();
            before = Some(found);
        }
        let mut sampler = (choice == Hessian::Sampled).then(|| Sampler::new(self.sampling, self.max_iterations, self.seed, self.certify));
        let hessian = |loss: &Loss<'_, '_>, point: &Point| match &mut sampler {
            Some(sampler) => sampler.hessian(loss, point),
            None => dense_hessian(loss, point),
        };
        let mut model = Dense::new(loss.column_norms.to_vec(), hessian);
        let mut found = minimiser.minimise_with(loss, &mut model, x.clone(), observer)?;
        let hessian = model.into_hessian();
        let sampling = sampler.and_then(|sampler| sampler.error(loss));
        let (choice, curvature) = match sampling {
            Some(_) => (Hessian::Sampled, Known::Nothing),
            None if before.is_some() && found.iterations == 0 => (choice, Known::Present(hessian)),
            None => (Hessian::Exact, Known::Present(hessian)),
        };
        let course = match before {
            None => Some(Course { start: x, steps: found.whole_steps, held_back: found.iterations - found.whole_steps, sampling }),
            Some(before) => {
                found.iterations += before.iterations;
                found.trace.splice(0..1.min(found.trace.len()), before.trace);
                None
            }
        };
        Ok(Run { found, curvature, choice, course })
    }

    fn finish(
        &self,
        loss: &Loss<'_, '_>,
        mut answer: Answer,
        stop: Stop,
        iterations: usize,
        trace: Vec<f64>,
        choice: Hessian,
        overflow: bool,
    ) -> Result<Solution, Error> {
        let problem = loss.problem;
        if matches!(answer.curvature, Known::Nothing) && problem.cols() <= DENSE {
            answer.curvature = Known::Present(loss.hessian(&answer.point));
        }
        let unseen = unseen_directions(loss, &answer)?;
        if let Some(unseen) = &unseen {
            answer.drop_part_along(loss, unseen);
        }
        let facts = Facts::measure(loss, &answer, unseen.as_ref(), self.certify, stop.status(), iterations, choice)?;
        let outcome = facts.outcome();
        let warnings = warnings(problem, &answer, &facts, unseen.as_ref(), overflow);
        let trace = trace.into_iter().map(|log| log.max(f64::MIN)).collect();
        let certificate = certificate(&facts);
        Ok(Solution { loss: answer.point.loss(), x: answer.x, status: stop.status(), outcome, facts, trace, warnings, certificate })
    }
}

impl Problem<'_> {
    /// What may be believed of a point, whoever found it: as a [`Solution`] without iterations.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `ZeroNormaliser`, `InvalidParameter` where the loss has no value.
    pub fn certify(&self, x: &[f64], certify: Certify) -> Result<Solution, Error> {
        self.require_point("x", x)?;
        let norms = column_norms(self);
        let loss = Loss::new(self, &norms);
        loss.evaluate(x).map_err(|reason| no_loss(x, reason))?;
        let Some(point) = loss.point(x) else { return Err(no_loss(x, NoLoss::NotFinite)) };
        let gradient = loss.gradient(&point);
        let curvature = if self.cols() <= DENSE { Known::Present(loss.hessian(&point)) } else { Known::Nothing };
        let answer = Answer { course: None, x: x.to_vec(), point, gradient, curvature };
        let unseen = unseen_directions(&loss, &answer)?;
        let facts = Facts::measure(&loss, &answer, unseen.as_ref(), certify, Status::Done, 0, Hessian::Exact)?;
        Ok(Solution {
            loss: answer.point.loss(),
            status: Status::Done,
            outcome: facts.outcome(),
            trace: Vec::new(),
            warnings: warnings(self, &answer, &facts, unseen.as_ref(), false),
            certificate: certificate(&facts),
            facts,
            x: answer.x,
        })
    }
}

/// One minimisation.
struct Run {
    found: Minimum<Point>,
    /// The Hessian at its end, where it was formed.
    curvature: Known,
    /// How the Hessian was used at last.
    choice: Hessian,
    course: Option<Course>,
}

fn refuse_unbounded(problem: &Problem<'_>) -> Result<(), Error> {
    let Some(direction) = shift_direction(problem) else { return Ok(()) };
    let column = (0..direction.len()).max_by(|i, j| direction[*i].abs().total_cmp(&direction[*j].abs())).unwrap_or(0);
    Err(Error::UnboundedGauge { column, direction })
}
