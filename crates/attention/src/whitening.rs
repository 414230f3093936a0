//! Coordinates of X in which the Gram matrices of all queries and of all keys are the identity.

use certus_linalg::factor::SymmetricEigen;
use certus_linalg::product::{Destination, gram, matmul, matmul_into};
use certus_linalg::view::{rows_of, to_array, view};
use certus_linalg::{Error, Mat, MatMut, MatRef};
use certus_numeric::Array;

use crate::bilinear::{Bilinear, Inputs};
use crate::scores::{Scores, product};

/// Eigenvalues of a Gram matrix below this much of the largest are no directions: singular values of a millionth.
const UNSEEN: f64 = 1e-12;

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
    fn new(gram: &Mat<f64>, eigen: &SymmetricEigen) -> Self {
        let d = gram.nrows();
        let largest = eigen.values.last().copied().unwrap_or(0.0);
        let kept = (0..d).filter(|&k| eigen.values[k] > UNSEEN * largest).collect::<Vec<_>>();
        let t = Mat::from_fn(d, kept.len(), |i, k| eigen.vectors[(i, kept[k])] / eigen.values[kept[k]].sqrt());
        let back = matmul(t.transpose(), gram.as_ref());
        Whitener { t, back, dropped: kept.len() < d }
    }

    fn apply(&self, a: &Array) -> Array {
        let mut white = Array::zeros([a.rows(), self.t.ncols()]);
        let into = MatMut::from_row_major_slice_mut(white.as_mut_slice(), a.rows(), self.t.ncols());
        matmul_into(into, Destination::Replace, 1.0, view(a), self.t.as_ref());
        white
    }
}

/// Each head's two sides in new coordinates.
pub(crate) struct Whitening {
    heads: Vec<(Whitener, Whitener)>,
}

impl Whitening {
    /// `None` where the inputs of some head have no direction.
    pub(crate) fn new(scores: &Bilinear<'_>) -> Result<Option<Self>, Error> {
        let (grams, spectra) = (scores.summed_grams(), scores.spectra()?);
        let heads =
            grams.iter().zip(spectra).map(|((g1, g2), (of_queries, of_keys))| (Whitener::new(g1, of_queries), Whitener::new(g2, of_keys)));
        let heads = heads.collect::<Vec<_>>();
        let seen = heads.iter().all(|(first, second)| first.t.ncols() * second.t.ncols() > 0);
        Ok(seen.then_some(Whitening { heads }))
    }

    /// Whether directions were left out that change the logits by rounding only, or not at all.
    pub(crate) fn leaves_out(&self) -> bool {
        self.heads.iter().any(|(first, second)| first.dropped || second.dropped)
    }

    /// Head h's queries and keys in the new coordinates, for each sequence.
    pub(crate) fn inputs(&self, scores: &Bilinear<'_>, h: usize) -> Vec<(Array, Array)> {
        let (first, second) = &self.heads[h];
        scores.sequences.iter().map(|s| (first.apply(s.heads[h].a1), second.apply(s.heads[h].a2))).collect()
    }

    /// The first head's score matrices as functions of the new X, from [`Whitening::inputs`]; with the same blocks, and the regulariser
    /// in the logit metric alone.
    pub(crate) fn scores<'w>(inputs: &'w [(Array, Array)], scores: &'w Bilinear<'_>) -> Bilinear<'w> {
        let sequences = scores.sequences.iter().zip(inputs);
        let sequences = sequences.map(|(s, (a1, a2))| Inputs::new(vec![Scores { a1, a2 }], s.visible.borrowed()));
        let mut white = Bilinear::new(sequences.collect(), 1);
        (white.scale, white.logit_reg, white.blocks) = (scores.scale, scores.logit_reg, scores.blocks.clone());
        white
    }

    /// X of the first head in the new coordinates.
    pub(crate) fn point(&self, x: &[f64]) -> Vec<f64> {
        let (first, second) = &self.heads[0];
        let x = rows_of(x, first.t.nrows(), second.t.nrows());
        to_array(matmul(matmul(first.back.as_ref(), x).as_ref(), second.back.transpose()).as_ref()).into_vec()
    }

    /// A gradient in the new coordinates: `T1ᵀ G T2` of each head.
    pub(crate) fn gradient(&self, gradient: &[f64]) -> Vec<f64> {
        self.between(gradient, |w| w.t.transpose())
    }

    /// The norm of a gradient in the new coordinates, at most, of which each entry is at most so large.
    pub(crate) fn largest_gradient(&self, sizes: &[f64]) -> f64 {
        let absolute = |w: &Whitener| Mat::from_fn(w.t.ncols(), w.t.nrows(), |i, j| w.t[(j, i)].abs());
        let heads = self.heads.iter().map(|(first, second)| (absolute(first), absolute(second))).collect::<Vec<_>>();
        let mut rest = sizes;
        let mut norms = Vec::new();
        for (first, second) in &heads {
            let (now, later) = rest.split_at(first.ncols() * second.ncols());
            rest = later;
            let half = matmul(first.as_ref(), rows_of(now, first.ncols(), second.ncols()));
            norms.push(matmul(half.as_ref(), second.transpose()).norm_l2());
        }
        norms.iter().map(|n| n * n).sum::<f64>().sqrt()
    }

    /// A change of X from one in the new coordinates: `T1 D T2ᵀ` of each head.
    pub(crate) fn change(&self, change: &[f64]) -> Vec<f64> {
        self.between(change, |w| w.t.as_ref())
    }

    /// `S1 A S2ᵀ` of each head, one below the other.
    fn between(&self, a: &[f64], side: impl Fn(&Whitener) -> MatRef<'_, f64>) -> Vec<f64> {
        let (mut rest, mut result) = (a, Vec::new());
        for (first, second) in &self.heads {
            let (first, second) = (side(first), side(second));
            let (now, later) = rest.split_at(first.ncols() * second.ncols());
            rest = later;
            let mut half = vec![0.0; first.nrows() * second.ncols()];
            let mut whole = vec![0.0; first.nrows() * second.nrows()];
            product(&mut half, Destination::Replace, 1.0, first, rows_of(now, first.ncols(), second.ncols()));
            product(&mut whole, Destination::Replace, 1.0, rows_of(&half, first.nrows(), second.ncols()), second.transpose());
            result.extend(whole);
        }
        result
    }

    /// `product += ridge (T1ᵀT1) V (T2ᵀT2)`: what the ridge of X adds to a product with the Hessian in the new coordinates.
    pub(crate) fn add_ridge_times(&self, product: &mut [f64], ridge: f64, v: &[f64]) {
        if ridge > 0.0 {
            let along = self.gradient(&self.change(v));
            product.iter_mut().zip(along).for_each(|(p, a)| *p += ridge * a);
        }
    }

    /// `hessian += ridge (T1ᵀT1) ⊗ (T2ᵀT2)`: the ridge of the first head's X in the new coordinates.
    pub(crate) fn add_ridge(&self, hessian: &mut Mat<f64>, ridge: f64) {
        let (first, second) = &self.heads[0];
        let (g1, g2) = (gram(first.t.as_ref()), gram(second.t.as_ref()));
        let r2 = g2.nrows();
        for j in 0..hessian.ncols() {
            for i in 0..hessian.nrows() {
                hessian[(i, j)] += ridge * g1[(i / r2, j / r2)] * g2[(i % r2, j % r2)];
            }
        }
    }
}
