//! The Hessian of a layer as a matrix.
//!
//! Row i of the queries adds `(a aᵀ) ⊗ N` to the block in X, with N (d2 x d2) from products of all rows' attention with the keys' and the
//! values' products of columns: no m x m matrix of a row's own logits is formed, and nothing of n m d1 d2 entries.
//!
//! Between heads h and g row i adds `(a_h a_gᵀ) ⊗ 2 U_h U_gᵀ`, and that is exact: a head's attention depends on its own X alone, so that
//! only the residual, which is linear in all outputs, ties the heads together.

use std::ops::Range;

use certus_linalg::product::{Destination, gram, matmul_here};
use certus_linalg::view::rows_of;
use certus_linalg::{Mat, MatMut};
use certus_numeric::Array;
use rayon::prelude::*;

use super::pass::{Curvature, Point};
use super::problem::Problem;
use super::values::ValuesSystem;
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
    /// For each head and row T, d2 x d3, and U = T Y, d2 x dv.
    t: Vec<f64>,
    u: Vec<Vec<f64>>,
    means: Vec<f64>,
    slopes: Vec<f64>,
    queries: Vec<f64>,
    mixed: Vec<f64>,
}

/// The parts of the Hessian in X, in X and Y, and in Y.
pub(crate) struct BlockHessian {
    /// Heads times d1 d2, squared.
    pub(crate) xx: Mat<f64>,
    /// Heads times d1 d2 x heads times d3 dv, row-major.
    pub(crate) xy: Vec<f64>,
    /// `2 ZᵀZ` and the regulariser, heads times d3, squared: the block in Y is that, times the identity over the columns.
    pub(crate) yy: Mat<f64>,
}

impl Problem<'_> {
    /// The Hessian at a point, regularisers included; the part in X and Y only where it is wanted.
    ///
    /// Cost: for each head n m d2 (d2 / 2 + d3), n d1² d2² / 4 and (with the mixed part) n d1 d2 d3 dv for each head of Y; for each pair of
    /// heads n d1² d2² and n d2² dv multiply-adds.
    pub(crate) fn block_hessian(&self, point: &Point, curvature: Curvature, with_xy: bool) -> BlockHessian {
        let (heads, d1, d2) = (self.scores.heads, self.scores.d1, self.scores.d2);
        let (of_queries, of_keys) = (distinct(d1), distinct(d2));
        let (own, pair) = (of_queries * of_keys, (d1 * d2) * (d1 * d2));
        let pairs = (0..heads).flat_map(|h| (0..h).map(move |g| (h, g))).collect::<Vec<_>>();
        // The heads' own blocks in distinct entries, then the blocks of pairs.
        let of_xx = heads * own + pairs.len() * pair;
        let (of_y, per_head) = (self.of_y(), self.scores.of_head());
        let of_xy = if with_xy { self.scores.of_x() * of_y } else { 0 };
        let zero = || (vec![0.0; of_xx], vec![0.0; of_xy]);
        let parts = (PARTIAL / (of_xx + of_xy)).max(2);
        let scale = self.scores.scale * self.scores.scale;
        let of_block = |(xx, xy): &mut (Vec<f64>, Vec<f64>), scratch: &mut Scratch, k: usize, block: &Block| {
            if block.seen == 0 {
                return;
            }
            let (inputs, count) = (&self.scores.sequences[block.sequence], block.rows.len());
            let (own_sums, pair_sums) = xx.split_at_mut(heads * own);
            scratch.u.resize_with(heads, Vec::new);
            for (h, sum) in own_sums.chunks_exact_mut(own).enumerate() {
                self.row_curvature(point, curvature, k, h, block, scratch);
                let queries = inputs.squares(h, block.rows.clone(), &mut scratch.queries);
                let n = rows_of(&scratch.n[..count * of_keys], count, of_keys);
                product(sum, Destination::Add, scale, rows_of(queries, count, of_queries).transpose(), n);
                if with_xy {
                    self.add_mixed(point, curvature, h, block, scratch, &mut xy[h * per_head * of_y..(h + 1) * per_head * of_y]);
                }
            }
            for ((h, g), sum) in pairs.iter().zip(pair_sums.chunks_exact_mut(pair)) {
                let Scratch { u, n, queries, .. } = scratch;
                let (queries, n) = (shaped(queries, count, d1 * d1), shaped(n, count, d2 * d2));
                crossed(inputs.heads[*h].a1, inputs.heads[*g].a1, block.rows.clone(), queries);
                for (i, n) in n.chunks_exact_mut(d2 * d2).enumerate() {
                    let of = i * d2 * self.dv..(i + 1) * d2 * self.dv;
                    let (first, second) = (&u[*h][of.clone()], &u[*g][of]);
                    product(n, Destination::Replace, 2.0, rows_of(first, d2, self.dv), rows_of(second, d2, self.dv).transpose());
                }
                let (queries, n) = (rows_of(queries, count, d1 * d1), rows_of(n, count, d2 * d2));
                product(sum, Destination::Add, scale, queries.transpose(), n);
            }
        };
        let merge = |total: &mut (Vec<f64>, Vec<f64>), part: (Vec<f64>, Vec<f64>)| {
            add(&mut total.0, &part.0);
            add(&mut total.1, &part.1);
        };
        let (mut sums, xy) = accumulate(&self.scores.blocks, parts, zero, of_block, merge);
        if self.scores.logit_reg > 0.0 {
            let own = sums[..heads * own].chunks_exact_mut(own);
            own.enumerate().for_each(|(h, sum)| self.scores.add_metric(h, self.scores.logit_reg, sum));
        }
        let mut xx = if heads == 1 { expand(&sums, d1, d2) } else { Mat::zeros(self.scores.of_x(), self.scores.of_x()) };
        if heads > 1 {
            for (h, sum) in sums[..heads * own].chunks_exact(own).enumerate() {
                xx.submatrix_mut(h * per_head, h * per_head, per_head, per_head).copy_from(expand(sum, d1, d2));
            }
        }
        for ((h, g), sum) in pairs.iter().zip(sums[heads * own..].chunks_exact(pair)) {
            for j in 0..per_head {
                for i in 0..per_head {
                    let v = sum[(i / d2 * d1 + j / d2) * d2 * d2 + i % d2 * d2 + j % d2];
                    xx[(h * per_head + i, g * per_head + j)] = v;
                    xx[(g * per_head + j, h * per_head + i)] = v;
                }
            }
        }
        (0..self.scores.of_x()).for_each(|j| xx[(j, j)] += self.scores.ridge);
        BlockHessian { xx, xy, yy: ValuesSystem::normal(self, &point.z) }
    }

    /// For each row of a block and head h T and U, and the curvature N of its logits seen through the keys.
    fn row_curvature(&self, point: &Point, curvature: Curvature, k: usize, h: usize, block: &Block, scratch: &mut Scratch) {
        let exact = curvature == Curvature::Exact;
        let (s, sequence, count, seen) = (block.sequence, &self.scores.sequences[block.sequence], block.rows.len(), block.seen);
        let Scratch { left, map, p, out, of_keys, of_values, n, t, u, means, slopes, .. } = scratch;
        let f = &self.maps_of(point, k, left, map)[h * count * seen..(h + 1) * count * seen];
        let all = self.rows_of_y();
        let c = &point.c[s][block.rows.start * self.dv..block.rows.end * self.dv];
        let z = &point.z[s][block.rows.start * all..block.rows.end * all];
        let p = shaped(p, count, seen);
        if exact {
            self.row_gradients(point, s, h, z, c, f, seen, out, p);
        }
        let width = distinct(self.scores.d2);
        let (n, t) = (shaped(n, count, width), shaped(t, count, self.scores.d2 * self.d3));
        n.fill(0.0);
        t.fill(0.0);
        let (a2, a3) = (sequence.heads[h].a2, self.outputs[s].values[h]);
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
            let (mean, z) = (&means[i * self.scores.d2..(i + 1) * self.scores.d2], &z[i * all + h * self.d3..][..self.d3]);
            for (t, mean) in t.chunks_exact_mut(self.d3).zip(mean) {
                t.iter_mut().zip(z).for_each(|(t, z)| *t -= mean * z);
            }
        }
        let u = shaped(&mut u[h], count * self.scores.d2, self.dv);
        product(u, Destination::Replace, 1.0, rows_of(t, count * self.scores.d2, self.d3), self.head_of_y(&point.y, h));
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

    /// Half the gradient of each row in its logits of head h, from all heads' outputs.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn row_gradients(
        &self,
        point: &Point,
        s: usize,
        h: usize,
        z: &[f64],
        c: &[f64],
        f: &[f64],
        seen: usize,
        out: &mut Vec<f64>,
        p: &mut [f64],
    ) {
        let count = c.len() / self.dv;
        let out = shaped(out, count, self.dv);
        let z = rows_of(z, count, self.rows_of_y()).subcols(h * self.d3, self.d3);
        product(out, Destination::Replace, 1.0, z, self.head_of_y(&point.y, h));
        let values = rows_of(&point.h[s][h][..seen * self.dv], seen, self.dv);
        product(p, Destination::Replace, 1.0, rows_of(c, count, self.dv), values.transpose());
        for ((p, f), (c, out)) in
            p.chunks_exact_mut(seen).zip(f.chunks_exact(seen)).zip(c.chunks_exact(self.dv).zip(out.chunks_exact(self.dv)))
        {
            let mean = certus_numeric::sum::dot(c, out);
            p.iter_mut().zip(f).for_each(|(p, f)| *p = f * (*p - mean));
        }
    }

    /// `xy[(a, b), (k, l)] += 2 scale Σ A1[i, a] (T_i[b, k] C[i, l] + U_i[b, l] Z[i, k])` over the rows of a block, for the X of head h
    /// and the Y of all: T is there for its own.
    fn add_mixed(&self, point: &Point, curvature: Curvature, h: usize, block: &Block, scratch: &mut Scratch, xy: &mut [f64]) {
        let (count, all) = (block.rows.len(), self.rows_of_y());
        let c = &point.c[block.sequence][block.rows.start * self.dv..block.rows.end * self.dv];
        let z = &point.z[block.sequence][block.rows.start * all..block.rows.end * all];
        let a1 = rows(self.scores.sequences[block.sequence].heads[h].a1, block.rows.clone());
        let of_y = self.of_y();
        for b in 0..self.scores.d2 {
            let mixed = shaped(&mut scratch.mixed, count, of_y);
            for (i, mixed) in mixed.chunks_exact_mut(of_y).enumerate() {
                let t = &scratch.t[(i * self.scores.d2 + b) * self.d3..][..self.d3];
                let u = &scratch.u[h][(i * self.scores.d2 + b) * self.dv..][..self.dv];
                let (c, z) = (&c[i * self.dv..(i + 1) * self.dv], &z[i * all..(i + 1) * all]);
                for ((mixed, z), k) in mixed.chunks_exact_mut(self.dv).zip(z).zip(0..) {
                    let own = curvature == Curvature::Exact && k / self.d3 == h;
                    let t = if own { t[k % self.d3] } else { 0.0 };
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
