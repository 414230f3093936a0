//! Singular value decomposition.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{self as decomposition, ComputeSvdVectors, SvdParams};
use faer::{Mat, MatRef, Par, Spec};

use crate::error::Error;

/// `A = U diag(values) Vᵀ`, thin: U is n x k and V is d x k with k = min(n, d).
#[derive(Clone, Debug)]
pub struct Svd {
    /// Left singular vectors, one a column.
    pub u: Mat<f64>,
    /// Singular values, descending.
    pub values: Vec<f64>,
    /// Right singular vectors, one a column.
    pub v: Mat<f64>,
}

/// The thin singular value decomposition of `a` (n x d). For tall matrices reduce by [`tall_qr_r`](super::tall_qr_r) first
/// where U is not needed.
///
/// # Errors
/// `NonFiniteMatrix`, `NoConvergence`.
pub fn svd(a: MatRef<'_, f64>) -> Result<Svd, Error> {
    let k = a.nrows().min(a.ncols());
    let (mut u, mut v) = (Mat::zeros(a.nrows(), k), Mat::zeros(a.ncols(), k));
    let values = decompose(a, Some((&mut u, &mut v)))?;
    Ok(Svd { u, values, v })
}

/// The singular values of `a`, descending.
///
/// # Errors
/// As [`svd`].
pub fn singular_values(a: MatRef<'_, f64>) -> Result<Vec<f64>, Error> {
    decompose(a, None)
}

fn decompose(a: MatRef<'_, f64>, vectors: Option<(&mut Mat<f64>, &mut Mat<f64>)>) -> Result<Vec<f64>, Error> {
    super::require_finite("singular value decomposition", a)?;
    let (n, d) = (a.nrows(), a.ncols());
    let a = a.to_owned();
    let want = if vectors.is_some() { ComputeSvdVectors::Thin } else { ComputeSvdVectors::No };
    let params = Spec::<SvdParams, f64>::default();
    let mut memory = MemBuffer::new(decomposition::svd_scratch::<f64>(n, d, want, want, Par::Seq, params));
    let mut values = Diag::<f64>::zeros(n.min(d));
    let (u, v) = vectors.unzip();
    decomposition::svd(
        a.as_ref(),
        values.as_mut(),
        u.map(|u| u.as_mut()),
        v.map(|v| v.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        params,
    )
    .map_err(|_| Error::NoConvergence { what: "singular value decomposition", rows: n, cols: d })?;
    Ok(values.column_vector().iter().copied().collect())
}
