//! Factorisations, as plain functions on f64: sequential and on aligned copies, so that the same entries give the same bits.

mod cholesky;
mod eigen;
mod qr;
mod svd;
mod triangular;

pub use cholesky::Cholesky;
pub use eigen::{SymmetricEigen, generalized_symmetric_eigen, symmetric_eigen, symmetric_eigenvalues};
pub use qr::{PivotedQr, qr_r, tall_qr_r};
pub use svd::{Svd, singular_values, svd};
pub use triangular::{Triangle, solve_triangular, solve_triangular_vec, triangular_condition};

use faer::MatRef;

use crate::error::Error;
use crate::view;

fn require_finite(what: &'static str, a: MatRef<'_, f64>) -> Result<(), Error> {
    if view::is_finite(a) { Ok(()) } else { Err(Error::NonFiniteMatrix { what }) }
}
