//! The solver: steps in X with the best Y for it, or what else is asked for.

use std::ops::ControlFlow;

use certus_contract::{Certificate, Event, InputError, Status, ignore_events};
use certus_newton::{Minimiser, Minimum};
use certus_numeric::Seed;
use certus_numeric::sum::norm2;

use super::evaluation::overflow;
use super::objective::{Loss, Over};
use super::pass::Point;
use super::problem::{Params, Problem};
use crate::certificate::certificate;
use crate::facts::{Course, Facts};
use crate::newton_steps::{Method, USUAL_PRODUCTS, minimise, sketch_facts, validate};
use crate::sketch::Sketch;
use crate::warning::warnings;
use crate::{Certify, Error};

/// Fits a [`Problem`] by Newton's method in the logit metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Solver {
    /// How the Hessian enters a step.
    pub method: Method,
    /// Where to begin; the references by default. In all methods but L-BFGS the best Y for the first X replaces the Y of the start.
    pub start: Option<Params>,
    /// Stop when the norm of the gradient is at most this times the larger of 1 and that at the start. Default 1e-8.
    pub gradient_tolerance: f64,
    /// Default 50.
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
    /// X and Y.
    pub params: Params,
    /// The loss, regularisers included.
    pub loss: f64,
    /// How the run ended.
    pub status: Status,
    /// What was measured.
    pub facts: Facts,
    /// The loss at the start and after each step.
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
    pub fn with_start(self, start: Params) -> Self {
        Solver { start: Some(start), ..self }
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

    /// Fits X and Y.
    ///
    /// Cost of an iteration: as a matrix, n m d2 (d2 / 2 + d3) + n d1 d2 (d1 d2 / 4 + d3 dv) + (d1 d2)² (d3 dv / 2 + d1 d2 / 6)
    /// multiply-adds; as a product, some tens of times 8 n m d. Memory: the inputs, d (n + m) numbers, and the maps where they are no more
    /// than 128 MB.
    ///
    /// # Errors
    /// `InvalidParameter`, `DimensionMismatch`, `NonFinite` for options and start; `InvalidParameter` where the loss is not finite;
    /// `TooLarge` where the method's matrices need more than `max_bytes`; `NotRankOne` where the sketch asks for it.
    pub fn solve(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        self.solve_with(problem, ignore_events)
    }

    /// As [`Solver::solve`]; the observer sees each iteration with the loss, and may stop the run.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn solve_with(&self, problem: &Problem<'_>, observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        let over = if self.method == Method::Lbfgs { Over::Both } else { Over::Scores };
        self.fit(problem, over, observer)
    }

    /// Fits X alone, with the Y of the start.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn fit_scores(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        let y = self.start_of(problem)?.y;
        self.fit(problem, Over::ScoresAt(y.as_slice()), ignore_events)
    }

    /// Fits Y alone, with the X of the start: linear least squares.
    ///
    /// # Errors
    /// As [`Solver::solve`].
    pub fn fit_values(&self, problem: &Problem<'_>) -> Result<Solution, Error> {
        let start = self.start_of(problem)?;
        let at_start = problem.point(start.x.as_slice(), Some(start.y.as_slice()), false)?.ok_or_else(overflow)?;
        let point = problem.point(start.x.as_slice(), None, true)?.ok_or_else(overflow)?;
        let trace = vec![at_start.loss, point.loss];
        self.finish(problem, point, Course::none(at_start.loss), trace)
    }

    fn start_of(&self, problem: &Problem<'_>) -> Result<Params, Error> {
        let bytes = problem.hessian_bytes(self.method != Method::Sketched);
        validate(self.gradient_tolerance, self.max_iterations, (self.method, self.sketch), bytes, self.max_bytes)?;
        if self.method == Method::Sketched && problem.scores.heads > 1 {
            return Err(InputError::parameter("method", self.method.name(), "auto, krylov or dense-newton with several heads").into());
        }
        let start = self.start.clone().unwrap_or_else(|| problem.reference());
        problem.require(&start, ["x0", "y0"])?;
        Ok(start)
    }

    fn fit(&self, problem: &Problem<'_>, over: Over<'_>, mut observer: impl FnMut(&Event) -> ControlFlow<()>) -> Result<Solution, Error> {
        let start = self.start_of(problem)?;
        let at_start = problem.point(start.x.as_slice(), Some(start.y.as_slice()), true)?.ok_or_else(overflow)?;
        let (of_x, of_y) = (problem.gradient_x(&at_start), problem.gradient_y(&at_start));
        let unit = norm2(&[norm2(&of_x), norm2(&of_y)]).max(1.0);
        let loss_start = at_start.loss;
        drop(at_start);
        let loss = Loss { problem, over, unit };
        let minimiser =
            Minimiser { gradient_tolerance: self.gradient_tolerance, max_iterations: self.max_iterations, ..Minimiser::default() };
        let mut x = start.x.as_slice().to_vec();
        let from = x.clone();
        let method = self.choice(problem, over);
        // The observer sees losses, not their logarithms.
        let mut watch = |event: &Event| observer(&Event { value: event.value.map(f64::exp), ..*event });
        if over == Over::Both {
            x.extend_from_slice(start.y.as_slice());
        }
        // Steps have no part along what no row of attention sees.
        let keys = problem.scores.centred_keys()?;
        let centred = keys.as_ref().map(|keys| problem.scores.with_keys(keys));
        let scores = centred.as_ref().unwrap_or(&problem.scores);
        let found = minimise(&minimiser, &loss, scores, method, self.sketch, x, self.seed, &mut watch)?;
        let Minimum { point: Some(point), stop, iterations, whole_steps, trace, .. } = found else { return Err(overflow()) };
        let trace = std::iter::once(loss_start).chain(trace.into_iter().map(f64::exp)).collect();
        // The steps of the others move Y as well.
        let newton_steps = if matches!(over, Over::ScoresAt(_)) && method.solves_exactly() { whole_steps } else { 0 };
        let change = point.x.iter().zip(&from).map(|(x, from)| x - from).collect::<Vec<_>>();
        let course = Course {
            loss_start,
            status: stop.status(),
            iterations,
            other_steps: iterations - newton_steps,
            start_distance: Some(scores.logit_distance(&change)),
            method,
        };
        let sketch = sketch_facts(&loss, scores, method, self.sketch, &point, self.seed);
        let solution = self.finish(problem, point, course, trace)?;
        Ok(Solution { facts: Facts { sketch, ..solution.facts }, ..solution })
    }

    /// By counts of multiply-adds.
    fn choice(&self, problem: &Problem<'_>, over: Over<'_>) -> Method {
        if self.method != Method::Auto {
            return self.method;
        }
        let scores = &problem.scores;
        let (d1, d2, d3, dv) = (scores.d1 as f64, scores.d2 as f64, problem.d3 as f64, problem.dv as f64);
        let (of_x, of_y) = (scores.of_x() as f64, problem.of_y() as f64);
        let reduced = f64::from(over == Over::Scores);
        let entries = scores.entries() as f64;
        let n = problem.queries() as f64;
        let heads = scores.heads as f64;
        let pairs = 0.5 * heads * (heads - 1.0);
        let formed = heads * entries * d2 * (0.5 * d2 + d3)
            + n * d1 * d2 * ((0.25 * heads + pairs) * d1 * d2 + reduced * heads * of_y)
            + pairs * n * d2 * d2 * dv
            + of_x * of_x * (reduced * 0.5 * of_y + of_x / 6.0);
        let of_head = entries * (2.0 * d2 + d3 + 3.0 * dv + reduced * (d2 + d3)) + n * (6.0 * d1 * d2 + 6.0 * d3 * dv);
        let product = heads * of_head + of_x * (d1 + d2);
        let bytes = problem.hessian_bytes(over == Over::Scores);
        if bytes <= self.max_bytes as f64 && formed < USUAL_PRODUCTS * product { Method::DenseNewton } else { Method::Krylov }
    }

    fn finish(&self, problem: &Problem<'_>, point: Point, course: Course, trace: Vec<f64>) -> Result<Solution, Error> {
        let mut facts = Facts::of(&problem.scores, course)?;
        facts.has_values = true;
        facts.unknowns += problem.of_y();
        facts.targets = problem.queries() * problem.dv;
        facts.gradient = (norm2(&problem.gradient_x(&point)), norm2(&problem.gradient_y(&point)));
        facts.values_singular = point.values.as_ref().is_some_and(|values| values.is_singular());
        facts.kantorovich = match problem.scores.centred_keys()? {
            None => problem.kantorovich(&point, course.start_distance, self.certify).unwrap_or(None),
            Some(keys) => {
                let scores = problem.scores.with_keys(&keys);
                let centred =
                    Problem { scores, outputs: problem.outputs.clone(), gram3: problem.gram3.clone(), y0: problem.y0.clone(), ..*problem };
                // Where centred keys give no value, nothing is known.
                let seen = centred.point(&point.x, Some(&point.y), true)?;
                seen.and_then(|seen| centred.kantorovich(&seen, course.start_distance, self.certify).unwrap_or(None))
            }
        };
        facts.norms = problem.norms(&point)?;
        if self.certify == Certify::Full && problem.scores.heads == 1 {
            // What is enough everywhere is enough here: where rows hardly move, beta is rounding.
            let everywhere = problem.convex_everywhere(&point);
            facts.convex_here = Some(problem.betas(&point).into_iter().fold(0.0, f64::max).min(everywhere));
            facts.convex_everywhere = Some(everywhere);
            facts.joint = problem.joint_curvature(&point).unwrap_or(None);
        }
        Ok(Solution {
            params: problem.params(&point.x, &point.y),
            loss: point.loss,
            status: course.status,
            warnings: warnings(&facts),
            certificate: certificate(&facts),
            facts,
            trace,
        })
    }
}

impl Problem<'_> {
    /// What matrices of the Hessian take, in bytes, about.
    fn hessian_bytes(&self, reduced: bool) -> f64 {
        let (of_x, of_y) = (self.scores.of_x() as f64, self.of_y() as f64);
        8.0 * (4.0 * of_x * of_x + 3.0 * f64::from(reduced) * of_x * of_y)
    }

    /// What may be believed of a point, whoever found it.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where the loss is not finite.
    pub fn certify(&self, at: &Params, certify: Certify) -> Result<Solution, Error> {
        self.require(at, ["x", "y"])?;
        let point = self.point(at.x.as_slice(), Some(at.y.as_slice()), true)?.ok_or_else(overflow)?;
        let course = Course::none(point.loss);
        Solver { certify, ..Solver::default() }.finish(self, point, course, Vec::new())
    }
}
