//! How the minimiser moves when the data do.

use certus_contract::InputError;
use certus_linalg::factor::{SymmetricEigen, symmetric_eigen};
use certus_linalg::operator::LinearOperator;
use certus_linalg::{Mat, Matrix};
use certus_newton::Objective;

use crate::Error;
use crate::objective::{Loss, column_norms, no_loss};
use crate::point::Point;
use crate::problem::{Form, Problem};

/// The derivative of a minimiser with respect to the data, by the implicit function theorem.
///
/// ```
/// use certus_numeric::Array;
/// use certus_regression::{Form, Link, Problem, Sensitivity, Solver};
/// let a = Array::matrix(3, 1, vec![1.0, 1.0, 1.0])?;
/// let problem = Problem::new(&a, &[1.0, 2.0, 3.0], Link::Exp, Form::Plain)?;
/// let x = Solver::default().solve(&problem)?.x;
/// // e^x is the mean of the targets: one more unit of one of them adds a third to it.
/// let dx = Sensitivity::new(&problem, &x)?.to_target(&[1.0, 0.0, 0.0])?;
/// assert!((dx[0] - (1.0 / 3.0) / 2.0).abs() < 1e-9);
/// # Ok::<(), certus_regression::Error>(())
/// ```
pub struct Sensitivity<'p, 'a> {
    problem: &'p Problem<'a>,
    point: Point,
    shift: Vec<f64>,
    scales: Vec<f64>,
    eigen: SymmetricEigen,
}

impl<'p, 'a> Sensitivity<'p, 'a> {
    /// At a minimiser x. Cost: one Hessian and its eigenvectors.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `SingularSystem` where the Hessian is singular: the minimiser is then no function of the data.
    pub fn new(problem: &'p Problem<'a>, x: &[f64]) -> Result<Self, Error> {
        problem.require_point("x", x)?;
        let norms = column_norms(problem);
        let loss = Loss::new(problem, &norms);
        loss.evaluate(x).map_err(|reason| no_loss(x, reason))?;
        let Some(point) = loss.point(x) else { return Err(no_loss(x, crate::objective::NoLoss::NotFinite)) };
        let hessian = loss.hessian(&point);
        let d = problem.cols();
        let scales = (0..d).map(|j| hessian[(j, j)].abs().sqrt()).map(|s| if s > 0.0 { s } else { 1.0 }).collect::<Vec<_>>();
        let scaled = Mat::from_fn(d, d, |i, j| hessian[(i, j)] / (scales[i] * scales[j]));
        let eigen = symmetric_eigen(scaled.as_ref())?;
        let rank = eigen.values.iter().filter(|v| v.abs() > 1e-13 * d as f64).count();
        if rank < d {
            return Err(Error::SingularSystem { rank, cols: d });
        }
        let shift = x.iter().enumerate().map(|(j, x)| x - problem.reference(j)).collect();
        Ok(Sensitivity { problem, point, shift, scales, eigen })
    }

    /// The derivative (d numbers) when b moves along `db` (n numbers).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn to_target(&self, db: &[f64]) -> Result<Vec<f64>, Error> {
        let p = self.problem;
        certus_contract::require_length("d-target", db.len(), p.rows(), "the rows of a")?;
        certus_contract::require_finite("d-target", &[db.len()], db)?;
        let (u, v, s) = (&self.point.u, self.point.v(), self.point.sum);
        let scale = (-self.point.m).exp();
        let sum = |f: &dyn Fn(usize) -> f64| (0..p.rows()).map(f).sum::<f64>();
        let moved: Vec<f64> = match p.form() {
            Form::Plain => (0..p.rows()).map(|i| -p.weight(i) * v[i] * db[i] * scale).collect(),
            Form::Rescaled => {
                let along = sum(&|i| (u[i] - s * p.b()[i]) * p.weight(i) * db[i]);
                let of_target = sum(&|i| p.weight(i) * p.b()[i] * db[i]);
                (0..p.rows()).map(|i| v[i] * (-p.weight(i) * s * db[i] - (along - s * of_target))).collect()
            }
            Form::Normalised => {
                let along = sum(&|i| p.weight(i) * u[i] / s * db[i]);
                (0..p.rows()).map(|i| v[i] / s * (-p.weight(i) * db[i] + along)).collect()
            }
        };
        Ok(self.minus_inverse(&p.a().transpose_times(&moved)))
    }

    /// The derivative (d numbers) when A moves along `da` (n x d, dense or sparse).
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`.
    pub fn to_design<'m>(&self, da: impl Into<Matrix<'m>>) -> Result<Vec<f64>, Error> {
        let (p, da) = (self.problem, da.into());
        da.validate("d-design")?;
        if (da.rows(), da.cols()) != (p.rows(), p.cols()) {
            let expected = format!("{} x {} (as a)", p.rows(), p.cols());
            return Err(InputError::dimension("d-design", format!("{} x {}", da.rows(), da.cols()), expected).into());
        }
        let x = self.shift.iter().enumerate().map(|(j, e)| e + p.reference(j)).collect::<Vec<_>>();
        let loss = Loss::new(p, &[]);
        // g_z changes with A x through the curvature of the data, and with A (x - x_ref) through the row regulariser.
        let unit = (-loss.log_unit(&self.point)).exp();
        let (of_x, of_shift) = (da.times(&x), da.times(&self.shift));
        let mut change = of_x.clone();
        loss.curve(&self.point, &mut change);
        if p.has_row_reg() {
            for i in 0..p.rows() {
                change[i] += unit * p.row_reg_squared(i) * (of_shift[i] - of_x[i]);
            }
        }
        let mut right = p.a().transpose_times(&change);
        right.iter_mut().zip(da.transpose_times(&self.point.rows.g)).for_each(|(r, v)| *r += v);
        Ok(self.minus_inverse(&right))
    }

    /// The covariance of x (d x d) if the targets have independent errors of this variance: `variance K Kᵀ`, K the derivative.
    ///
    /// # Errors
    /// `InvalidParameter` for a negative variance.
    pub fn covariance(&self, variance: f64) -> Result<certus_numeric::Array, Error> {
        if !(variance >= 0.0 && variance.is_finite()) {
            return Err(InputError::parameter("variance", variance, "a finite number of at least 0").into());
        }
        let (n, d) = (self.problem.rows(), self.problem.cols());
        let mut total = certus_numeric::Array::zeros([d, d]);
        let mut unit = vec![0.0; n];
        for i in 0..n {
            unit[i] = 1.0;
            let k = self.to_target(&unit)?;
            unit[i] = 0.0;
            for (j, a) in k.iter().enumerate() {
                total.row_mut(j).iter_mut().zip(&k).for_each(|(t, b)| *t += variance * a * b);
            }
        }
        Ok(total)
    }

    fn minus_inverse(&self, right: &[f64]) -> Vec<f64> {
        let d = right.len();
        let scaled = right.iter().zip(&self.scales).map(|(r, s)| r / s).collect::<Vec<_>>();
        let coordinates =
            (0..d).map(|j| self.eigen.vectors.col(j).iter().zip(&scaled).fold(0.0, |sum, (v, r)| sum + v * r) / self.eigen.values[j]);
        let coordinates = coordinates.collect::<Vec<_>>();
        let entry = |i: usize| (0..d).fold(0.0, |sum, j| sum + self.eigen.vectors[(i, j)] * coordinates[j]);
        (0..d).map(|i| -entry(i) / self.scales[i]).collect()
    }
}
