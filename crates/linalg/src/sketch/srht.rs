//! The subsampled randomised Hadamard transform.

use std::collections::BTreeSet;

use certus_contract::InputError;
use certus_numeric::seed::bounded;
use certus_numeric::{Array, Seed};
use rand::Rng;

use super::hadamard::{Padding, sampled_rows, sign};
use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;

/// sqrt(N / s) P H D: random signs D, the orthogonal Walsh-Hadamard transform H of N dimensions (n padded by zeros to a power of
/// two), and s of its rows drawn without replacement.
///
/// Embeds a d-dimensional subspace with distortion epsilon except with probability delta if
/// s >= (sqrt d + sqrt(8 ln(3 N / delta)))^2 ln(3 d / delta) / ((1 + epsilon) ln(1 + epsilon) - epsilon) (Tropp 2011, lemmas 3.3
/// and 3.4). Cost of S A: about log2 s additions for each entry of n x d, whether zero or not: for dense input.
#[derive(Clone, Debug, PartialEq)]
pub struct Srht {
    cols: usize,
    signs: u64,
    /// The sampled rows of H, ascending.
    samples: Vec<usize>,
}

impl Srht {
    /// A `rows` x `cols` sketch.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` or `cols` is 0, or `rows` is above `cols` rounded up to a power of two.
    pub fn new(rows: usize, cols: usize, seed: Seed) -> Result<Self, InputError> {
        require_sizes(rows, cols)?;
        let padded = padded_size(cols)?;
        if rows > padded {
            return Err(InputError::parameter(
                "sketch rows",
                rows,
                format!("at most {padded} (the columns, rounded up to a power of two)"),
            ));
        }
        // Floyd's algorithm: a uniform subset in as many draws as it has elements.
        let mut stream = seed.stream("hadamard rows");
        let mut samples = BTreeSet::new();
        for last in padded - rows..padded {
            let drawn = bounded(stream.next_u64(), last as u64 + 1) as usize;
            if !samples.insert(drawn) {
                samples.insert(last);
            }
        }
        Ok(Srht { cols, signs: seed.key("hadamard signs"), samples: samples.into_iter().collect() })
    }
}

/// The power of two at or above `n`.
pub(super) fn padded_size(n: usize) -> Result<usize, InputError> {
    n.checked_next_power_of_two().ok_or_else(|| InputError::too_large("the sketch", format!("{n} columns"), "2^63 columns"))
}

impl Padding for Srht {
    fn padded(&self) -> usize {
        self.cols.next_power_of_two()
    }

    #[inline(always)]
    fn position(&self, i: usize) -> (usize, f64) {
        (i, sign(self.signs, i))
    }
}

impl Sketch for Srht {
    fn rows(&self) -> usize {
        self.samples.len()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn sketch(&self, a: Matrix<'_>) -> Array {
        sampled_rows(a, self, &self.samples, 1.0 / (self.rows() as f64).sqrt())
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let epsilon = theory::srht_epsilon(self.rows(), self.padded(), d, delta);
        EmbeddingBound::new(delta, epsilon, "matrix Chernoff bound for sampled Hadamard rows", "Tropp 2011, lemmas 3.3 and 3.4")
    }
}
