//! The Hessian of a layer with one head, as a matrix.
//!
//! Row i of the queries adds `(a aᵀ) ⊗ N` to the block in X, with N (d2 x d2) from products of all rows' attention with the keys' and the
//! values' products of columns: no m x m matrix of a row's own logits is formed, and nothing of n m d1 d2 entries.

use std::ops::Range;

use certus_linalg::product::{Destination, gram, matmul_here};
use certus_linalg::view::rows_of;
use certus_linalg::{Mat, MatMut};
use certus_numeric::Array;
use rayon::prelude::*;

use super::pass::{Curvature, Point};
use super::problem::Problem;
use crate::blocks::{Block, accumulate, add};
use crate::scores::{product, rows, shaped};
use crate::symmetric::{KEYS, PARTIAL, distinct, expand, squares};

#[derive(Default)]
struct Scratch {
    left: Vec<f64>,
    map: Vec<f64>,
    p: Vec<f64>,
    out: Vec<f64>,
    /// Products of the columns of the keys, and of keys and values.
    of_keys: Vec<f64>,
    of_values: Vec<f64>,
    /// For each row `A2ᵀ diag(p) A2` (distinct entries), then N.
    n: Vec<f64>,
    /// For each row T, d2 x d3, and U = T Y, d2 x dv.
    t: Vec<f64>,
    u: Vec<f64>,
    means: Vec<f64>,
    slopes: Vec<f64>,
    queries: Vec<f64>,
    mixed: Vec<f64>,
}

/// The parts of the Hessian in X, in X and Y, and in Y.
pub(crate) struct BlockHessian {
    /// d1 d2 x d1 d2.
    pub(crate) xx: Mat<f64>,
    /// d1 d2 x d3 dv, row-major.
    pub(crate) xy: Vec<f64>,
    /// `2 ZᵀZ` and the regulariser, d3 x d3: the block in Y is that, times the identity over the columns.
    pub(crate) yy: Mat<f64>,
}

impl Problem<'_> {
    /// The Hessian at a point, regularisers included; the part in X and Y only where it is wanted. For one head.
    ///
    /// Cost: n m d2 (d2 / 2 + d3), n d1² d2² / 4 and (with the mixed part) n d1 d2 d3 dv multiply-adds.
    pub(crate) fn block_hessian(&self, point: &Point, curvature: Curvature, with_xy: bool) -> BlockHessian {
        let (of_queries, of_keys) = (distinct(self.scores.d1), distinct(self.scores.d2));
        let (of_xx, of_xy) = (of_queries * of_keys, if with_xy { self.scores.of_x() * self.of_y() } else { 0 });
        let zero = || (vec![0.0; of_xx], vec![0.0; of_xy]);
        let parts = (PARTIAL / (of_xx + of_xy)).max(2);
        let of_block = |(xx, xy): &mut (Vec<f64>, Vec<f64>), scratch: &mut Scratch, k: usize, block: &Block| {
            if block.seen > 0 {
                self.row_curvature(point, curvature, k, block, scratch);
                let count = block.rows.len();
                let queries = self.scores.sequences[block.sequence].squares(block.rows.clone(), &mut scratch.queries);
                let n = rows_of(&scratch.n[..count * of_keys], count, of_keys);
                product(xx, Destination::Add, self.scores.scale * self.scores.scale, rows_of(queries, count, of_queries).transpose(), n);
                if with_xy {
                    self.add_mixed(point, curvature, block, scratch, xy);
                }
            }
        };
        let merge = |total: &mut (Vec<f64>, Vec<f64>), part: (Vec<f64>, Vec<f64>)| {
            add(&mut total.0, &part.0);
            add(&mut total.1, &part.1);
        };
        let (mut xx, xy) = accumulate(&self.scores.blocks, parts, zero, of_block, merge);
        if self.scores.logit_reg > 0.0 {
            self.scores.add_metric(self.scores.logit_reg, &mut xx);
        }
        let mut xx = expand(&xx, self.scores.d1, self.scores.d2);
        (0..self.scores.of_x()).for_each(|j| xx[(j, j)] += self.scores.ridge);
        let mut yy = Mat::zeros(self.d3, self.d3);
        for (outputs, z) in self.outputs.iter().zip(&point.z) {
            yy += gram(rows_of(z, outputs.target.rows(), self.d3));
        }
        for j in 0..self.d3 {
            for i in 0..self.d3 {
                yy[(i, j)] = 2.0 * yy[(i, j)] + self.logit_reg_y * self.gram3[0][(i, j)] + if i == j { self.ridge_y } else { 0.0 };
            }
        }
        BlockHessian { xx, xy, yy }
    }

    /// For each row of a block T and U, and the curvature N of its logits seen through the keys.
    fn row_curvature(&self, point: &Point, curvature: Curvature, k: usize, block: &Block, scratch: &mut Scratch) {
        let exact = curvature == Curvature::Exact;
        let (s, sequence, count, seen) = (block.sequence, &self.scores.sequences[block.sequence], block.rows.len(), block.seen);
        let Scratch { left, map, p, out, of_keys, of_values, n, t, u, means, slopes, .. } = scratch;
        let f = self.maps_of(point, k, left, map);
        let c = &point.c[s][block.rows.start * self.dv..block.rows.end * self.dv];
        let z = &point.z[s][block.rows.start * self.d3..block.rows.end * self.d3];
        let p = shaped(p, count, seen);
        if exact {
            self.row_gradients(point, s, z, c, f, seen, out, p);
        }
        let width = distinct(self.scores.d2);
        let (n, t) = (shaped(n, count, width), shaped(t, count, self.scores.d2 * self.d3));
        n.fill(0.0);
        t.fill(0.0);
        let (a2, a3) = (sequence.heads[0].a2, self.outputs[s].values[0]);
        for first in (0..seen).step_by(KEYS) {
            let keys = first..seen.min(first + KEYS);
            let products = shaped(of_values, keys.len(), self.scores.d2 * self.d3);
            crossed(a2, a3, keys.clone(), products);
            let of_block = rows_of(f, count, seen).subcols(first, keys.len());
            product(t, Destination::Add, 1.0, of_block, rows_of(products, keys.len(), self.scores.d2 * self.d3));
            if exact {
                let products = shaped(of_keys, keys.len(), width);
                squares(&a2.as_slice()[keys.start * self.scores.d2..keys.end * self.scores.d2], self.scores.d2, products);
                let of_block = rows_of(p, count, seen).subcols(first, keys.len());
                product(n, Destination::Add, 1.0, of_block, rows_of(products, keys.len(), width));
            }
        }
        let (means, slopes) = (shaped(means, count, self.scores.d2), shaped(slopes, count, self.scores.d2));
        product(means, Destination::Replace, 1.0, rows_of(f, count, seen), rows(a2, 0..seen));
        if exact {
            product(slopes, Destination::Replace, 1.0, rows_of(p, count, seen), rows(a2, 0..seen));
        }
        for (i, t) in t.chunks_exact_mut(self.scores.d2 * self.d3).enumerate() {
            let (mean, z) = (&means[i * self.scores.d2..(i + 1) * self.scores.d2], &z[i * self.d3..(i + 1) * self.d3]);
            for (t, mean) in t.chunks_exact_mut(self.d3).zip(mean) {
                t.iter_mut().zip(z).for_each(|(t, z)| *t -= mean * z);
            }
        }
        let u = shaped(u, count * self.scores.d2, self.dv);
        product(u, Destination::Replace, 1.0, rows_of(t, count * self.scores.d2, self.d3), rows_of(&point.y, self.d3, self.dv));
        let square = shaped(left, self.scores.d2, self.scores.d2);
        for (i, n) in n.chunks_exact_mut(width).enumerate() {
            let of_row = rows_of(&u[i * self.scores.d2 * self.dv..(i + 1) * self.scores.d2 * self.dv], self.scores.d2, self.dv);
            product(square, Destination::Replace, 1.0, of_row, of_row.transpose());
            let (mean, slope) =
                (&means[i * self.scores.d2..(i + 1) * self.scores.d2], &slopes[i * self.scores.d2..(i + 1) * self.scores.d2]);
            let mut at = 0;
            for a in 0..self.scores.d2 {
                for b in a..self.scores.d2 {
                    let bent = if exact { n[at] - mean[a] * slope[b] - slope[a] * mean[b] } else { 0.0 };
                    n[at] = 2.0 * (square[a * self.scores.d2 + b] + bent);
                    at += 1;
                }
            }
        }
    }

    /// Half the gradient of each row in its logits, for one head.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn row_gradients(
        &self,
        point: &Point,
        s: usize,
        z: &[f64],
        c: &[f64],
        f: &[f64],
        seen: usize,
        out: &mut Vec<f64>,
        p: &mut [f64],
    ) {
        let count = c.len() / self.dv;
        let out = shaped(out, count, self.dv);
        product(out, Destination::Replace, 1.0, rows_of(z, count, self.d3), rows_of(&point.y, self.d3, self.dv));
        let values = rows_of(&point.h[s][0][..seen * self.dv], seen, self.dv);
        product(p, Destination::Replace, 1.0, rows_of(c, count, self.dv), values.transpose());
        for ((p, f), (c, out)) in
            p.chunks_exact_mut(seen).zip(f.chunks_exact(seen)).zip(c.chunks_exact(self.dv).zip(out.chunks_exact(self.dv)))
        {
            let mean = certus_numeric::sum::dot(c, out);
            p.iter_mut().zip(f).for_each(|(p, f)| *p = f * (*p - mean));
        }
    }

    /// `xy[(a, b), (k, l)] += 2 scale Σ A1[i, a] (T_i[b, k] C[i, l] + U_i[b, l] Z[i, k])` over the rows of a block.
    fn add_mixed(&self, point: &Point, curvature: Curvature, block: &Block, scratch: &mut Scratch, xy: &mut [f64]) {
        let count = block.rows.len();
        let c = &point.c[block.sequence][block.rows.start * self.dv..block.rows.end * self.dv];
        let z = &point.z[block.sequence][block.rows.start * self.d3..block.rows.end * self.d3];
        let a1 = rows(self.scores.sequences[block.sequence].heads[0].a1, block.rows.clone());
        let of_y = self.of_y();
        for b in 0..self.scores.d2 {
            let mixed = shaped(&mut scratch.mixed, count, of_y);
            for (i, mixed) in mixed.chunks_exact_mut(of_y).enumerate() {
                let t = &scratch.t[(i * self.scores.d2 + b) * self.d3..][..self.d3];
                let u = &scratch.u[(i * self.scores.d2 + b) * self.dv..][..self.dv];
                let (c, z) = (&c[i * self.dv..(i + 1) * self.dv], &z[i * self.d3..(i + 1) * self.d3]);
                for ((mixed, t), z) in mixed.chunks_exact_mut(self.dv).zip(t).zip(z) {
                    let t = if curvature == Curvature::Exact { *t } else { 0.0 };
                    mixed.iter_mut().zip(c.iter().zip(u)).for_each(|(v, (c, u))| *v = t * c + z * u);
                }
            }
            let into = MatMut::from_row_major_slice_mut(&mut *xy, self.scores.d1, self.scores.d2 * of_y).subcols_mut(b * of_y, of_y);
            let mixed = rows_of(&scratch.mixed[..count * of_y], count, of_y);
            matmul_here(into, Destination::Add, 2.0 * self.scores.scale, a1.transpose(), mixed);
        }
    }
}

/// The products of the columns of two matrices in some rows, row-major.
fn crossed(a: &Array, b: &Array, range: Range<usize>, into: &mut [f64]) {
    let width = a.cols() * b.cols();
    for (i, into) in range.zip(into.chunks_exact_mut(width)) {
        for (a, into) in a.row(i).iter().zip(into.chunks_exact_mut(b.cols())) {
            into.iter_mut().zip(b.row(i)).for_each(|(v, b)| *v = a * b);
        }
    }
}

impl BlockHessian {
    /// The whole, X before Y.
    pub(crate) fn joint(&self, dv: usize) -> Mat<f64> {
        let (of_x, of_y) = (self.xx.nrows(), self.yy.nrows() * dv);
        Mat::from_fn(of_x + of_y, of_x + of_y, |i, j| match (i < of_x, j < of_x) {
            (true, true) => self.xx[(i, j)],
            (true, false) => self.xy[i * of_y + j - of_x],
            (false, true) => self.xy[j * of_y + i - of_x],
            (false, false) => {
                let (i, j) = (i - of_x, j - of_x);
                if i % dv == j % dv { self.yy[(i / dv, j / dv)] } else { 0.0 }
            }
        })
    }

    /// The Schur complement in X: the curvature of the loss at the best Y, from K with `Kᵀ K` the inverse of `yy`.
    pub(crate) fn reduced(&self, half_inverse: &Mat<f64>, dv: usize) -> Mat<f64> {
        let (of_x, d3, rank) = (self.xx.nrows(), self.yy.nrows(), half_inverse.nrows());
        if rank == 0 {
            return self.xx.clone();
        }
        let mut w = vec![0.0; of_x * rank * dv];
        let solve = |(w, xy): (&mut [f64], &[f64])| product(w, Destination::Replace, 1.0, half_inverse.as_ref(), rows_of(xy, d3, dv));
        w.par_chunks_mut(rank * dv).zip(self.xy.par_chunks(d3 * dv)).for_each(solve);
        let mut reduced = gram(rows_of(&w, of_x, rank * dv).transpose());
        for j in 0..of_x {
            for i in 0..of_x {
                reduced[(i, j)] = self.xx[(i, j)] - reduced[(i, j)];
            }
        }
        reduced
    }
}
