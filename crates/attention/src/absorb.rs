//! A fitted X and Y merged into a head's weights, where nothing stands between.

use certus_contract::InputError;
use certus_linalg::product::matmul;
use certus_linalg::view::{to_array, view};
use certus_numeric::Array;
use certus_numeric::sum::norm2;

use crate::Error;
use crate::layer::Params;

/// One head's projections: queries are `hidden wq + bq`, keys `hidden wk + bk`, values `hidden wv + bv`, and the output goes through `wo`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadWeights {
    /// width x d1.
    pub wq: Array,
    /// d1 numbers.
    pub bq: Vec<f64>,
    /// width x d2.
    pub wk: Array,
    /// d2 numbers.
    pub bk: Vec<f64>,
    /// dv x width: what the head's output is multiplied by.
    pub wo: Array,
}

/// Where X goes. Y always goes before `wo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Behind the queries' projection.
    Query,
    /// Behind the keys'.
    Key,
}

/// What turns queries and keys by their position, between projection and score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotary {
    /// Nothing.
    None,
    /// Pairs of neighbouring columns.
    Neighbours,
    /// Column j with column j + d / 2.
    Halves,
}

/// By how much X may fail to commute with the rotations, relative to it.
const COMMUTES: f64 = 1e-9;

/// The weights of a head that gives without X and Y what the old one gives with them.
///
/// # Errors
/// `DimensionMismatch`; `NotAbsorbable` where a rotation stands between and X does not commute with it.
pub fn absorb(head: &HeadWeights, fit: &Params, into: Side, rotary: Rotary) -> Result<HeadWeights, Error> {
    let (d1, d2) = fit.x.require_matrix("x")?;
    let dv = fit.y.require_matrix("y")?.0;
    let expect = |name: &str, found: &[usize], expected: String, fits: bool| {
        if fits { Ok(()) } else { Err(InputError::shape(name, found, expected)) }
    };
    let side = |name: &str, w: &Array, b: &[f64], d: usize| {
        expect(name, w.shape(), format!("width x {d}"), w.ndim() == 2 && w.cols() == d)?;
        expect("bias", &[b.len()], format!("{d}"), b.len() == d)
    };
    side("wq", &head.wq, &head.bq, d1)?;
    side("wk", &head.wk, &head.bk, d2)?;
    expect("wo", head.wo.shape(), format!("{dv} x width"), head.wo.ndim() == 2 && head.wo.rows() == dv)?;
    for (name, array) in [("x", &fit.x), ("y", &fit.y), ("wq", &head.wq), ("wk", &head.wk), ("wo", &head.wo)] {
        array.require_finite(name)?;
    }
    let excess = not_commuting(&fit.x, rotary);
    if excess.is_nan() || excess > COMMUTES {
        return Err(Error::NotAbsorbable { excess });
    }
    let mut new = head.clone();
    match into {
        Side::Query => {
            new.wq = to_array(matmul(view(&head.wq), view(&fit.x)).as_ref());
            new.bq = times(&head.bq, &fit.x);
        }
        Side::Key => {
            let turned = fit.x.transposed();
            new.wk = to_array(matmul(view(&head.wk), view(&turned)).as_ref());
            new.bk = times(&head.bk, &turned);
        }
    }
    new.wo = to_array(matmul(view(&fit.y), view(&head.wo)).as_ref());
    Ok(new)
}

/// `bᵀ x`.
fn times(b: &[f64], x: &Array) -> Vec<f64> {
    (0..x.cols()).map(|j| b.iter().enumerate().map(|(i, b)| b * x.row(i)[j]).sum()).collect()
}

/// The distance of X from the matrices that commute with all rotations, relative to X: those made of scaled rotations of each pair.
fn not_commuting(x: &Array, rotary: Rotary) -> f64 {
    let (d, size) = (x.rows(), norm2(x.as_slice()));
    if rotary == Rotary::None || size == 0.0 {
        return 0.0;
    }
    if d != x.cols() || d % 2 != 0 {
        return 1.0;
    }
    let pair = |k: usize| if rotary == Rotary::Neighbours { (2 * k, 2 * k + 1) } else { (k, k + d / 2) };
    let mut off = x.clone();
    for k in 0..d / 2 {
        let (p, q) = pair(k);
        let (real, imaginary) = (0.5 * (x.row(p)[p] + x.row(q)[q]), 0.5 * (x.row(p)[q] - x.row(q)[p]));
        off.row_mut(p)[p] -= real;
        off.row_mut(q)[q] -= real;
        off.row_mut(p)[q] -= imaginary;
        off.row_mut(q)[p] += imaginary;
    }
    norm2(off.as_slice()) / size
}
