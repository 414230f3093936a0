//! What is measured of a point with Y fixed: curvature bounds, and the Kantorovich test.

use certus_linalg::Error;
use certus_linalg::factor::symmetric_eigenvalues;
use certus_linalg::view::rows_of;
use certus_numeric::Array;
use certus_numeric::sum::norm2;

use super::pass::{Curvature, Point};
use super::problem::Problem;
use crate::Certify;
use crate::bilinear::Bilinear;
use crate::blocks::add;
use crate::bounds::{GLOBAL_CURVATURE, OUTPUT, UP, lipschitz, lipschitz_of_heads};
use crate::kantorovich::{Kantorovich, Local};
use crate::norms::{Norms, of_gram, spectral};
use crate::whitening::Whitening;

/// For a query: its residual now, a bound of it at any map, and bounds of the distance of any two values that it sees.
pub(crate) struct RowBounds {
    /// The query's residual now.
    pub(crate) now: f64,
    /// The largest that it can be.
    pub(crate) most: f64,
    /// The largest of the heads' diameters, and the root of the sum of their squares.
    pub(crate) diameter: f64,
    pub(crate) together: f64,
}

/// The test's view of a layer at a point.
struct AtPoint<'p, 'a> {
    problem: &'p Problem<'a>,
    /// The problem in the new coordinates, where its products at the point are to be had: of one head whose maps are kept.
    white: Option<&'p Problem<'p>>,
    point: &'p Point,
    bounds: &'p [RowBounds],
    whitening: &'p Whitening,
    rounding: (f64, f64),
    of_logits: (f64, f64),
}

impl Local for AtPoint<'_, '_> {
    fn hessian_times(&self, v: &[f64]) -> Vec<f64> {
        if let Some(white) = self.white {
            let mut product = white.hessian_times(self.point, v, None, Curvature::Exact).0;
            self.whitening.add_ridge_times(&mut product, self.problem.scores.ridge, v);
            return product;
        }
        let along = self.whitening.change(v);
        self.whitening.gradient(&self.problem.hessian_times(self.point, &along, None, Curvature::Exact).0)
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
        let point = self.problem.point(&x, Some(&self.point.y), false).ok()??;
        Some(self.whitening.gradient(&self.problem.gradient_x(&point)))
    }

    fn lipschitz_within(&self, radius: f64) -> f64 {
        let of_row =
            |row: &RowBounds| lipschitz_of_heads(row.diameter, row.together, row.most.min(row.now + OUTPUT * row.together * radius));
        self.bounds.iter().map(of_row).fold(0.0, f64::max) * UP
    }

    fn rounding(&self) -> (f64, f64) {
        self.rounding
    }

    fn of_logits(&self) -> (f64, f64) {
        self.of_logits
    }
}

impl Problem<'_> {
    /// For each query, what its curvature and the change of it are bounded by.
    pub(crate) fn row_bounds(&self, point: &Point) -> Vec<RowBounds> {
        let dv = self.dv;
        let up = 1.0 + (dv + 8) as f64 * f64::EPSILON;
        let mut bounds = Vec::with_capacity(self.scores.queries());
        for (s, (sequence, outputs)) in self.scores.sequences.iter().zip(&self.outputs).enumerate() {
            // For each head the distance of its values from their mean, at most.
            let spread = |h: &Vec<f64>| {
                let mut centre = vec![0.0; dv];
                h.chunks_exact(dv).for_each(|row| centre.iter_mut().zip(row).for_each(|(c, v)| *c += v / sequence.keys() as f64));
                let distance = |row: &[f64]| norm2(&row.iter().zip(&centre).map(|(a, c)| a - c).collect::<Vec<_>>()) * up;
                (h.chunks_exact(dv).map(distance).fold(0.0, f64::max), centre)
            };
            let spreads = point.h[s].iter().map(spread).collect::<Vec<_>>();
            let centre = (0..dv).map(|l| spreads.iter().map(|(_, centre)| centre[l]).sum()).collect::<Vec<f64>>();
            let most = spreads.iter().map(|(spread, _)| spread).sum::<f64>();
            let largest = 2.0 * spreads.iter().map(|(spread, _)| *spread).fold(0.0, f64::max) * up;
            let together = 2.0 * norm2(&spreads.iter().map(|(spread, _)| *spread).collect::<Vec<_>>()) * up;
            for (i, (target, c)) in outputs.target.as_slice().chunks_exact(dv).zip(point.c[s].chunks_exact(dv)).enumerate() {
                let off = norm2(&target.iter().zip(&centre).map(|(b, c)| b - c).collect::<Vec<_>>()) * up;
                // A row that sees at most one key does not move.
                let moves = f64::from(sequence.count(i) > 1);
                bounds.push(RowBounds {
                    now: norm2(c) * up,
                    most: (most + off) * up,
                    diameter: moves * largest,
                    together: moves * together,
                });
            }
        }
        bounds
    }

    /// The weight of the logit regulariser at which the problem in X is convex for every X, with this Y.
    pub(crate) fn convex_everywhere(&self, point: &Point) -> f64 {
        GLOBAL_CURVATURE * self.row_bounds(point).iter().map(|b| b.most * b.diameter).fold(0.0, f64::max) * UP
    }

    /// The norms of inputs, targets and parameters.
    pub(crate) fn norms(&self, point: &Point) -> Result<Norms, Error> {
        let mut norms = self.scores.norms(&point.x)?.with_targets(self.targets());
        let keys = self.scores.sequences.iter().map(|s| s.keys()).sum();
        for (gram, y) in self.gram3.iter().zip(point.y.chunks_exact(self.d3 * self.dv)) {
            norms.a3 = norms.a3.max(of_gram(&symmetric_eigenvalues(gram.as_ref())?, keys).1);
            norms.y = norms.y.max(spectral(rows_of(y, self.d3, self.dv))?);
        }
        Ok(norms)
    }

    /// The Kantorovich test in X at a point, with its Y: by products, or proven where that is asked for and the Hessian can be formed.
    /// `None` where no logit depends on X.
    pub(crate) fn kantorovich(&self, point: &Point, start_distance: Option<f64>, certify: Certify) -> Result<Option<Kantorovich>, Error> {
        let Some(whitening) = Whitening::new(&self.scores)? else { return Ok(None) };
        let bounds = self.row_bounds(point);
        let gradient = whitening.gradient(&self.gradient_x(point));
        let inputs = (0..self.scores.heads).map(|h| whitening.inputs(&self.scores, h)).collect::<Vec<_>>();
        let mut rounding = self.rounding(point, &bounds, &inputs);
        rounding.0 += whitening.largest_gradient(&self.scores.pull_rounding(&point.x));
        let of_logits = self.of_logits(point, &bounds);
        let white = (self.scores.heads == 1).then(|| {
            let scores = Whitening::scores(&inputs[0], &self.scores);
            Problem { scores, outputs: self.outputs.clone(), gram3: self.gram3.clone(), y0: self.y0.clone(), ..*self }
        });
        // The maps are the same in all coordinates.
        let by_products = white.as_ref().filter(|_| point.maps.is_some());
        let at = AtPoint { problem: self, white: by_products, point, bounds: &bounds, whitening: &whitening, rounding, of_logits };
        let formed = white.as_ref().filter(|_| certify == Certify::Full && self.scores.of_x() <= FORMED);
        let mut found = if let Some(white) = formed {
            let seen_from = Point { x: whitening.point(&point.x), ..point.clone() };
            let mut hessian = white.block_hessian(&seen_from, Curvature::Exact, false).xx;
            if self.scores.ridge > 0.0 {
                whitening.add_ridge(&mut hessian, self.scores.ridge);
            }
            // The data's part of the gradient in the new coordinates from the start: taken there afterwards, its rounding would grow.
            let mut gradient = whitening.gradient(&self.scores.pull(&self.scores.shift(&point.x)));
            let metric = white.scores.metric();
            let plain = Problem { scores: Bilinear { logit_reg: 0.0, ..white.scores.clone() }, ..white.clone() };
            add(&mut gradient, &plain.gradient_x(&seen_from));
            Kantorovich::test(&at, &hessian, &metric, &gradient)?
        } else {
            Kantorovich::estimate(&at, &gradient)?
        };
        found.directions_left_out = whitening.leaves_out();
        // Maps that were not kept are computed anew in the new coordinates, whose rounding is not bounded.
        found.estimated |= point.maps.is_none();
        Ok(Some(found.reaching(&at, start_distance).in_unit(0.0)))
    }

    /// What the rounding of the logits does: the norm of the changes of all rows' gradients, and the largest of those of their curvatures.
    fn of_logits(&self, point: &Point, bounds: &[RowBounds]) -> (f64, f64) {
        let (mut squares, mut largest) = (0.0, 0.0f64);
        for (of, off) in bounds.iter().zip(self.scores.logit_rounding(&point.x)) {
            // A row's curvature is at most D² / 4 + 2 R D / (3 sqrt 3), and K-Lipschitz.
            let curvature = 0.25 * of.diameter * of.diameter + GLOBAL_CURVATURE * of.most * of.diameter;
            squares += (curvature * off).powi(2);
            largest = largest.max(lipschitz(of.diameter, of.most) * off);
        }
        (squares.sqrt() * UP, largest * UP)
    }

    /// Bounds of the rounding of the gradient in X and of the Hessian in X, both computed in the new coordinates, in norm: the sums of the
    /// sizes of all terms, over the heads, whose queries and keys there are given for each sequence.
    fn rounding(&self, point: &Point, bounds: &[RowBounds], heads: &[Vec<(Array, Array)>]) -> (f64, f64) {
        let y = norm2(&point.y);
        let (mut of_gradient, mut of_hessian, mut longest) = (0.0, 0.0, 0);
        let norms = |a: &Array| (0..a.rows()).map(|i| norm2(a.row(i))).fold(0.0, f64::max);
        for (h, inputs) in heads.iter().enumerate() {
            let mut rows = bounds.iter();
            for ((a1, a2), outputs) in inputs.iter().zip(&self.outputs) {
                let (keys, output) = (norms(a2), norms(outputs.values[h]) * y);
                longest = longest.max(a2.rows());
                for (i, of) in (0..a1.rows()).zip(&mut rows) {
                    let query = norm2(a1.row(i));
                    // The sum of |p| over the keys, with the terms of the residual, which cancel.
                    let slope = 4.0 * (of.now + output) * output;
                    of_gradient += 2.0 * self.scores.scale * query * keys * slope;
                    of_hessian += self.scores.scale.powi(2) * query.powi(2) * keys.powi(2) * (8.0 * output * output + 12.0 * slope);
                }
            }
        }
        let steps = (bounds.len() + longest + self.scores.d1 + self.scores.d2 + self.d3 + self.dv + 64) as f64;
        (steps * f64::EPSILON * of_gradient, steps * f64::EPSILON * of_hessian)
    }
}

/// Entries of X up to which the Hessian is formed for the test.
const FORMED: usize = 4096;
