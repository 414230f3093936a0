//! Coordinates of X in which the Gram matrices of all queries and of all keys are the identity.

use certus_linalg::factor::symmetric_eigen;
use certus_linalg::product::{Destination, gram, matmul, matmul_into};
use certus_linalg::view::{rows_of, to_array, view};
use certus_linalg::{Error, Mat, MatMut};
use certus_numeric::Array;

use crate::bilinear::{Bilinear, Inputs};
use crate::scores::{Scores, product};

/// Singular values of the inputs below this much of the largest are no directions.
const UNSEEN: f64 = 1e-10;

/// New coordinates of the queries or the keys: `A' = A T`, so that the Gram matrix of all is the identity.
#[derive(Clone, Debug)]
struct Whitener {
    /// T, d x r.
    t: Mat<f64>,
    /// What takes X there: `Tᵀ G`, r x d, the inverse of T where no direction was left out.
    back: Mat<f64>,
    dropped: bool,
}

impl Whitener {
    fn new(gram: Mat<f64>) -> Result<Self, Error> {
        let d = gram.nrows();
        let eigen = symmetric_eigen(gram.as_ref())?;
        let largest = eigen.values.last().copied().unwrap_or(0.0);
        let kept = (0..d).filter(|&k| eigen.values[k] > UNSEEN * UNSEEN * largest + d as f64 * f64::EPSILON * largest).collect::<Vec<_>>();
        let t = Mat::from_fn(d, kept.len(), |i, k| eigen.vectors[(i, kept[k])] / eigen.values[kept[k]].sqrt());
        let back = matmul(t.transpose(), gram.as_ref());
        Ok(Whitener { t, back, dropped: kept.len() < d })
    }

    fn apply(&self, a: &Array) -> Array {
        let mut white = Array::zeros([a.rows(), self.t.ncols()]);
        let into = MatMut::from_row_major_slice_mut(white.as_mut_slice(), a.rows(), self.t.ncols());
        matmul_into(into, Destination::Replace, 1.0, view(a), self.t.as_ref());
        white
    }
}

/// The two sides' new coordinates, and the inputs in them. For one head.
pub(crate) struct Whitening {
    first: Whitener,
    second: Whitener,
    inputs: Vec<(Array, Array)>,
}

impl Whitening {
    /// `None` where the inputs have no direction.
    pub(crate) fn new(scores: &Bilinear<'_>) -> Result<Option<Self>, Error> {
        let Some((g1, g2)) = scores.summed_grams().into_iter().next() else { return Ok(None) };
        let (first, second) = (Whitener::new(g1)?, Whitener::new(g2)?);
        if first.t.ncols() * second.t.ncols() == 0 {
            return Ok(None);
        }
        let inputs = scores.sequences.iter().map(|s| (first.apply(s.heads[0].a1), second.apply(s.heads[0].a2))).collect();
        Ok(Some(Whitening { first, second, inputs }))
    }

    /// Whether directions were left out that change the logits by rounding only, or not at all.
    pub(crate) fn leaves_out(&self) -> bool {
        self.first.dropped || self.second.dropped
    }

    /// The score matrices as functions of the new X, with the same blocks and the regulariser in the logit metric alone.
    pub(crate) fn scores<'w>(&'w self, scores: &'w Bilinear<'_>) -> Bilinear<'w> {
        let sequences =
            scores.sequences.iter().zip(&self.inputs).map(|(s, (a1, a2))| Inputs::new(vec![Scores { a1, a2 }], s.visible.borrowed()));
        let mut white = Bilinear::new(sequences.collect());
        (white.scale, white.logit_reg, white.blocks) = (scores.scale, scores.logit_reg, scores.blocks.clone());
        white
    }

    /// X in the new coordinates.
    pub(crate) fn point(&self, x: &[f64]) -> Vec<f64> {
        let (d1, d2) = (self.first.t.nrows(), self.second.t.nrows());
        let x = matmul(matmul(self.first.back.as_ref(), rows_of(x, d1, d2)).as_ref(), self.second.back.transpose());
        to_array(x.as_ref()).into_vec()
    }

    /// A gradient in the new coordinates: `T1ᵀ G T2`.
    pub(crate) fn gradient(&self, gradient: &[f64]) -> Vec<f64> {
        let (d1, d2, r1, r2) = (self.first.t.nrows(), self.second.t.nrows(), self.first.t.ncols(), self.second.t.ncols());
        let (mut half, mut whole) = (vec![0.0; r1 * d2], vec![0.0; r1 * r2]);
        product(&mut half, Destination::Replace, 1.0, self.first.t.transpose(), rows_of(gradient, d1, d2));
        product(&mut whole, Destination::Replace, 1.0, rows_of(&half, r1, d2), self.second.t.as_ref());
        whole
    }

    /// A change of X from one in the new coordinates: `T1 D T2ᵀ`.
    pub(crate) fn change(&self, change: &[f64]) -> Vec<f64> {
        let (d1, d2, r1, r2) = (self.first.t.nrows(), self.second.t.nrows(), self.first.t.ncols(), self.second.t.ncols());
        let (mut half, mut whole) = (vec![0.0; d1 * r2], vec![0.0; d1 * d2]);
        product(&mut half, Destination::Replace, 1.0, self.first.t.as_ref(), rows_of(change, r1, r2));
        product(&mut whole, Destination::Replace, 1.0, rows_of(&half, d1, r2), self.second.t.transpose());
        whole
    }

    /// `hessian += ridge (T1ᵀT1) ⊗ (T2ᵀT2)`: the ridge of X in the new coordinates.
    pub(crate) fn add_ridge(&self, hessian: &mut Mat<f64>, ridge: f64) {
        let (g1, g2) = (gram(self.first.t.as_ref()), gram(self.second.t.as_ref()));
        let r2 = g2.nrows();
        for j in 0..hessian.ncols() {
            for i in 0..hessian.nrows() {
                hessian[(i, j)] += ridge * g1[(i / r2, j / r2)] * g2[(i % r2, j % r2)];
            }
        }
    }
}
