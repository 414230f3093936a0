//! The Kronecker preconditioner: the inverse of `G1 ⊗ G2` of each head, the logit metric of all sequences together.

use certus_linalg::Mat;
use certus_linalg::factor::SymmetricEigen;
use certus_linalg::product::{Destination, matmul};
use certus_linalg::view::rows_of;

use crate::scores::product;

/// Eigenvalues below this much of the largest are no directions of the logits.
const UNSEEN: f64 = 1e-12;

/// Applies the inverse of `G1 ⊗ G2` for each head.
pub(crate) struct KronSolver {
    inverses: Vec<(Mat<f64>, Mat<f64>)>,
}

impl KronSolver {
    /// From the spectra of the Gram matrices of each head's queries and keys, summed over the sequences. Directions that no logit sees are
    /// not moved along; with a ridge, which sees them, they count as the best seen ones.
    pub(crate) fn new(spectra: &[(SymmetricEigen, SymmetricEigen)], with_ridge: bool) -> Self {
        let inverse = |eigen: &SymmetricEigen| {
            let largest = eigen.values.last().copied().unwrap_or(0.0);
            let of = |value: f64| match value > UNSEEN * largest {
                true => 1.0 / value.sqrt(),
                false if with_ridge && largest > 0.0 => 1.0 / largest.sqrt(),
                false => f64::from(with_ridge),
            };
            let d = eigen.values.len();
            let half = Mat::from_fn(d, d, |i, k| eigen.vectors[(i, k)] * of(eigen.values[k]));
            matmul(half.as_ref(), half.transpose())
        };
        KronSolver { inverses: spectra.iter().map(|(of_queries, of_keys)| (inverse(of_queries), inverse(of_keys))).collect() }
    }

    /// `G1⁻¹ R G2⁻¹` of each head.
    pub(crate) fn solve(&self, r: &[f64]) -> Vec<f64> {
        let (mut solution, mut half) = (vec![0.0; r.len()], Vec::new());
        let of_head = r.len() / self.inverses.len().max(1);
        for ((first, second), (r, into)) in self.inverses.iter().zip(r.chunks_exact(of_head).zip(solution.chunks_exact_mut(of_head))) {
            let (d1, d2) = (first.nrows(), second.nrows());
            half.resize(of_head, 0.0);
            product(&mut half, Destination::Replace, 1.0, first.as_ref(), rows_of(r, d1, d2));
            product(into, Destination::Replace, 1.0, rows_of(&half, d1, d2), second.as_ref());
        }
        solution
    }
}
