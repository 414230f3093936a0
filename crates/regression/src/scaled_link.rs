//! A scaled link `c φ(Ax) + k`, its scale and offset projected out: what is left is a function of x alone.
//!
//! At each x, c and k are those of weighted linear least squares, so that the residual is orthogonal to φ (and to the constant) and the
//! gradient of the projected loss is that of the joint one. Levenberg-Marquardt steps take Kaufman's Jacobian `c P diag(φ') A`, P the
//! projection; Newton steps the Schur complement of the joint Hessian, which is the Hessian of the projected loss.
//!
//! Source: Golub, Pereyra, SIAM J. Numer. Anal. 10 (1973); Kaufman, BIT 15 (1975).

use certus_linalg::operator::LinearOperator;
use certus_linalg::product::weighted_gram;
use certus_linalg::{Error as LinearAlgebraError, Mat};
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::sum::max_abs;

use crate::powers::powers;
use crate::problem::{Link, Problem};
use crate::rows::{each_row, max_rows, sum_rows};

/// What a scaled fit estimates beside x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// y = c u(Ax).
    Scale,
    /// y = c u(Ax) + k.
    ScaleAndOffset,
    /// y = c (1 - u(Ax)): for exp a rise from 0 to a level c, where Ax < 0.
    Rise,
}

impl Scaling {
    /// Parameters beside x: one or two.
    pub fn parameters(self) -> usize {
        if self == Scaling::ScaleAndOffset { 2 } else { 1 }
    }
}

/// |z| up to which cosh and sinh need no scale.
const PLAIN: f64 = 150.0;
/// A step may change Ax by this much.
const TRUSTED_CHANGE: f64 = 8.0;
/// The part of φ, in norm, that is not constant, below which scale and offset cannot be told apart.
const CONSTANT: f64 = 1e-14;
/// The least part of a column's square that counts as left by the projection: below it the gradient is rounding.
const COLLINEAR: f64 = 1e-8;
/// A ridge that keeps a singular curvature positive definite, relative to its diagonal.
const TINY: f64 = 1e-12;

/// The projected loss.
pub(crate) struct Projected<'p, 'a> {
    pub(crate) problem: &'p Problem<'a>,
    pub(crate) column_norms: &'p [f64],
    pub(crate) scaling: Scaling,
}

/// A point with its scale, offset and derivatives. What is in the unit e^m is u: the scale c here is c e^m in truth.
pub(crate) struct ScaledPoint {
    /// φ e^-m and its first two derivatives.
    phi: Vec<f64>,
    slope: Vec<f64>,
    bend: Vec<f64>,
    pub(crate) m: f64,
    /// c e^m.
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// The weighted mean of φ where there is an offset, else 0; and `Σ ω (φ - mean)²`.
    mean: f64,
    square: f64,
    /// c φ + k - y.
    pub(crate) residual: Vec<f64>,
    /// The gradient in z.
    g: Vec<f64>,
    pub(crate) loss: f64,
    /// The size of the terms of the loss.
    pub(crate) terms: f64,
    /// The norm of what the row regulariser adds to g.
    pull: f64,
    shift: Vec<f64>,
}

impl Projected<'_, '_> {
    fn weight_sum(&self) -> f64 {
        sum_rows(self.problem.rows(), |i| self.problem.weight(i))
    }

    /// φ e^-m with its derivatives, and m.
    fn values(&self, z: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>, f64) {
        let link = self.problem.link();
        let m = match (self.scaling, link) {
            // One in the unit e^m is no longer one.
            (Scaling::Rise, _) => 0.0,
            (_, Link::Exp) => max_rows(z.len(), f64::NEG_INFINITY, |i| z[i]),
            _ => Some(max_abs(z)).filter(|top| *top > PLAIN).unwrap_or(0.0),
        };
        let (u, v) = powers(link, z, m);
        let v = if v.is_empty() { u.clone() } else { v };
        if self.scaling != Scaling::Rise {
            return (u.clone(), v, u, m);
        }
        let rise = |i: usize| match link {
            Link::Exp => -z[i].exp_m1(),
            Link::Cosh => -2.0 * (0.5 * z[i]).sinh().powi(2),
            Link::Sinh => 1.0 - u[i],
        };
        let phi = each_row(z.len(), rise);
        (phi, v.iter().map(|v| -v).collect(), u.iter().map(|u| -u).collect(), m)
    }

    /// `Aᵀ diag(h) A` and the ridge.
    fn gram(&self, h: &[f64]) -> Mat<f64> {
        let p = self.problem;
        let mut gram = weighted_gram(p.a(), h);
        (0..gram.ncols()).for_each(|j| gram[(j, j)] += p.ridge());
        gram
    }

    fn row_reg(&self, i: usize) -> f64 {
        if self.problem.has_row_reg() { self.problem.row_reg_squared(i) } else { 0.0 }
    }

    /// The curvature in z, c and k held.
    fn row_curvature(&self, point: &ScaledPoint) -> Vec<f64> {
        let (p, c) = (self.problem, point.scale);
        let row = |i: usize| p.weight(i) * c * (c * point.slope[i].powi(2) + point.residual[i] * point.bend[i]) + self.row_reg(i);
        each_row(p.rows(), row)
    }

    /// The sums of the absolute terms on the joint Hessian's diagonal.
    pub(crate) fn joint_sizes(&self, point: &ScaledPoint) -> Vec<f64> {
        let absolute = self.row_curvature(point).iter().map(|h| h.abs()).collect::<Vec<_>>();
        let mut sizes = self.problem.a().column_squares(Some(&absolute));
        sizes.iter_mut().for_each(|size| *size += self.problem.ridge());
        sizes.extend([point.square, self.weight_sum()].iter().take(self.scaling.parameters()));
        sizes
    }

    /// Gauss and Newton's curvature by Kaufman's Jacobian, d x d. Cost: a Gram matrix.
    pub(crate) fn kaufman(&self, point: &ScaledPoint) -> Result<Mat<f64>, LinearAlgebraError> {
        let p = self.problem;
        let along = |i: usize| p.weight(i) * point.scale * point.slope[i];
        let mut curvature = self.gram(&each_row(p.rows(), |i| along(i) * point.scale * point.slope[i] + self.row_reg(i)));
        let diagonal = (0..p.cols()).map(|j| curvature[(j, j)]).collect::<Vec<_>>();
        let t = p.a().transpose_times(&each_row(p.rows(), |i| along(i) * (point.phi[i] - point.mean)));
        subtract_square(&mut curvature, &t, point.square);
        if self.scaling == Scaling::ScaleAndOffset {
            let t = p.a().transpose_times(&each_row(p.rows(), along));
            subtract_square(&mut curvature, &t, self.weight_sum());
        }
        (0..p.cols()).for_each(|j| curvature[(j, j)] += TINY * diagonal[j] + f64::MIN_POSITIVE);
        Ok(curvature)
    }

    /// The Hessian of the joint loss in x, c and k + c mean, of order d + 1 or d + 2: the last two variables do not interact. Cost: a
    /// Gram matrix.
    pub(crate) fn joint_hessian(&self, point: &ScaledPoint) -> Mat<f64> {
        let (p, d, c) = (self.problem, self.problem.cols(), point.scale);
        let in_x = self.gram(&self.row_curvature(point));
        let with_scale = |i: usize| p.weight(i) * point.slope[i] * (c * (point.phi[i] - point.mean) + point.residual[i]);
        let with_scale = p.a().transpose_times(&each_row(p.rows(), with_scale));
        let with_offset = match self.scaling {
            Scaling::ScaleAndOffset => p.a().transpose_times(&each_row(p.rows(), |i| p.weight(i) * c * point.slope[i])),
            _ => Vec::new(),
        };
        let linear = [(with_scale, point.square), (with_offset, self.weight_sum())];
        let order = d + self.scaling.parameters();
        Mat::from_fn(order, order, |i, j| {
            let (low, high) = (i.min(j), i.max(j));
            if high < d {
                in_x[(i, j)]
            } else if low < d {
                linear[high - d].0[low]
            } else if low == high {
                linear[high - d].1
            } else {
                0.0
            }
        })
    }

    /// The gradient of the joint loss in the same variables: but for rounding, zero in the last ones.
    pub(crate) fn joint_gradient(&self, point: &ScaledPoint) -> Vec<f64> {
        let p = self.problem;
        let mut gradient = self.gradient(point);
        gradient.push(sum_rows(p.rows(), |i| p.weight(i) * (point.phi[i] - point.mean) * point.residual[i]));
        if self.scaling == Scaling::ScaleAndOffset {
            gradient.push(sum_rows(p.rows(), |i| p.weight(i) * point.residual[i]));
        }
        gradient
    }

    /// The Hessian of the projected loss, d x d: the joint one less what scale and offset make good.
    pub(crate) fn hessian(&self, point: &ScaledPoint) -> Result<Mat<f64>, LinearAlgebraError> {
        let (joint, d) = (self.joint_hessian(point), self.problem.cols());
        let mut schur = Mat::from_fn(d, d, |i, j| joint[(i, j)]);
        for k in d..joint.ncols() {
            let t = (0..d).map(|i| joint[(i, k)]).collect::<Vec<_>>();
            subtract_square(&mut schur, &t, joint[(k, k)]);
        }
        Ok(schur)
    }

    /// The joint loss at x, c e^m and k.
    pub(crate) fn joint_loss(&self, x: &[f64], m: f64, scale: f64, offset: f64) -> Option<f64> {
        let p = self.problem;
        let z = p.predictor(x);
        let (phi, _, _, own) = self.values(&z);
        let scale = scale * (own - m).exp();
        let row = |i: usize| {
            let pull = if p.has_row_reg() { p.row_reg_squared(i) * (z[i] - p.centre(i)).powi(2) } else { 0.0 };
            p.weight(i) * (scale * phi[i] + offset - p.b()[i]).powi(2) + pull
        };
        let ridge = p.ridge() * x.iter().enumerate().map(|(j, x)| (x - p.reference(j)).powi(2)).sum::<f64>();
        Some(0.5 * (sum_rows(z.len(), row) + ridge)).filter(|loss| loss.is_finite())
    }

    /// The gradient by c, in the unit of e^m, and by k: of `joint_gradient`, whose last variable is another.
    pub(crate) fn by_scale_and_offset(&self, point: &ScaledPoint, joint: &[f64]) -> (f64, f64) {
        let d = self.problem.cols();
        let by_offset = joint.get(d + 1).copied().unwrap_or(0.0);
        (joint[d] + point.mean * by_offset, by_offset)
    }

    /// What a step in x, c and k + c mean is for k.
    pub(crate) fn offset_step(&self, point: &ScaledPoint, joint: &[f64]) -> f64 {
        let d = self.problem.cols();
        joint.get(d + 1).map_or(0.0, |centred| centred - joint[d] * point.mean)
    }
}

/// Replaces M by `M - t tᵀ / square`.
fn subtract_square(matrix: &mut Mat<f64>, t: &[f64], square: f64) {
    for j in 0..t.len() {
        for i in 0..t.len() {
            matrix[(i, j)] -= t[i] / square * t[j];
        }
    }
}

impl Objective for Projected<'_, '_> {
    type Point = ScaledPoint;

    fn dimension(&self) -> usize {
        self.problem.cols()
    }

    fn point(&self, x: &[f64]) -> Option<ScaledPoint> {
        let (p, n) = (self.problem, self.problem.rows());
        let y = p.b();
        let z = p.predictor(x);
        if !max_abs(&z).is_finite() {
            return None;
        }
        let (phi, slope, bend, m) = self.values(&z);
        let with_offset = self.scaling == Scaling::ScaleAndOffset;
        let weights = self.weight_sum();
        let average = |of: &(dyn Fn(usize) -> f64 + Sync)| if with_offset { sum_rows(n, |i| p.weight(i) * of(i)) / weights } else { 0.0 };
        let mean = average(&|i| phi[i]);
        let square = sum_rows(n, |i| p.weight(i) * (phi[i] - mean).powi(2));
        let whole = sum_rows(n, |i| p.weight(i) * phi[i].powi(2));
        if !(square > 0.0 && square.is_finite() && square.sqrt() > CONSTANT * whole.sqrt()) {
            return None;
        }
        let (mut scale, mut centred) = (0.0, 0.0);
        // Once more for what rounding leaves.
        for _ in 0..2 {
            let rest = |i: usize| y[i] - scale * (phi[i] - mean) - centred;
            let level = average(&rest);
            let along = sum_rows(n, |i| p.weight(i) * (phi[i] - mean) * (rest(i) - level)) / square;
            (scale, centred) = (scale + along, centred + level);
        }
        let offset = centred - scale * mean;
        let residual = each_row(n, |i| scale * (phi[i] - mean) + centred - y[i]);
        let pull = |i: usize| if p.has_row_reg() { p.row_reg_squared(i) * (z[i] - p.centre(i)) } else { 0.0 };
        let g = each_row(n, |i| p.weight(i) * scale * slope[i] * residual[i] + pull(i));
        let side = |i: usize| (scale * phi[i]).abs() + offset.abs() + y[i].abs();
        let terms = 0.5 * sum_rows(n, |i| p.weight(i) * side(i).powi(2));
        let pulls = sum_rows(n, |i| pull(i).powi(2)).sqrt();
        let shift = x.iter().enumerate().map(|(j, x)| x - p.reference(j)).collect::<Vec<_>>();
        let of_row = |i: usize| p.weight(i) * residual[i].powi(2) + pull(i) * (z[i] - p.centre(i));
        let loss = 0.5 * (sum_rows(n, of_row) + p.ridge() * shift.iter().map(|s| s * s).sum::<f64>());
        let finite = loss.is_finite() && terms.is_finite() && pulls.is_finite() && offset.is_finite() && max_abs(&g).is_finite();
        finite.then_some(ScaledPoint { phi, slope, bend, m, scale, offset, mean, square, residual, g, loss, terms, pull: pulls, shift })
    }

    fn loss(&self, point: &ScaledPoint) -> ScaledValue {
        point.loss.into()
    }

    fn gradient(&self, point: &ScaledPoint) -> Vec<f64> {
        let mut gradient = self.problem.a().transpose_times(&point.g);
        gradient.iter_mut().zip(&point.shift).for_each(|(g, shift)| *g += self.problem.ridge() * shift);
        gradient
    }

    /// Each entry relative to the terms that it is the sum of, those of the data as Kaufman's Jacobian leaves them.
    fn is_flat(&self, point: &ScaledPoint, gradient: &[f64], tolerance: f64) -> bool {
        let (p, terms) = (self.problem, 2.0 * point.terms);
        let along = |i: usize| p.weight(i) * point.scale * point.slope[i];
        let whole = p.a().column_squares(Some(&each_row(p.rows(), |i| along(i) * point.scale * point.slope[i])));
        let with_scale = p.a().transpose_times(&each_row(p.rows(), |i| along(i) * (point.phi[i] - point.mean)));
        let with_offset = match self.scaling {
            Scaling::ScaleAndOffset => p.a().transpose_times(&each_row(p.rows(), along)),
            _ => vec![0.0; p.cols()],
        };
        let weights = self.weight_sum();
        gradient.iter().enumerate().all(|(j, g)| {
            let left = whole[j] - with_scale[j].powi(2) / point.square - with_offset[j].powi(2) / weights;
            let of_data = (left.max(COLLINEAR * whole[j]) * terms).sqrt();
            g.abs() <= tolerance * (of_data + self.column_norms[j] * point.pull + (p.ridge() * point.shift[j]).abs())
        })
    }

    fn trusted_part(&self, _: &ScaledPoint, step: &[f64]) -> f64 {
        let change = max_abs(&self.problem.a().times(step));
        if change > TRUSTED_CHANGE { TRUSTED_CHANGE / change } else { 1.0 }
    }
}
