//! OSNAP: a few signed entries in each column.

use certus_contract::{InputError, require_length};
use certus_numeric::seed::hash64;
use certus_numeric::{Array, Seed};

use super::count_sketch::row_and_sign;
use super::hashed::{Placement, scatter};
use super::theory::{self, EmbeddingBound};
use super::{Sketch, require_rows, require_sizes};
use crate::matrix::Matrix;

/// The sparse embedding of Nelson and Nguyen in its block construction: t CountSketches, stacked and divided by sqrt t.
///
/// What is proven with constants is the second moment: the t blocks are independent, so that their mean has the variance of
/// one CountSketch with all s rows, and s >= (d^2 + d) / (epsilon^2 delta) suffices if t divides s. The better form
/// s = O(d log(d / delta) / epsilon^2), t = O(log(d / delta) / epsilon) (Cohen 2016) has no proven constant; in practice
/// s = 4 d with t = 8 distorts little more than a Gaussian sketch. Cost of S A: t additions for each entry of A.
#[derive(Clone, Debug, PartialEq)]
pub struct Osnap {
    cols: usize,
    nonzeros: usize,
    /// Where each block of rows begins, and the end.
    starts: Vec<usize>,
    keys: Vec<u64>,
}

impl Osnap {
    /// Non-zeros a column where nothing else is asked for.
    pub const NONZEROS: usize = 8;

    /// A `rows` x `cols` sketch with `nonzeros` entries of +-1/sqrt(nonzeros) in each column, one in each of as many blocks of
    /// rows.
    ///
    /// # Errors
    /// `InvalidParameter` if a size is 0 or `nonzeros` is above `rows`; `TooLarge` beyond 2^31 rows.
    pub fn new(rows: usize, cols: usize, nonzeros: usize, seed: Seed) -> Result<Self, InputError> {
        require_sizes(rows, cols)?;
        if nonzeros == 0 || nonzeros > rows {
            return Err(InputError::parameter("non-zeros a column", nonzeros, format!("at least 1 and at most {rows} (the sketch rows)")));
        }
        let starts = (0..=nonzeros).map(|block| block * rows / nonzeros).collect();
        let key = seed.key("sparse embedding");
        let keys = (0..nonzeros).map(|block| hash64(key, block as u64)).collect();
        Ok(Osnap { cols, nonzeros, starts, keys })
    }

    /// S diag(f) A, for one factor f_i a row of A, without a copy of A.
    ///
    /// # Errors
    /// `DimensionMismatch` if A or the factors have not `cols()` rows.
    pub fn apply_scaled(&self, factors: &[f64], a: Matrix<'_>) -> Result<Array, InputError> {
        require_rows("the sketched matrix", a, self.cols, "the columns of the sketch")?;
        require_length("the row factors", factors.len(), self.cols, "the columns of the sketch")?;
        Ok(scatter(self.rows(), self.scale(), &Scaled { embedding: self, factors }, a))
    }

    /// The absolute value of the non-zeros.
    fn scale(&self) -> f64 {
        1.0 / (self.nonzeros as f64).sqrt()
    }

    /// The non-zeros in each column.
    pub fn nonzeros(&self) -> usize {
        self.nonzeros
    }
}

/// An embedding of rows that are scaled on the way.
struct Scaled<'a> {
    embedding: &'a Osnap,
    factors: &'a [f64],
}

impl Placement for Scaled<'_> {
    fn copies(&self) -> usize {
        self.embedding.nonzeros
    }

    #[inline(always)]
    fn place(&self, i: usize, copy: usize) -> (usize, bool) {
        self.embedding.place(i, copy)
    }

    #[inline(always)]
    fn factor(&self, i: usize) -> f64 {
        self.factors[i]
    }
}

impl Placement for Osnap {
    fn copies(&self) -> usize {
        self.nonzeros
    }

    #[inline(always)]
    fn place(&self, i: usize, copy: usize) -> (usize, bool) {
        let start = self.starts[copy];
        let (row, negative) = row_and_sign(hash64(self.keys[copy], i as u64), self.starts[copy + 1] - start);
        (start + row, negative)
    }
}

impl Sketch for Osnap {
    fn rows(&self) -> usize {
        self.starts[self.nonzeros]
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn sketch(&self, a: Matrix<'_>) -> Array {
        scatter(self.rows(), self.scale(), self, a)
    }

    fn embedding_bound(&self, d: usize, delta: f64) -> Option<EmbeddingBound> {
        // The mean of the blocks' variances, v / s_b each, over t: exactly v / s if all have s / t rows.
        let t = self.nonzeros as f64;
        let inverse = self.starts.windows(2).map(|block| 1.0 / (block[1] - block[0]) as f64).sum::<f64>() / (t * t);
        let epsilon = (theory::count_sketch_variance(d) * inverse / delta).sqrt();
        EmbeddingBound::new(delta, epsilon, "second moment of stacked CountSketches", "Nelson and Nguyen 2013")
    }
}
