//! Matrix products: at the speed of the GEMM kernels on all threads, with the same bits on any number of them.
//!
//! The result is cut into tiles whose size depends on the shapes alone, each one sequential product. A long sum for a small
//! result (a Gram matrix) is cut into at most sixteen blocks, which are added up in ascending order. Products with one row or
//! column do not go through GEMM: they are bound by memory, and GEMM's kernels for them do not fix the order of their sums.

use certus_numeric::sum;
use faer::linalg::matmul::matmul as gemm;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use pulp::Simd;
use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::simd::{Kernel, widest};
use crate::view::rows_of;

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

/// As [`matmul_into`], in one piece on the calling thread: for blocks of work that run in parallel themselves.
///
/// # Panics
/// If the dimensions do not fit.
pub fn matmul_here(mut c: MatMut<'_, f64>, into: Destination, alpha: f64, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    if c.ncols() == 1 || c.nrows() == 1 {
        for j in 0..c.ncols() {
            for i in 0..c.nrows() {
                let value = alpha * a.row(i).iter().zip(b.col(j).iter()).fold(0.0, |sum, (a, b)| sum + a * b);
                c[(i, j)] = if into == Destination::Add { c[(i, j)] + value } else { value };
            }
        }
        return;
    }
    gemm(c, accum(into), a, b, alpha, Par::Seq);
}

/// `aᵀ a`, all of it, exactly symmetric. Cost: n d² flops for an n x d matrix.
pub fn gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let (n, d) = (a.nrows(), a.ncols());
    if d >= TILE {
        return wide_gram(a);
    }
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

/// As [`gram`], by tiles of the lower triangle: a wide result is work enough for all threads.
fn wide_gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let d = a.ncols();
    let width = tile(d);
    let tiles = (0..d.div_ceil(width)).flat_map(|i| (0..=i).map(move |j| (i, j))).collect::<Vec<_>>();
    let columns = |t: usize| a.subcols(t * width, width.min(d - t * width));
    let formed = sum::par_blocks(tiles.len(), 1, |range| {
        let (i, j) = tiles[range.start];
        let mut part = Mat::zeros(columns(i).ncols(), columns(j).ncols());
        gemm(part.as_mut(), Accum::Replace, columns(i).transpose(), columns(j), 1.0, Par::Seq);
        part
    });
    let mut g = Mat::zeros(d, d);
    for ((i, j), part) in tiles.into_iter().zip(formed) {
        g.as_mut().submatrix_mut(i * width, j * width, part.nrows(), part.ncols()).copy_from(part);
    }
    for j in 0..d {
        for i in 0..j {
            g[(i, j)] = g[(j, i)];
        }
    }
    g
}

/// `Aᵀ diag(w) A` for weights of any sign, all of it, exactly symmetric. Cost: n d² flops (dense), the sum of squared row counts
/// (sparse); memory: at most sixteen partial results (of sparse ones half), together 2^22 numbers or two.
///
/// # Panics
/// If there are not n weights.
pub fn weighted_gram(a: Matrix<'_>, weights: &[f64]) -> Mat<f64> {
    assert_eq!(weights.len(), a.rows(), "{} weights for {} rows", weights.len(), a.rows());
    let d = a.cols();
    let work = match a {
        Matrix::Dense(_) => a.rows() * d * d,
        Matrix::Sparse(a) => a.indptr().windows(2).map(|row| (row[1] - row[0]) * (row[1] - row[0] + 1) / 2).sum::<usize>() + a.rows(),
    };
    // Partial results are worth their addition, and fit together.
    let parts = (work / (4 * d * d).max(1 << 14)).clamp(1, SUM_BLOCKS).min(((1 << 22) / (d * d).max(1)).max(2));
    let height = a.rows().div_ceil(parts);
    let parts = sum::par_blocks(a.rows(), height, |rows| match a {
        Matrix::Dense(a) => {
            let mut part = vec![0.0; d * d];
            widest(DenseGram { a, rows, weights, part: &mut part });
            part
        }
        Matrix::Sparse(a) => {
            let mut part = vec![0.0; packed(d)];
            rows.for_each(|i| add_outer(&mut part, weights[i], a.row(i)));
            part
        }
    });
    let mut total = parts.into_iter().reduce(|mut total, part| {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        total
    });
    let lower = total.get_or_insert_with(|| vec![0.0; d * d]);
    let row = |i: usize| if matches!(a, Matrix::Dense(_)) { i * d } else { packed(i) };
    Mat::from_fn(d, d, |i, j| if i >= j { lower[row(i) + j] } else { lower[row(j) + i] })
}

/// Where row i of a lower triangle begins whose rows are stored one after the other.
fn packed(i: usize) -> usize {
    i * (i + 1) / 2
}

/// A packed lower triangle += w times the outer product of a sparse row with itself.
#[inline]
fn add_outer(part: &mut [f64], w: f64, (columns, values): (&[u32], &[f64])) {
    if w == 0.0 {
        return;
    }
    for (k, (&i, v)) in columns.iter().zip(values).enumerate() {
        let (row, factor) = (&mut part[packed(i as usize)..packed(i as usize + 1)], w * v);
        for (&j, v) in columns[..=k].iter().zip(values) {
            row[j as usize] += factor * v;
        }
    }
}

/// The lower triangle of `part` (row-major) += `Aᵀ diag(w) A` of some rows.
struct DenseGram<'a> {
    a: &'a certus_numeric::Array,
    rows: std::ops::Range<usize>,
    weights: &'a [f64],
    part: &'a mut [f64],
}

/// As the loop over a few columns, its sums in registers.
#[inline(always)]
fn add_narrow<const D: usize>(part: &mut [f64], a: &certus_numeric::Array, rows: std::ops::Range<usize>, weights: &[f64]) {
    let mut sums = [[0.0; D]; D];
    let (entries, _) = a.as_slice()[rows.start * D..rows.end * D].as_chunks::<D>();
    for (row, w) in entries.iter().zip(&weights[rows]) {
        for (sums, v) in sums.iter_mut().zip(row) {
            let factor = w * v;
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += factor * v);
        }
    }
    part.iter_mut().zip(sums.as_flattened()).for_each(|(part, sum)| *part += sum);
}

/// Columns below which a Gram matrix is summed row by row: GEMM's kernels are wider.
const NARROW: usize = 16;
/// Rows that are scaled and multiplied together.
const GRAM_ROWS: usize = 512;

impl Kernel for DenseGram<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let DenseGram { a, rows, weights, part } = self;
        let d = a.cols();
        match d {
            1 => return add_narrow::<1>(part, a, rows, weights),
            2 => return add_narrow::<2>(part, a, rows, weights),
            3 => return add_narrow::<3>(part, a, rows, weights),
            4 => return add_narrow::<4>(part, a, rows, weights),
            _ => {}
        }
        if d < NARROW {
            for i in rows {
                let row = a.row(i);
                for (j, v) in row.iter().enumerate() {
                    let factor = weights[i] * v;
                    part[j * d..j * d + j + 1].iter_mut().zip(row).for_each(|(sum, v)| *sum += factor * v);
                }
            }
            return;
        }
        // Rows without weight are passed over: a sample of rows costs what its rows do.
        let mut kept = rows.filter(|&i| weights[i] != 0.0);
        let (mut block, mut scaled) = (vec![0.0; GRAM_ROWS * d], vec![0.0; GRAM_ROWS * d]);
        loop {
            let mut count = 0;
            for (i, (block, scaled)) in kept.by_ref().zip(block.chunks_exact_mut(d).zip(scaled.chunks_exact_mut(d))).take(GRAM_ROWS) {
                block.copy_from_slice(a.row(i));
                scaled.iter_mut().zip(a.row(i)).for_each(|(s, v)| *s = weights[i] * v);
                count += 1;
            }
            if count == 0 {
                return;
            }
            let (block, scaled) = (rows_of(&block[..count * d], count, d), rows_of(&scaled[..count * d], count, d));
            triangular::matmul(
                MatMut::from_row_major_slice_mut(part, d, d),
                BlockStructure::TriangularLower,
                Accum::Add,
                block.transpose(),
                BlockStructure::Rectangular,
                scaled,
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
    }
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
