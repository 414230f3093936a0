//! Eigenvalues of symmetric matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, MatRef, Par, Spec};

use super::{Cholesky, Triangle, solve_triangular};
use crate::error::Error;

/// `A = V diag(values) Vᵀ`.
#[derive(Clone, Debug)]
pub struct SymmetricEigen {
    /// Eigenvalues, ascending.
    pub values: Vec<f64>,
    /// Eigenvectors, one a column, in the order of the values.
    pub vectors: Mat<f64>,
}

/// Eigenvalues and vectors of a symmetric matrix; only its lower triangle is read. Cost: about 9 d³ flops.
///
/// # Errors
/// `NonFiniteMatrix`, `NoConvergence`.
///
/// # Panics
/// If `a` is not square.
pub fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<SymmetricEigen, Error> {
    let mut vectors = Mat::zeros(a.nrows(), a.ncols());
    let values = decompose(a, Some(&mut vectors))?;
    Ok(SymmetricEigen { values, vectors })
}

/// Eigenvalues of a symmetric matrix, ascending; only its lower triangle is read. Cost: about 4/3 d³ flops.
///
/// # Errors
/// As [`symmetric_eigen`].
pub fn symmetric_eigenvalues(a: MatRef<'_, f64>) -> Result<Vec<f64>, Error> {
    decompose(a, None)
}

/// Solutions of `A v = λ B v` with A symmetric and B symmetric positive definite: ascending λ, vectors with `vᵀ B v = 1`.
/// Only lower triangles are read. Cost: about 14 d³ flops.
///
/// # Errors
/// `NotPositiveDefinite` for B, and as [`symmetric_eigen`].
///
/// # Panics
/// If the matrices are not square and of the same size.
pub fn generalized_symmetric_eigen(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<SymmetricEigen, Error> {
    let cholesky = Cholesky::new("the second matrix of the generalised eigenproblem", b)?;
    // C = L⁻¹ A L⁻ᵀ, made from both sides: solve for the columns of L⁻¹ A, transpose, solve again.
    let d = a.nrows();
    assert!(
        a.ncols() == d && b.nrows() == d,
        "a generalised eigenproblem of a {d} x {} and a {} x {} matrix",
        a.ncols(),
        b.nrows(),
        b.ncols()
    );
    let mut half = Mat::from_fn(d, d, |i, j| if i >= j { a[(i, j)] } else { a[(j, i)] });
    solve_triangular(Triangle::Lower, cholesky.lower(), half.as_mut());
    let mut c = half.transpose().to_owned();
    solve_triangular(Triangle::Lower, cholesky.lower(), c.as_mut());
    let mut eigen = symmetric_eigen(c.as_ref())?;
    solve_triangular(Triangle::Upper, cholesky.lower().transpose(), eigen.vectors.as_mut());
    Ok(eigen)
}

fn decompose(a: MatRef<'_, f64>, vectors: Option<&mut Mat<f64>>) -> Result<Vec<f64>, Error> {
    assert_eq!(a.nrows(), a.ncols(), "a symmetric matrix is square");
    let d = a.nrows();
    let lower = Mat::from_fn(d, d, |i, j| if i >= j { a[(i, j)] } else { a[(j, i)] });
    super::require_finite("symmetric eigendecomposition", lower.as_ref())?;
    if d <= JACOBI {
        return Ok(by_jacobi(lower, vectors));
    }
    let want = if vectors.is_some() { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let params = Spec::<SelfAdjointEvdParams, f64>::default();
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(d, want, Par::Seq, params));
    let mut values = Diag::<f64>::zeros(d);
    self_adjoint_evd(lower.as_ref(), values.as_mut(), vectors.map(|v| v.as_mut()), Par::Seq, MemStack::new(&mut memory), params)
        .map_err(|_| Error::NoConvergence { what: "symmetric eigendecomposition", rows: d, cols: d })?;
    Ok(values.column_vector().iter().copied().collect())
}

/// Order up to which Jacobi's rotations are the faster way.
const JACOBI: usize = 8;

/// By rotations of pairs, in cyclic order, until no off-diagonal entry is above rounding.
///
/// Source: Golub, Van Loan, Matrix Computations, section 8.5.
fn by_jacobi(mut a: Mat<f64>, vectors: Option<&mut Mat<f64>>) -> Vec<f64> {
    const SWEEPS: usize = 30;
    let d = a.nrows();
    let mut v = vectors.is_some().then(|| Mat::<f64>::identity(d, d));
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for q in 1..d {
            for p in 0..q {
                let off = a[(p, q)];
                if off == 0.0 || off.abs() <= 0.25 * f64::EPSILON * a[(p, p)].abs().sqrt() * a[(q, q)].abs().sqrt() {
                    continue;
                }
                rotated = true;
                let theta = 0.5 * (a[(q, q)] - a[(p, p)]) / off;
                let t = theta.signum() / (theta.abs() + (1.0 + theta * theta).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for k in 0..d {
                    let (kp, kq) = (a[(k, p)], a[(k, q)]);
                    (a[(k, p)], a[(k, q)]) = (c * kp - s * kq, s * kp + c * kq);
                }
                for k in 0..d {
                    let (pk, qk) = (a[(p, k)], a[(q, k)]);
                    (a[(p, k)], a[(q, k)]) = (c * pk - s * qk, s * pk + c * qk);
                    if let Some(v) = &mut v {
                        let (kp, kq) = (v[(k, p)], v[(k, q)]);
                        (v[(k, p)], v[(k, q)]) = (c * kp - s * kq, s * kp + c * kq);
                    }
                }
                (a[(p, q)], a[(q, p)]) = (0.0, 0.0);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order = (0..d).collect::<Vec<_>>();
    order.sort_by(|i, j| a[(*i, *i)].total_cmp(&a[(*j, *j)]));
    if let (Some(vectors), Some(v)) = (vectors, v) {
        for (j, &from) in order.iter().enumerate() {
            vectors.col_mut(j).copy_from(v.col(from));
        }
    }
    order.into_iter().map(|j| a[(j, j)]).collect()
}
