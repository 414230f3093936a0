//! Multinomial logistic regression with a penalty on all weights: what SGC's training is once the features are propagated.
//!
//! `f(W) = 1/N sum_i [ log sum_c e^(w_c . z_i) - w_(y_i) . z_i ] + decay/2 |W|^2`, where each row z has a 1 at its end if there is a bias. It is
//! `decay`-strongly convex. Everything in f64; a bound on the rounding of value and gradient comes with them.

use certus_numeric::sum::{norm2, par_blocks};
use certus_numeric::{Array, Csr};

/// Blocks of rows whose sums are added up in order, at most, and rows of one at least.
const BLOCKS: usize = 32;
const LEAST_BLOCK: usize = 64;

/// The loss on some rows of features.
pub(super) struct Logistic {
    rows: Rows,
    /// The length of each row, that of the 1 for the bias included.
    lengths: Vec<f64>,
    classes: Vec<usize>,
    columns: usize,
    outputs: usize,
    bias: bool,
    decay: f64,
}

/// Rows of the features, N x d.
pub(super) enum Rows {
    Dense(Array<f32>),
    Sparse(Csr<f32>),
}

/// The loss at some weights.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    pub(super) loss: f64,
    /// How far the computed loss may be from the true one.
    pub(super) loss_error: f64,
    /// As the weights: class by class for each column, then the bias.
    pub(super) gradient: Vec<f64>,
    /// Its length, as computed.
    pub(super) norm: f64,
    /// How far that length may be from the true one.
    pub(super) norm_error: f64,
}

impl Evaluation {
    /// At least the length of the true gradient.
    pub(super) fn norm_bound(&self) -> f64 {
        (self.norm + self.norm_error).next_up()
    }
}

/// What a block of rows adds.
struct Part {
    gradient: Vec<f64>,
    loss: f64,
    /// Sums of |z| |r|, of |z| times the bound on the error of r, and of that of the loss.
    residual: f64,
    residual_error: f64,
    loss_error: f64,
}

impl Rows {
    /// Calls `f` with each entry of row `i` that may not be 0.
    #[inline(always)]
    fn each(&self, i: usize, mut f: impl FnMut(usize, f64)) {
        match self {
            Rows::Dense(array) => array.row(i).iter().enumerate().for_each(|(j, &x)| f(j, f64::from(x))),
            Rows::Sparse(csr) => {
                let (indices, values) = csr.row(i);
                indices.iter().zip(values).for_each(|(&j, &x)| f(j as usize, f64::from(x)));
            }
        }
    }

    fn columns(&self) -> usize {
        match self {
            Rows::Dense(array) => array.cols(),
            Rows::Sparse(csr) => csr.cols(),
        }
    }
}

impl Logistic {
    /// `classes`: that of each row, below `outputs`.
    pub(super) fn new(rows: Rows, classes: Vec<usize>, outputs: usize, bias: bool, decay: f64) -> Self {
        let length = |i: usize| {
            let mut square = f64::from(u8::from(bias));
            rows.each(i, |_, x| square += x * x);
            square.sqrt()
        };
        let lengths = (0..classes.len()).map(length).collect();
        Logistic { columns: rows.columns(), rows, lengths, classes, outputs, bias, decay }
    }

    /// Number of weights.
    pub(super) fn dimension(&self) -> usize {
        (self.columns + usize::from(self.bias)) * self.outputs
    }

    /// A bound on the curvature in any direction: that of softmax is at most 1/2 (Boehning 1992).
    pub(super) fn smoothness(&self) -> f64 {
        0.5 * self.lengths.iter().map(|length| length * length).sum::<f64>() / self.lengths.len() as f64 + self.decay
    }

    /// The longest row.
    pub(super) fn longest(&self) -> f64 {
        self.lengths.iter().copied().fold(0.0, f64::max)
    }

    /// From (out, in) and then the bias to the order of this file, or back.
    pub(super) fn reordered(&self, from: &[f64], to_columns: bool) -> Vec<f64> {
        let mut to = from.to_vec();
        for c in 0..self.outputs {
            for j in 0..self.columns {
                let (by_class, by_column) = (c * self.columns + j, j * self.outputs + c);
                if to_columns { to[by_column] = from[by_class] } else { to[by_class] = from[by_column] }
            }
        }
        to
    }

    pub(super) fn evaluate(&self, weights: &[f64]) -> Evaluation {
        let n = self.classes.len();
        let size = norm2(weights);
        let parts = par_blocks(n, n.div_ceil(BLOCKS).max(LEAST_BLOCK), |block| self.part(weights, size, block));
        let (mut gradient, share) = (vec![0.0; weights.len()], 1.0 / n as f64);
        let (mut loss, mut residual, mut residual_error, mut loss_error) = (0.0, 0.0, 0.0, 0.0);
        for part in &parts {
            gradient.iter_mut().zip(&part.gradient).for_each(|(g, part)| *g += part);
            (loss, residual) = (loss + part.loss, residual + part.residual);
            (residual_error, loss_error) = (residual_error + part.residual_error, loss_error + part.loss_error);
        }
        gradient.iter_mut().zip(weights).for_each(|(g, &w)| *g = share * *g + self.decay * w);
        let loss = share * loss + 0.5 * self.decay * size * size;
        let norm = norm2(&gradient);
        // Each sum of k terms loses at most about k roundings of the sum of sizes; the last factor is for the bounds' own.
        let (u, sums) = (f64::EPSILON / 2.0, (n + BLOCKS + 8) as f64);
        let norm_error =
            share * (residual_error + sums * u * residual) + 4.0 * u * self.decay * size + (weights.len() + 8) as f64 * u * norm;
        let penalty = 0.5 * self.decay * size * size;
        let loss_error = share * loss_error + sums * u * (loss - penalty).abs() + (weights.len() + 8) as f64 * u * penalty;
        Evaluation { loss, loss_error: 1.01 * loss_error, gradient, norm, norm_error: 1.01 * norm_error }
    }

    fn part(&self, weights: &[f64], size: f64, block: std::ops::Range<usize>) -> Part {
        let (outputs, u) = (self.outputs, f64::EPSILON / 2.0);
        let mut part = Part { gradient: vec![0.0; weights.len()], loss: 0.0, residual: 0.0, residual_error: 0.0, loss_error: 0.0 };
        let bias = self.columns * outputs;
        let mut scores = vec![0.0; outputs];
        // Of a softmax: its exponentials are within 3 ulp, and its sum is over sixteen lanes in blocks of 1024, and over blocks.
        let of_softmax = (32 + outputs.min(1024) / 16 + outputs / 1024) as f64 * u;
        for i in block {
            scores.fill(0.0);
            if self.bias {
                scores.copy_from_slice(&weights[bias..]);
            }
            self.rows.each(i, |j, x| {
                let w = &weights[j * outputs..(j + 1) * outputs];
                scores.iter_mut().zip(w).for_each(|(score, w)| *score += x * w);
            });
            let own = scores[self.classes[i]];
            let sum = certus_numeric::softmax::softmax_row(&mut scores).log_sum_exp();
            scores[self.classes[i]] -= 1.0;
            self.rows.each(i, |j, x| {
                let g = &mut part.gradient[j * outputs..(j + 1) * outputs];
                g.iter_mut().zip(&scores).for_each(|(g, r)| *g += x * r);
            });
            if self.bias {
                part.gradient[bias..].iter_mut().zip(&scores).for_each(|(g, r)| *g += r);
            }
            part.loss += sum - own;
            let length = self.lengths[i];
            // Of a score: its sum, and the difference from the largest one.
            let score_error = (self.columns + 8) as f64 * u * length * size;
            // Softmax moves by at most e^(2 error) - 1 in sum.
            let error = if score_error < 0.25 { 3.0 * score_error + of_softmax } else { f64::INFINITY };
            part.residual += length * scores.iter().map(|r| r * r).sum::<f64>().sqrt();
            part.residual_error += if length == 0.0 { 0.0 } else { length * error };
            part.loss_error += 2.0 * score_error + of_softmax * (1.0 + (sum - own).abs());
        }
        part
    }
}

impl Rows {
    /// Dense rows as they are best held: sparse if at most a half of the entries are not 0 (an index takes as much as a number).
    pub(super) fn of(rows: Array<f32>) -> Rows {
        let entries = rows.as_slice().iter().filter(|x| **x != 0.0).count();
        if 2 * entries > rows.len() {
            return Rows::Dense(rows);
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::with_capacity(entries), Vec::with_capacity(entries));
        for i in 0..rows.rows() {
            for (j, &x) in rows.row(i).iter().enumerate().filter(|(_, x)| **x != 0.0) {
                indices.push(j as u32);
                values.push(x);
            }
            indptr.push(indices.len());
        }
        match Csr::new(rows.rows(), rows.cols(), indptr, indices, values) {
            Ok(csr) => Rows::Sparse(csr),
            Err(_) => Rows::Dense(rows),
        }
    }

    /// Some rows of sparse features, which stay sparse.
    pub(super) fn chosen(features: &Csr<f32>, nodes: impl Iterator<Item = usize>) -> Result<Rows, certus_contract::InputError> {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for node in nodes {
            let (places, entries) = features.row(node);
            indices.extend_from_slice(places);
            values.extend_from_slice(entries);
            indptr.push(indices.len());
        }
        Ok(Rows::Sparse(Csr::new(indptr.len() - 1, features.cols(), indptr, indices, values)?))
    }
}
