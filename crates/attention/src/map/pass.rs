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
use certus_numeric::softmax::{Keep, RowSum, softmax_row_with};
use certus_numeric::sum::{dot, sum};

use super::problem::{Form, Problem};
use crate::blocks::{Block, PARTS, accumulate, add};
use crate::rank_one;
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

/// What a row adds to the loss.
#[derive(Clone, Copy)]
struct RowValue {
    /// The logarithm of its sum of exponentials.
    log_sum: f64,
    /// Its loss, but for its weight.
    loss: f64,
}

/// What some blocks add up to in one pass.
struct Part {
    rows: Vec<RowValue>,
    unit: Unit,
    /// The gradient in that unit.
    sum: Vec<f64>,
}

/// Half the logarithm of the unit of a rescaled gradient: the largest of the rows' logarithms of sums so far.
#[derive(Clone, Copy)]
struct Unit(f64);

impl Unit {
    /// To at least `log_sum`, with what was summed in the old one.
    fn raise(&mut self, log_sum: f64, sum: &mut [f64]) {
        if log_sum > self.0 {
            let factor = (2.0 * (self.0 - log_sum)).exp();
            sum.iter_mut().for_each(|v| *v *= factor);
            self.0 = log_sum;
        }
    }

    /// The square of a row's sum in this unit.
    fn weight(self, log_sum: f64) -> f64 {
        if log_sum == f64::NEG_INFINITY { 0.0 } else { (2.0 * (log_sum - self.0)).exp() }
    }
}

/// `Σ f (f - b)`, over eight lanes.
fn weighted_residual(f: &[f64], b: &[f64]) -> f64 {
    in_lanes(f, b, |f, b| f * (f - b))
}

/// `Σ (f - b)²`, over eight lanes.
fn square_distance(f: &[f64], b: &[f64]) -> f64 {
    in_lanes(f, b, |f, b| (f - b) * (f - b))
}

const LANES: usize = 8;

/// The sum of a term of each pair, in a fixed order of lanes.
#[inline(always)]
fn in_lanes(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    sum(&lanes) + rest_a.iter().zip(rest_b).fold(0.0, |sum, (a, b)| sum + term(*a, *b))
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
        let of_block = |(rows, maps): &mut (Vec<RowValue>, Vec<Vec<f64>>), scratch: &mut Scratch, _: usize, block: &Block| {
            let mut map = std::mem::take(&mut scratch.map);
            self.attend(x, block, &mut scratch.left, &mut map, rows);
            if keep {
                maps.push(map);
            } else {
                scratch.map = map;
            }
        };
        let merge = |total: &mut (Vec<RowValue>, Vec<Vec<f64>>), part: (Vec<RowValue>, Vec<Vec<f64>>)| {
            total.0.extend(part.0);
            total.1.extend(part.1);
        };
        let (rows, maps) = accumulate(&self.scores.blocks, PARTS, Default::default, of_block, merge);
        self.with_loss(x, &rows, keep.then_some(maps))
    }

    /// Evaluates at X together with the gradient in the unit of the point, in one pass that keeps no map. `None` where the loss is not
    /// finite. Cost: 2 n m d2 multiply-adds and n m exponentials.
    pub(crate) fn point_and_gradient(&self, x: &[f64]) -> Option<(Point, Vec<f64>)> {
        let rescaled = self.form == Form::Rescaled;
        let of_block = |part: &mut Part, scratch: &mut Scratch, _: usize, block: &Block| {
            let (first, mut map) = (part.rows.len(), std::mem::take(&mut scratch.map));
            self.attend(x, block, &mut scratch.left, &mut map, &mut part.rows);
            let rows = &part.rows[first..];
            if rescaled {
                part.unit.raise(rows.iter().map(|row| row.log_sum).fold(f64::NEG_INFINITY, f64::max), &mut part.sum);
            }
            if block.seen > 0 {
                for ((i, value), row) in block.rows.clone().zip(rows).zip(map.chunks_exact_mut(block.seen)) {
                    self.to_slopes(block.sequence, i, row);
                    if rescaled {
                        let factor = self.slope_factor(part.unit.weight(value.log_sum));
                        row.iter_mut().for_each(|p| *p *= factor);
                    }
                }
                let alpha = if rescaled { 1.0 } else { self.slope_factor(1.0) } * self.scores.scale;
                let head = &self.scores.sequences[block.sequence].heads[0];
                head.pull_back(
                    &map[..block.rows.len() * block.seen],
                    alpha,
                    block.rows.clone(),
                    block.seen,
                    &mut scratch.left,
                    &mut part.sum,
                );
            }
            scratch.map = map;
        };
        let zero = || Part { rows: Vec::new(), unit: Unit(f64::NEG_INFINITY), sum: vec![0.0; self.scores.of_x()] };
        let merge = |total: &mut Part, mut part: Part| {
            let largest = total.unit.0.max(part.unit.0);
            total.unit.raise(largest, &mut total.sum);
            part.unit.raise(largest, &mut part.sum);
            total.rows.extend(part.rows);
            add(&mut total.sum, &part.sum);
        };
        let Part { rows, unit, sum: mut gradient } = accumulate(&self.scores.blocks, PARTS, zero, of_block, merge);
        let point = self.with_loss(x, &rows, None)?;
        if rescaled {
            let factor = (2.0 * unit.0 - point.log_unit).exp();
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        add(&mut gradient, &self.pull(&point, &self.scores.shift(x)));
        Some((point, gradient))
    }

    /// The attention of a block's rows into `map`, and what each of them adds to the loss, after `values`.
    fn attend(&self, x: &[f64], block: &Block, left: &mut Vec<f64>, map: &mut Vec<f64>, values: &mut Vec<RowValue>) {
        let (inputs, target, seen) = (&self.scores.sequences[block.sequence], self.targets[block.sequence], block.seen);
        let map = shaped(map, block.rows.len(), seen);
        if seen > 0 {
            inputs.heads[0].logits(x, 1.0, block.rows.clone(), seen, left, map);
        }
        for (k, i) in block.rows.clone().enumerate() {
            let (row, b) = (&mut map[k * seen..(k + 1) * seen], target.row(i));
            let along = if self.form == Form::CrossEntropy { self.along_visible(block.sequence, i, b, row) } else { 0.0 };
            let sum = if seen > 0 { softmax_row_with(row, self.scores.scale, inputs.visible.keep(i, seen)) } else { RowSum::EMPTY };
            let dead = sum.sum == 0.0;
            let loss = match self.form {
                Form::CrossEntropy if dead => 0.0,
                Form::CrossEntropy => sum.log_sum_exp() - along,
                _ => square_distance(row, &b[..seen]) + dot(&b[seen..], &b[seen..]),
            };
            values.push(RowValue { log_sum: if dead { f64::NEG_INFINITY } else { sum.log_sum_exp() }, loss });
        }
    }

    /// The point, from what each row adds to the loss; `None` where that is not finite.
    fn with_loss(&self, x: &[f64], rows: &[RowValue], maps: Option<Vec<Vec<f64>>>) -> Option<Point> {
        let rescaled = self.form == Form::Rescaled;
        let largest = rows.iter().map(|row| row.log_sum).fold(f64::NEG_INFINITY, f64::max);
        let mut log_unit = if rescaled { 2.0 * largest } else { 0.0 };
        // A regulariser does not shrink with the exponentials: beside it what is tiny need not be scaled up.
        if log_unit == f64::NEG_INFINITY || (log_unit < 0.0 && self.is_regularised()) {
            log_unit = 0.0;
        }
        let mut weights = vec![Vec::new(); if rescaled { self.targets.len() } else { 0 }];
        let (mut data, mut rows) = (0.0, rows.iter());
        for block in &self.scores.blocks {
            for row in rows.by_ref().take(block.rows.len()) {
                let weight = if rescaled { (2.0 * row.log_sum - log_unit).exp() } else { 1.0 };
                if rescaled {
                    weights[block.sequence].push(weight);
                }
                data += weight * row.loss;
            }
        }
        let shift = self.scores.shift(x);
        let regulariser = 0.5 * dot(&shift, &self.scores.pull(&shift));
        if !(data.is_finite() && regulariser.is_finite() && log_unit.is_finite()) {
            return None;
        }
        let loss = ScaledValue::new(data, log_unit) + regulariser.into();
        Some(Point { x: x.to_vec(), maps, weights, log_unit, loss })
    }

    /// `scale <b, s>` over the keys that query i sees, from the logits over the scale.
    fn along_visible(&self, s: usize, i: usize, b: &[f64], row: &[f64]) -> f64 {
        let b = &b[..row.len()];
        self.scores.scale
            * match self.scores.sequences[s].visible.keep(i, row.len()) {
                Keep::All => dot(row, b),
                Keep::First(count) => dot(&row[..count.min(row.len())], &b[..count.min(row.len())]),
                Keep::Where(seen) => row.iter().zip(b).zip(seen).filter(|(_, seen)| **seen).map(|((s, b), _)| s * b).sum::<f64>(),
            }
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
        let (b, square) = (&self.targets[s].row(i)[..f.len()], self.squares[s][i]);
        let weight = if self.form == Form::Rescaled { point.weights[s][i] } else { 1.0 };
        p.copy_from_slice(f);
        self.to_slopes(s, i, p);
        let gamma = match self.form {
            Form::Normalised => dot(f, f),
            Form::Rescaled => square,
            Form::CrossEntropy => 0.0,
        };
        if let Some((g, nu)) = of_curvature {
            let entries = g.iter_mut().zip(nu).zip(f.iter().zip(b).zip(&*p));
            match self.form {
                Form::Normalised => entries.for_each(|((g, nu), ((f, _), p))| (*g, *nu) = (f * f + p, f * f + p)),
                Form::Rescaled => entries.for_each(|((g, nu), ((f, b), p))| (*g, *nu) = (f * f + p, f * b)),
                Form::CrossEntropy => entries.for_each(|((g, nu), ((f, _), _))| (*g, *nu) = (*f, 0.5 * f)),
            }
        }
        let factor = self.slope_factor(weight);
        RowForm { slope: factor, kappa: factor, gamma }
    }

    /// For each query and key of block k `c f`, f the attention: the curvature of the row is at most `c (diag(f) - f fᵀ)` where it fits.
    pub(crate) fn spread_weights(&self, point: &Point, k: usize, scratch: &mut rank_one::Scratch, weights: &mut Vec<f64>) {
        let block = &self.scores.blocks[k];
        let weights = shaped(weights, block.rows.len(), block.seen);
        if block.seen == 0 {
            return;
        }
        weights.copy_from_slice(self.map_of(point, k, &mut scratch.left, &mut scratch.map));
        for (i, row) in block.rows.clone().zip(weights.chunks_exact_mut(block.seen)) {
            let factor = match self.form {
                Form::CrossEntropy => 1.0,
                Form::Normalised => 2.0 * (1.0 - dot(row, row)).max(0.0),
                Form::Rescaled => 2.0 * point.weights[block.sequence][i] * (1.0 - dot(row, row)).max(0.0),
            };
            row.iter_mut().for_each(|w| *w *= factor);
        }
    }

    /// By what p is multiplied, for a row of this weight.
    fn slope_factor(&self, weight: f64) -> f64 {
        if self.form == Form::CrossEntropy { 1.0 } else { 2.0 * weight }
    }

    /// Replaces the attention of a row by its p.
    fn to_slopes(&self, s: usize, i: usize, row: &mut [f64]) {
        let b = &self.targets[s].row(i)[..row.len()];
        let visible = &self.scores.sequences[s].visible;
        match self.form {
            Form::Normalised => {
                let mean = weighted_residual(row, b);
                row.iter_mut().zip(b).for_each(|(f, b)| *f *= *f - b - mean);
            }
            Form::Rescaled => {
                let mean = dot(row, b) - self.squares[s][i];
                row.iter_mut().zip(b).for_each(|(f, b)| *f *= *f - b - mean);
            }
            Form::CrossEntropy if visible.count(i, row.len()) == 0 => row.fill(0.0),
            Form::CrossEntropy => {
                row.iter_mut().zip(b).for_each(|(f, b)| *f -= b);
                visible.hide(i, row);
            }
        }
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
                let of_map = form.gamma * of_f - of_nu;
                for ((d, f), (g, nu)) in d.iter_mut().zip(f).zip(g.iter().zip(&*nu)) {
                    *d = form.kappa * (g * *d + f * of_map - nu * of_f);
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
