//! What is measured of a point: curvature bounds, and the Kantorovich test.

use certus_linalg::Error;
use certus_numeric::sum::{dot, norm2};

use super::pass::Point;
use super::problem::{Form, Problem};
use crate::Certify;
use crate::bilinear::Bilinear;
use crate::blocks::add;
use crate::bounds::{CROSS_ENTROPY, GLOBAL_CURVATURE, OUTPUT, UP, beta_rounding, lipschitz, row_beta};
use crate::kantorovich::{Kantorovich, Local};
use crate::norms::Norms;
use crate::whitening::Whitening;

/// Entries of X up to which the Hessian is formed for the test.
const FORMED: usize = 4096;
/// The distance of two keys' values, which are unit vectors.
const DIAMETER: f64 = std::f64::consts::SQRT_2;

/// The test's view of a map problem at a point.
struct AtPoint<'p, 'a> {
    problem: &'p Problem<'a>,
    /// The problem in the new coordinates.
    white: &'p Problem<'p>,
    point: &'p Point,
    whitening: &'p Whitening,
    rounding: (f64, f64),
    of_logits: (f64, f64),
}

impl Local for AtPoint<'_, '_> {
    fn hessian_times(&self, v: &[f64]) -> Vec<f64> {
        // Maps that are kept are the same in all coordinates.
        if self.point.maps.is_some() {
            let mut product = self.white.hessian_times(self.point, v);
            self.whitening.add_ridge_times(&mut product, self.problem.scores.ridge * (-self.point.log_unit).exp(), v);
            return product;
        }
        self.whitening.gradient(&self.problem.hessian_times(self.point, &self.whitening.change(v)))
    }

    fn metric_times(&self, v: &[f64]) -> Vec<f64> {
        self.whitening.gradient(&self.problem.scores.metric_times(&self.whitening.change(v)))
    }

    fn metric_is(&self) -> Option<f64> {
        let scores = &self.problem.scores;
        (scores.sequences.len() == 1).then_some(scores.scale * scores.scale)
    }

    fn gradient_after(&self, change: &[f64]) -> Option<Vec<f64>> {
        let x = self.point.x.iter().zip(self.whitening.change(change)).map(|(x, d)| x + d).collect::<Vec<_>>();
        let point = self.problem.point(&x, false)?;
        let unit = (point.log_unit - self.point.log_unit).exp();
        let gradient = self.problem.gradient(&point).into_iter().map(|g| unit * g).collect::<Vec<_>>();
        Some(self.whitening.gradient(&gradient))
    }

    fn lipschitz_within(&self, radius: f64) -> f64 {
        let mut largest = 0.0f64;
        self.problem.each_row(self.point, |s, i, f, p| largest = largest.max(self.problem.row_lipschitz(self.point, s, i, f, p, radius)));
        largest * UP
    }

    fn rounding(&self) -> (f64, f64) {
        self.rounding
    }

    fn of_logits(&self) -> (f64, f64) {
        self.of_logits
    }
}

impl Problem<'_> {
    /// Calls `of_row(sequence, row, f, p)` for each query that sees a key.
    fn each_row(&self, point: &Point, mut of_row: impl FnMut(usize, usize, &[f64], &[f64])) {
        let (mut left, mut map, mut p) = (Vec::new(), Vec::new(), Vec::new());
        for (k, block) in self.scores.blocks.iter().enumerate().filter(|(_, block)| block.seen > 0) {
            let f = self.map_of(point, k, &mut left, &mut map);
            p.resize(block.seen, 0.0);
            for (i, f) in block.rows.clone().zip(f.chunks_exact(block.seen)) {
                self.row_form(point, block.sequence, i, f, &mut p, None);
                of_row(block.sequence, i, f, &p);
            }
        }
    }

    /// For each sequence the number of queries before its own.
    fn first_rows(&self) -> Vec<usize> {
        self.scores.sequences.iter().scan(0, |next, s| Some(std::mem::replace(next, *next + s.queries()))).collect()
    }

    /// K of a row within a distance of its logits, in the unit of the point.
    fn row_lipschitz(&self, point: &Point, s: usize, i: usize, f: &[f64], p: &[f64], radius: f64) -> f64 {
        if self.scores.sequences[s].count(i) < 2 && self.form != Form::Rescaled {
            return 0.0;
        }
        let (b, square) = (self.targets[s].row(i), self.squares[s][i]);
        match self.form {
            Form::CrossEntropy => CROSS_ENTROPY,
            Form::Normalised => {
                let tail = dot(&b[f.len()..], &b[f.len()..]);
                let now = (f.iter().zip(b).map(|(f, b)| (f - b) * (f - b)).sum::<f64>() + tail).sqrt() * UP;
                let least = b.iter().copied().fold(f64::INFINITY, f64::min);
                // |e_j - b|² = 1 - 2 b_j + |b|².
                let most = (1.0 - 2.0 * least + square).max(0.0).sqrt() * UP;
                lipschitz(DIAMETER, most.min(now + OUTPUT * DIAMETER * radius))
            }
            Form::Rescaled => {
                // Theorem 3's local version, in units of the row's sum: u = α f, (Q u)_j = α p_j / f_j.
                let (grown, weight) = (radius.exp(), point.weights[s][i]);
                let m = b.len() as f64;
                let along = f.iter().zip(b).map(|(f, b)| f * b.abs()).sum::<f64>();
                let of_key = |j: usize| grown * (p[j].abs() + (grown - 1.0) * f[j] * (f[j] + b[j].abs() + along + square));
                let largest = (0..f.len()).map(of_key).fold(0.0, f64::max);
                let top = f.iter().copied().fold(0.0, f64::max);
                let norm = (1.0 + (m * square).sqrt()).powi(2);
                let bound = weight * (2.0 * largest + 6.0 * grown * grown * norm * top * top);
                // A weight of zero times what overflows bounds nothing.
                if grown.is_finite() && bound.is_finite() { bound } else { f64::INFINITY }
            }
        }
    }

    /// The largest beta of any row: a weight of the logit regulariser at which the Hessian is proven positive semidefinite here.
    pub(crate) fn convex_here(&self, point: &Point) -> f64 {
        let unit = point.log_unit.exp().min(f64::MAX);
        let (off, firsts) = (self.scores.logit_rounding(&point.x), self.first_rows());
        let mut largest = 0.0f64;
        self.each_row(point, |s, i, f, p| {
            let (b, off) = (self.targets[s].row(i), off[firsts[s] + i]);
            let changes = || self.row_lipschitz(point, s, i, f, p, off);
            let steps = (2 * f.len() + 16) as f64 * f64::EPSILON;
            let beta = match self.form {
                Form::CrossEntropy => 0.0,
                Form::Normalised => {
                    let size = |(f, b): (&f64, &f64)| f + b.abs();
                    let mean = f.iter().zip(b).map(|(f, b)| f * size((f, b))).sum::<f64>();
                    let of_p = steps * norm2(&f.iter().zip(b).map(|(f, b)| f * (size((f, b)) + mean)).collect::<Vec<_>>());
                    row_beta(f, p, |j| self.scores.sequences[s].visible.sees(i, j)) + beta_rounding(changes(), off, of_p)
                }
                Form::Rescaled => {
                    let weight = point.weights[s][i];
                    let mean = f.iter().zip(b).map(|(f, b)| f * b.abs()).sum::<f64>() + self.squares[s][i];
                    let below = |((f, b), p): ((&f64, &f64), &f64)| p - steps * f * (f + b.abs() + mean);
                    let least = f.iter().zip(b).zip(p).map(below).fold(0.0, f64::min);
                    // The weight is the exponential of a difference of logarithms, which are rounded as well.
                    let of_weight = steps + 4.0 * f64::EPSILON * (2.0 * point.log_unit.abs() + weight.ln().abs().min(f64::MAX));
                    unit * (-2.0 * weight * least * (1.0 + of_weight) + beta_rounding(changes(), off, 0.0))
                }
            };
            largest = largest.max(beta);
        });
        largest.min(f64::MAX)
    }

    /// A weight at which the problem is convex for every X; `None` where none is known.
    pub(crate) fn convex_everywhere(&self) -> Option<f64> {
        match self.form {
            Form::CrossEntropy => Some(0.0),
            Form::Rescaled => None,
            Form::Normalised => {
                let most =
                    |(b, square): (&[f64], f64)| (1.0 - 2.0 * b.iter().copied().fold(f64::INFINITY, f64::min) + square).max(0.0).sqrt();
                let rows = self.targets.iter().zip(&self.squares).flat_map(|(b, squares)| (0..b.rows()).map(|i| (b.row(i), squares[i])));
                Some(GLOBAL_CURVATURE * DIAMETER * rows.map(most).fold(0.0, f64::max) * UP)
            }
        }
    }

    /// The norms of inputs, targets and X.
    pub(crate) fn norms(&self, point: &Point) -> Result<Norms, Error> {
        Ok(self.scores.norms(&point.x)?.with_targets(self.targets.iter().copied()))
    }

    /// The Kantorovich test at a point, in true units: by products, or proven where that is asked for and the Hessian can be formed. `None`
    /// where no logit depends on X.
    pub(crate) fn kantorovich(&self, point: &Point, start_distance: Option<f64>, certify: Certify) -> Result<Option<Kantorovich>, Error> {
        let Some(whitening) = Whitening::new(&self.scores)? else { return Ok(None) };
        let gradient = whitening.gradient(&self.gradient(point));
        let inputs = whitening.inputs(&self.scores, 0);
        let scores = Whitening::scores(&inputs, &self.scores);
        let white = Problem { scores, targets: self.targets.clone(), squares: self.squares.clone(), form: self.form };
        let seen_from = Point { x: whitening.point(&point.x), ..point.clone() };
        let mut rounding = white.rounding(&seen_from);
        let of_pull = whitening.largest_gradient(&self.scores.pull_rounding(&point.x));
        rounding.0 += if self.is_regularised() { of_pull * (-point.log_unit).exp() } else { 0.0 };
        let at = AtPoint { problem: self, white: &white, point, whitening: &whitening, rounding, of_logits: self.of_logits(point) };
        let mut found = if certify == Certify::Full && self.scores.of_x() <= FORMED {
            let mut hessian = white.hessian(&seen_from);
            if self.scores.ridge > 0.0 {
                whitening.add_ridge(&mut hessian, self.scores.ridge * (-point.log_unit).exp());
            }
            // The data's part of the gradient in the new coordinates from the start: taken there afterwards, its rounding would grow.
            let mut gradient = whitening.gradient(&self.pull(point, &self.scores.shift(&point.x)));
            let metric = white.scores.metric();
            let plain = Problem { scores: Bilinear { logit_reg: 0.0, ..white.scores.clone() }, ..white.clone() };
            add(&mut gradient, &plain.gradient(&seen_from));
            Kantorovich::test(&at, &hessian, &metric, &gradient)?
        } else {
            Kantorovich::estimate(&at, &gradient)?
        };
        found.directions_left_out = whitening.leaves_out();
        // Maps that were not kept are computed anew in the new coordinates, whose rounding is not bounded.
        found.estimated |= point.maps.is_none();
        Ok(Some(found.reaching(&at, start_distance).in_unit(point.log_unit)))
    }

    /// What the rounding of the logits does: the norm of the changes of all rows' gradients, and the largest of those of their curvatures.
    fn of_logits(&self, point: &Point) -> (f64, f64) {
        let (off, firsts) = (self.scores.logit_rounding(&point.x), self.first_rows());
        let (mut squares, mut largest) = (0.0, 0.0f64);
        self.each_row(point, |s, i, f, p| {
            let (b, off) = (self.targets[s].row(i), off[firsts[s] + i]);
            let weight = if self.form == Form::Rescaled { point.weights[s][i] } else { 1.0 };
            let terms = f.iter().zip(b).map(|(f, b)| f + b.abs()).sum::<f64>() + self.squares[s][i];
            let slopes = p.iter().map(|p| p.abs()).sum::<f64>();
            let change = self.row_lipschitz(point, s, i, f, p, off) * off;
            // The sizes of a curvature's entries bound it; it changes on the way.
            squares += ((2.0 * weight * (4.0 + slopes + terms * (4.0 + terms)) + change) * off).powi(2);
            largest = largest.max(change);
        });
        (squares.sqrt() * UP, largest * UP)
    }

    /// Bounds of the rounding of the gradient and of the Hessian, in norm, from the sums of the sizes of all terms.
    fn rounding(&self, point: &Point) -> (f64, f64) {
        let scores = &self.scores;
        let (mut of_gradient, mut of_hessian, mut longest) = (0.0, 0.0, 0);
        let norms = |s: usize| {
            let a2 = scores.sequences[s].heads[0].a2;
            (0..a2.rows()).map(|j| norm2(a2.row(j))).fold(0.0, f64::max)
        };
        let keys = (0..scores.sequences.len()).map(norms).collect::<Vec<_>>();
        self.each_row(point, |s, i, f, p| {
            longest = longest.max(f.len());
            let b = self.targets[s].row(i);
            let query = norm2(scores.sequences[s].heads[0].a1.row(i));
            let weight = if self.form == Form::Rescaled { point.weights[s][i] } else { 1.0 };
            let terms = f.iter().zip(b).map(|(f, b)| f + b.abs()).sum::<f64>() + self.squares[s][i];
            let slopes = p.iter().map(|p| p.abs()).sum::<f64>();
            let slope = 2.0 * weight * (slopes + terms * (1.0 + terms));
            of_gradient += scores.scale * query * keys[s] * slope;
            of_hessian += (scores.scale * query * keys[s]).powi(2) * 2.0 * weight * (4.0 + slopes + terms * (4.0 + terms));
        });
        let steps = (scores.queries() + longest + scores.d1 + scores.d2 + 64) as f64;
        (steps * f64::EPSILON * of_gradient, steps * f64::EPSILON * of_hessian)
    }
}
