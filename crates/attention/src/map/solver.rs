//! The solver: Newton's steps in X.

use std::ops::ControlFlow;

use certus_contract::{Certificate, Event, Status, ignore_events};
use certus_newton::{Minimiser, Minimum, Stop};
use certus_numeric::sum::norm2;
use certus_numeric::{Array, ScaledValue, Seed};

use super::objective::Loss;
use super::pass::Point;
use super::problem::{Form, Problem};
use crate::bilinear::{require_shape, shaped_array};
use crate::certificate::certificate;
use crate::facts::{Course, Facts};
use crate::layer::overflow;
use crate::newton_steps::{Method, USUAL_PRODUCTS, minimise, sketch_facts, validate};
use crate::sketch::Sketch;
use crate::warning::warnings;
use crate::{Certify, Error};

/// Fits a [`Problem`] by Newton's method in the logit metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Solver {
    /// How the Hessian enters a step.
    pub method: Method,
    /// Where to begin; the reference by default.
    pub start: Option<Array>,
    /// Whether the minimiser of the cross-entropy, which is convex, is where the others begin: for targets whose rows are distributions.
    pub convex_start: bool,
    /// Stop when the norm of the gradient is at most this times the larger of 1 and that at the start. Default 1e-8.
    pub gradient_tolerance: f64,
    /// Default 50; with a convex start so many for each of the two losses.
    pub max_iterations: usize,
    /// The most memory for matrices of the Hessian, in bytes. Default 2 GiB.
    pub max_bytes: usize,
    /// What [`Method::Sketched`] preconditions with.
    pub sketch: Sketch,
    /// The source of its random numbers.
    pub seed: Seed,
    /// How much is spent on the certificate.
    pub certify: Certify,
}

impl Default for Solver {
    fn default() -> Self {
        Solver {
            method: Method::Auto,
            start: None,
            convex_start: false,
            gradient_tolerance: 1e-8,
            max_iterations: 50,
            max_bytes: 2 << 30,
            sketch: Sketch::Auto,
            seed: Seed(0),
            certify: Certify::Cheap,
        }
    }
}

/// A fit with what is known of it.
#[derive(Clone, Debug)]
pub struct Solution {
    /// X, d1 x d2.
    pub x: Array,
    /// The loss, regularisers included.
    pub loss: ScaledValue,
    /// The loss at the start that was given.
    pub loss_start: ScaledValue,
    /// How the run ended.
    pub status: Status,
    /// What was measured.
    pub facts: Facts,
    /// The natural logarithm of the loss at the start and after each step; of zero, the least number. With a convex start it is that of the
    /// least loss so far, which the steps of the cross-entropy change when they end.
    pub trace: Vec<f64>,
    /// What is odd but no failure; each starts with its name.
    pub warnings: Vec<String>,
    /// What may be believed of the answer.
    pub certificate: Certificate,
}

impl Solver {
    /// The same solver with another method.
    pub fn with_method(self, method: Method) -> Self {
        Solver { method, ..self }
    }

    /// The same solver by [`Method::Sketched`] with this sketch.
    pub fn with_sketch(self, sketch: Sketch) -> Self {
        Solver { method: Method::Sketched, sketch, ..self }
    }

    /// The same solver from another start.
    pub fn with_start(self, start: Array) -> Self {
        Solver { start: Some(start), ..self }
    }

    /// The same solver from the minimiser of the cross-entropy.
    pub fn with_convex_start(self) -> Self {
        Solver { convex_start: true, ..self }
    }

    /// The same solver with another gradient tolerance.
    pub fn with_gradient_tolerance(self, gradient_tolerance: f64) -> Self {
        Solver { gradient_tolerance, ..self }
    }

    /// The same solver with another limit of iterations.
    pub fn with_max_iterations(self, max_iterations: usize) -> Self {
        Solver { max_iterations, ..self }
    }

    /// The same solver with another certificate.
    pub fn with_certify(self, certify: Certify) -> Self {
        Solver { certify, ..self }
    }

    /// Fits X.
    ///
    /// Cost of an iteration: as a matrix, n m d2² / 2 + n d1² d2² / 4 + (d1 d2)³ / 6 multiply-adds; as a product, some tens of times
    /// 2 n m d2. Memory: the inputs, and the maps where they are no more than 128 MB.
    ///
    /// # Errors
    /// `InvalidParameter`, `DimensionMismatch`, `NonFinite` for options and start; `TooLarge`; `UnboundedRescaled`; `NotStochastic` for a convex start; `NotRankOne` where the
    /// sketch asks for it.
    pub fn solve(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        self.solve_with(problem, ignore_events)
    }

    /// As [`Solver::solve`]; the observer sees each iteration with the logarithm of the loss (of the cross-entropy in the phase
    /// `convex start`), and may stop the run.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn solve_with(&self, problem: &Problem<'_>, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        let of_x = problem.scores.of_x() as f64;
        validate(self.gradient_tolerance, self.max_iterations, (self.method, self.sketch), 32.0 * of_x * of_x, self.max_bytes)?;
        if problem.form == Form::Rescaled && !problem.is_regularised() && problem.scores.shifts()? {
            return Err(Error::UnboundedRescaled);
        }
        let start = self.start.clone().unwrap_or_else(|| problem.reference());
        require_shape(&start, "x0", &problem.scores.shape())?;
        let at_start = problem.point(start.as_slice(), true).ok_or_else(overflow)?;
        let loss_start = at_start.loss;
        let norm = ScaledValue::new(norm2(&problem.gradient(&at_start)), at_start.log_unit);
        let one = ScaledValue::from(1.0);
        let loss = Loss { problem, start: if norm > one { norm } else { one } };
        let method = self.choice(problem);
        let mut trace = vec![loss_start.ln()];
        let mut course = Course { method, ..Course::none(loss_start.to_f64().unwrap_or(f64::MAX)) };
        let (mut x, mut ceiling) = (start.as_slice().to_vec(), f64::INFINITY);
        if self.convex_start && problem.form != Form::CrossEntropy {
            let convex = problem.clone().with_form(Form::CrossEntropy)?;
            let warm = self.minimum(&convex, x, |event| observer(&Event { phase: "convex start", ..*event }))?;
            (course.iterations, course.other_steps) = (warm.iterations, warm.iterations);
            trace.resize(1 + warm.iterations, loss_start.ln());
            x = warm.x;
            if warm.stop == Stop::Observer {
                let point = problem.point(&x, true).filter(|point| point.loss <= loss_start).unwrap_or(at_start);
                course.status = Status::Stopped;
                return self.finish(problem, &point, start.as_slice(), loss_start, course, trace);
            }
            ceiling = loss_start.ln();
            if let (Some(last), Some(point)) = (trace.last_mut(), problem.point(&x, false)) {
                *last = at_most(ceiling)(point.loss.ln());
            }
        }
        drop(at_start);
        let keys = problem.centred_keys()?;
        let centred = keys.as_ref().map(|keys| problem.scores.with_keys(keys));
        let scores = centred.as_ref().unwrap_or(&problem.scores);
        let mut run = |x: Vec<f64>| minimise(&self.minimiser(), &loss, scores, method, self.sketch, x, self.seed, &mut observer);
        let mut found = run(x)?;
        // Where the convex start led to nothing better than the start that was given, that is where to begin.
        if found.stop != Stop::Observer && found.point.as_ref().is_none_or(|point| point.loss > loss_start) {
            course.iterations += found.iterations;
            trace.extend(found.trace.iter().copied().skip(1).map(at_most(ceiling)));
            found = run(start.as_slice().to_vec())?;
        }
        let Minimum { point: Some(point), stop, iterations, whole_steps, trace: steps, .. } = found else { return Err(overflow()) };
        trace.extend(steps.into_iter().skip(1).map(at_most(ceiling)));
        let stopped_above = stop == Stop::Observer && point.loss > loss_start;
        let point = if stopped_above { problem.point(start.as_slice(), true).unwrap_or(point) } else { point };
        let newton_steps = if method.solves_exactly() { whole_steps } else { 0 };
        course.iterations += iterations;
        (course.status, course.other_steps) = (stop.status(), course.iterations - newton_steps);
        let sketch = sketch_facts(&loss, scores, method, self.sketch, &point, self.seed);
        let solution = self.finish(problem, &point, start.as_slice(), loss_start, course, trace)?;
        Ok(Solution { facts: Facts { sketch, ..solution.facts }, ..solution })
    }

    /// A minimiser without a certificate.
    fn minimum(
        &self,
        problem: &Problem<'_>,
        start: Vec<f64>,
        observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Minimum<Point>, Error> {
        let at_start = problem.point(&start, true).ok_or_else(overflow)?;
        let norm = norm2(&problem.gradient(&at_start)).max(1.0);
        let loss = Loss { problem, start: norm.into() };
        let keys = problem.centred_keys()?;
        let centred = keys.as_ref().map(|keys| problem.scores.with_keys(keys));
        let scores = centred.as_ref().unwrap_or(&problem.scores);
        minimise(&self.minimiser(), &loss, scores, self.choice(problem), self.sketch, start, self.seed, observer)
    }

    fn minimiser(&self) -> Minimiser {
        Minimiser { gradient_tolerance: self.gradient_tolerance, max_iterations: self.max_iterations, ..Minimiser::default() }
    }

    /// By counts of multiply-adds.
    fn choice(&self, problem: &Problem<'_>) -> Method {
        if self.method != Method::Auto {
            return self.method;
        }
        let scores = &problem.scores;
        let (d1, d2, of_x) = (scores.d1 as f64, scores.d2 as f64, scores.of_x() as f64);
        let (entries, n) = (scores.entries() as f64, scores.queries() as f64);
        let formed = entries * d2 * (0.5 * d2) + n * of_x * of_x * 0.25 + of_x * of_x * of_x / 6.0;
        let product = entries * 2.0 * d2 + n * 4.0 * of_x + of_x * (d1 + d2);
        let bytes = 8.0 * 4.0 * of_x * of_x;
        if bytes <= self.max_bytes as f64 && formed < USUAL_PRODUCTS * product { Method::DenseNewton } else { Method::Krylov }
    }

    fn finish(
        &self,
        problem: &Problem<'_>,
        point: &Point,
        start: &[f64],
        loss_start: ScaledValue,
        course: Course,
        trace: Vec<f64>,
    ) -> Result<Solution, Error> {
        let change = point.x.iter().zip(start).map(|(x, start)| x - start).collect::<Vec<_>>();
        let keys = problem.centred_keys()?;
        let centred = keys.as_ref().map(|keys| problem.scores.with_keys(keys));
        let start_distance = (!trace.is_empty()).then(|| centred.as_ref().unwrap_or(&problem.scores).logit_distance(&change));
        let course = Course { start_distance, ..course };
        let mut facts = Facts::of(&problem.scores, course)?;
        facts.rescaled = problem.form == Form::Rescaled;
        facts.targets = problem.targets.iter().map(|b| b.len()).sum();
        let gradient = ScaledValue::new(norm2(&problem.gradient(point)), point.log_unit);
        facts.gradient = (gradient.to_f64().unwrap_or(f64::MAX), 0.0);
        facts.kantorovich = match centred {
            None => problem.kantorovich(point, start_distance, self.certify).unwrap_or(None),
            Some(scores) => {
                let centred = Problem { scores, form: problem.form, targets: problem.targets.clone(), squares: problem.squares.clone() };
                // Where centred keys give no value, nothing is known.
                centred.point(&point.x, true).and_then(|seen| centred.kantorovich(&seen, start_distance, self.certify).unwrap_or(None))
            }
        };
        facts.norms = problem.norms(point)?;
        if self.certify == Certify::Full {
            // What is enough everywhere is enough here.
            facts.convex_everywhere = problem.convex_everywhere();
            facts.convex_here = Some(problem.convex_here(point).min(facts.convex_everywhere.unwrap_or(f64::MAX)));
        }
        Ok(Solution {
            x: shaped_array(problem.scores.shape(), &point.x),
            loss: point.loss,
            loss_start,
            status: course.status,
            warnings: warnings(&facts),
            certificate: certificate(&facts),
            facts,
            trace: trace.into_iter().map(|log| log.max(f64::MIN)).collect(),
        })
    }
}

/// The lesser of two logarithms; that of a number below zero, which is none, stays what it is.
fn at_most(ceiling: f64) -> impl Fn(f64) -> f64 {
    move |log| if log > ceiling { ceiling } else { log }
}

/// Fits a student's X to a teacher's attention: by cross-entropy, which is convex, and from there in the problem's form.
///
/// # Errors
/// As [`Solver::solve`].
pub fn distill_map(problem: &Problem<'_>) -> Result<Solution, Error> {
    Solver::default().with_convex_start().solve(problem)
}

impl Problem<'_> {
    /// As for the score matrices; of the rescaled form a shift of the logits is seen.
    fn centred_keys(&self) -> Result<Option<Vec<Vec<Array>>>, Error> {
        if self.form == Form::Rescaled { Ok(None) } else { Ok(self.scores.centred_keys()?) }
    }

    /// What may be believed of a point, whoever found it.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where logits are not finite.
    pub fn certify(&self, x: &Array, certify: Certify) -> Result<Solution, Error> {
        require_shape(x, "x", &self.scores.shape())?;
        let point = self.point(x.as_slice(), true).ok_or_else(overflow)?;
        let (loss, course) = (point.loss, Course::none(point.loss.to_f64().unwrap_or(f64::MAX)));
        Solver { certify, ..Solver::default() }.finish(self, &point, x.as_slice(), loss, course, Vec::new())
    }
}
