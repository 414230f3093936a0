//! TensorSRHT: sampled rows of a Kronecker product of randomised Hadamard transforms.

use certus_contract::InputError;
use certus_numeric::seed::{bounded, hash64};
use certus_numeric::{Array, Seed};
use rayon::prelude::*;

use super::hadamard::{Padding, sampled_rows, sign};
use super::srht::padded_size;
use super::tensor::{Factors, require_dimensions};
use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;

/// 1/sqrt(s) P (H D_1 (x) ... (x) H D_q): s rows drawn independently, as one row of each factor's transform.
///
/// The sketch of a Kronecker product from its factors is, row by row, the Kronecker product of the sampled rows of
/// H D_k A_k: no object of n_1 ... n_q entries. Embeds a d-dimensional subspace with distortion epsilon except with
/// probability delta if s >= (3^q d^2 - d) / (epsilon^2 delta) ([`theory::tensor_srht_variance`] has the proof). Each factor
/// is padded by zeros to a power of two.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSrht {
    cols: usize,
    dimensions: Vec<usize>,
    signs: Vec<u64>,
    /// The sampled rows of each factor's transform.
    samples: Vec<Vec<usize>>,
}

impl TensorSrht {
    /// A sketch with `rows` rows of the Kronecker product of spaces of these dimensions.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows`, the number of factors or a dimension is 0; `TooLarge` if the product of the padded
    /// dimensions overflows, or beyond 2^31 rows.
    pub fn new(rows: usize, dimensions: &[usize], seed: Seed) -> Result<Self, InputError> {
        let cols = require_dimensions(dimensions)?;
        require_sizes(rows, cols)?;
        let padded = dimensions.iter().map(|&n| padded_size(n)).collect::<Result<Vec<_>, _>>()?;
        require_dimensions(&padded)?;
        let (signs, draws) = (seed.key("tensor hadamard signs"), seed.key("tensor hadamard rows"));
        let keys = |key: u64| (0..dimensions.len() as u64).map(move |factor| hash64(key, factor));
        let sample = |(key, &n): (u64, &usize)| (0..rows as u64).map(|r| bounded(hash64(key, r), n as u64) as usize).collect();
        Ok(TensorSrht {
            cols,
            dimensions: dimensions.to_vec(),
            signs: keys(signs).collect(),
            samples: keys(draws).zip(&padded).map(sample).collect(),
        })
    }

    /// The dimensions of the factors.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// S (A_1 (x) ... (x) A_q), s x (d_1 ... d_q), from the factors n_k x d_k.
    ///
    /// Cost: about log2 s additions for each entry of the factors, and one multiplication for each entry of the result.
    ///
    /// # Errors
    /// `DimensionMismatch` if the number of factors or their rows are not those of [`TensorSrht::dimensions`]; `TooLarge` if
    /// the columns overflow.
    pub fn apply_kronecker(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_rows(factors, &self.dimensions)?;
        let columns = factors.kronecker_columns(self.rows())?;
        let sampled = self.sampled(&factors);
        let mut result = Array::zeros([self.rows(), columns]);
        if columns > 0 {
            result.as_mut_slice().par_chunks_mut(columns).enumerate().for_each(|(r, out)| {
                // The products of the first k rows fill the front of the row; each factor widens it from the back.
                out[0] = self.scale();
                let mut filled = 1;
                for factor in &sampled {
                    let row = factor.row(r);
                    for i in (0..filled).rev() {
                        let v = out[i];
                        out[i * row.len()..(i + 1) * row.len()].iter_mut().zip(row).for_each(|(out, x)| *out = v * x);
                    }
                    filled *= row.len();
                }
            });
        }
        Ok(result)
    }

    /// S applied to the Khatri-Rao product (column-wise Kronecker product) of factors n_k x d: s x d.
    ///
    /// # Errors
    /// `DimensionMismatch` if the factors do not have the dimensions of the sketch as rows and equally many columns.
    pub fn apply_khatri_rao(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_rows(factors, &self.dimensions)?;
        factors.common_columns()?;
        Ok(self.entrywise(&self.sampled(&factors)))
    }

    /// S applied to each row of the face-splitting product (row-wise Kronecker product) of factors m x n_k: m x s.
    ///
    /// # Errors
    /// `DimensionMismatch` if the factors do not have the dimensions of the sketch as columns and equally many rows.
    pub fn apply_face_splitting(&self, factors: &[Matrix<'_>]) -> Result<Array, InputError> {
        let factors = Factors::with_columns(factors, &self.dimensions)?;
        factors.common_rows()?;
        Ok(self.entrywise(&factors.with_transposed(|factors| self.sampled(factors))).transposed())
    }

    fn scale(&self) -> f64 {
        1.0 / (self.rows() as f64).sqrt()
    }

    /// The sampled rows of H D_k A_k, s x d_k each.
    fn sampled(&self, factors: &Factors<'_>) -> Vec<Array> {
        let sample = |(k, &factor): (usize, &Matrix<'_>)| {
            let padding = FactorPadding { padded: self.dimensions[k].next_power_of_two(), signs: self.signs[k] };
            sampled_rows(factor, &padding, &self.samples[k], 1.0)
        };
        factors.list().iter().enumerate().map(sample).collect()
    }

    /// The scaled product of these, entry by entry.
    fn entrywise(&self, sampled: &[Array]) -> Array {
        let mut result = sampled[0].map(|v| self.scale() * v);
        for factor in &sampled[1..] {
            result.as_mut_slice().iter_mut().zip(factor.as_slice()).for_each(|(result, v)| *result *= v);
        }
        result
    }
}

struct FactorPadding {
    padded: usize,
    signs: u64,
}

impl Padding for FactorPadding {
    fn padded(&self) -> usize {
        self.padded
    }

    #[inline(always)]
    fn position(&self, i: usize) -> (usize, f64) {
        (i, sign(self.signs, i))
    }
}

impl Padding for TensorSrht {
    fn padded(&self) -> usize {
        self.dimensions.iter().map(|n| n.next_power_of_two()).product()
    }

    /// Each index is padded on its own: a Kronecker product of Hadamard matrices is one.
    fn position(&self, i: usize) -> (usize, f64) {
        let (mut rest, mut position, mut stride, mut product) = (i, 0, 1, 1.0);
        for (&dimension, &key) in self.dimensions.iter().zip(&self.signs).rev() {
            let index = rest % dimension;
            rest /= dimension;
            position += index * stride;
            stride *= dimension.next_power_of_two();
            product *= sign(key, index);
        }
        (position, product)
    }
}

impl Sketch for TensorSrht {
    fn rows(&self) -> usize {
        self.samples[0].len()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    /// For input without structure, with n_1 ... n_q rows.
    fn sketch(&self, a: Matrix<'_>) -> Array {
        let joined = |r: usize| {
            let digits = self.dimensions.iter().zip(&self.samples);
            digits.fold(0, |joined, (n, samples)| joined * n.next_power_of_two() + samples[r])
        };
        let samples: Vec<usize> = (0..self.rows()).map(joined).collect();
        sampled_rows(a, self, &samples, self.scale())
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let variance = theory::tensor_srht_variance(d, self.dimensions.len());
        let epsilon = theory::second_moment_epsilon(self.rows(), variance, delta);
        EmbeddingBound::new(delta, epsilon, "second moment of TensorSRHT", "fourth moments of Rademacher chaos; compare Ahle et al. 2020")
    }
}
