//! QR factorisations: plain for a triangular factor, with column pivoting for a rank.

use certus_numeric::sum;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch, apply_block_householder_sequence_on_the_left_in_place_with_conj,
    apply_block_householder_sequence_transpose_on_the_left_in_place_scratch,
    apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj,
};
use faer::linalg::qr::{col_pivoting, no_pivoting};
use faer::{Conj, Mat, MatMut, MatRef, Par, Spec};

use super::{Triangle, solve_triangular};
use crate::error::Error;

/// Rows of one block of a tall factorisation, as a multiple of its columns.
const TALL: usize = 8;

/// The upper triangular factor of `a` (n x d, n >= d): `aᵀ a = Rᵀ R` without forming it. Consumes `a`. Cost: 2 d² (n - d/3) flops.
///
/// # Errors
/// `NonFiniteMatrix`.
pub fn qr_r(mut a: Mat<f64>) -> Result<Mat<f64>, Error> {
    super::require_finite("QR factorisation", a.as_ref())?;
    factor_in_place(a.as_mut());
    Ok(upper(a.as_ref()))
}

/// As [`qr_r`] for a tall matrix, by blocks of rows in parallel whose factors are factored again (TSQR). Memory: about 2 x 8 d²
/// numbers a thread and d² a block.
///
/// Source: Demmel, Grigori, Hoemmen, Langou, SIAM J. Sci. Comput. 34 (2012).
///
/// # Errors
/// `NonFiniteMatrix`.
pub fn tall_qr_r(a: MatRef<'_, f64>) -> Result<Mat<f64>, Error> {
    let d = a.ncols();
    let block = (TALL * d).max(1024);
    if a.nrows() <= 2 * block {
        return qr_r(a.to_owned());
    }
    let factors = sum::par_blocks(a.nrows(), block, |rows| qr_r(a.subrows(rows.start, rows.len()).to_owned()));
    let mut stacked = Mat::zeros(factors.len() * d, d);
    for (k, factor) in factors.into_iter().enumerate() {
        let factor = factor?;
        stacked.subrows_mut(k * d, factor.nrows()).copy_from(factor);
    }
    tall_qr_r(stacked.as_ref())
}

/// `A P = Q R` with column pivoting: the diagonal of R falls in absolute value and tells the numerical rank.
#[derive(Clone, Debug)]
pub struct PivotedQr {
    factors: Mat<f64>,
    blocks: Mat<f64>,
    permutation: Vec<usize>,
}

impl PivotedQr {
    /// Factors `a` (n x d, any shape). Cost: 4 n d min(n, d) flops at half the speed of a plain QR: for tall matrices reduce by
    /// [`tall_qr_r`] first.
    ///
    /// # Errors
    /// `NonFiniteMatrix`.
    pub fn new(mut a: Mat<f64>) -> Result<Self, Error> {
        super::require_finite("pivoted QR factorisation", a.as_ref())?;
        let (n, d) = (a.nrows(), a.ncols());
        let size = n.min(d);
        let block = no_pivoting::factor::recommended_block_size::<f64>(n, d).max(1);
        let mut blocks = Mat::zeros(block, size);
        let (mut forward, mut inverse) = (vec![0usize; d], vec![0usize; d]);
        let params = Spec::<col_pivoting::factor::ColPivQrParams, f64>::default();
        let mut memory = MemBuffer::new(col_pivoting::factor::qr_in_place_scratch::<usize, f64>(n, d, block, Par::Seq, params));
        let stack = MemStack::new(&mut memory);
        col_pivoting::factor::qr_in_place(a.as_mut(), blocks.as_mut(), &mut forward, &mut inverse, Par::Seq, stack, params);
        Ok(PivotedQr { factors: a, blocks, permutation: forward })
    }

    /// Column `permutation()[j]` of A is column j of A P.
    pub fn permutation(&self) -> &[usize] {
        &self.permutation
    }

    /// The upper triangular (or trapezoidal) factor, min(n, d) x d.
    pub fn r(&self) -> Mat<f64> {
        upper(self.factors.as_ref())
    }

    /// The number of diagonal entries of R above `tolerance` times the largest; `max(n, d) * 2^-52` is customary.
    pub fn rank(&self, tolerance: f64) -> usize {
        let size = self.blocks.ncols();
        if size == 0 {
            return 0;
        }
        let limit = tolerance * self.factors[(0, 0)].abs();
        (0..size).take_while(|&i| self.factors[(i, i)].abs() > limit).count()
    }

    /// Replaces `b` (n rows) by `Qᵀ b`.
    pub fn apply_q_transpose(&self, b: MatMut<'_, f64>) {
        let (n, k) = (self.factors.nrows(), self.blocks.nrows());
        let mut memory = MemBuffer::new(apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<f64>(n, k, b.ncols()));
        let stack = MemStack::new(&mut memory);
        apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj(
            self.basis(),
            self.blocks.as_ref(),
            Conj::No,
            b,
            Par::Seq,
            stack,
        );
    }

    /// The first `k` columns of Q (n x k).
    pub fn q(&self, k: usize) -> Mat<f64> {
        let mut q = Mat::identity(self.factors.nrows(), k);
        let (n, block) = (self.factors.nrows(), self.blocks.nrows());
        let mut memory = MemBuffer::new(apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(n, block, k));
        let stack = MemStack::new(&mut memory);
        apply_block_householder_sequence_on_the_left_in_place_with_conj(
            self.basis(),
            self.blocks.as_ref(),
            Conj::No,
            q.as_mut(),
            Par::Seq,
            stack,
        );
        q
    }

    /// The least-squares solution for one right-hand side (n entries), from the first `rank` columns; the others get 0.
    pub fn solve(&self, b: &[f64], rank: usize) -> Vec<f64> {
        let mut c = Mat::from_fn(b.len(), 1, |i, _| b[i]);
        self.apply_q_transpose(c.as_mut());
        let r = self.factors.as_ref().submatrix(0, 0, rank, rank);
        solve_triangular(Triangle::Upper, r, c.as_mut().subrows_mut(0, rank));
        let mut x = vec![0.0; self.permutation.len()];
        for i in 0..rank {
            x[self.permutation[i]] = c[(i, 0)];
        }
        x
    }

    fn basis(&self) -> MatRef<'_, f64> {
        self.factors.as_ref().subcols(0, self.blocks.ncols())
    }
}

fn factor_in_place(a: MatMut<'_, f64>) {
    let (n, d) = (a.nrows(), a.ncols());
    // For tall blocks the width of a panel is set by the columns; the library's choice looks at the product of both.
    let block = no_pivoting::factor::recommended_block_size::<f64>(n, d).clamp(1, d.max(1));
    let mut blocks = Mat::zeros(block, n.min(d));
    let params = Spec::<no_pivoting::factor::QrParams, f64>::default();
    let mut memory = MemBuffer::new(no_pivoting::factor::qr_in_place_scratch::<f64>(n, d, block, Par::Seq, params));
    no_pivoting::factor::qr_in_place(a, blocks.as_mut(), Par::Seq, MemStack::new(&mut memory), params);
}

fn upper(factors: MatRef<'_, f64>) -> Mat<f64> {
    let (n, d) = (factors.nrows(), factors.ncols());
    Mat::from_fn(n.min(d), d, |i, j| if i <= j { factors[(i, j)] } else { 0.0 })
}
