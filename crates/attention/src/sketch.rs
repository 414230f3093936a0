//! Matrices that stand for the Hessian in X, to precondition with: of sampled queries, or of weights of rank one.
//!
//! Products are with the Hessian itself, so that what a sketch is off by costs iterations and no accuracy. How far it is off is measured.

use certus_contract::InputError;
use certus_linalg::factor::{Cholesky, Triangle, solve_triangular_vec};
use certus_linalg::product::matvec;
use certus_linalg::solve::lanczos_extremes;
use certus_linalg::view::to_array;
use certus_linalg::{Error as LinearAlgebraError, Mat};
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::sum::dot;
use certus_numeric::{Array, Seed};

use crate::Error;
use crate::bilinear::{Bilinear, add_regulariser};
use crate::newton_steps::Curved;
use crate::rank_one::RankOne;
use crate::sample::Sample;

/// What [`Method::Sketched`](crate::Method::Sketched) preconditions with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sketch {
    /// The weights of rank one where they are near enough (a distance of at most [`Sketch::NEAR`]), else sampled rows.
    #[default]
    Auto,
    /// The Hessian of some queries, drawn by leverage: 2 d1 d2 of them.
    Rows,
    /// The Gram matrix `A1ᵀ diag(u) A1 ⊗ A2ᵀ diag(v) A2` of weights `u vᵀ`, exactly.
    RankOne,
    /// The same from a TensorSketch of `A1 ⊗ A2` with 4 d1 d2 rows. No cheaper than the exact one: to compare with the theorem.
    TensorSketch,
    /// The same from a TensorSRHT.
    TensorSrht,
}

impl Sketch {
    /// The largest distance of the weights from rank one, relative to their norm, at which their sketches are used.
    pub const NEAR: f64 = 0.5;

    /// As the command names it.
    pub fn name(self) -> &'static str {
        match self {
            Sketch::Auto => "auto",
            Sketch::Rows => "rows",
            Sketch::RankOne => "rank-one",
            Sketch::TensorSketch => "tensor-sketch",
            Sketch::TensorSrht => "tensor-srht",
        }
    }

    fn needs_rank_one(self) -> bool {
        !matches!(self, Sketch::Auto | Sketch::Rows)
    }
}

/// What was measured of a sketched Hessian P against the Hessian H.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SketchFacts {
    /// What was used; not `Auto`.
    pub sketch: Sketch,
    /// Rows of the sketch, or sampled queries.
    pub rows: usize,
    /// The distance of the weights from rank one (Frobenius, relative), where it was looked at.
    pub distance: Option<f64>,
    /// The extreme eigenvalues of `P⁻¹ H` by some Lanczos steps: inner estimates.
    pub eigenvalues: (f64, f64),
}

impl SketchFacts {
    /// The largest distance of those eigenvalues from 1: an estimate, from below, of the least ε with `(1 - ε) P <= H <= (1 + ε) P`, P with
    /// the little of the metric that is added to precondition.
    pub fn epsilon(&self) -> f64 {
        (self.eigenvalues.0 - 1.0).abs().max((self.eigenvalues.1 - 1.0).abs())
    }
}

/// A sketched Hessian in X, Y held fixed, regularisers included.
#[derive(Clone, Debug)]
pub struct SketchedHessian {
    /// d1 d2 x d1 d2, row-major vec.
    pub hessian: Array,
    /// What it is worth as a preconditioner, with a thousandth of the logit metric added.
    pub facts: SketchFacts,
}

impl SketchedHessian {
    /// `InvalidParameter` for several heads; `TooLarge`; `NotRankOne`.
    pub(crate) fn new<L: Curved>(loss: &L, scores: &Bilinear<'_>, point: &L::Point, sketch: Sketch, seed: Seed) -> Result<Self, Error> {
        if scores.heads > 1 {
            return Err(InputError::parameter("heads", scores.heads, "1 for a sketched Hessian").into());
        }
        let d = scores.of_head();
        if d * d > LARGEST {
            return Err(InputError::too_large("hessian", format!("{d} x {d}"), format!("{LARGEST} entries")).into());
        }
        let mut sketcher = Sketcher::new(scores, sketch, seed);
        sketcher.require(loss, point)?;
        let sketched = sketcher.at(loss, point)?;
        let facts = sketcher.measured(loss, point, &sketched)?;
        Ok(SketchedHessian { hessian: to_array(sketched.hessian.as_ref()), facts })
    }
}

/// Entries of a Hessian that is given, at most.
const LARGEST: usize = 1 << 28;
/// Rows of a tensor sketch for each column of `A1 ⊗ A2`.
const ROWS: usize = 4;
/// What of the metric is added to a sketched Hessian, relative to its trace: directions that no drawn query bends.
const SOME_METRIC: f64 = 1e-3;
/// What is added to the diagonal, relative to its mean.
const TINY: f64 = 1e-9;
/// Lanczos steps that measure a sketch, at most.
const STEPS: usize = 32;
/// What they need not resolve, relative to the largest eigenvalue.
const RESOLVED: f64 = 1e-2;

/// A sketched Hessian, regularisers included, in the unit of the point.
pub(crate) struct Sketched {
    pub(crate) hessian: Mat<f64>,
    pub(crate) sketch: Sketch,
    pub(crate) rows: usize,
    pub(crate) distance: Option<f64>,
}

/// Makes sketched Hessians at any point with the same randomness.
pub(crate) struct Sketcher<'s, 'a> {
    scores: &'s Bilinear<'a>,
    sketch: Sketch,
    seed: Seed,
    sample: Option<Sample>,
    metric: Mat<f64>,
}

impl<'s, 'a> Sketcher<'s, 'a> {
    /// For the first head.
    pub(crate) fn new(scores: &'s Bilinear<'a>, sketch: Sketch, seed: Seed) -> Self {
        Sketcher { scores, sketch, seed, sample: None, metric: scores.metric() }
    }

    /// `NotRankOne` where the weights are asked to be of rank one, and are not near it.
    pub(crate) fn require<L: Curved>(&self, loss: &L, point: &L::Point) -> Result<(), Error> {
        if self.sketch.needs_rank_one() {
            let distance = loss.rank_one(point).distance;
            if distance.is_nan() || distance > Sketch::NEAR {
                return Err(Error::NotRankOne { distance, sketch: self.sketch.name() });
            }
        }
        Ok(())
    }

    pub(crate) fn at<L: Curved>(&mut self, loss: &L, point: &L::Point) -> Result<Sketched, Error> {
        let weights = (self.sketch != Sketch::Rows).then(|| loss.rank_one(point));
        let distance = weights.as_ref().map(|weights| weights.distance);
        match weights {
            Some(weights) if self.sketch.needs_rank_one() || weights.distance <= Sketch::NEAR => {
                let sketch = if self.sketch == Sketch::Auto { Sketch::RankOne } else { self.sketch };
                let rows = if sketch == Sketch::RankOne { self.scores.of_head() } else { ROWS * self.scores.of_head() };
                Ok(Sketched { hessian: self.of_weights(loss, point, &weights, sketch, rows)?, sketch, rows, distance })
            }
            _ => {
                if self.sample.is_none() {
                    self.sample = Some(Sample::draw(self.scores, self.seed)?);
                }
                let Some(sample) = &self.sample else { return Err(crate::layer::overflow()) };
                let rows = sample.rows.iter().map(Vec::len).sum();
                Ok(Sketched { hessian: loss.sampled(point, sample)?, sketch: Sketch::Rows, rows, distance })
            }
        }
    }

    /// The Hessian of weights of rank one, of the size of the Hessian itself along a probe, and the regularisers.
    fn of_weights<L: Curved>(&self, loss: &L, point: &L::Point, weights: &RankOne, sketch: Sketch, rows: usize) -> Result<Mat<f64>, Error> {
        let scale = self.scores.scale;
        let exact = weights.hessian(Sketch::RankOne, rows, scale, self.seed)?;
        let unit = (-loss.log_unit(point)).exp().clamp(f64::MIN_POSITIVE, f64::MAX);
        let probe = (0..exact.nrows() as u64).map(|i| unit_interval(hash64(PROBE, i)) - 0.5).collect::<Vec<_>>();
        let of_data = dot(&probe, &loss.hessian_times(point, &probe)) - unit * dot(&probe, &self.scores.pull(&probe));
        let of_weights = dot(&probe, &matvec(exact.as_ref(), &probe));
        // The weights bound the curvature from above: by as much as the values have directions.
        let size = if of_data > 0.0 && of_weights > of_data { of_data / of_weights } else { 1.0 };
        let mut hessian = if sketch == Sketch::RankOne { exact } else { weights.hessian(sketch, rows, scale, self.seed)? };
        hessian *= size;
        add_regulariser(&mut hessian, self.scores, unit);
        Ok(hessian)
    }

    /// The factor of a sketched Hessian with a little of the metric.
    pub(crate) fn factor(&self, sketched: &Mat<f64>) -> Result<Cholesky, LinearAlgebraError> {
        let trace = |m: &Mat<f64>| (0..m.nrows()).map(|j| m[(j, j)]).sum::<f64>();
        let (of_metric, d) = (SOME_METRIC * trace(sketched) / trace(&self.metric), sketched.nrows());
        let tiny = TINY * trace(sketched) / d as f64;
        let sum = Mat::from_fn(d, d, |i, j| sketched[(i, j)] + of_metric * self.metric[(i, j)] + if i == j { tiny } else { 0.0 });
        Cholesky::new("the sketched Hessian", sum.as_ref())
    }

    /// What a sketch is worth at a point. Cost: at most 33 products with the Hessian.
    pub(crate) fn measure<L: Curved>(&mut self, loss: &L, point: &L::Point) -> Result<SketchFacts, Error> {
        let sketched = self.at(loss, point)?;
        self.measured(loss, point, &sketched)
    }

    fn measured<L: Curved>(&self, loss: &L, point: &L::Point, sketched: &Sketched) -> Result<SketchFacts, Error> {
        let factor = self.factor(&sketched.hessian)?;
        let apply = |v: &[f64], out: &mut [f64]| {
            let mut w = v.to_vec();
            solve_triangular_vec(Triangle::Upper, factor.lower().transpose(), &mut w);
            out.copy_from_slice(&loss.hessian_times(point, &w));
            solve_triangular_vec(Triangle::Lower, factor.lower(), out);
        };
        let found = lanczos_extremes(&(self.scores.of_head(), apply), RESOLVED, STEPS, self.seed)?;
        let Sketched { sketch, rows, distance, .. } = *sketched;
        Ok(SketchFacts { sketch, rows, distance, eigenvalues: (found.smallest, found.largest) })
    }
}

const PROBE: u64 = 0x7072_6f62_6500_0001;
