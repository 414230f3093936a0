//! Newton's steps in X, whatever the loss: with the Hessian as a product or as a matrix.

use std::ops::ControlFlow;

use certus_contract::{Event, InputError};
use certus_linalg::factor::Cholesky;
use certus_linalg::product::matvec;
use certus_linalg::view::is_finite;
use certus_linalg::{Error, Mat};
use certus_newton::model::{Curvature, DampedSystem, Krylov, Lbfgs, LevenbergMarquardt};
use certus_newton::{Minimiser, Minimum, Objective, Stop};
use certus_numeric::Seed;

use crate::bilinear::Bilinear;
use crate::kron_solver::KronSolver;
use crate::rank_one::RankOne;
use crate::sample::Sample;
use crate::sketch::{Sketch, SketchFacts, Sketcher};

/// How the Hessian enters a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// By counts of operations: as a matrix or as a product.
    #[default]
    Auto,
    /// As a matrix, damped in the logit metric; with several heads, all heads' in one.
    DenseNewton,
    /// As a product: conjugate gradients with the Kronecker preconditioner.
    Krylov,
    /// As a product, preconditioned by a Hessian of some queries or of weights of rank one, as [`Sketch`] says: for one head and many queries.
    Sketched,
    /// As a matrix, and each step Newton's whole one, as the theorem has it; it may get nowhere.
    Plain,
    /// Not at all: L-BFGS with twenty pairs, in X (and Y) as they are. What is commonly used, to compare with.
    Lbfgs,
}

impl Method {
    /// Whether its steps solve with the Hessian itself, and to the end.
    pub(crate) fn solves_exactly(self) -> bool {
        matches!(self, Method::DenseNewton | Method::Plain)
    }

    /// As the command names it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::DenseNewton => "dense-newton",
            Method::Krylov => "krylov",
            Method::Sketched => "sketched",
            Method::Plain => "plain",
            Method::Lbfgs => "lbfgs",
        }
    }
}

/// The options that both kinds of problems have: `bytes` is what the method's matrices would take.
pub(crate) fn validate(
    tolerance: f64,
    max_iterations: usize,
    (method, sketch): (Method, Sketch),
    bytes: f64,
    max_bytes: usize,
) -> Result<(), InputError> {
    if sketch != Sketch::Auto && method != Method::Sketched {
        return Err(InputError::parameter("sketch", sketch.name(), "auto, or with the method sketched"));
    }
    if !(tolerance > 0.0 && tolerance < 1.0) {
        return Err(InputError::parameter("gtol", tolerance, "above 0 and below 1"));
    }
    if max_iterations == 0 {
        return Err(InputError::parameter("max-iter", 0, "at least 1"));
    }
    if matches!(method, Method::DenseNewton | Method::Sketched | Method::Plain) && bytes > max_bytes as f64 {
        let limit = format!("{max_bytes} bytes: use krylov, or a larger max_bytes");
        return Err(InputError::too_large("the Hessian", format!("{bytes:.2e} bytes"), limit));
    }
    Ok(())
}

/// A loss of X with a Hessian.
pub(crate) trait Curved: Objective {
    /// The product of the Hessian in X with v.
    fn hessian_times(&self, point: &Self::Point, v: &[f64]) -> Vec<f64>;

    /// The Hessian in X as a matrix.
    fn hessian(&self, point: &Self::Point) -> Mat<f64>;

    /// A positive semidefinite Hessian in X made of the sampled queries.
    fn sampled(&self, point: &Self::Point, sample: &Sample) -> Result<Mat<f64>, crate::Error>;

    /// The weights of queries and keys in a bound of the Hessian in X, as those of rank one that are nearest.
    fn rank_one(&self, point: &Self::Point) -> RankOne;
}

/// Pairs that L-BFGS keeps.
const PAIRS: usize = 20;
/// Products with the Hessian in a step, at most, and as a rule.
const MOST_PRODUCTS: usize = 500;
pub(crate) const USUAL_PRODUCTS: f64 = 20.0;
/// By how much a first step changes the logits at most, each, in the mean.
const FIRST_CHANGE: f64 = 0.25;
/// The damping at a radius of 1.
const DAMPING: f64 = 1e-2;
/// Dampings that are tried in a step, each four times the one before.
const MOST_TRIES: usize = 64;
/// What is added to the diagonal of a damped Hessian, relative to the mean of the metric's.
const TINY: f64 = 1e-9;

/// Minimises from x.
pub(crate) fn minimise<L: Curved>(
    minimiser: &Minimiser,
    loss: &L,
    scores: &Bilinear<'_>,
    method: Method,
    sketch: Sketch,
    x: Vec<f64>,
    seed: Seed,
    observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Minimum<L::Point>, crate::Error> {
    Ok(match method {
        Method::DenseNewton => minimiser.minimise_with(loss, &mut LevenbergMarquardt::new(Formed::new(scores), DAMPING), x, observer)?,
        Method::Plain => plain(minimiser, loss, x, observer)?,
        Method::Lbfgs => minimiser.minimise_with(loss, &mut Lbfgs::new(PAIRS), x, observer)?,
        Method::Sketched => {
            let sketcher = Sketcher::new(scores, sketch, seed);
            if let Some(start) = loss.point(&x) {
                sketcher.require(loss, &start)?;
            }
            minimiser.minimise_with(loss, &mut Krylov::new(Sketched { sketcher, factor: None }, MOST_PRODUCTS), x, observer)?
        }
        Method::Krylov | Method::Auto => {
            let products = Products(KronSolver::new(scores.spectra()?, scores.ridge > 0.0));
            // Far from the start a model of a softmax means nothing.
            let first_radius = FIRST_CHANGE * ((scores.entries() * scores.heads * scores.sequences.len()) as f64).sqrt() / scores.scale;
            let minimiser = Minimiser { first_radius, ..*minimiser };
            minimiser.minimise_with(loss, &mut Krylov::new(products, MOST_PRODUCTS), x, observer)?
        }
    })
}

/// What the sketch of a method that has one is worth at a point; `None` for the others, and where it cannot be measured.
pub(crate) fn sketch_facts<L: Curved>(
    loss: &L,
    scores: &Bilinear<'_>,
    method: Method,
    sketch: Sketch,
    point: &L::Point,
    seed: Seed,
) -> Option<SketchFacts> {
    (method == Method::Sketched).then(|| Sketcher::new(scores, sketch, seed).measure(loss, point).ok()).flatten()
}

/// `x - H⁻¹ g` again and again; the best point of all is given.
fn plain<L: Curved>(
    minimiser: &Minimiser,
    loss: &L,
    x: Vec<f64>,
    mut observer: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<Minimum<L::Point>, Error> {
    let mut found =
        Minimum { gradient: vec![0.0; x.len()], x, point: None, stop: Stop::NoStart, iterations: 0, whole_steps: 0, trace: Vec::new() };
    let mut x = found.x.clone();
    while let Some(point) = loss.point(&x) {
        let (value, gradient) = (loss.loss(&point), loss.gradient(&point));
        found.trace.push(value.ln());
        let event = Event::new("iterate", found.iterations as u64).of(minimiser.max_iterations as u64).value(value.ln());
        let ends = if loss.is_flat(&point, &gradient, minimiser.gradient_tolerance) {
            Some(Stop::Gradient)
        } else if found.iterations >= minimiser.max_iterations {
            Some(Stop::Iterations)
        } else {
            (found.iterations > 0 && observer(&event).is_break()).then_some(Stop::Observer)
        };
        let step = match ends {
            Some(stop) => Err(stop),
            None => {
                Cholesky::new("the Hessian", loss.hessian(&point).as_ref()).map(|factor| factor.solve(&gradient)).map_err(|_| Stop::Stalled)
            }
        };
        let next = step.as_ref().map(|step| x.iter().zip(step).map(|(x, s)| x - s).collect::<Vec<_>>()).ok();
        if found.point.as_ref().is_none_or(|best| value <= loss.loss(best)) {
            (found.x, found.point, found.gradient) = (x.clone(), Some(point), gradient);
        }
        found.stop = step.err().unwrap_or(Stop::Stalled);
        let Some(next) = next else { break };
        x = next;
        (found.iterations, found.whole_steps) = (found.iterations + 1, found.whole_steps + 1);
    }
    Ok(found)
}

/// The Hessian as a product, with the Kronecker preconditioner.
struct Products(KronSolver);

impl<L: Curved> Curvature<L> for Products {
    fn update(&mut self, _: &L, _: &L::Point, _: &[f64]) -> Result<(), Error> {
        Ok(())
    }

    fn times(&self, loss: &L, point: &L::Point, v: &[f64]) -> Vec<f64> {
        loss.hessian_times(point, v)
    }

    fn precondition(&self, r: &[f64]) -> Vec<f64> {
        self.0.solve(r)
    }
}

/// The Hessian as a product, preconditioned by a sketched one.
struct Sketched<'s, 'a> {
    sketcher: Sketcher<'s, 'a>,
    factor: Option<Cholesky>,
}

impl<L: Curved> Curvature<L> for Sketched<'_, '_> {
    fn update(&mut self, loss: &L, point: &L::Point, _: &[f64]) -> Result<(), Error> {
        let Ok(sketched) = self.sketcher.at(loss, point) else { return Ok(()) };
        if let Ok(factor) = self.sketcher.factor(&sketched.hessian) {
            self.factor = Some(factor);
        }
        Ok(())
    }

    fn times(&self, loss: &L, point: &L::Point, v: &[f64]) -> Vec<f64> {
        loss.hessian_times(point, v)
    }

    fn precondition(&self, r: &[f64]) -> Vec<f64> {
        self.factor.as_ref().map_or_else(|| r.to_vec(), |factor| factor.solve(r))
    }
}

/// The Hessian as a matrix, damped in the logit metric.
struct Formed {
    metric: Mat<f64>,
    hessian: Mat<f64>,
    tiny: f64,
    unit: f64,
}

impl Formed {
    fn new(scores: &Bilinear<'_>) -> Self {
        let metric = scores.metric();
        let d = metric.nrows();
        let tiny = TINY * (0..d).map(|j| metric[(j, j)]).sum::<f64>() / d as f64;
        Formed { metric, hessian: Mat::zeros(0, 0), tiny: tiny.max(f64::MIN_POSITIVE), unit: 1.0 }
    }
}

impl<L: Curved> DampedSystem<L> for Formed {
    fn update(&mut self, loss: &L, point: &L::Point, _: &[f64]) -> Result<(), Error> {
        self.hessian = loss.hessian(point);
        if !is_finite(self.hessian.as_ref()) {
            return Err(Error::NonFiniteMatrix { what: "the Hessian in X" });
        }
        // Damping is meant in the unit of the loss itself.
        self.unit = (-loss.log_unit(point)).exp().clamp(f64::MIN_POSITIVE, f64::MAX);
        Ok(())
    }

    fn solve(&mut self, _: &L, _: &L::Point, gradient: &[f64], damping: f64) -> Result<Vec<f64>, Error> {
        let d = gradient.len();
        // By how much the Hessian, in its unit, is larger than the metric: where that unit is huge, what is added must be as large to count.
        let largest = |a: &Mat<f64>| (0..d).map(|j| a[(j, j)].abs()).fold(0.0, f64::max);
        let ratio = (largest(&self.hessian) / largest(&self.metric).max(f64::MIN_POSITIVE)).clamp(f64::MIN_POSITIVE, f64::MAX);
        let mut of_metric = damping * self.unit;
        let mut tries = 0;
        loop {
            tries += 1;
            // Above the rounding of the damping, too: the metric may be singular.
            let of_identity = self.tiny * self.unit.min(1.0).max(ratio.min(1.0)).max(of_metric);
            let damped =
                Mat::from_fn(d, d, |i, j| self.hessian[(i, j)] + of_metric * self.metric[(i, j)] + if i == j { of_identity } else { 0.0 });
            match Cholesky::new("the damped Hessian", damped.as_ref()) {
                Ok(factor) => return Ok(factor.solve(gradient)),
                Err(error) if damping == 0.0 || of_metric > 1e12 * ratio.max(self.unit) || tries > MOST_TRIES => return Err(error),
                Err(_) => of_metric = (4.0 * of_metric).max(1e-6 * ratio),
            }
        }
    }

    fn times(&self, _: &L, _: &L::Point, s: &[f64]) -> Vec<f64> {
        matvec(self.hessian.as_ref(), s)
    }
}
