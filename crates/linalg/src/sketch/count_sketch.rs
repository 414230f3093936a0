//! CountSketch: one signed one in each column.

use certus_contract::InputError;
use certus_numeric::Array;
use certus_numeric::Seed;
use certus_numeric::seed::{bounded, hash64};

use super::hashed::{Placement, scatter};
use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_sizes};
use crate::matrix::Matrix;

/// One entry of +1 or -1 in each column, in a row drawn by a hash: each row of A is added to one row of S A.
///
/// Embeds a d-dimensional subspace with distortion epsilon except with probability delta if s >= (d^2 + d) / (epsilon^2 delta)
/// (Nelson and Nguyen 2013; Meng and Mahoney 2013). Cost of S A: one pass over the entries of A, at the speed of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountSketch {
    rows: usize,
    cols: usize,
    key: u64,
}

impl CountSketch {
    /// A `rows` x `cols` sketch.
    ///
    /// # Errors
    /// `InvalidParameter` if `rows` or `cols` is 0; `TooLarge` beyond 2^31 rows.
    pub fn new(rows: usize, cols: usize, seed: Seed) -> Result<Self, InputError> {
        require_sizes(rows, cols)?;
        Ok(CountSketch { rows, cols, key: seed.key("count sketch") })
    }
}

/// Row and sign bit from one hash: the row takes the high bits, the sign the lowest.
#[inline(always)]
pub(super) fn row_and_sign(hash: u64, rows: usize) -> (usize, bool) {
    (bounded(hash, rows as u64) as usize, hash & 1 == 1)
}

impl Placement for CountSketch {
    fn copies(&self) -> usize {
        1
    }

    #[inline(always)]
    fn place(&self, i: usize, _: usize) -> (usize, bool) {
        row_and_sign(hash64(self.key, i as u64), self.rows)
    }
}

impl Sketch for CountSketch {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn sketch(&self, a: Matrix<'_>) -> Array {
        scatter(self.rows, 1.0, self, a)
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        let epsilon = theory::second_moment_epsilon(self.rows, theory::count_sketch_variance(d), delta);
        EmbeddingBound::new(delta, epsilon, "second moment of CountSketch", "Nelson and Nguyen 2013; Meng and Mahoney 2013")
    }
}
