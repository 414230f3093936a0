//! Matrix products: at the speed of the GEMM kernels on all threads, with the same bits on any number of them.
//!
//! The result is cut into tiles whose size depends on the shapes alone, each one sequential product. A long sum for a small
//! result (a Gram matrix) is cut into at most sixteen blocks, which are added up in ascending order. Products with one row or
//! column do not go through GEMM: they are bound by memory, and GEMM's kernels for them do not fix the order of their sums.

use certus_numeric::sum;
use faer::linalg::matmul::matmul as gemm;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows or columns of one tile of a result.
const TILE: usize = 512;
/// A sum shorter than this is not cut.
const SHORT_SUM: usize = 2048;
/// The most blocks that a long sum is cut into: bounds the memory for partial results.
const SUM_BLOCKS: usize = 16;
/// Results below this many flops are computed in one piece.
const SMALL: usize = 1 << 18;

/// What a product does with what its destination holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Overwrite it.
    Replace,
    /// Add to it.
    Add,
}

/// `a b`. Cost: 2 m n k flops.
///
/// # Panics
/// If the inner dimensions differ.
pub fn matmul(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    matmul_into(c.as_mut(), Destination::Replace, 1.0, a, b);
    c
}

/// `c = alpha a b`, or `c += alpha a b`.
///
/// # Panics
/// If the dimensions do not fit.
pub fn matmul_into(mut c: MatMut<'_, f64>, into: Destination, alpha: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    let (m, n, k) = (a.nrows(), b.ncols(), a.ncols());
    assert!(
        b.nrows() == k && c.nrows() == m && c.ncols() == n,
        "product of {m} x {k} and {} x {n} into {} x {}",
        b.nrows(),
        c.nrows(),
        c.ncols()
    );
    if n == 1 {
        let x = b.col(0).iter().copied().collect::<Vec<_>>();
        return put_column(c, into, alpha, &matvec(a, &x));
    }
    if m == 1 {
        let x = a.row(0).iter().copied().collect::<Vec<_>>();
        return put_column(c.transpose_mut(), into, alpha, &matvec(b.transpose(), &x));
    }
    let accum = accum(into);
    if 2 * m * n * k <= SMALL {
        gemm(c, accum, a, b, alpha, Par::Seq);
    } else if m.div_ceil(TILE) * n.div_ceil(TILE) < SUM_BLOCKS && k > SHORT_SUM && k > 2 * m.min(n) {
        let zero = || Mat::zeros(m, n);
        let total = ordered_blocks(k, zero, |mut part, rows| {
            gemm(part.as_mut(), Accum::Replace, a.subcols(rows.start, rows.len()), b.subrows(rows.start, rows.len()), alpha, Par::Seq);
            part
        });
        match into {
            Destination::Replace => c.copy_from(total),
            Destination::Add => c += total,
        }
    } else if m >= n {
        c.par_row_chunks_mut(tile(m)).enumerate().for_each(|(t, c)| {
            let rows = c.nrows();
            gemm(c, accum, a.subrows(t * tile(m), rows), b, alpha, Par::Seq);
        });
    } else {
        c.par_col_chunks_mut(tile(n)).enumerate().for_each(|(t, c)| {
            let cols = c.ncols();
            gemm(c, accum, a, b.subcols(t * tile(n), cols), alpha, Par::Seq);
        });
    }
}

/// `aᵀ a`, all of it, exactly symmetric. Cost: n d² flops for an n x d matrix.
pub fn gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let (n, d) = (a.nrows(), a.ncols());
    let lower = |mut part: Mat<f64>, rows: std::ops::Range<usize>| {
        let block = a.subrows(rows.start, rows.len());
        triangular::matmul(
            part.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Replace,
            block.transpose(),
            BlockStructure::Rectangular,
            block,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
        part
    };
    let mut g = if n > SHORT_SUM { ordered_blocks(n, || Mat::zeros(d, d), lower) } else { lower(Mat::zeros(d, d), 0..n) };
    for j in 0..d {
        for i in 0..j {
            g[(i, j)] = g[(j, i)];
        }
    }
    g
}

/// `a x`. Bound by memory: one pass over `a`, in parallel blocks of rows.
///
/// # Panics
/// If `x` has not `a.ncols()` entries.
pub fn matvec(a: MatRef<'_, f64>, x: &[f64]) -> Vec<f64> {
    assert_eq!(a.ncols(), x.len(), "a matrix with {} columns times a vector of {}", a.ncols(), x.len());
    const ROWS: usize = 256;
    let blocks = sum::par_blocks(a.nrows(), ROWS, |rows| {
        let block = a.subrows(rows.start, rows.len());
        if block.col_stride() == 1 {
            return block.row_iter().map(|row| row.try_as_row_major().map_or(0.0, |row| sum::dot(row.as_slice(), x))).collect::<Vec<_>>();
        }
        let mut y = vec![0.0; rows.len()];
        for (column, &x) in block.col_iter().zip(x) {
            match column.try_as_col_major() {
                Some(column) => y.iter_mut().zip(column.as_slice()).for_each(|(y, a)| *y += a * x),
                None => y.iter_mut().zip(column.iter()).for_each(|(y, a)| *y += a * x),
            }
        }
        y
    });
    blocks.concat()
}

/// A sum over `0..k` cut into blocks by length alone and added up in ascending order.
fn ordered_blocks(
    k: usize,
    zero: impl Fn() -> Mat<f64> + Sync,
    block: impl Fn(Mat<f64>, std::ops::Range<usize>) -> Mat<f64> + Sync,
) -> Mat<f64> {
    let length = k.div_ceil(SUM_BLOCKS).max(SHORT_SUM / 2);
    let parts = sum::par_blocks(k, length, |rows| block(zero(), rows));
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(&zero);
    for part in parts {
        total += part;
    }
    total
}

/// Rows (or columns) of one tile: four to sixteen tiles, an even share for threads, each of a size that keeps GEMM busy.
fn tile(extent: usize) -> usize {
    extent.div_ceil(4).min(TILE).max(extent.div_ceil(SUM_BLOCKS)).next_multiple_of(16)
}

fn accum(into: Destination) -> Accum {
    match into {
        Destination::Replace => Accum::Replace,
        Destination::Add => Accum::Add,
    }
}

fn put_column(c: MatMut<'_, f64>, into: Destination, alpha: f64, values: &[f64]) {
    for (c, v) in c.col_mut(0).iter_mut().zip(values) {
        *c = if into == Destination::Add { *c + alpha * v } else { alpha * v };
    }
}
