//! The exact minimiser of a dense quadratic model in a ball: Moré and Sorensen's, with the hard case.

use certus_linalg::factor::{Cholesky, SymmetricEigen, symmetric_eigen};
use certus_linalg::{Error, Mat, MatRef};

use super::{Model, Step, norm};
use crate::Objective;

/// A d x d model whose minimiser in a ball is exact, also where the model has negative curvature.
///
/// Where the model is positive definite and its minimiser within the ball, a step costs a Cholesky factorisation; else one
/// eigendecomposition a point. At a saddle without a gradient the step follows the lowest eigenvector.
///
/// Source: Moré, Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983).
pub struct Dense<F> {
    hessian: F,
    scales: Vec<f64>,
    scaled: Mat<f64>,
    factor: Option<Cholesky>,
    eigen: Option<SymmetricEigen>,
}

impl<F> Dense<F> {
    /// A model from a function `(objective, point)` that gives the d x d curvature in the unit of the gradient. The ball is that
    /// of `|scales o step| <= radius`; all scales are above zero.
    pub fn new(scales: Vec<f64>, hessian: F) -> Self {
        Dense { hessian, scales, scaled: Mat::zeros(0, 0), factor: None, eigen: None }
    }

    /// The curvature at the last point, as it was given.
    pub fn into_hessian(self) -> Mat<f64> {
        let Dense { mut scaled, scales, .. } = self;
        for j in 0..scaled.ncols() {
            for i in 0..scaled.nrows() {
                scaled[(i, j)] *= scales[i] * scales[j];
            }
        }
        scaled
    }

    fn eigen(&mut self) -> Result<&SymmetricEigen, Error> {
        if self.eigen.is_none() {
            self.eigen = Some(symmetric_eigen(self.scaled.as_ref())?);
        }
        match &self.eigen {
            Some(eigen) => Ok(eigen),
            None => Err(Error::NonFiniteMatrix { what: "the model" }),
        }
    }
}

/// Eigenvalues below this much of the largest are rounding.
fn rounding(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
    values.len() as f64 * f64::EPSILON * largest
}

impl<O, F> Model<O> for Dense<F>
where
    O: Objective,
    F: FnMut(&O, &O::Point) -> Result<Mat<f64>, Error>,
{
    fn update(&mut self, objective: &O, point: &O::Point, _: &[f64], _: &[f64]) -> Result<(), Error> {
        let mut scaled = (self.hessian)(objective, point)?;
        for j in 0..scaled.ncols() {
            for i in 0..scaled.nrows() {
                scaled[(i, j)] /= self.scales[i] * self.scales[j];
            }
        }
        self.eigen = None;
        self.factor = clearly_positive(scaled.as_ref());
        self.scaled = scaled;
        Ok(())
    }

    fn step(&mut self, _: &O, _: &O::Point, gradient: &[f64], radius: f64) -> Result<Step, Error> {
        let scaled = gradient.iter().zip(&self.scales).map(|(g, s)| g / s).collect::<Vec<_>>();
        let unscale = |y: Vec<f64>, scales: &[f64]| y.iter().zip(scales).map(|(y, s)| y / s).collect::<Vec<_>>();
        if let Some(factor) = &self.factor {
            let mut y = factor.solve(&scaled);
            let decrease = 0.5 * super::dot(&scaled, &y);
            y.iter_mut().for_each(|y| *y = -*y);
            let length = norm(&y);
            if length <= radius {
                return Ok(Step { step: unscale(y, &self.scales), decrease, length, limited: false });
            }
        }
        let minimiser = minimiser_in_ball(self.eigen()?, &scaled, radius);
        Ok(Step { step: unscale(minimiser.step, &self.scales), ..minimiser })
    }

    fn is_indefinite(&mut self) -> Result<bool, Error> {
        if self.factor.is_some() {
            return Ok(false);
        }
        let values = &self.eigen()?.values;
        Ok(values.first().is_some_and(|least| *least < -rounding(values)))
    }
}

/// The factor of a matrix that is positive definite beyond rounding.
fn clearly_positive(a: MatRef<'_, f64>) -> Option<Cholesky> {
    let d = a.nrows();
    let factor = Cholesky::new("the model", a).ok()?;
    let largest = (0..d).map(|i| a[(i, i)]).fold(0.0, f64::max);
    let least_pivot = (0..d).map(|i| factor.lower()[(i, i)].powi(2)).fold(f64::INFINITY, f64::min);
    (least_pivot > 4.0 * d as f64 * f64::EPSILON * largest).then_some(factor)
}

/// The minimiser of `g y + ½ yᵀ A y` over `|y| <= radius`, from the eigenvectors of A. Where the radius is infinite and A not
/// positive definite, the radius is the length of the step by the absolute eigenvalues.
fn minimiser_in_ball(eigen: &SymmetricEigen, gradient: &[f64], radius: f64) -> Step {
    let d = gradient.len();
    let coordinates = |j: usize| eigen.vectors.col(j).iter().zip(gradient).fold(0.0, |sum, (v, g)| sum + v * g);
    let values = &eigen.values;
    let floor = rounding(values);
    let c = (0..d).map(coordinates).collect::<Vec<_>>();
    // What rounding makes of a gradient in the null space is no reason to go there.
    let noise = 64.0 * f64::EPSILON * norm(&c);
    let c = (0..d).map(|j| if values[j].abs() <= floor && c[j].abs() <= noise { 0.0 } else { c[j] }).collect::<Vec<_>>();
    let at = |shift: f64| -> Vec<f64> {
        (0..d).map(|j| if c[j] == 0.0 || values[j] + shift == 0.0 { 0.0 } else { -c[j] / (values[j] + shift) }).collect()
    };
    let finish = |y: Vec<f64>, limited: bool| {
        let decrease = (0..d).fold(0.0, |sum, j| sum - y[j] * (c[j] + 0.5 * values[j] * y[j]));
        let step = (0..d).map(|i| (0..d).fold(0.0, |sum, j| sum + eigen.vectors[(i, j)] * y[j])).collect();
        Step { step, decrease: decrease.max(0.0), length: norm(&y), limited }
    };
    let least = values.first().copied().unwrap_or(0.0);
    let positive = least >= -floor && (0..d).all(|j| values[j] > floor || c[j] == 0.0);
    if positive {
        let y = at(0.0);
        if norm(&y) <= radius {
            return finish(y, false);
        }
    }
    let radius = if radius.is_finite() {
        radius
    } else {
        let by_absolute = (0..d).map(|j| if values[j].abs() > floor { c[j] / values[j] } else { 0.0 }).collect::<Vec<_>>();
        Some(norm(&by_absolute)).filter(|length| *length > 0.0).unwrap_or(1.0)
    };
    let lowest = (-least).max(0.0);
    // The hard case: the gradient has no part along the lowest eigenvectors, so that no shift makes the step long enough.
    let easy = (0..d).any(|j| values[j] + lowest <= floor && c[j] != 0.0);
    let interior = (0..d).map(|j| if values[j] + lowest <= floor { 0.0 } else { -c[j] / (values[j] + lowest) }).collect::<Vec<_>>();
    if !easy && norm(&interior) <= radius {
        let mut y = interior;
        let missing = (radius * radius - y.iter().map(|y| y * y).sum::<f64>()).max(0.0).sqrt();
        if let Some(first) = y.first_mut() {
            // Of the two directions the one whose largest entry is positive.
            let largest = eigen.vectors.col(0).iter().fold(0.0, |largest: f64, v| if v.abs() > largest.abs() { *v } else { largest });
            *first = missing * if largest < 0.0 { -1.0 } else { 1.0 };
        }
        return finish(y, true);
    }
    // |y(shift)| falls from beyond the radius to zero: bisection on a logarithmic scale, then Newton's method on 1 / |y|.
    let (mut low, mut high) = (lowest, lowest + norm(&c) / radius);
    let mut shift = high;
    for _ in 0..200 {
        let y = at(shift);
        let length = norm(&y);
        if (length - radius).abs() <= 1e-10 * radius {
            break;
        }
        if length > radius {
            low = shift
        } else {
            high = shift
        }
        let slope = (0..d).fold(0.0, |sum, j| if y[j] == 0.0 { sum } else { sum + y[j] * y[j] / (values[j] + shift) });
        let newton = shift + (length / radius - 1.0) * length * length / slope;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if next == shift || !next.is_finite() {
            break;
        }
        shift = next;
    }
    finish(at(shift), true)
}
