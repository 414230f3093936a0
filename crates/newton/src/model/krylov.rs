//! Truncated conjugate gradients: the minimiser of a model that is only applied, in a ball of the preconditioner.

use certus_linalg::Error;

use super::{Model, Step, dot, norm};
use crate::Objective;

/// A curvature that is applied, and a symmetric positive definite approximation of it that is solved with.
pub trait Curvature<O: Objective> {
    /// Prepares for a new point.
    ///
    /// # Errors
    /// What the linear algebra behind it refuses.
    fn update(&mut self, objective: &O, point: &O::Point, gradient: &[f64]) -> Result<(), Error>;

    /// `H v`, in the unit of the gradient.
    fn times(&self, objective: &O, point: &O::Point, v: &[f64]) -> Vec<f64>;

    /// `P⁻¹ r` for the preconditioner P.
    fn precondition(&self, r: &[f64]) -> Vec<f64>;

    /// Told how many products the last step took.
    fn took(&mut self, _products: usize) {}
}

/// Steihaug's and Toint's step: conjugate gradients until the residual is small, the curvature negative, or the ball left.
///
/// The ball is that of the norm of the preconditioner. Cost: one product with the curvature and one solve an iteration; memory: six
/// vectors.
///
/// Source: Steihaug, SIAM J. Numer. Anal. 20 (1983); Conn, Gould, Toint, Trust-Region Methods, 2000, section 7.5.
pub struct Krylov<C> {
    curvature: C,
    most: usize,
    roughest: f64,
    indefinite: bool,
    first: Option<f64>,
}

impl<C> Krylov<C> {
    /// At most `most` products a step; the first steps leave a residual of at most a tenth.
    pub fn new(curvature: C, most: usize) -> Self {
        Krylov { curvature, most, roughest: 0.1, indefinite: false, first: None }
    }

    /// The same with another largest relative residual: smaller where the start is so near that Newton's step is worth it.
    pub fn with_roughest(self, roughest: f64) -> Self {
        Krylov { roughest, ..self }
    }

    /// The curvature.
    pub fn into_curvature(self) -> C {
        self.curvature
    }
}

impl<O: Objective, C: Curvature<O>> Model<O> for Krylov<C> {
    fn update(&mut self, objective: &O, point: &O::Point, _: &[f64], gradient: &[f64]) -> Result<(), Error> {
        self.indefinite = false;
        self.curvature.update(objective, point, gradient)
    }

    fn step(&mut self, objective: &O, point: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error> {
        let d = gradient.len();
        let (mut s, mut hs) = (vec![0.0; d], vec![0.0; d]);
        let mut r = gradient.to_vec();
        let mut z = self.curvature.precondition(&r);
        let mut p = z.iter().map(|z| -z).collect::<Vec<_>>();
        let mut rz = dot(&r, &z);
        // Squares and products of s and p in the norm of the preconditioner.
        let (mut ss, mut sp, mut pp) = (0.0, 0.0, rz);
        let start = rz.max(0.0).sqrt();
        // The nearer to the end, the more exact: relative to the first gradient, so that no unit matters.
        let enough = start * (start / *self.first.get_or_insert(start)).sqrt().clamp(1e-12, self.roughest);
        let finish = |s: Vec<f64>, hs: &[f64], ss: f64, limited: bool| {
            let decrease = (-dot(gradient, &s) - 0.5 * dot(&s, hs)).max(0.0);
            Ok(Step { step: s, decrease, length: f64::sqrt(ss), limited })
        };
        let mut products = 0;
        while products < self.most && rz > 0.0 && rz.sqrt() > enough {
            let hp = self.curvature.times(objective, point, &p);
            products += 1;
            let curvature = dot(&p, &hp);
            let alpha = rz / curvature;
            let new_ss = ss + 2.0 * alpha * sp + alpha * alpha * pp;
            self.indefinite |= curvature <= 0.0;
            if curvature <= 0.0 || new_ss >= radius * radius {
                // To the boundary; where there is none, as far as the absolute curvature allows.
                let tau = if radius.is_finite() {
                    (-sp + (sp * sp + pp * (radius * radius - ss)).max(0.0).sqrt()) / pp
                } else {
                    rz / curvature.abs().max(f64::MIN_POSITIVE)
                };
                s.iter_mut().zip(&p).for_each(|(s, p)| *s += tau * p);
                hs.iter_mut().zip(&hp).for_each(|(hs, hp)| *hs += tau * hp);
                self.curvature.took(products);
                return finish(s, &hs, ss + 2.0 * tau * sp + tau * tau * pp, true);
            }
            s.iter_mut().zip(&p).for_each(|(s, p)| *s += alpha * p);
            hs.iter_mut().zip(&hp).for_each(|(hs, hp)| *hs += alpha * hp);
            r.iter_mut().zip(&hp).for_each(|(r, hp)| *r += alpha * hp);
            z = self.curvature.precondition(&r);
            let new_rz = dot(&r, &z);
            let beta = new_rz / rz;
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = beta * *p - z);
            (ss, sp, pp) = (new_ss, beta * (sp + alpha * pp), new_rz + beta * beta * pp);
            rz = new_rz;
        }
        self.curvature.took(products);
        debug_assert!(norm(&s).is_finite() || !start.is_finite());
        finish(s, &hs, ss, false)
    }

    fn is_indefinite(&mut self) -> Result<bool, Error> {
        Ok(self.indefinite)
    }
}
