//! What a sketch did to a subspace, measured.

use certus_contract::InputError;
use certus_numeric::Array;

use crate::Error;
use crate::factor::{Triangle, singular_values, solve_triangular, tall_qr_r};
use crate::view::{MatRef, view};

/// The extreme singular values of S Q, for an orthonormal basis Q of a subspace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// The smallest: 0 if S loses a direction.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
}

impl Distortion {
    /// From the extreme singular values of A R^-1, where R is the triangular factor of the sketch S A: those of S Q are their
    /// inverses, exchanged.
    pub fn from_preconditioned(smallest: f64, largest: f64) -> Self {
        Distortion { smallest: 1.0 / largest, largest: 1.0 / smallest }
    }

    /// The largest |sigma^2 - 1|: the epsilon with which S embeds the subspace.
    pub fn epsilon(self) -> f64 {
        (self.largest * self.largest - 1.0).max(1.0 - self.smallest * self.smallest)
    }
}

/// The distortion of the column space of A by S, from the triangular factor R of A (d x d, A^T A = R^T R) and from
/// `sketched` = S A (s x d). Cost: 3 s d^2 flops.
///
/// Its rounding error is about the condition number of R times 1e-16: scale the columns of A first where they differ much.
///
/// # Errors
/// `DimensionMismatch`; `RankDeficient` if R has a zero on its diagonal; `NonFiniteMatrix`, `NoConvergence`.
pub fn distortion(factor: MatRef<'_, f64>, sketched: &Array) -> Result<Distortion, Error> {
    let d = factor.ncols();
    let (s, found) = sketched.require_matrix("the sketched matrix")?;
    if found != d || factor.nrows() != d {
        let (found, expected) = (format!("{} x {d} and {s} x {found}", factor.nrows()), "d x d and s x d".to_owned());
        return Err(InputError::dimension("the pair of triangular factor and sketched matrix", found, expected).into());
    }
    if let Some(rank) = (0..d).find(|&i| factor[(i, i)] == 0.0) {
        return Err(Error::RankDeficient { matrix: "the triangular factor".to_owned(), rank, cols: d });
    }
    let mut basis = view(sketched).transpose().to_owned();
    solve_triangular(Triangle::Lower, factor.transpose(), basis.as_mut());
    let values = if s > d { singular_values(tall_qr_r(basis.transpose())?.as_ref())? } else { singular_values(basis.as_ref())? };
    let largest = values.first().copied().unwrap_or(1.0);
    let smallest = if s < d { 0.0 } else { values.last().copied().unwrap_or(1.0) };
    Ok(Distortion { smallest, largest })
}
