//! Loss, gradient and products with the Hessian of a map problem, in passes over blocks of rows.
//!
//! All three forms have the same shape. With f the attention of a row, r = f - b and a weight ω (1, or for the rescaled form the square
//! of the row's sum of exponentials), the gradient in the logits is `slope p` and the Hessian
//! `κ (diag(g) - f νᵀ - ν fᵀ + γ f fᵀ)`:
//!
//! | form | slope, p | κ | g | ν | γ |
//! |---|---|---|---|---|---|
//! | normalised | 2, f o (r - <f, r>) | 2 | f² + p | g | f·f |
//! | rescaled | 2 ω, f o (r - <r, b>) | 2 ω | f² + p | f o b | b·b |
//! | cross-entropy | 1, f - b | 1 | f | f / 2 | 0 |

use certus_numeric::ScaledValue;
use certus_numeric::softmax::{RowSum, softmax_row_with};
use certus_numeric::sum::dot;

use super::problem::{Form, Problem};
use crate::blocks::{Block, PARTS, accumulate, add};
use crate::scores::shaped;

/// What is kept of a point X.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) x: Vec<f64>,
    /// For each block the attention, where it is little enough to keep.
    pub(crate) maps: Option<Vec<Vec<f64>>>,
    /// The weight of each row of each sequence, in the unit; empty but for the rescaled form.
    pub(crate) weights: Vec<Vec<f64>>,
    /// The logarithm of the unit of loss and derivatives.
    pub(crate) log_unit: f64,
    pub(crate) loss: ScaledValue,
}

/// The curvature of a row in its logits.
pub(crate) struct RowForm {
    pub(crate) slope: f64,
    pub(crate) kappa: f64,
    pub(crate) gamma: f64,
}

/// Entries of attention that are kept for later passes at the same point.
const KEPT: usize = 1 << 24;

#[derive(Default)]
struct Scratch {
    left: Vec<f64>,
    map: Vec<f64>,
    p: Vec<f64>,
    g: Vec<f64>,
    nu: Vec<f64>,
    change: Vec<f64>,
}

impl Problem<'_> {
    /// Evaluates at X. `None` where the loss is not finite. Cost: n m d2 multiply-adds and n m exponentials.
    pub(crate) fn point(&self, x: &[f64], keep: bool) -> Option<Point> {
        let keep = keep && self.scores.entries() <= KEPT;
        // For each block its map, and for each row the logarithm of its sum of exponentials and its loss.
        type Rows = Vec<(f64, f64)>;
        let of_block = |done: &mut Vec<(Vec<f64>, Rows)>, scratch: &mut Scratch, _: usize, block: &Block| {
            let (inputs, target, seen) = (&self.scores.sequences[block.sequence], self.targets[block.sequence], block.seen);
            let (count, mut kept) = (block.rows.len(), Vec::new());
            let map = if keep {
                kept.resize(count * seen, 0.0);
                &mut kept[..]
            } else {
                shaped(&mut scratch.map, count, seen)
            };
            if seen > 0 {
                inputs.heads[0].logits(x, 1.0, block.rows.clone(), seen, &mut scratch.left, map);
            }
            let row = |(k, i): (usize, usize)| {
                let row = &mut map[k * seen..(k + 1) * seen];
                let b = target.row(i);
                let along = if self.form == Form::CrossEntropy { self.along_visible(block.sequence, i, b, row) } else { 0.0 };
                let sum = if seen > 0 { softmax_row_with(row, self.scores.scale, inputs.visible.keep(i, seen)) } else { RowSum::EMPTY };
                let dead = sum.sum == 0.0;
                let loss = match self.form {
                    Form::CrossEntropy if dead => 0.0,
                    Form::CrossEntropy => sum.log_sum_exp() - along,
                    _ => row.iter().zip(b).map(|(f, b)| (f - b) * (f - b)).sum::<f64>() + dot(&b[seen..], &b[seen..]),
                };
                (if dead { f64::NEG_INFINITY } else { sum.log_sum_exp() }, loss)
            };
            let rows = block.rows.clone().enumerate().map(row).collect();
            done.push((kept, rows));
        };
        let done = accumulate(&self.scores.blocks, PARTS, Vec::new, of_block, |total, part| total.extend(part));
        let rescaled = self.form == Form::Rescaled;
        let log_sums = done.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.0));
        let mut log_unit = if rescaled { 2.0 * log_sums.clone().fold(f64::NEG_INFINITY, f64::max) } else { 0.0 };
        // A regulariser does not shrink with the exponentials: beside it what is tiny need not be scaled up.
        if log_unit == f64::NEG_INFINITY || (log_unit < 0.0 && self.is_regularised()) {
            log_unit = 0.0;
        }
        let mut weights = vec![Vec::new(); if rescaled { self.targets.len() } else { 0 }];
        let mut data = 0.0;
        for (block, (_, rows)) in self.scores.blocks.iter().zip(&done) {
            for (log_sum, loss) in rows {
                let weight = if rescaled { (2.0 * log_sum - log_unit).exp() } else { 1.0 };
                if rescaled {
                    weights[block.sequence].push(weight);
                }
                data += weight * loss;
            }
        }
        let shift = self.scores.shift(x);
        let regulariser = 0.5 * dot(&shift, &self.scores.pull(&shift));
        if !(data.is_finite() && regulariser.is_finite() && log_unit.is_finite()) {
            return None;
        }
        let loss = ScaledValue::new(data, log_unit) + regulariser.into();
        let maps = keep.then(|| done.into_iter().map(|(map, _)| map).collect());
        Some(Point { x: x.to_vec(), maps, weights, log_unit, loss })
    }

    /// `scale <b, s>` over the keys that query i sees, from the logits over the scale.
    fn along_visible(&self, s: usize, i: usize, b: &[f64], row: &[f64]) -> f64 {
        let visible = &self.scores.sequences[s].visible;
        let seen = row.iter().zip(b).enumerate().filter(|(j, _)| visible.sees(i, *j));
        self.scores.scale * seen.map(|(_, (s, b))| s * b).sum::<f64>()
    }

    /// The attention of block k: as it was kept, or computed into `map`.
    pub(crate) fn map_of<'m>(&self, point: &'m Point, k: usize, left: &mut Vec<f64>, map: &'m mut Vec<f64>) -> &'m [f64] {
        if let Some(maps) = &point.maps {
            return &maps[k];
        }
        let block = &self.scores.blocks[k];
        let inputs = &self.scores.sequences[block.sequence];
        let map = shaped(map, block.rows.len(), block.seen);
        inputs.heads[0].map(&point.x, self.scores.scale, &inputs.visible, block.rows.clone(), block.seen, left, map);
        map
    }

    /// p of a row into `p`, g and ν where they are wanted, and the factors.
    pub(crate) fn row_form(
        &self,
        point: &Point,
        s: usize,
        i: usize,
        f: &[f64],
        p: &mut [f64],
        of_curvature: Option<(&mut [f64], &mut [f64])>,
    ) -> RowForm {
        let (b, square) = (self.targets[s].row(i), self.squares[s][i]);
        let weight = if self.form == Form::Rescaled { point.weights[s][i] } else { 1.0 };
        let residual = |j: usize| f[j] - b[j];
        match self.form {
            Form::Normalised | Form::Rescaled => {
                let mean = if self.form == Form::Normalised {
                    f.iter().enumerate().map(|(j, f)| f * residual(j)).sum::<f64>()
                } else {
                    f.iter().zip(b).map(|(f, b)| f * b).sum::<f64>() - square
                };
                p.iter_mut().enumerate().for_each(|(j, p)| *p = f[j] * (residual(j) - mean));
            }
            Form::CrossEntropy => {
                let visible = &self.scores.sequences[s].visible;
                let dead = f.iter().all(|f| *f == 0.0);
                p.iter_mut().enumerate().for_each(|(j, p)| *p = if dead || !visible.sees(i, j) { 0.0 } else { residual(j) });
            }
        }
        let gamma = match self.form {
            Form::Normalised => dot(f, f),
            Form::Rescaled => square,
            Form::CrossEntropy => 0.0,
        };
        if let Some((g, nu)) = of_curvature {
            for j in 0..f.len() {
                (g[j], nu[j]) = match self.form {
                    Form::Normalised => (f[j] * f[j] + p[j], f[j] * f[j] + p[j]),
                    Form::Rescaled => (f[j] * f[j] + p[j], f[j] * b[j]),
                    Form::CrossEntropy => (f[j], 0.5 * f[j]),
                };
            }
        }
        let factor = if self.form == Form::CrossEntropy { 1.0 } else { 2.0 * weight };
        RowForm { slope: factor, kappa: factor, gamma }
    }

    /// The regulariser's part of the gradient, in the unit of the point, for `X - X0`.
    pub(crate) fn pull(&self, point: &Point, shift: &[f64]) -> Vec<f64> {
        let mut pull = self.scores.pull(shift);
        if point.log_unit != 0.0 && self.is_regularised() {
            let unit = (-point.log_unit).exp();
            pull.iter_mut().for_each(|p| *p *= unit);
        }
        pull
    }

    /// The gradient, in the unit of the point. Cost: n m d2 multiply-adds, twice where the maps were not kept.
    pub(crate) fn gradient(&self, point: &Point) -> Vec<f64> {
        let of_block = |sum: &mut Vec<f64>, scratch: &mut Scratch, k: usize, block: &Block| {
            if block.seen == 0 {
                return;
            }
            let Scratch { left, map, p, .. } = scratch;
            let f = self.map_of(point, k, left, map);
            let p = shaped(p, block.rows.len(), block.seen);
            for ((i, f), p) in block.rows.clone().zip(f.chunks_exact(block.seen)).zip(p.chunks_exact_mut(block.seen)) {
                let form = self.row_form(point, block.sequence, i, f, p, None);
                p.iter_mut().for_each(|p| *p *= form.slope);
            }
            let head = &self.scores.sequences[block.sequence].heads[0];
            head.pull_back(p, self.scores.scale, block.rows.clone(), block.seen, left, sum);
        };
        let zero = || vec![0.0; self.scores.of_x()];
        let mut gradient = accumulate(&self.scores.blocks, PARTS, zero, of_block, |total, part| add(total, &part));
        add(&mut gradient, &self.pull(point, &self.scores.shift(&point.x)));
        gradient
    }

    /// The product of the Hessian with a direction, in the unit of the point. Cost: 2 n m d2 multiply-adds.
    pub(crate) fn hessian_times(&self, point: &Point, dx: &[f64]) -> Vec<f64> {
        let of_block = |sum: &mut Vec<f64>, scratch: &mut Scratch, k: usize, block: &Block| {
            let (count, seen) = (block.rows.len(), block.seen);
            if seen == 0 {
                return;
            }
            let Scratch { left, map, p, g, nu, change } = scratch;
            let head = &self.scores.sequences[block.sequence].heads[0];
            let change = shaped(change, count, seen);
            head.logits(dx, self.scores.scale, block.rows.clone(), seen, left, change);
            let f = self.map_of(point, k, left, map);
            let (p, g, nu) = (shaped(p, 1, seen), shaped(g, 1, seen), shaped(nu, 1, seen));
            for ((i, f), d) in block.rows.clone().zip(f.chunks_exact(seen)).zip(change.chunks_exact_mut(seen)) {
                let form = self.row_form(point, block.sequence, i, f, p, Some((g, nu)));
                let (of_f, of_nu) = (dot(f, d), dot(nu, d));
                for j in 0..seen {
                    d[j] = form.kappa * (g[j] * d[j] - f[j] * of_nu - nu[j] * of_f + form.gamma * f[j] * of_f);
                }
            }
            head.pull_back(change, self.scores.scale, block.rows.clone(), seen, left, sum);
        };
        let zero = || vec![0.0; self.scores.of_x()];
        let mut product = accumulate(&self.scores.blocks, PARTS, zero, of_block, |total, part| add(total, &part));
        add(&mut product, &self.pull(point, dx));
        product
    }
}
