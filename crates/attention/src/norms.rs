//! The norms that the literature's assumptions and constants are made of.

use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::product::gram;
use certus_linalg::{Error, Mat, MatRef};
use certus_numeric::Array;
use certus_numeric::sum::{max_abs, norm2};

/// Spectral norms of the inputs, of all sequences one below the other, and of the parameters: the largest of any head, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Norms {
    /// Of the queries.
    pub a1: f64,
    /// Of the keys.
    pub a2: f64,
    /// Of the values; 0 where there are none.
    pub a3: f64,
    /// Of X.
    pub x: f64,
    /// Of Y; 0 where there is none.
    pub y: f64,
    /// Of the targets: the root of the sum of the squares of all entries.
    pub target: f64,
    /// The largest entry of a target, without its sign.
    pub largest_target: f64,
    /// No logit is larger, by the norms of the rows and of X.
    pub largest_logit: f64,
    /// The least singular values of the queries and of the keys, of any head, rounded down: 0 where columns depend on each other.
    pub least: (f64, f64),
}

impl Norms {
    /// With those of the targets: the whole is measured as its entries are, at least its spectral norm.
    pub(crate) fn with_targets<'b>(mut self, targets: impl Iterator<Item = &'b Array>) -> Norms {
        for b in targets {
            self.target = self.target.hypot(norm2(b.as_slice()) * (1.0 + (b.len() + 8) as f64 * f64::EPSILON));
            self.largest_target = self.largest_target.max(max_abs(b.as_slice()));
        }
        self
    }

    /// The largest of the norms.
    pub fn largest(&self) -> f64 {
        [self.a1, self.a2, self.a3, self.x, self.y, self.target].into_iter().fold(0.0, f64::max)
    }
}

/// An upper bound of the spectral norm: the root of the largest eigenvalue of the Gram matrix, with its rounding.
pub(crate) fn spectral(a: MatRef<'_, f64>) -> Result<f64, Error> {
    let largest = a.col_iter().flat_map(|column| column.iter()).fold(0.0f64, |l, v| l.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return Ok(largest);
    }
    let gram = gram(Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] / largest).as_ref());
    let (_, top) = of_gram(&symmetric_eigenvalues(gram.as_ref())?, a.nrows());
    Ok(largest * top * (1.0 + 4.0 * f64::EPSILON))
}

/// Bounds of the least singular value, from below, and of the largest, from above, of a matrix of so many rows, from the ascending
/// eigenvalues of its Gram matrix.
pub(crate) fn of_gram(values: &[f64], rows: usize) -> (f64, f64) {
    let trace = values.iter().map(|v| v.abs()).sum::<f64>();
    let rounding = (rows + 32 * values.len() + 64) as f64 * f64::EPSILON * trace;
    let (least, top) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    let down = 1.0 - 4.0 * f64::EPSILON;
    ((least - rounding).max(0.0).sqrt() * down, (top + rounding).max(0.0).sqrt() * (1.0 + 4.0 * f64::EPSILON))
}
