//! Changes of variable x = P y under which `A P` is well conditioned.

use certus_numeric::sum::{norm2, par_blocks};

use crate::Error;
use crate::factor::{PivotedQr, Triangle, qr_r, solve_triangular, solve_triangular_vec, svd, tall_qr_r, triangular_condition};
use crate::matrix::{Matrix, require_dense};
use crate::operator::LinearOperator;
use crate::product::{matmul, matvec};
use crate::view::{Mat, MatRef, rows_of};

/// The change of variable x = P y.
#[derive(Clone, Debug)]
pub(super) enum Preconditioner {
    /// P divides each column of A by its norm.
    Columns(Vec<f64>),
    /// P = R⁻¹ for an upper triangular R with `Rᵀ R` near `Aᵀ A`.
    Triangular(Mat<f64>),
    /// P (d x rank) = V Σ⁻¹ over the singular values that are not zero: A is rank-deficient, and P y has no part along the rest.
    Spectral { p: Mat<f64>, values: Vec<f64> },
}

impl Preconditioner {
    /// From the triangular factor of A or of a sketch of it. The rank is that of the factor with columns of unit norm, at
    /// `rounding` relative to its largest pivot.
    pub(super) fn from_factor(r: Mat<f64>, rounding: f64) -> Result<Self, Error> {
        let d = r.ncols();
        let norms = (0..d).map(|j| column_norm(r.as_ref(), j)).collect::<Vec<_>>();
        let unit = Mat::from_fn(d, d, |i, j| if norms[j] > 0.0 { r[(i, j)] / norms[j] } else { 0.0 });
        // An inverse is cheap and proves full rank; only where it does not, pivots are worth their time.
        if triangular_condition(unit.as_ref()) * rounding < 1.0 {
            return Ok(Preconditioner::Triangular(r));
        }
        let rank = PivotedQr::new(unit)?.rank(rounding);
        if rank == d {
            return Ok(Preconditioner::Triangular(r));
        }
        let decomposition = svd(r.as_ref())?;
        // The values are those of unscaled columns: what is noise among them must not count either.
        let largest = decomposition.values.first().copied().unwrap_or(0.0);
        let rank = decomposition.values.iter().take_while(|v| **v > rounding * largest).count().min(rank);
        let values = decomposition.values[..rank].to_vec();
        let p = Mat::from_fn(d, rank, |i, j| decomposition.v[(i, j)] / values[j]);
        Ok(Preconditioner::Spectral { p, values })
    }

    /// The number of columns of P: the rank of A as far as it is known.
    pub(super) fn rank(&self) -> usize {
        match self {
            Preconditioner::Columns(scales) => scales.len(),
            Preconditioner::Triangular(r) => r.ncols(),
            Preconditioner::Spectral { p, .. } => p.ncols(),
        }
    }

    /// P y.
    pub(super) fn apply(&self, y: &[f64]) -> Vec<f64> {
        match self {
            Preconditioner::Columns(scales) => y.iter().zip(scales).map(|(y, s)| y * s).collect(),
            Preconditioner::Triangular(r) => {
                let mut x = y.to_vec();
                solve_triangular_vec(Triangle::Upper, r.as_ref(), &mut x);
                x
            }
            Preconditioner::Spectral { p, .. } => matvec(p.as_ref(), y),
        }
    }

    /// Pᵀ g.
    pub(super) fn apply_transpose(&self, g: &[f64]) -> Vec<f64> {
        match self {
            Preconditioner::Columns(scales) => g.iter().zip(scales).map(|(g, s)| g * s).collect(),
            Preconditioner::Triangular(r) => {
                let mut x = g.to_vec();
                solve_triangular_vec(Triangle::Lower, r.transpose(), &mut x);
                x
            }
            Preconditioner::Spectral { p, .. } => matvec(p.transpose(), g),
        }
    }

    /// An upper bound of `|P⁻¹|`, the factor by which a gradient can grow from y back to x.
    pub(super) fn inverse_norm(&self) -> f64 {
        match self {
            Preconditioner::Columns(scales) => scales.iter().fold(0.0, |largest: f64, s| largest.max(1.0 / s)),
            Preconditioner::Triangular(r) => two_norm_bound(r.as_ref()),
            Preconditioner::Spectral { values, .. } => values.first().copied().unwrap_or(0.0),
        }
    }

    /// An estimate of `|P⁻¹|` from inside, for a stopping rule whose outcome is measured: ten steps of the power method.
    pub(super) fn inverse_norm_estimate(&self) -> f64 {
        let Preconditioner::Triangular(r) = self else { return self.inverse_norm() };
        let mut x = vec![1.0; r.ncols()];
        let mut norm = 0.0;
        for _ in 0..10 {
            let size = norm2(&x);
            x.iter_mut().for_each(|x| *x /= size);
            let image = matvec(r.as_ref(), &x);
            norm = norm2(&image);
            x = matvec(r.transpose(), &image);
        }
        norm.min(self.inverse_norm())
    }

    /// An upper bound of `|P|`. Cost: d³/3 flops for a triangular factor.
    pub(super) fn norm(&self) -> f64 {
        match self {
            Preconditioner::Columns(scales) => scales.iter().fold(0.0, |largest: f64, s| largest.max(*s)),
            Preconditioner::Triangular(r) => {
                let mut inverse = Mat::identity(r.nrows(), r.nrows());
                solve_triangular(Triangle::Upper, r.as_ref(), inverse.as_mut());
                two_norm_bound(inverse.as_ref())
            }
            Preconditioner::Spectral { values, .. } => values.last().map_or(0.0, |smallest| 1.0 / smallest),
        }
    }

    /// The rows `Pᵀ a` for the rows `a` of `block` (any number x d), as columns.
    pub(super) fn transform_rows(&self, block: MatRef<'_, f64>) -> Mat<f64> {
        match self {
            Preconditioner::Columns(scales) => Mat::from_fn(block.ncols(), block.nrows(), |j, i| block[(i, j)] * scales[j]),
            Preconditioner::Triangular(r) => {
                let mut rows = block.transpose().to_owned();
                solve_triangular(Triangle::Lower, r.transpose(), rows.as_mut());
                rows
            }
            Preconditioner::Spectral { p, .. } => matmul(p.transpose(), block.transpose()),
        }
    }
}

/// `A P` as an operator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preconditioned<'a, A> {
    pub(super) matrix: &'a A,
    pub(super) by: &'a Preconditioner,
}

impl<A: LinearOperator> LinearOperator for Preconditioned<'_, A> {
    fn rows(&self) -> usize {
        self.matrix.rows()
    }

    fn cols(&self) -> usize {
        self.by.rank()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.matrix.apply(&self.by.apply(x), y);
    }

    fn apply_transpose(&self, y: &[f64], x: &mut [f64]) {
        x.copy_from_slice(&self.by.apply_transpose(&self.matrix.transpose_times(y)));
    }

    fn bidiagonal_step(&self, v: &[f64], alpha: f64, u: &mut [f64], w: &mut [f64]) -> f64 {
        let mut gradient = vec![0.0; self.matrix.cols()];
        let square = self.matrix.bidiagonal_step(&self.by.apply(v), alpha, u, &mut gradient);
        w.copy_from_slice(&self.by.apply_transpose(&gradient));
        square
    }
}

fn column_norm(r: MatRef<'_, f64>, j: usize) -> f64 {
    norm2(&r.col(j).iter().copied().collect::<Vec<_>>())
}

/// `sqrt(|R|_1 |R|_inf)`, an upper bound of the largest singular value.
fn two_norm_bound(r: MatRef<'_, f64>) -> f64 {
    let absolute = |sum: f64, v: &f64| sum + v.abs();
    let columns = r.col_iter().map(|c| c.iter().fold(0.0, absolute)).fold(0.0, f64::max);
    let rows = r.row_iter().map(|c| c.iter().fold(0.0, absolute)).fold(0.0, f64::max);
    (columns * rows).sqrt()
}

/// Rows of one block.
pub(super) const BLOCK_ROWS: usize = 8192;

/// Blocks of rows of A, dense, one at a time: a sparse matrix is never turned into a dense one as a whole.
pub(super) fn row_blocks(a: Matrix<'_>) -> impl Iterator<Item = Mat<f64>> + '_ {
    let n = a.rows();
    (0..n).step_by(BLOCK_ROWS).map(move |start| dense_rows(a, start..n.min(start + BLOCK_ROWS)))
}

fn dense_rows(a: Matrix<'_>, rows: std::ops::Range<usize>) -> Mat<f64> {
    match a {
        Matrix::Dense(a) => {
            let d = a.cols();
            rows_of(&a.as_slice()[rows.start * d..rows.end * d], rows.len(), d).to_owned()
        }
        Matrix::Sparse(a) => {
            let mut block = Mat::zeros(rows.len(), a.cols());
            for (i, row) in rows.enumerate() {
                let (columns, values) = a.row(row);
                columns.iter().zip(values).for_each(|(&j, &v)| block[(i, j as usize)] = v);
            }
            block
        }
    }
}

/// What to do where a factor or a sketch is too large.
pub(super) const INSTEAD: &str = "the method lsmr needs none";

/// Rows that are factored at a time.
pub(super) fn factor_block(cols: usize) -> usize {
    (16 * (cols + 1)).max(1024)
}

/// The triangular factor R of A and c = the first d entries of `Qᵀ b`, by blocks of rows of `[A b]`.
pub(super) fn augmented_factor(a: Matrix<'_>, b: &[f64]) -> Result<(Mat<f64>, Vec<f64>), Error> {
    let d = a.cols();
    require_dense("the factor of a", factor_block(d), d, INSTEAD)?;
    let factors = par_blocks(a.rows(), factor_block(d), |rows| {
        let mut augmented = Mat::zeros(rows.len(), d + 1);
        augmented.as_mut().subcols_mut(0, d).copy_from(dense_rows(a, rows.clone()));
        augmented.col_mut(d).iter_mut().zip(&b[rows]).for_each(|(v, b)| *v = *b);
        qr_r(augmented)
    });
    let factors = factors.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut stacked = Mat::zeros(factors.iter().map(Mat::nrows).sum(), d + 1);
    let mut row = 0;
    for factor in &factors {
        stacked.as_mut().subrows_mut(row, factor.nrows()).copy_from(factor);
        row += factor.nrows();
    }
    let whole = tall_qr_r(stacked.as_ref())?;
    let r = Mat::from_fn(d, d, |i, j| if i < whole.nrows() { whole[(i, j)] } else { 0.0 });
    let c = (0..d).map(|i| if i < whole.nrows() { whole[(i, d)] } else { 0.0 }).collect();
    Ok((r, c))
}

/// The minimiser of `|R x - c|` in the range of P.
pub(super) fn solve_factored(by: &Preconditioner, r: &Mat<f64>, c: &[f64]) -> Vec<f64> {
    match by {
        Preconditioner::Triangular(_) => by.apply(c),
        // R P has orthonormal columns, so that y = (R P)ᵀ c.
        _ => by.apply(&by.apply_transpose(&matvec(r.transpose(), c))),
    }
}
