//! The Kronecker preconditioner: `(G1 ⊗ G2)⁻¹` of each head, the logit metric of all sequences together.

use certus_linalg::factor::Cholesky;
use certus_linalg::{Error, Mat, MatMut};

/// What is added to the diagonals, relative to their means: some directions may have no length.
const FLOOR: f64 = 1e-9;

/// Solves with `G1 ⊗ G2` for each head.
pub(crate) struct KronSolver {
    factors: Vec<(Cholesky, Cholesky)>,
    d1: usize,
    d2: usize,
}

impl KronSolver {
    /// From the Gram matrices of each head's queries and keys, summed over the sequences.
    pub(crate) fn new(grams: Vec<(Mat<f64>, Mat<f64>)>) -> Result<Self, Error> {
        let (d1, d2) = grams.first().map_or((0, 0), |(g1, g2)| (g1.nrows(), g2.nrows()));
        let factor = |mut gram: Mat<f64>| {
            let d = gram.nrows();
            let mean = (0..d).map(|j| gram[(j, j)]).sum::<f64>() / d as f64;
            (0..d).for_each(|j| gram[(j, j)] += if mean > 0.0 { FLOOR * mean } else { 1.0 });
            Cholesky::new("a Gram matrix of the inputs", gram.as_ref())
        };
        let factors = grams.into_iter().map(|(g1, g2)| Ok((factor(g1)?, factor(g2)?))).collect::<Result<_, Error>>()?;
        Ok(KronSolver { factors, d1, d2 })
    }

    /// `G1⁻¹ R G2⁻¹` of each head.
    pub(crate) fn solve(&self, r: &[f64]) -> Vec<f64> {
        let (d1, d2) = (self.d1, self.d2);
        let mut solution = r.to_vec();
        for ((first, second), head) in self.factors.iter().zip(solution.chunks_exact_mut(d1 * d2)) {
            first.solve_in_place(MatMut::from_row_major_slice_mut(&mut *head, d1, d2));
            second.solve_in_place(MatMut::from_row_major_slice_mut(head, d1, d2).transpose_mut());
        }
        solution
    }
}
