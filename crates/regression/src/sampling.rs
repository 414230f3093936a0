//! The Hessian of rows that are sampled by leverage: within `1 ± ε` of the sum over all rows, with a proven chance.
//!
//! With `H_+ = Aᵀ diag(h_+) A + ridge`, h_+ the positive part of the curvatures of the rows, and τ the leverage scores of
//! `diag(sqrt h_+) A`: rows that are kept by independent coins of probability `p_i = min(1, C τ_i ln(2 d / δ) / ε²)`, and count `1 / p_i`
//! times, add up to a matrix within `(1 ± ε) H_+` but for a chance of δ. Proven for C at least 3 and scores that are exact or too large
//! (Theorem 1 of the certificate's text, by matrix Chernoff bounds: Tropp 2012); C is 4, which leaves room for the rounding of the scores.

use certus_contract::{InputError, require_finite, require_length};
use certus_linalg::factor::generalized_symmetric_eigen;
use certus_linalg::leverage::leverage_scores;
use certus_linalg::{Error, Mat};
use certus_numeric::Seed;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::sum::par_blocks;

use crate::objective::Loss;
use crate::point::Point;
use crate::rows::{BLOCK, each_row, max_rows, sum_rows};
use crate::solver::Certify;

/// How closely the sampled rows of [`Hessian::Sampled`](crate::Hessian::Sampled) stand for all.
///
/// Coins are tossed anew at each point, since a point depends on the coins before it, and δ is split evenly over the solver's
/// `max_iterations`: with probability `1 - delta` all Hessians that a run steps with are within `1 ± eps0` of their positive parts
/// (union bound; where several starts are followed, times their number). The rank-two part and rows of negative curvature are added
/// exactly, so that this is the error of the Hessian itself where no row has negative curvature in the plain form; elsewhere that error is
/// but measured ([`SamplingError`]). Where half of the rows or more would be kept on average, the Hessian is that of all rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// ε: the relative error of the sampled Hessian, above 0 and at most 1. Default 0.1.
    pub eps0: f64,
    /// δ: the chance that a Hessian of a run has a larger error, above 0 and below 1. Default 0.01.
    pub delta: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { eps0: 0.1, delta: 0.01 }
    }
}

impl Sampling {
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn validate(&self) -> Result<(), InputError> {
        if !(self.eps0 > 0.0 && self.eps0 <= 1.0) {
            return Err(InputError::parameter("eps0", self.eps0, "above 0 and at most 1"));
        }
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err(InputError::parameter("delta", self.delta, "above 0 and below 1"));
        }
        Ok(())
    }

    /// The chance of each row, for scores of a matrix with d columns.
    fn chances<'s>(&self, scores: &'s [f64], d: usize) -> Chances<'s> {
        Chances { scores, factor: OVERSAMPLING * (2.0 * d as f64 / self.delta).ln() / (self.eps0 * self.eps0) }
    }
}

/// C. With exact scores 3 is proven.
const OVERSAMPLING: f64 = 4.0;
/// The part of the rows from which all are taken.
const MOST: f64 = 0.5;
/// How much larger than the score before any carried score may be.
const GROWTH: f64 = 4.0;
/// Columns up to which the error of a sampled Hessian is measured.
const MEASURED: usize = 2000;

struct Chances<'s> {
    scores: &'s [f64],
    factor: f64,
}

impl Chances<'_> {
    fn of(&self, i: usize) -> f64 {
        (self.factor * self.scores[i]).min(1.0)
    }

    fn expected(&self) -> f64 {
        sum_rows(self.scores.len(), |i| self.of(i))
    }

    fn draw(&self, seed: Seed) -> SampledDiagonal {
        let key = seed.key("coins");
        let is_kept = |i: &usize| unit_interval(hash64(key, *i as u64)) < self.of(*i);
        let rows = par_blocks(self.scores.len(), BLOCK, |rows| rows.filter(is_kept).collect::<Vec<_>>()).concat();
        let factors = rows.iter().map(|&i| 1.0 / self.of(i)).collect();
        SampledDiagonal { rows, factors, expected: self.expected() }
    }
}

/// A diagonal matrix that is the identity on average and has few entries: of the rows that were kept.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledDiagonal {
    /// The rows that were kept, ascending.
    pub rows: Vec<usize>,
    /// The entry of each of them: one over its chance, at least 1.
    pub factors: Vec<f64>,
    /// How many rows are kept on average: the sum of the chances.
    pub expected: f64,
}

/// Keeps each of n rows with the chance `min(1, 4 scores_i ln(2 cols / delta) / eps0²)`.
///
/// With the leverage scores of an n x `cols` matrix B, or larger ones, and D the sampled diagonal, `Bᵀ D B` is within `(1 ± eps0) Bᵀ B`
/// with probability `1 - delta`. At most `4 cols ln(2 cols / delta) / eps0²` rows are kept on average. Cost: one pass over the scores.
///
/// Scores from a sketch may be too small, and prove nothing.
///
/// # Errors
/// `InvalidParameter` unless `eps0` is in (0, 1] and `delta` in (0, 1), for no columns, and for a score below 0; `NonFinite` for a score.
///
/// ```
/// use certus_numeric::Seed;
/// // All the weight is on the first rows: they are kept for certain.
/// let scores = (0..10_000).map(|i| if i < 3 { 0.9 } else { 1e-5 }).collect::<Vec<_>>();
/// let sample = certus_regression::sample_rows(&scores, 3, 0.5, 0.01, Seed(1))?;
/// assert!(sample.rows[..3] == [0, 1, 2] && sample.factors[..3] == [1.0; 3]);
/// assert!(sample.rows.len() < 100 && sample.expected < 20.0);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
pub fn sample_rows(scores: &[f64], cols: usize, eps0: f64, delta: f64, seed: Seed) -> Result<SampledDiagonal, InputError> {
    let sampling = Sampling { eps0, delta };
    sampling.validate()?;
    if cols == 0 {
        return Err(InputError::parameter("cols", cols, "at least 1"));
    }
    require_finite("scores", &[scores.len()], scores)?;
    if let Some(i) = scores.iter().position(|score| *score < 0.0) {
        return Err(InputError::parameter(format!("scores[{i}]"), scores[i], "at least 0"));
    }
    Ok(sampling.chances(scores, cols).draw(seed))
}

/// Bounds of the leverage scores of `diag(sqrt to) A` from the scores of `diag(sqrt from) A`, for weights of at least 0:
/// `τ'_i <= τ_i (to_i / from_i) max_j (from_j / to_j)`, and at most 1. Also the largest of these factors, infinite where a weight became
/// zero, or was.
///
/// For scores without a ridge, which bound those with one. Cost: a few passes over the weights.
///
/// # Errors
/// `DimensionMismatch` unless all have one length.
pub fn carried_scores(scores: &[f64], from: &[f64], to: &[f64]) -> Result<(Vec<f64>, f64), InputError> {
    let n = scores.len();
    require_length("from", from.len(), n, "the scores")?;
    require_length("to", to.len(), n, "the scores")?;
    let shrunk = max_rows(n, 0.0, |j| if from[j] > 0.0 { from[j] / to[j] } else { 0.0 });
    let growth = |i: usize| if to[i] > 0.0 { to[i] / from[i] * shrunk } else { 0.0 };
    // NaN, of 0 times infinity, becomes 1 too.
    Ok((each_row(n, |i| (scores[i] * growth(i)).min(1.0)), max_rows(n, 0.0, growth)))
}

/// How far sampled Hessians are from those of all rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingError {
    /// The relative error that was asked for, of the positive part.
    pub requested: f64,
    /// That of the last sample: the largest `|λ - 1|` over the eigenvalues λ of it relative to the whole Hessian at its point. `None`
    /// where it was not measured: without full certification, beyond 2000 columns, or where that Hessian is not positive definite.
    pub measured: Option<f64>,
}

/// Samples the Hessians of one run.
pub(crate) struct Sampler {
    /// With δ for one point.
    sampling: Sampling,
    seed: Seed,
    scores: Option<Scores>,
    samples: u64,
    keeps_last: bool,
    last: Option<(Mat<f64>, Point)>,
}

/// The leverage scores for some weights.
struct Scores {
    scores: Vec<f64>,
    weights: Vec<f64>,
    /// Whether fewer rows than half are kept with them.
    keep_few: bool,
}

impl Sampler {
    /// For a run of at most `points` steps. With full certification the last sample is kept, and its point, of some vectors of n.
    pub(crate) fn new(sampling: Sampling, points: usize, seed: Seed, certify: Certify) -> Self {
        let sampling = Sampling { delta: sampling.delta / points.max(1) as f64, ..sampling };
        Sampler { sampling, seed, scores: None, samples: 0, keeps_last: certify == Certify::Full, last: None }
    }

    /// The sampled Hessian, or that of all rows where a sample would keep half of them.
    ///
    /// Cost: the leverage scores of A, where those of an earlier point cannot be carried, and a Gram matrix of the rows that are kept.
    pub(crate) fn hessian(&mut self, loss: &Loss<'_, '_>, point: &Point) -> Result<Mat<f64>, Error> {
        let h = &point.rows.h;
        let Some(scores) = self.scores(loss, each_row(h.len(), |i| h[i].max(0.0)))? else { return Ok(loss.hessian(point)) };
        self.samples += 1;
        let sample = self.sampling.chances(&scores, loss.problem.cols()).draw(self.seed.split_at("row sample", self.samples));
        let mut weights = each_row(h.len(), |i| h[i].min(0.0));
        sample.rows.iter().zip(&sample.factors).for_each(|(&i, factor)| weights[i] = factor * h[i]);
        let hessian = loss.curvature(point, &weights);
        if self.keeps_last {
            self.last = Some((hessian.clone(), point.clone()));
        }
        Ok(hessian)
    }

    /// Scores for these weights, or bounds of them; `None` where half of the rows would be kept.
    fn scores(&mut self, loss: &Loss<'_, '_>, weights: Vec<f64>) -> Result<Option<Vec<f64>>, Error> {
        let (sampling, d) = (self.sampling, loss.problem.cols());
        let keep_few = |scores: &[f64]| sampling.chances(scores, d).expected() < MOST * scores.len() as f64;
        if let Some(known) = &self.scores {
            let (carried, growth) = carried_scores(&known.scores, &known.weights, &weights)?;
            if growth <= GROWTH && keep_few(&carried) {
                return Ok(Some(carried));
            }
            // New scores cost more than the Gram matrix of all rows, and would hardly help.
            if growth <= GROWTH && !known.keep_few {
                return Ok(None);
            }
        }
        let scores = leverage_scores(loss.problem.a(), Some(&weights))?.scores;
        let keep_few = keep_few(&scores);
        let used = keep_few.then(|| scores.clone());
        self.scores = Some(Scores { scores, weights, keep_few });
        Ok(used)
    }

    /// What is known of the error; `None` where no Hessian was sampled. Cost, where it is measured: one Gram matrix of all rows.
    pub(crate) fn error(&self, loss: &Loss<'_, '_>) -> Option<SamplingError> {
        let measured = self.last.as_ref().filter(|(sampled, _)| sampled.ncols() <= MEASURED);
        let measured = measured.and_then(|(sampled, point)| relative_error(sampled, &loss.hessian(point)));
        (self.samples > 0).then_some(SamplingError { requested: self.sampling.eps0, measured })
    }
}

/// The largest `|λ - 1|` of `sampled v = λ whole v`; `None` where `whole` is not positive definite.
fn relative_error(sampled: &Mat<f64>, whole: &Mat<f64>) -> Option<f64> {
    let values = generalized_symmetric_eigen(sampled.as_ref(), whole.as_ref()).ok()?.values;
    let error = values.into_iter().map(|value| (value - 1.0).abs()).fold(0.0, |largest: f64, e| if e <= largest { largest } else { e });
    error.is_finite().then_some(error)
}
