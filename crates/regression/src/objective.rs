//! Loss, gradient and curvature at a point, safe from overflow.
//!
//! All that grows like u is carried as a mantissa times `e^m` with one m a point, so that the loss is a [`ScaledValue`] and its
//! derivatives are finite where the loss itself is not.

use certus_linalg::operator::LinearOperator;
use certus_linalg::product::weighted_gram;
use certus_linalg::{Error as LinearAlgebraError, Mat};
use certus_newton::Objective;
use certus_numeric::ScaledValue;
use certus_numeric::memory::zeros;
use certus_numeric::sum::{dot, max_abs, norm2, par_dot};

use crate::point::{PlainRows, Point, Row, RowDerivatives, plain_row};
use crate::powers::{powers, powers_into};
use crate::problem::{Form, Link, Problem};
use crate::rows::{each_row, max_rows, sum_rows};

/// |z| up to which powers, and their squares and sums, are far from the limits of `f64`: no scale is needed.
const PLAIN: f64 = 150.0;
/// The same for the targets.
const PLAIN_TARGET: f64 = 1e60;
/// |S| relative to the sum of |u| at which a sum is zero to rounding.
pub(crate) const ZERO_SUM: f64 = 1e-14;
/// |S| whose inverse, squared, is near the largest numbers.
const LEAST_SUM: f64 = 1e-140;
/// A step may change Ax by this much where the rows are far above their targets.
const TRUSTED_CHANGE: f64 = 8.0;
/// Largest z above which rows count as far above.
const FAR: f64 = 30.0;

/// The loss of a problem, for [`certus_newton`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss<'p, 'a> {
    /// The problem.
    pub(crate) problem: &'p Problem<'a>,
    /// The norm of each column of A.
    pub(crate) column_norms: &'p [f64],
    /// ln of the largest |b|.
    log_target: f64,
    largest_target: f64,
}

/// Why a point has no loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NoLoss {
    /// Ax is not finite.
    NotFinite,
    /// The sum of u is zero to rounding.
    ZeroSum {
        /// The cancellation.
        kappa: f64,
    },
}

impl<'p, 'a> Loss<'p, 'a> {
    pub(crate) fn new(problem: &'p Problem<'a>, column_norms: &'p [f64]) -> Self {
        let largest_target = max_abs(problem.b());
        Loss { problem, column_norms, log_target: largest_target.ln(), largest_target }
    }

    /// Evaluates everything that the loss needs. Cost: one pass over A.
    pub(crate) fn evaluate(&self, x: &[f64]) -> Result<Point, NoLoss> {
        let p = self.problem;
        let z = p.predictor(x);
        let largest = max_abs(&z);
        if !largest.is_finite() {
            return Err(NoLoss::NotFinite);
        }
        let top = if p.link() == Link::Exp { max_rows(z.len(), f64::NEG_INFINITY, |i| z[i]) } else { largest };
        let m = self.scale(top);
        let (u, v) = powers(p.link(), &z, m);
        let (mut sum, mut absolute) = (0.0, 0.0);
        if p.form() != Form::Plain {
            sum = sum_rows(u.len(), |i| u[i]);
            absolute = if p.link() == Link::Sinh { sum_rows(u.len(), |i| u[i].abs()) } else { sum };
        }
        let kappa = if sum == 0.0 { f64::INFINITY } else { absolute / sum.abs() };
        if p.form() == Form::Normalised && (kappa.is_nan() || kappa >= 1.0 / ZERO_SUM || sum.abs() < LEAST_SUM) {
            return Err(NoLoss::ZeroSum { kappa });
        }
        let target_scale = (-m).exp();
        let squares = sum_rows(z.len(), |i| p.weight(i) * residual(p.form(), u[i], p.b()[i], sum, target_scale).powi(2));
        let of_rows = if p.has_row_reg() { sum_rows(z.len(), |i| p.row_reg_squared(i) * (z[i] - p.centre(i)).powi(2)) } else { 0.0 };
        let point = Point { z, u, v, m, top, largest, sum, kappa, ..Point::default() };
        self.with_loss(point, x, squares, of_rows).ok_or(NoLoss::NotFinite)
    }

    /// A point with its loss, from the sums of squares of the residuals and of the row regulariser; `None` where it is not finite.
    fn with_loss(&self, mut point: Point, x: &[f64], squares: f64, of_rows: f64) -> Option<Point> {
        let p = self.problem;
        point.shift = x.iter().enumerate().map(|(j, x)| x - p.reference(j)).collect();
        point.regulariser = 0.5 * (p.ridge() * dot(&point.shift, &point.shift) + of_rows);
        let (half, unit) = (0.5 * squares, point.log_unit(p.form()));
        if !half.is_finite() || !point.regulariser.is_finite() || !unit.is_finite() {
            return None;
        }
        point.data = ScaledValue::new(half, unit);
        point.loss = point.data + point.regulariser.into();
        Some(point)
    }

    /// The plain form with all its derivatives, in one pass over A; `None` where it needs a scale, or is not finite.
    fn plain_point(&self, x: &[f64], spare: Point) -> Option<Point> {
        let (p, n) = (self.problem, self.problem.rows());
        let (link, b, has_row_reg) = (p.link(), p.b(), p.has_row_reg());
        let Point { mut z, mut u, mut v, rows: RowDerivatives { mut g, mut h, .. }, .. } = spare;
        let (of_z, of_v) = (if has_row_reg { n } else { 0 }, if link == Link::Exp { 0 } else { n });
        for (values, len) in [(&mut z, of_z), (&mut u, n), (&mut v, of_v), (&mut g, n), (&mut h, n)] {
            if values.len() != len {
                *values = zeros(len);
            }
        }
        let block = |first: usize, now: &mut [f64], [z, u, v, g, h]: [&mut [f64]; 5]| {
            let mut found = PlainRows { top: f64::NEG_INFINITY, largest: 0.0, squares: 0.0, of_rows: 0.0, size: 0.0 };
            if p.has_offset() {
                now.iter_mut().enumerate().for_each(|(k, z)| *z += p.offset(first + k));
            }
            (found.top, found.largest) = now.iter().fold((found.top, 0.0f64), |(top, largest), z| (top.max(*z), largest.max(z.abs())));
            if has_row_reg {
                z.copy_from_slice(now);
            }
            powers_into(link, now, 0.0, u, v);
            let v = if link == Link::Exp { &*u } else { &*v };
            let rows = now.iter_mut().zip(g).zip(h).zip(u.iter().zip(v).zip(&b[first..]));
            for (k, (((now, g), h), ((u, v), b))) in rows.enumerate() {
                let i = first + k;
                let omega = p.weight(i);
                let (mut row, r) = plain_row(omega, *u, *v, *b);
                found.squares += omega * r * r;
                if has_row_reg {
                    let (w, shift) = (p.row_reg_squared(i), z[k] - p.centre(i));
                    row = row.pulled(w * shift, w);
                    found.of_rows += w * shift * shift;
                }
                (*now, *g, *h) = (row.g, row.g, row.h);
                found.size += row.size;
            }
            found
        };
        let (gradient, blocks) = p.a().through(x, [&mut z, &mut u, &mut v, &mut g, &mut h], block);
        let largest = blocks.iter().fold(0.0, |largest: f64, block| largest.max(block.largest));
        let top = if link == Link::Exp { blocks.iter().fold(f64::NEG_INFINITY, |top, block| top.max(block.top)) } else { largest };
        let sum = |of: fn(&PlainRows) -> f64| blocks.iter().map(of).sum::<f64>();
        let (squares, of_rows, size) = (sum(|block| block.squares), sum(|block| block.of_rows), sum(|block| block.size).sqrt());
        // NaN is no maximum, but it is in every sum.
        if self.scale(top) != 0.0 || !squares.is_finite() || !max_abs(&gradient).is_finite() {
            return None;
        }
        let rows = RowDerivatives { g, h, size, ..RowDerivatives::default() };
        let point = Point { z, u, v, top, largest, rows, gradient: Some(gradient), ..Point::default() };
        self.with_loss(point, x, squares, of_rows)
    }

    /// The data part at x_ref.
    pub(crate) fn data_at_reference(&self) -> Option<ScaledValue> {
        let p = self.problem;
        if p.has_offset() || p.reference_given().is_some() {
            return Some(self.evaluate(&p.reference_vector()).ok()?.data);
        }
        // At zero all rows have the same u.
        let u = if p.link() == Link::Sinh { 0.0 } else { 1.0 };
        let sum = p.rows() as f64 * u;
        let squares = sum_rows(p.rows(), |i| p.weight(i) * residual(p.form(), u, p.b()[i], sum, 1.0).powi(2));
        squares.is_finite().then(|| ScaledValue::new(0.5 * squares, 0.0))
    }

    /// The exponent m: 0 as long as powers, squares and sums are far from the limits.
    fn scale(&self, top: f64) -> f64 {
        let p = self.problem;
        let m = match p.form() {
            Form::Normalised if p.link() == Link::Exp => return top,
            Form::Normalised => return if top > PLAIN { top } else { 0.0 },
            Form::Plain => top.max(self.log_target),
            Form::Rescaled => top,
        };
        let within = m.abs() <= PLAIN && self.largest_target <= PLAIN_TARGET;
        // A regulariser does not shrink with u: beside it what is tiny need not be scaled up.
        if within || (m < 0.0 && p.is_regularised()) || m == f64::NEG_INFINITY { 0.0 } else { m }
    }

    /// Fills in the derivatives with respect to z.
    pub(crate) fn differentiate(&self, point: &mut Point) {
        let p = self.problem;
        let n = point.z.len();
        let (form, b, s) = (p.form(), p.b(), point.sum);
        let target_scale = (-point.m).exp();
        let unit = (-point.log_unit(form)).exp();
        let (u, v) = (&point.u, point.v());
        let r = |i: usize| residual(form, u[i], b[i], s, target_scale);
        // The row regulariser: what it adds to g and h.
        let pull = |i: usize| {
            let w = unit * p.row_reg_squared(i);
            (w * (point.z[i] - p.centre(i)), w)
        };
        let has_row_reg = p.has_row_reg();
        let with_pull = |i: usize, row: Row| {
            if !has_row_reg {
                return row;
            }
            let (g, h) = pull(i);
            row.pulled(g, h)
        };
        let mut rows = match form {
            Form::Plain => RowDerivatives::of_rows(n, false, |i| with_pull(i, plain_row(p.weight(i), u[i], v[i], b[i] * target_scale).0)),
            Form::Rescaled => {
                let beta = sum_rows(n, |i| p.weight(i) * b[i] * r(i));
                let squares = sum_rows(n, |i| p.weight(i) * b[i] * b[i]);
                let mut rows = RowDerivatives::of_rows(n, true, |i| {
                    let (omega, q) = (p.weight(i), p.weight(i) * r(i) - beta);
                    let size = (v[i] * (omega * (u[i].abs() + (s * b[i]).abs()) + beta.abs())).powi(2);
                    with_pull(i, Row { g: v[i] * q, h: omega * v[i] * v[i] + q * u[i], second: omega * b[i] * v[i], size })
                });
                rows.u.insert(0, v.to_vec());
                rows.c = [[squares, -1.0], [-1.0, 0.0]];
                rows
            }
            Form::Normalised => {
                let f = |i: usize| u[i] / s;
                // Relative to the row with the largest f: sums of f (ω c - ω_k c_k) do not cancel where f_k is nearly all.
                let k = largest_entry(u);
                let of_largest = p.weight(k) * r(k);
                let relative = |i: usize| if i == k { 0.0 } else { p.weight(i) * r(i) - of_largest };
                let shifted = sum_rows(n, |i| f(i) * relative(i));
                let gamma = of_largest + shifted;
                let squares = sum_rows(n, |i| p.weight(i) * f(i) * f(i));
                let mut rows = RowDerivatives::of_rows(n, true, |i| {
                    let (omega, c, f, pi) = (p.weight(i), r(i), f(i), v[i] / s);
                    let excess = relative(i) - shifted;
                    let size = (pi * (omega * (f.abs() + b[i].abs()) + gamma.abs())).powi(2);
                    with_pull(i, Row { g: pi * excess, h: omega * pi * pi + f * excess, second: omega * pi * (f + c), size })
                });
                rows.u.insert(0, v.iter().map(|v| v / s).collect());
                rows.c = [[squares + 2.0 * gamma, -1.0], [-1.0, 0.0]];
                rows
            }
        };
        rows.size = rows.size.sqrt();
        point.images = rows.u.iter().map(|u| p.a().transpose_times(u)).collect();
        point.rows = rows;
    }

    /// The ridge in the unit of the point.
    pub(crate) fn ridge(&self, point: &Point) -> f64 {
        let ridge = self.problem.ridge();
        if ridge == 0.0 { 0.0 } else { ridge * (-point.log_unit(self.problem.form())).exp() }
    }

    /// The Hessian in the unit of the point. Cost: one pass of a Gram matrix, n d² flops or the sum of squared row counts.
    pub(crate) fn hessian(&self, point: &Point) -> Mat<f64> {
        self.curvature(point, &point.rows.h)
    }

    /// `Aᵀ (diag(h) + U C Uᵀ) A + ridge`, for any h.
    pub(crate) fn curvature(&self, point: &Point, h: &[f64]) -> Mat<f64> {
        let a = self.problem.a();
        let mut hessian = weighted_gram(a, h);
        if let [first, second] = &point.images[..] {
            let c = &point.rows.c;
            for j in 0..hessian.ncols() {
                for i in 0..hessian.nrows() {
                    hessian[(i, j)] += c[0][0] * (first[i] * first[j]) + c[0][1] * (first[i] * second[j] + second[i] * first[j]);
                }
            }
        }
        let ridge = self.ridge(point);
        (0..hessian.ncols()).for_each(|j| hessian[(j, j)] += ridge);
        hessian
    }

    /// For each column the sum of the absolute terms of its entry on the Hessian's diagonal. Cost: one pass, where any are negative.
    pub(crate) fn curvature_size(&self, point: &Point, hessian: &Mat<f64>) -> Vec<f64> {
        let rows = &point.rows;
        if rows.u.is_empty() && max_rows(rows.h.len(), 0.0, |i| -rows.h[i]) == 0.0 {
            return (0..hessian.ncols()).map(|j| hessian[(j, j)]).collect();
        }
        let a = self.problem.a();
        let mut sizes = a.column_squares(Some(&each_row(rows.h.len(), |i| rows.h[i].abs())));
        if let [first, second] = &rows.u[..] {
            let absolute = |u: &[f64]| a.column_squares(Some(&u.iter().map(|u| u.abs()).collect::<Vec<_>>()));
            let total = |u: &[f64]| u.iter().map(|u| u.abs()).sum::<f64>();
            // (sum |u_i a_ij|)^2 <= sum |u_i| times sum |u_i| a_ij^2.
            let (of_first, of_second) = (absolute(first), absolute(second));
            let (total_first, total_second) = (total(first), total(second));
            for (j, size) in sizes.iter_mut().enumerate() {
                let (first, second) = (total_first * of_first[j], total_second * of_second[j]);
                *size += rows.c[0][0].abs() * first + 2.0 * rows.c[0][1].abs() * (first * second).sqrt();
            }
        }
        let ridge = self.ridge(point);
        sizes.iter_mut().for_each(|size| *size += ridge);
        sizes
    }

    /// Whether rows of the plain form are so far above all targets that Newton's steps would walk, by about 1 in z each.
    pub(crate) fn is_far_above(&self, point: &Point) -> bool {
        self.problem.form() == Form::Plain && point.top > PLAIN && point.top > self.log_target + FAR
    }

    /// The two terms whose difference is the residual of row i.
    fn sides(&self, point: &Point, i: usize) -> (f64, f64) {
        let b = self.problem.b()[i];
        match self.problem.form() {
            Form::Plain => (point.u[i], b * (-point.m).exp()),
            Form::Rescaled => (point.u[i], point.sum * b),
            Form::Normalised => (point.u[i] / point.sum, b),
        }
    }

    /// Whether each residual is at the rounding of its own terms, and the regulariser is zero: no weight hides another row.
    pub(crate) fn is_zero(&self, point: &Point) -> bool {
        let is_rounding = |i: usize| {
            let (u, b) = self.sides(point, i);
            self.problem.weight(i) == 0.0 || (u - b).abs() <= 64.0 * f64::EPSILON * (u.abs() + b.abs())
        };
        point.regulariser == 0.0 && (0..self.problem.rows()).all(is_rounding)
    }

    /// A loss at the rounding of the terms that its residuals are the differences of.
    pub(crate) fn rounding(&self, point: &Point) -> ScaledValue {
        let term = |i: usize| {
            let (u, b) = self.sides(point, i);
            self.problem.weight(i) * (u * u + b * b)
        };
        ScaledValue::new((64.0 * f64::EPSILON).powi(2) * sum_rows(self.problem.rows(), term), self.log_unit(point))
    }

    /// The product of the Hessian with p, in the unit of the point. Cost: one pass over A.
    pub(crate) fn hessian_times(&self, point: &Point, p: &[f64]) -> Vec<f64> {
        let mut product = self.problem.a().weighted_normal_times(&point.rows.h, p);
        if let [first, second] = &point.images[..] {
            let (a, b, c) = (dot(first, p), dot(second, p), &point.rows.c);
            let (of_first, of_second) = (c[0][0] * a + c[0][1] * b, c[1][0] * a + c[1][1] * b);
            for (j, product) in product.iter_mut().enumerate() {
                *product += of_first * first[j] + of_second * second[j];
            }
        }
        let ridge = self.ridge(point);
        product.iter_mut().zip(p).for_each(|(h, p)| *h += ridge * p);
        product
    }

    /// Replaces y by `(diag(h) + U C Uᵀ) y`.
    pub(crate) fn curve(&self, point: &Point, y: &mut [f64]) {
        let rows = &point.rows;
        let along = rows.u.iter().map(|u| par_dot(u, y)).collect::<Vec<_>>();
        y.iter_mut().zip(&rows.h).for_each(|(y, h)| *y *= h);
        if let ([first, second], [a, b]) = (&rows.u[..], &along[..]) {
            let (of_first, of_second) = (rows.c[0][0] * a + rows.c[0][1] * b, rows.c[1][0] * a + rows.c[1][1] * b);
            for (i, y) in y.iter_mut().enumerate() {
                *y += of_first * first[i] + of_second * second[i];
            }
        }
    }
}

impl Objective for Loss<'_, '_> {
    type Point = Point;

    fn dimension(&self) -> usize {
        self.problem.cols()
    }

    fn point(&self, x: &[f64]) -> Option<Point> {
        self.point_in(x, Point::default())
    }

    fn point_in(&self, x: &[f64], spare: Point) -> Option<Point> {
        if self.problem.form() == Form::Plain
            && let Some(point) = self.plain_point(x, spare)
        {
            return Some(point);
        }
        let mut point = self.evaluate(x).ok()?;
        self.differentiate(&mut point);
        max_abs(&point.rows.g).is_finite().then_some(point)
    }

    fn loss(&self, point: &Point) -> ScaledValue {
        point.loss
    }

    fn log_unit(&self, point: &Point) -> f64 {
        point.log_unit(self.problem.form())
    }

    fn gradient(&self, point: &Point) -> Vec<f64> {
        let mut gradient = point.gradient.clone().unwrap_or_else(|| self.problem.a().transpose_times(&point.rows.g));
        let ridge = self.ridge(point);
        gradient.iter_mut().zip(&point.shift).for_each(|(g, shift)| *g += ridge * shift);
        gradient
    }

    /// Each entry relative to the terms that it is the sum of.
    fn is_flat(&self, point: &Point, gradient: &[f64], tolerance: f64) -> bool {
        let ridge = self.ridge(point);
        let within =
            |(j, g): (usize, &f64)| g.abs() <= tolerance * (self.column_norms[j] * point.rows.size + (ridge * point.shift[j]).abs());
        if !gradient.iter().enumerate().all(within) {
            return false;
        }
        let g = &point.rows.g;
        let sizes = self.problem.a().transpose_times(&each_row(g.len(), |i| g[i].abs()));
        max_abs(gradient) <= tolerance * ((-self.log_unit(point)).exp() + max_abs(&sizes))
    }

    fn trusted_part(&self, point: &Point, step: &[f64]) -> f64 {
        if point.top <= FAR {
            return 1.0;
        }
        let change = max_abs(&self.problem.a().times(step));
        if change > TRUSTED_CHANGE { TRUSTED_CHANGE / change } else { 1.0 }
    }
}

/// The first of the entries that are largest in size.
pub(crate) fn largest_entry(values: &[f64]) -> usize {
    let largest = max_abs(values);
    values.iter().position(|v| v.abs() == largest).unwrap_or(0)
}

/// The residual in the unit e^m (normalised: as it is).
#[inline(always)]
fn residual(form: Form, u: f64, b: f64, sum: f64, target_scale: f64) -> f64 {
    match form {
        Form::Plain => u - b * target_scale,
        Form::Rescaled => u - sum * b,
        Form::Normalised => u / sum - b,
    }
}

/// The error of a point without a loss.
pub(crate) fn no_loss(x: &[f64], reason: NoLoss) -> crate::Error {
    match reason {
        NoLoss::ZeroSum { kappa } => crate::Error::ZeroNormaliser { x_norm: norm2(x), kappa },
        NoLoss::NotFinite => {
            certus_contract::InputError::parameter("x", norm2(x), "small enough for Ax and its powers to be finite").into()
        }
    }
}

/// The norm of each column of A, 1 for a column of zeros.
pub(crate) fn column_norms(problem: &Problem<'_>) -> Vec<f64> {
    problem.a().column_norms().into_iter().map(|norm| if norm > 0.0 { norm } else { 1.0 }).collect()
}

/// The Hessian at a point, in the shape that the dense model takes.
pub(crate) fn dense_hessian(loss: &Loss<'_, '_>, point: &Point) -> Result<Mat<f64>, LinearAlgebraError> {
    Ok(loss.hessian(point))
}
