//! Some of the queries, drawn by leverage: from their rows a Hessian is made that stands for that of all.
//!
//! The sampled Hessian only preconditions: products are with the Hessian of all rows, so that the sampling error costs iterations and
//! no accuracy.

use certus_linalg::Error;
use certus_linalg::factor::Cholesky;
use certus_numeric::seed::{hash64, unit_interval};
use certus_numeric::{Array, Seed};

use crate::bilinear::Bilinear;
use crate::mask::Visible;

/// What of a row's chance is the same for all; the rest goes with its leverage.
const EVEN: f64 = 0.5;
/// Rows that are drawn for each number in a row of the Gram matrix of squares: d1 d2 times this.
const ROWS: usize = 2;

/// Queries of each sequence, with the inverse of their chances.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// For each sequence the drawn rows.
    pub(crate) rows: Vec<Vec<usize>>,
    /// The inverse of each one's chance.
    pub(crate) weights: Vec<Vec<f64>>,
    /// Their queries.
    pub(crate) a1: Vec<Array>,
    /// What they see.
    pub(crate) masks: Vec<Option<Array<bool>>>,
}

impl Sample {
    /// For the first head.
    pub(crate) fn draw(scores: &Bilinear<'_>, seed: Seed) -> Result<Sample, Error> {
        let n = scores.queries();
        let count = (ROWS * scores.of_head()).min(n) as f64;
        let (mut gram, _) = scores.summed_grams().swap_remove(0);
        let d1 = gram.nrows();
        let floor = 1e-12 * (0..d1).map(|j| gram[(j, j)]).sum::<f64>().max(f64::MIN_POSITIVE);
        (0..d1).for_each(|j| gram[(j, j)] += floor);
        let inverse = Cholesky::new("the Gram matrix of the queries", gram.as_ref())?.inverse();
        let leverage = |a: &[f64]| (0..d1).map(|i| a[i] * (0..d1).map(|j| inverse[(i, j)] * a[j]).sum::<f64>()).sum::<f64>();
        let key = seed.key("rows of the sampled Hessian");
        let mut sample = Sample { rows: Vec::new(), weights: Vec::new(), a1: Vec::new(), masks: Vec::new() };
        let mut at = 0u64;
        for inputs in &scores.sequences {
            let (mut rows, mut weights) = (Vec::new(), Vec::new());
            let a1 = inputs.heads[0].a1;
            for i in 0..a1.rows() {
                let chance = (count * (EVEN / n as f64 + (1.0 - EVEN) * leverage(a1.row(i)) / d1 as f64)).min(1.0);
                if unit_interval(hash64(key, at)) < chance {
                    rows.push(i);
                    weights.push(1.0 / chance);
                }
                at += 1;
            }
            sample.a1.push(Array::from_fn(rows.len(), a1.cols(), |k, j| a1.row(rows[k])[j]));
            let all = matches!(inputs.visible, Visible::All);
            sample.masks.push((!all).then(|| Array::from_fn(rows.len(), inputs.keys(), |k, j| inputs.visible.sees(rows[k], j))));
            sample.rows.push(rows);
            sample.weights.push(weights);
        }
        Ok(sample)
    }

    /// Rows of a sequence's array that were drawn.
    pub(crate) fn of(&self, s: usize, a: &Array) -> Array {
        Array::from_fn(self.rows[s].len(), a.cols(), |k, j| a.row(self.rows[s][k])[j])
    }

    /// The sequences of which some query was drawn.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.rows.len()).filter(|&s| !self.rows[s].is_empty())
    }
}
