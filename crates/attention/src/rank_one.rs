//! The curvature in X as one weight for each query and key, and those weights as a matrix of rank one.
//!
//! With f the attention of query i, a row's curvature is at most `c_i (diag(f) - f fᵀ)` (without the second derivatives of what it gives),
//! so that the Hessian is at most `scale² (A1 ⊗ A2)ᵀ diag(W) (A1 ⊗ A2)` with `W_ij = c_i f_ij`, the keys being taken from any centre. Where W
//! is near `u vᵀ`, that is `scale² (A1ᵀ diag(u) A1) ⊗ (A2ᵀ diag(v) A2)`, and a sketch of `√u A1 ⊗ √v A2` stands for it.
//!
//! Of u and v we take the sums of rows and of columns over the sum of all: the nearest in relative entropy, found in one pass.

use certus_linalg::product::{Destination, gram, matmul_into};
use certus_linalg::sketch::{TensorSketch, TensorSrht};
use certus_linalg::view::{rows_of, view};
use certus_linalg::{Error, Mat, MatMut};
use certus_numeric::sum::{dot, sum};
use certus_numeric::{Array, Seed};

use crate::bilinear::Bilinear;
use crate::blocks::{Block, PARTS, accumulate, add};
use crate::sketch::Sketch;
use crate::symmetric::{distinct, expand, pack};

/// For each sequence the queries and the centred keys, times the roots of their weights.
pub(crate) struct RankOne {
    factors: Vec<(Array, Array)>,
    /// `|W - u vᵀ| / |W|` (Frobenius), over all sequences.
    pub(crate) distance: f64,
}

#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) left: Vec<f64>,
    pub(crate) map: Vec<f64>,
    pub(crate) row: Vec<f64>,
    weights: Vec<f64>,
}

impl RankOne {
    /// From what gives a block's weights, row-major over the keys that it sees. For the first head. Cost: 2 n m d2 multiply-adds.
    pub(crate) fn new(scores: &Bilinear<'_>, weights: impl Fn(usize, &mut Scratch, &mut Vec<f64>) + Sync) -> Self {
        let sequences = &scores.sequences;
        let of_block = |(rows, columns): &mut (Vec<f64>, Vec<Vec<f64>>), scratch: &mut Scratch, k: usize, block: &Block| {
            let mut w = std::mem::take(&mut scratch.weights);
            weights(k, scratch, &mut w);
            for i in 0..block.rows.len() {
                let row = &w[i * block.seen..(i + 1) * block.seen];
                rows.push(sum(row));
                add(&mut columns[block.sequence], row);
            }
            scratch.weights = w;
        };
        let zero = || (Vec::new(), sequences.iter().map(|s| vec![0.0; s.keys()]).collect::<Vec<_>>());
        let merge = |total: &mut (Vec<f64>, Vec<Vec<f64>>), part: (Vec<f64>, Vec<Vec<f64>>)| {
            total.0.extend(part.0);
            total.1.iter_mut().zip(&part.1).for_each(|(total, part)| add(total, part));
        };
        let (rows, columns) = accumulate(&scores.blocks, PARTS, zero, of_block, merge);
        let mut starts = vec![0];
        sequences.iter().for_each(|s| starts.push(starts[starts.len() - 1] + s.queries()));
        let of_square = |(squares, along): &mut (f64, Vec<f64>), scratch: &mut Scratch, k: usize, block: &Block| {
            let mut w = std::mem::take(&mut scratch.weights);
            weights(k, scratch, &mut w);
            for (i, r) in block.rows.clone().enumerate() {
                let row = &w[i * block.seen..(i + 1) * block.seen];
                *squares += dot(row, row);
                along[block.sequence] += rows[starts[block.sequence] + r] * dot(row, &columns[block.sequence][..block.seen]);
            }
            scratch.weights = w;
        };
        let zero = || (0.0, vec![0.0; sequences.len()]);
        let (squares, along) = accumulate(&scores.blocks, PARTS, zero, of_square, |total, part| {
            total.0 += part.0;
            add(&mut total.1, &part.1);
        });
        let (mut off, mut factors) = (squares, Vec::with_capacity(sequences.len()));
        for (s, sequence) in sequences.iter().enumerate() {
            let (rows, columns) = (&rows[starts[s]..starts[s + 1]], &columns[s]);
            let total = sum(rows);
            if total > 0.0 {
                off += dot(rows, rows) * dot(columns, columns) / (total * total) - 2.0 * along[s] / total;
            }
            let head = &sequence.heads[0];
            let per_total = if total > 0.0 { 1.0 / total } else { 0.0 };
            let mut centre = vec![0.0; head.a2.cols()];
            for (j, weight) in columns.iter().enumerate() {
                centre.iter_mut().zip(head.a2.row(j)).for_each(|(c, b)| *c += per_total * weight * b);
            }
            let queries = Array::from_fn(rows.len(), head.a1.cols(), |i, k| (rows[i] * per_total).sqrt() * head.a1.row(i)[k]);
            let keys = Array::from_fn(columns.len(), centre.len(), |j, k| columns[j].sqrt() * (head.a2.row(j)[k] - centre[k]));
            factors.push((queries, keys));
        }
        // Squares that overflow say nothing: far away.
        let distance = if !(off.is_finite() && squares.is_finite()) {
            f64::MAX
        } else if squares > 0.0 {
            (off.max(0.0) / squares).sqrt()
        } else {
            0.0
        };
        RankOne { factors, distance }
    }

    /// `scale² Σ A1ᵀ diag(u) A1 ⊗ A2ᵀ diag(v) A2`, exactly or from a sketch of so many rows; `kind` is one of those with a weight of rank one.
    ///
    /// Cost, d = d1 d2: exactly n d1² + m d2² + d² / 4 multiply-adds; by a sketch of s rows s d² / 2 more, and its application.
    pub(crate) fn hessian(&self, kind: Sketch, rows: usize, scale: f64, seed: Seed) -> Result<Mat<f64>, Error> {
        if !matches!(kind, Sketch::TensorSketch | Sketch::TensorSrht) {
            return Ok(self.exact(scale));
        }
        let mut sketched: Option<Array> = None;
        for (s, (queries, keys)) in self.factors.iter().enumerate() {
            // One sketch for each sequence: of all rows together that is one sketch.
            let (sizes, seed, both) =
                ([queries.rows(), keys.rows()], Seed(seed.key(&format!("sequence {s}"))), [queries.into(), keys.into()]);
            let part = match kind {
                Sketch::TensorSketch => TensorSketch::new(rows, &sizes, seed)?.apply_kronecker(&both)?,
                _ => TensorSrht::new(rows, &sizes, seed)?.apply_kronecker(&both)?,
            };
            match &mut sketched {
                Some(sum) => add(sum.as_mut_slice(), part.as_slice()),
                None => sketched = Some(part),
            }
        }
        let mut hessian = sketched.map_or_else(|| Mat::zeros(0, 0), |s| gram(view(&s)));
        hessian *= scale * scale;
        Ok(hessian)
    }

    fn exact(&self, scale: f64) -> Mat<f64> {
        let (d1, d2) = self.factors.first().map_or((0, 0), |(a, b)| (a.cols(), b.cols()));
        let (of_queries, of_keys) = (distinct(d1), distinct(d2));
        let mut total = vec![0.0; of_queries * of_keys];
        let (mut first, mut second) = (vec![0.0; of_queries], vec![0.0; of_keys]);
        for (queries, keys) in &self.factors {
            let (g1, g2) = (gram(view(queries)), gram(view(keys)));
            pack(|p, q| g1[(p, q)], d1, &mut first);
            pack(|p, q| g2[(p, q)], d2, &mut second);
            let into = MatMut::from_row_major_slice_mut(&mut total, of_queries, of_keys);
            matmul_into(into, Destination::Add, scale * scale, rows_of(&first, of_queries, 1), rows_of(&second, 1, of_keys));
        }
        expand(&total, d1, d2)
    }
}
