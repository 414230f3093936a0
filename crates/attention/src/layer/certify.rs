//! What is measured of a point with Y fixed: curvature bounds, and the Kantorovich test.

use certus_linalg::Error;
use certus_numeric::Array;
use certus_numeric::sum::norm2;

use super::pass::{Curvature, Point};
use super::problem::Problem;
use crate::bounds::{GLOBAL_CURVATURE, OUTPUT, UP, lipschitz};
use crate::kantorovich::{Kantorovich, Local};
use crate::whitening::Whitening;

/// For each sequence and query: a bound of the residual at any map, the residual at this one, and a bound of the distance of any two
/// values.
pub(crate) struct RowBounds {
    /// The query's residual now.
    pub(crate) now: f64,
    /// The largest that it can be.
    pub(crate) most: f64,
    pub(crate) diameter: f64,
}

/// The test's view of a layer at a point.
struct AtPoint<'p, 'a> {
    problem: &'p Problem<'a>,
    point: &'p Point,
    bounds: &'p [RowBounds],
    whitening: &'p Whitening,
    rounding: (f64, f64),
    of_logits: (f64, f64),
}

impl Local for AtPoint<'_, '_> {
    fn gradient_after(&self, change: &[f64]) -> Option<Vec<f64>> {
        let x = self.point.x.iter().zip(self.whitening.change(change)).map(|(x, d)| x + d).collect::<Vec<_>>();
        let point = self.problem.point(&x, Some(&self.point.y), false).ok()??;
        Some(self.whitening.gradient(&self.problem.gradient_x(&point)))
    }

    fn lipschitz_within(&self, radius: f64) -> f64 {
        let of_row = |row: &RowBounds| lipschitz(row.diameter, row.most.min(row.now + OUTPUT * row.diameter * radius));
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
    /// For each query, what its curvature and the change of it are bounded by. For one head.
    pub(crate) fn row_bounds(&self, point: &Point) -> Vec<RowBounds> {
        let dv = self.dv;
        let up = 1.0 + (dv + 8) as f64 * f64::EPSILON;
        let mut bounds = Vec::with_capacity(self.scores.queries());
        for (s, (sequence, outputs)) in self.scores.sequences.iter().zip(&self.outputs).enumerate() {
            let (h, m) = (&point.h[s][0], sequence.keys());
            let mut centre = vec![0.0; dv];
            h.chunks_exact(dv).for_each(|row| centre.iter_mut().zip(row).for_each(|(c, v)| *c += v / m as f64));
            let distance = |row: &[f64]| norm2(&row.iter().zip(&centre).map(|(a, c)| a - c).collect::<Vec<_>>()) * up;
            let spread = h.chunks_exact(dv).map(distance).fold(0.0, f64::max);
            for (i, (target, c)) in outputs.target.as_slice().chunks_exact(dv).zip(point.c[s].chunks_exact(dv)).enumerate() {
                // A row that sees at most one key does not move.
                let moves = sequence.count(i) > 1;
                let diameter = if moves { 2.0 * spread * up } else { 0.0 };
                bounds.push(RowBounds { now: norm2(c) * up, most: (spread + distance(target)) * up, diameter });
            }
        }
        bounds
    }

    /// The weight of the logit regulariser at which the problem in X is convex for every X, with this Y.
    pub(crate) fn convex_everywhere(&self, point: &Point) -> f64 {
        GLOBAL_CURVATURE * self.row_bounds(point).iter().map(|b| b.most * b.diameter).fold(0.0, f64::max) * UP
    }

    /// The largest norm of inputs, targets and parameters, `inputs` being that of queries and keys.
    pub(crate) fn largest_norm(&self, point: &Point, inputs: f64) -> f64 {
        let arrays = self.outputs.iter().flat_map(|s| s.values.iter().copied().chain([s.target]));
        arrays.map(|a| norm2(a.as_slice())).chain([norm2(&point.x), norm2(&point.y)]).fold(inputs, f64::max)
    }

    /// The Kantorovich test in X at a point, with its Y; `None` where the Hessian is too large to form, or has several heads.
    pub(crate) fn kantorovich(&self, point: &Point) -> Result<Option<Kantorovich>, Error> {
        if self.scores.heads > 1 || self.scores.of_x() > FORMED {
            return Ok(None);
        }
        let Some(whitening) = Whitening::new(&self.scores)? else { return Ok(None) };
        let white = Problem {
            scores: whitening.scores(&self.scores),
            outputs: self.outputs.clone(),
            gram3: self.gram3.clone(),
            y0: self.y0.clone(),
            ..*self
        };
        let seen_from = Point { x: whitening.point(&point.x), ..point.clone() };
        let mut hessian = white.block_hessian(&seen_from, Curvature::Exact, false).xx;
        if self.scores.ridge > 0.0 {
            whitening.add_ridge(&mut hessian, self.scores.ridge);
        }
        let bounds = self.row_bounds(point);
        let rounding = white.rounding(point, &bounds);
        let of_logits = self.of_logits(point, &bounds);
        let at = AtPoint { problem: self, point, bounds: &bounds, whitening: &whitening, rounding, of_logits };
        let gradient = whitening.gradient(&self.gradient_x(point));
        let mut found = Kantorovich::test(&at, &hessian, &white.scores.metric(), &gradient)?;
        found.directions_left_out = whitening.leaves_out();
        Ok(Some(found))
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

    /// Bounds of the rounding of the gradient in X and of the Hessian in X, in norm: the sums of the sizes of all terms.
    fn rounding(&self, point: &Point, bounds: &[RowBounds]) -> (f64, f64) {
        let y = norm2(&point.y);
        let (mut of_gradient, mut of_hessian, mut row, mut longest) = (0.0, 0.0, 0, 0);
        for (sequence, outputs) in self.scores.sequences.iter().zip(&self.outputs) {
            let norms = |a: &Array| (0..a.rows()).map(|i| norm2(a.row(i))).fold(0.0, f64::max);
            let (keys, values) = (norms(sequence.heads[0].a2), norms(outputs.values[0]));
            longest = longest.max(sequence.keys());
            for i in 0..sequence.queries() {
                let (query, of) = (norm2(sequence.heads[0].a1.row(i)), &bounds[row]);
                let output = values * y;
                // The sum of |p| over the keys, cancellation between them not counted.
                let slope = 2.0 * of.now * output;
                of_gradient += 2.0 * self.scores.scale * query * keys * slope;
                of_hessian += self.scores.scale.powi(2) * query.powi(2) * keys.powi(2) * (8.0 * output * output + 12.0 * slope);
                row += 1;
            }
        }
        let steps = (row + longest + self.scores.d1 + self.scores.d2 + self.d3 + self.dv + 64) as f64;
        (steps * f64::EPSILON * of_gradient, steps * f64::EPSILON * of_hessian)
    }
}

/// Entries of X up to which the Hessian is formed for the test.
const FORMED: usize = 4096;
