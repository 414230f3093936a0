//! Matrices that are only applied: dense, sparse, or implicit.

use certus_numeric::sum::{dot, par_blocks};
use certus_numeric::{Array, Csr};
use rayon::prelude::*;

use crate::matrix::Matrix;

/// A matrix that can be applied to a vector from both sides. All that the iterative solvers need.
///
/// ```
/// use certus_linalg::operator::LinearOperator;
/// use certus_linalg::Matrix;
/// use certus_numeric::Csr;
/// let a = Csr::new(2, 3, vec![0, 1, 3], vec![2, 0, 1], vec![5.0, 1.0, -1.0])?;
/// let a = Matrix::from(&a);
/// assert_eq!(a.times(&[1.0, 2.0, 3.0]), [15.0, -1.0]);
/// assert_eq!(a.transpose_times(&[1.0, 2.0]), [2.0, -2.0, 5.0]);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
pub trait LinearOperator: Sync {
    /// The number of rows, m.
    fn rows(&self) -> usize;

    /// The number of columns, d.
    fn cols(&self) -> usize;

    /// `y = A x`; `x` has d entries, `y` has m.
    fn apply(&self, x: &[f64], y: &mut [f64]);

    /// `x = Aᵀ y`; `y` has m entries, `x` has d.
    fn apply_transpose(&self, y: &[f64], x: &mut [f64]);

    /// One step of Golub-Kahan bidiagonalisation: `u = A v - alpha u`, then `w = Aᵀ u`. Gives `|u|²`.
    ///
    /// A matrix in memory does both in one pass, which halves the cost of LSMR.
    fn bidiagonal_step(&self, v: &[f64], alpha: f64, u: &mut [f64], w: &mut [f64]) -> f64 {
        let mut av = vec![0.0; u.len()];
        self.apply(v, &mut av);
        u.par_chunks_mut(4096).zip(av.par_chunks(4096)).for_each(|(u, av)| u.iter_mut().zip(av).for_each(|(u, av)| *u = av - alpha * *u));
        self.apply_transpose(u, w);
        certus_numeric::sum::par_dot(u, u)
    }

    /// `A x` as a new vector.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.rows()];
        self.apply(x, &mut y);
        y
    }

    /// `Aᵀ y` as a new vector.
    fn transpose_times(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.cols()];
        self.apply_transpose(y, &mut x);
        x
    }
}

impl LinearOperator for Matrix<'_> {
    fn rows(&self) -> usize {
        Matrix::rows(self)
    }

    fn cols(&self) -> usize {
        Matrix::cols(self)
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        require_lengths(self, x, y);
        let rows = RowBlocks::new(*self);
        y.par_chunks_mut(rows.height).enumerate().for_each(|(k, y)| {
            let first = k * rows.height;
            match self {
                Matrix::Dense(a) => pulp::Arch::new().dispatch(|| (0..y.len()).for_each(|i| y[i] = dot_lanes(a.row(first + i), x))),
                Matrix::Sparse(a) => (0..y.len()).for_each(|i| y[i] = sparse_dot(a, first + i, x)),
            }
        });
    }

    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        require_lengths(self, x, y);
        let rows = RowBlocks::new(*self);
        let parts = par_blocks(y.len(), rows.height, |range| {
            let mut part = vec![0.0; x.len()];
            match self {
                Matrix::Dense(a) => pulp::Arch::new().dispatch(|| range.for_each(|i| add_multiple(&mut part, y[i], a.row(i)))),
                Matrix::Sparse(a) => range.for_each(|i| sparse_add(&mut part, y[i], a, i)),
            }
            part
        });
        add_up(parts, x);
    }

    fn bidiagonal_step(&self, v: &[f64], alpha: f64, u: &mut [f64], w: &mut [f64]) -> f64 {
        require_lengths(self, v, u);
        let rows = RowBlocks::new(*self);
        let parts = u
            .par_chunks_mut(rows.height)
            .enumerate()
            .map(|(k, u)| {
                let mut part = vec![0.0; v.len()];
                let first = k * rows.height;
                match self {
                    Matrix::Dense(a) => pulp::Arch::new().dispatch(|| dense_step(a, first, v, alpha, u, &mut part)),
                    Matrix::Sparse(a) => {
                        for (i, u) in u.iter_mut().enumerate() {
                            *u = sparse_dot(a, first + i, v) - alpha * *u;
                            sparse_add(&mut part, *u, a, first + i);
                        }
                    }
                }
                (part, dot(u, u))
            })
            .collect::<Vec<_>>();
        let (parts, squares): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        add_up(parts, w);
        squares.into_iter().sum()
    }
}

/// How the rows of a matrix are cut into blocks that add to private copies of a column vector: by size alone, few enough that
/// adding up the copies costs at most a quarter of the pass.
pub(crate) struct RowBlocks {
    pub(crate) height: usize,
}

impl RowBlocks {
    pub(crate) fn new(a: Matrix<'_>) -> Self {
        let blocks = (a.stored() / (4 * a.cols().max(1))).clamp(1, 64);
        RowBlocks { height: a.rows().div_ceil(blocks).max(64) }
    }
}

fn require_lengths(a: &Matrix<'_>, column_space: &[f64], row_space: &[f64]) {
    assert!(
        column_space.len() == a.cols() && row_space.len() == a.rows(),
        "a {} x {} matrix applied between vectors of {} and {}",
        a.rows(),
        a.cols(),
        column_space.len(),
        row_space.len()
    );
}

fn add_up(parts: Vec<Vec<f64>>, x: &mut [f64]) {
    x.fill(0.0);
    for part in parts {
        x.iter_mut().zip(part).for_each(|(x, p)| *x += p);
    }
}

#[inline(always)]
fn dot_lanes(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder()).fold(0.0, |sum, (a, b)| sum + a * b);
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0] + rest
}

#[inline(always)]
fn add_multiple(y: &mut [f64], factor: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

/// Four rows at a time: while they are in the first cache, they are used for both products, and `part` is touched once for four.
#[inline(always)]
fn dense_step(a: &Array, first: usize, v: &[f64], alpha: f64, u: &mut [f64], part: &mut [f64]) {
    let d = v.len();
    let rows = &a.as_slice()[first * d..(first + u.len()) * d];
    let (fours, rest) = (rows.chunks_exact(4 * d), u.len() / 4 * 4);
    for (four, u) in fours.zip(u.chunks_exact_mut(4)) {
        let (r0, r1) = four.split_at(2 * d);
        let ((r0, r1), (r2, r3)) = (r0.split_at(d), r1.split_at(d));
        for (u, row) in u.iter_mut().zip([r0, r1, r2, r3]) {
            *u = dot_lanes(row, v) - alpha * *u;
        }
        let (u0, u1, u2, u3) = (u[0], u[1], u[2], u[3]);
        for ((((w, a0), a1), a2), a3) in part.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
            *w += (u0 * a0 + u1 * a1) + (u2 * a2 + u3 * a3);
        }
    }
    for (u, row) in u[rest..].iter_mut().zip(rows[rest * d..].chunks_exact(d)) {
        *u = dot_lanes(row, v) - alpha * *u;
        add_multiple(part, *u, row);
    }
}

#[inline(always)]
fn sparse_dot(a: &Csr, i: usize, x: &[f64]) -> f64 {
    let (columns, values) = a.row(i);
    columns.iter().zip(values).fold(0.0, |sum, (&j, v)| sum + v * x[j as usize])
}

#[inline(always)]
fn sparse_add(x: &mut [f64], factor: f64, a: &Csr, i: usize) {
    let (columns, values) = a.row(i);
    for (&j, v) in columns.iter().zip(values) {
        x[j as usize] += factor * v;
    }
}
