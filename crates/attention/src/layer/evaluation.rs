//! Loss, gradient and curvature at a point of the caller's.

use certus_contract::InputError;
use certus_linalg::product::Destination;
use certus_linalg::view::rows_of;
use certus_numeric::sum::{dot, norm2};
use certus_numeric::{Array, Seed};

use super::objective::{Loss, Over};
use super::pass::{Curvature, Point};
use super::problem::{Params, Problem};
use crate::Error;
use crate::blocks::Block;
use crate::bounds::{beta_rounding, lipschitz, row_beta};
use crate::scores::{product, rows, shaped};
use crate::{Sketch, SketchedHessian};

/// The loss and its derivatives at a point.
#[derive(Clone, Debug)]
pub struct Evaluation<'p, 'a> {
    /// The loss, regularisers included.
    pub loss: f64,
    /// The gradient.
    pub gradient: Params,
    pub(crate) problem: &'p Problem<'a>,
    pub(crate) point: Point,
}

/// Entries of a Hessian, at most.
const LARGEST_HESSIAN: usize = 1 << 28;

impl<'a> Problem<'a> {
    /// Loss and gradient at X and Y. Cost: n m (2 d2 + d3 + dv) multiply-adds; memory beyond the inputs: a block of rows a thread.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where the loss is not finite.
    pub fn evaluate(&self, at: &Params) -> Result<Evaluation<'_, 'a>, Error> {
        self.evaluation(at, false)
    }

    /// As [`Problem::evaluate`]; keeps the attention maps for products that follow, where they are no more than 128 MB.
    ///
    /// # Errors
    /// As [`Problem::evaluate`].
    pub fn linearise(&self, at: &Params) -> Result<Evaluation<'_, 'a>, Error> {
        self.evaluation(at, true)
    }

    /// The product of the Hessian (or the Gauss-Newton matrix) at X and Y with one direction, without loss and gradient. For more at the same
    /// point, [`Problem::linearise`] there. Cost: about two gradients.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `InvalidParameter` where the loss or the product is not finite.
    pub fn hessian_product(&self, at: &Params, direction: &Params, curvature: Curvature) -> Result<Params, Error> {
        self.require(at, ["x", "y"])?;
        let point = self.point(at.x.as_slice(), Some(at.y.as_slice()), true)?.ok_or_else(overflow)?;
        self.product_at(&point, direction, curvature)
    }

    fn product_at(&self, point: &Point, direction: &Params, curvature: Curvature) -> Result<Params, Error> {
        self.require(direction, ["direction-x", "direction-y"])?;
        let (x, y) = self.hessian_times(point, direction.x.as_slice(), Some(direction.y.as_slice()), curvature);
        if !x.iter().chain(&y).all(|v| v.is_finite()) {
            return Err(overflow());
        }
        Ok(self.params(&x, &y))
    }

    fn evaluation(&self, at: &Params, keep: bool) -> Result<Evaluation<'_, 'a>, Error> {
        self.require(at, ["x", "y"])?;
        let found = self.point_and_gradient(at.x.as_slice(), at.y.as_slice(), keep);
        let Some((point, of_x)) = found else { return Err(overflow()) };
        let of_y = self.gradient_y(&point);
        if !of_x.iter().chain(&of_y).all(|g| g.is_finite()) {
            return Err(overflow());
        }
        let gradient = self.params(&of_x, &of_y);
        Ok(Evaluation { loss: point.loss, gradient, problem: self, point })
    }
}

/// The error of a point whose loss is not finite.
pub(crate) fn overflow() -> Error {
    InputError::parameter("loss", "not finite", "finite: scale the inputs down, logits and squares overflow").into()
}

impl Evaluation<'_, '_> {
    /// The product of the Hessian (or the Gauss-Newton matrix) with a direction. Cost: about two gradients.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn hessian_times(&self, direction: &Params, curvature: Curvature) -> Result<Params, Error> {
        self.problem.product_at(&self.point, direction, curvature)
    }

    /// The Hessian (or the Gauss-Newton matrix), X before Y, each row-major, heads first.
    ///
    /// Cost: for each head n m d2 (d2 / 2 + d3) + n d1² d2² / 4 + n d1 d2 d3 dv multiply-adds, for each pair of heads n d1² d2² + 2 n d1 d2 d3 dv.
    /// The blocks of pairs are exact: they are those of the Gauss-Newton matrix.
    ///
    /// # Errors
    /// `TooLarge`; `InvalidParameter` where it is not finite.
    pub fn hessian(&self, curvature: Curvature) -> Result<Array, Error> {
        let p = self.problem;
        let dimension = p.scores.of_x() + p.of_y();
        if dimension * dimension > LARGEST_HESSIAN {
            let found = format!("{dimension} x {dimension}");
            return Err(InputError::too_large("hessian", found, format!("{LARGEST_HESSIAN} entries")).into());
        }
        let joint = p.block_hessian(&self.point, curvature, true).joint(p.dv);
        if !certus_linalg::view::is_finite(joint.as_ref()) {
            return Err(overflow());
        }
        Ok(certus_linalg::view::to_array(joint.as_ref()))
    }

    /// A sketched Hessian in X, with Y held fixed. For one head. Cost: that of the sketch, and at most 33 products with the Hessian.
    ///
    /// # Errors
    /// `InvalidParameter` for several heads; `NotRankOne` where the sketch needs weights of rank one; `TooLarge`; `NotPositiveDefinite`.
    pub fn sketched_hessian(&self, sketch: Sketch, seed: Seed) -> Result<SketchedHessian, Error> {
        let point = Point { values: None, ..self.point.clone() };
        let loss = Loss { problem: self.problem, over: Over::ScoresAt(&self.point.y), unit: 1.0 };
        SketchedHessian::new(&loss, &self.problem.scores, &point, sketch, seed)
    }

    /// beta of each query: the least eigenvalue of the loss's Hessian in its own logits is at least minus that. For one head and one
    /// sequence.
    ///
    /// # Errors
    /// `InvalidParameter` for several heads or sequences.
    pub fn row_beta(&self) -> Result<Vec<f64>, Error> {
        let (heads, sequences) = (self.problem.scores.heads, self.problem.outputs.len());
        if heads * sequences > 1 {
            return Err(InputError::parameter("heads times sequences", heads * sequences, "1 for row bounds").into());
        }
        Ok(self.problem.betas(&self.point))
    }
}

impl Problem<'_> {
    /// beta of each query, sequence by sequence: an upper bound, rounding included. For one head.
    pub(crate) fn betas(&self, point: &Point) -> Vec<f64> {
        let (mut left, mut map, mut out, mut slopes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut betas = Vec::with_capacity(self.scores.queries());
        let mut of_curvature = self.row_bounds(point).into_iter().zip(self.scores.logit_rounding(&point.x));
        let sizes = self.value_sizes(point);
        for (k, block) in self.scores.blocks.iter().enumerate() {
            let (s, count, seen) = (block.sequence, block.rows.len(), block.seen);
            if seen == 0 {
                betas.resize(betas.len() + count, 0.0);
                of_curvature.by_ref().take(count).for_each(drop);
                continue;
            }
            let c = &point.c[s][block.rows.start * self.dv..block.rows.end * self.dv];
            let z = &point.z[s][block.rows.start * self.d3..block.rows.end * self.d3];
            let f = self.maps_of(point, k, &mut left, &mut map);
            let p = shaped(&mut slopes, count, seen);
            self.row_gradients(point, s, 0, z, c, f, seen, &mut out, p);
            let off = self.slope_rounding(s, block, f, &sizes[s]);
            let visible = &self.scores.sequences[s].visible;
            let rows = block.rows.clone().zip(f.chunks_exact(seen).zip(p.chunks_exact(seen)));
            for (((i, (f, p)), of_p), (of, of_logits)) in rows.zip(off).zip(&mut of_curvature) {
                let rounding = beta_rounding(lipschitz(of.diameter, of.most), of_logits, of_p);
                betas.push((row_beta(f, p, |j| visible.sees(i, j)) + rounding).min(f64::MAX));
            }
        }
        betas
    }

    /// `|A3| |Y|` of each sequence, for one head: what the terms of `A3 Y` add up to in size.
    fn value_sizes(&self, point: &Point) -> Vec<Vec<f64>> {
        let y = point.y.iter().map(|y| y.abs()).collect::<Vec<_>>();
        let of = |outputs: &super::problem::Outputs<'_>| {
            let a3 = outputs.values[0].map(|v| v.abs());
            let mut sizes = vec![0.0; a3.rows() * self.dv];
            product(&mut sizes, Destination::Replace, 1.0, rows(&a3, 0..a3.rows()), rows_of(&y, self.d3, self.dv));
            sizes
        };
        self.outputs.iter().map(of).collect()
    }

    /// For each row of a block, by how much half its gradient in the logits is off at most, in norm, at the logits as they are: by the
    /// sizes of all terms of `f o (H c - <f, H c>)`.
    fn slope_rounding(&self, s: usize, block: &Block, f: &[f64], sizes: &[f64]) -> Vec<f64> {
        let (count, seen) = (block.rows.len(), block.seen);
        let sizes = rows_of(&sizes[..seen * self.dv], seen, self.dv);
        let target = self.outputs[s].target.as_slice()[block.rows.start * self.dv..block.rows.end * self.dv].iter();
        let (mut c, mut q) = (target.map(|b| b.abs()).collect::<Vec<_>>(), vec![0.0; count * seen]);
        product(&mut c, Destination::Add, 1.0, rows_of(f, count, seen), sizes);
        product(&mut q, Destination::Replace, 1.0, rows_of(&c, count, self.dv), sizes.transpose());
        let steps = (2 * (seen + self.d3) + self.dv + 16) as f64 * f64::EPSILON;
        let of_row = |(f, q): (&[f64], &[f64])| {
            let mean = dot(f, q);
            steps * norm2(&f.iter().zip(q).map(|(f, q)| f * (q + mean)).collect::<Vec<_>>())
        };
        f.chunks_exact(seen).zip(q.chunks_exact(seen)).map(of_row).collect()
    }
}
