//! Row sampling: S picks rows of A with known probabilities and rescales them.

use certus_contract::InputError;
use certus_numeric::seed::{bounded, hash64};
use certus_numeric::{Array, Csr, Seed};
use rayon::prelude::*;

use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;

/// s rows, drawn independently with replacement: row r of S is 1 / sqrt(s p_i) at the index i drawn for it.
///
/// The Gram matrix of S A is unbiased: E A^T S^T S A = A^T A exactly, since the draws are integers and the weights use the
/// probabilities that the integers have. Embeds the columns of A (rank d) with distortion epsilon except with probability
/// delta if s >= R ln(2 d / delta) / ((1 + epsilon) ln(1 + epsilon) - epsilon) with R the largest leverage score over its
/// probability (matrix Chernoff, Tropp 2012): R = d for sampling by leverage, n times the largest score for uniform sampling.
/// Cost of S A: s rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSampling {
    cols: usize,
    /// Index and weight of each drawn row.
    draws: Vec<(usize, f64)>,
    /// The largest leverage score over its probability, where that is known.
    overestimate: Option<f64>,
}

/// Probabilities are multiples of about 2^-53: sums of fewer than 2^10 n such integers fit 64 bits.
const RESOLUTION: f64 = (1u64 << 53) as f64;

impl RowSampling {
    /// `rows` draws from `0..cols`, all with the same probability: the baseline. Its bound assumes the worst, a leverage score of
    /// one; see [`RowSampling::with_largest_score`].
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` or `cols` is 0.
    pub fn uniform(rows: usize, cols: usize, seed: Seed) -> Result<Self, InputError> {
        require_sizes(rows, cols)?;
        let key = seed.key("row sampling");
        let weight = (cols as f64 / rows as f64).sqrt();
        let draws = (0..rows as u64).map(|r| (bounded(hash64(key, r), cols as u64) as usize, weight)).collect();
        Ok(RowSampling { cols, draws, overestimate: Some(cols as f64) })
    }

    /// `rows` draws with probabilities in proportion to `scores` (leverage scores, or squared row norms, or any importance).
    ///
    /// `relative_error` says what the scores are: with Some(e) they are leverage scores with tau_i <= score_i / (1 - e) (0 for
    /// exact ones), and the sketch has a bound; with `None` they are something else, and it has none.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` is 0, `relative_error` is not in [0, 1), a score is negative, or all are 0; `EmptyProblem`
    /// without scores; `NonFinite` if a score is.
    pub fn by_scores(rows: usize, scores: &[f64], relative_error: Option<f64>, seed: Seed) -> Result<Self, InputError> {
        if scores.is_empty() {
            return Err(InputError::empty("scores", &[0]));
        }
        require_sizes(rows, scores.len())?;
        certus_contract::require_finite("scores", &[scores.len()], scores)?;
        if let Some(i) = scores.iter().position(|&score| score < 0.0) {
            return Err(InputError::parameter(format!("scores[{i}]"), scores[i], "at least 0"));
        }
        if let Some(error) = relative_error.filter(|error| !(0.0..1.0).contains(error)) {
            return Err(InputError::parameter("relative error of the scores", error, "at least 0 and below 1"));
        }
        let largest = scores.iter().fold(0.0, |largest: f64, &score| largest.max(score));
        if largest == 0.0 {
            return Err(InputError::parameter("the largest score", 0, "above 0"));
        }
        // A positive score never rounds to probability 0: its row could then never be seen.
        let unit = RESOLUTION / scores.len().next_power_of_two() as f64;
        let integer = |score: f64| if score > 0.0 { ((score / largest * unit) as u64).max(1) } else { 0 };
        let ends: Vec<u64> = scores
            .iter()
            .scan(0u64, |sum, &score| {
                *sum += integer(score);
                Some(*sum)
            })
            .collect();
        let total = ends[ends.len() - 1];
        let probability = |i: usize| integer(scores[i]) as f64 / total as f64;
        let key = seed.key("row sampling");
        let draw = |r: u64| {
            let drawn = bounded(hash64(key, r), total);
            let i = ends.partition_point(|&end| end <= drawn);
            (i, 1.0 / (rows as f64 * probability(i)).sqrt())
        };
        let draws = (0..rows as u64).map(draw).collect();
        let ratio = |error: f64| {
            let sampled = (0..scores.len()).filter(|&i| scores[i] > 0.0);
            sampled.fold(0.0, |worst: f64, i| worst.max(scores[i] / probability(i))) / (1.0 - error)
        };
        Ok(RowSampling { cols: scores.len(), draws, overestimate: relative_error.map(ratio) })
    }

    /// The same draws, for a matrix whose largest leverage score is known. Only for [`RowSampling::uniform`], where it sets the
    /// bound: the overestimate is n times the score.
    pub fn with_largest_score(self, score: f64) -> Self {
        RowSampling { overestimate: Some(self.cols as f64 * score), ..self }
    }

    /// Index and weight of each drawn row: 1 / sqrt(s p_i).
    pub fn draws(&self) -> &[(usize, f64)] {
        &self.draws
    }

    /// S A as a sparse matrix: the drawn rows, rescaled.
    ///
    /// # Errors
    /// `DimensionMismatch` if A has not `cols()` rows.
    pub fn apply_sparse(&self, a: &Csr) -> Result<Csr, InputError> {
        super::require_rows("the sampled matrix", Matrix::Sparse(a), self.cols, "the columns of the sketch")?;
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for &(i, weight) in &self.draws {
            let (columns, row) = a.row(i);
            indices.extend_from_slice(columns);
            values.extend(row.iter().map(|v| weight * v));
            indptr.push(values.len());
        }
        Csr::new(self.draws.len(), a.cols(), indptr, indices, values)
    }
}

impl Sketch for RowSampling {
    fn rows(&self) -> usize {
        self.draws.len()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn sketch(&self, a: Matrix<'_>) -> Array {
        let d = a.cols();
        let mut result = Array::zeros([self.rows(), d]);
        if d == 0 {
            return result;
        }
        result.as_mut_slice().par_chunks_mut(d).zip(&self.draws).for_each(|(out, &(i, weight))| match a {
            Matrix::Dense(a) => out.iter_mut().zip(a.row(i)).for_each(|(out, v)| *out = weight * v),
            Matrix::Sparse(a) => {
                let (columns, values) = a.row(i);
                columns.iter().zip(values).for_each(|(&j, v)| out[j as usize] = weight * v);
            }
        });
        result
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let epsilon = theory::sampling_epsilon(self.rows(), self.overestimate?, d, delta);
        EmbeddingBound::new(delta, epsilon, "matrix Chernoff bound for sampled rows", "Tropp 2012; constants in Tropp 2015, theorem 5.1.1")
    }
}
