//! Products of Kronecker type that are never formed, and `vec` in row-major order.
//!
//! `vec` stacks the **rows** of a matrix, as arrays lie in memory here, so that
//!
//! ```text
//! (A ⊗ B) vec(X) = vec(A X Bᵀ)        X is cols(A) x cols(B)
//! ```
//!
//! | type | row | product with vec(X) |
//! |---|---|---|
//! | [`Kron`] `A ⊗ B` | (i, k): `a_i ⊗ b_k` | `A X Bᵀ` |
//! | [`KhatriRao`] `A ⊙ B`, columns paired | (i, k): `a_i * b_k` entry by entry | `A diag(x) Bᵀ` |
//! | [`FaceSplitting`] `A • B`, rows paired | i: `a_i ⊗ b_i` | `a_iᵀ X b_i` |

mod face_splitting;
mod khatri_rao;
mod kronecker;

pub use face_splitting::FaceSplitting;
pub use khatri_rao::KhatriRao;
pub use kronecker::{Kron, KronLeverage};

use crate::view::{Mat, MatRef, rows_of};

/// The rows of a matrix, one after the other.
///
/// ```
/// use certus_linalg::{Mat, kron::{unvec, vec}};
/// let x = Mat::from_fn(2, 3, |i, j| (3 * i + j) as f64);
/// assert_eq!(vec(x.as_ref()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
/// assert_eq!(unvec(&vec(x.as_ref()), 2, 3), x);
/// ```
pub fn vec(x: MatRef<'_, f64>) -> Vec<f64> {
    crate::view::to_array(x).into_vec()
}

/// The matrix (`rows` x `cols`) whose rows stand in `v` one after the other. A view: nothing is copied.
///
/// # Panics
/// If `v` has not `rows * cols` entries.
pub fn unvec(v: &[f64], rows: usize, cols: usize) -> MatRef<'_, f64> {
    rows_of(v, rows, cols)
}

/// Rows of a product that are formed at a time.
const BLOCK_ROWS: usize = 1024;

/// `w_i` times row i.
fn weighted_rows(mut block: Mat<f64>, weights: &[f64]) -> Mat<f64> {
    for j in 0..block.ncols() {
        block.col_mut(j).iter_mut().zip(weights).for_each(|(v, w)| *v *= w);
    }
    block
}

/// Entry by entry.
fn hadamard(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] * b[(i, j)])
}
