//! Bounds of the rounding errors of gradient and curvature: section 6 of the certificate's text.
//!
//! An error of z moves u by v and v by u, so that the size of both counts, and the sums of a form carry the errors of all rows.

use certus_linalg::Matrix;

use crate::answer::Answer;
use crate::objective::{Loss, largest_entry};
use crate::point::Point;
use crate::positive::{Positive, RowNorms};
use crate::problem::{Form, Problem};
use crate::rows::{chain, each_row, max_rows, sum_rows};

/// Unit roundoff.
const UNIT: f64 = 0.5 * f64::EPSILON;
/// More than what the few products of a row lose that are below the least number with all its digits, for each unit of weight.
const UNDERFLOW: f64 = 1e-322;

/// The rounding of one point.
pub(crate) struct Rounding<'p, 'a> {
    loss: Loss<'p, 'a>,
    point: &'p Point,
    x: &'p [f64],
    /// e^-m.
    target_scale: f64,
    /// `(|A| |x|)_i + |o_i|`: the size of the terms of z_i, and the relative error that their sum can have.
    terms: Vec<f64>,
    of_term: f64,
    /// The relative error of what contains a sum over the rows.
    pub(crate) of_sums: f64,
    /// What the errors of the curvatures of the rows are of them, at most; infinite where that is not known.
    pub(crate) of_curvatures: f64,
    /// Sum of all sizes, and that over |S|.
    sum: f64,
    kappa: f64,
    /// The size of the terms of beta (rescaled) or gamma (normalised).
    shared: f64,
}

impl<'p, 'a> Rounding<'p, 'a> {
    /// `terms` is `|A| |x|`.
    pub(crate) fn new(loss: &Loss<'p, 'a>, answer: &'p Answer, mut terms: Vec<f64>) -> Self {
        let (p, point) = (loss.problem, &answer.point);
        let n = p.rows();
        let longest = match p.a() {
            Matrix::Dense(a) => a.cols(),
            Matrix::Sparse(a) => max_rows(n, 0.0, |i| (a.indptr()[i + 1] - a.indptr()[i]) as f64) as usize,
        };
        let of_term = gamma(longest + 2);
        if p.has_offset() {
            (0..n).for_each(|i| terms[i] += p.offset(i).abs());
        }
        let target_scale = (-point.m).exp();
        let mut rounding = Rounding {
            loss: *loss,
            point,
            x: &answer.x,
            target_scale,
            terms,
            of_term,
            of_sums: 0.0,
            of_curvatures: f64::INFINITY,
            sum: 0.0,
            kappa: 0.0,
            shared: 0.0,
        };
        if p.form() == Form::Plain {
            return rounding;
        }
        rounding.of_sums = 8.0 * max_rows(n, 0.0, |i| rounding.relative(i)) + 4.0 * gamma(chain(n));
        rounding.sum = sum_rows(n, |i| rounding.size(i));
        rounding.kappa = rounding.sum / point.sum.abs();
        rounding.shared = rounding.shared();
        rounding
    }

    fn problem(&self) -> &'p Problem<'a> {
        self.loss.problem
    }

    /// A bound of the errors of u_i and u'_i relative to their sizes.
    pub(crate) fn relative(&self, i: usize) -> f64 {
        let m = self.point.m;
        // z - m is rounded too.
        let shifted = if m == 0.0 { 0.0 } else { 2.0 * UNIT * (self.point.z[i].abs() + 3.0 * m.abs()) };
        let t = self.of_term * self.terms[i] + shifted;
        // e^t - 1 <= t + t² up to 1.
        8.0 * UNIT + if t <= 1.0 { t + t * t } else { t.exp_m1() }
    }

    /// The size of u_i and u'_i.
    fn size(&self, i: usize) -> f64 {
        self.point.u[i].abs() + self.point.v()[i].abs()
    }

    /// The same over |S|.
    fn share(&self, i: usize) -> f64 {
        self.size(i) / self.point.sum.abs()
    }

    /// The target in the unit of u.
    pub(crate) fn target(&self, i: usize) -> f64 {
        self.problem().b()[i].abs() * self.target_scale
    }

    /// The size of the terms of the residual of row i, with its weight.
    fn residual(&self, i: usize) -> f64 {
        let (p, b) = (self.problem(), self.problem().b()[i].abs());
        p.weight(i)
            * match p.form() {
                Form::Plain => self.size(i) + self.target(i),
                Form::Rescaled => self.size(i) + self.sum * b,
                Form::Normalised => self.share(i) + b,
            }
    }

    fn shared(&self) -> f64 {
        let (p, n) = (self.problem(), self.problem().rows());
        match p.form() {
            Form::Plain => 0.0,
            Form::Rescaled => sum_rows(n, |i| p.b()[i].abs() * self.residual(i)),
            Form::Normalised => {
                // Differences are taken to the row with the largest u, whose own size they have.
                let largest = largest_entry(&self.point.u);
                sum_rows(n, |i| self.share(i) * self.residual(i)) + (1.0 + self.kappa) * self.residual(largest)
            }
        }
    }

    /// The error of entry i of the gradient in z, without the regulariser.
    fn of_row_gradient(&self, i: usize) -> f64 {
        let (p, size) = (self.problem(), self.size(i));
        match p.form() {
            Form::Plain => {
                let (v, error) = (self.point.v()[i].abs(), self.relative(i) * size);
                let residual = (self.point.u[i] - p.b()[i] * self.target_scale).abs();
                let rounded = p.weight(i) * ((v + residual) * 2.0 * error + error * error) + 6.0 * UNIT * v * self.residual(i);
                rounded + UNDERFLOW * (1.0 + p.weight(i))
            }
            Form::Rescaled => self.of_sums * size * (self.residual(i) + self.shared),
            Form::Normalised => self.of_sums * self.kappa * self.share(i) * (self.residual(i) + self.shared),
        }
    }

    /// A bound of the error of the gradient in the norm of H⁻¹: `|Σ a_i e_i| <= Σ |e_i| |a_i|`.
    pub(crate) fn of_gradient(&self, rows: &RowNorms, positive: &Positive) -> f64 {
        let (p, n) = (self.problem(), self.problem().rows());
        let in_sum = gamma(p.a().longest_sum() + 64);
        let data = sum_rows(n, |i| (self.of_row_gradient(i) + in_sum * self.point.rows.g[i].abs()) * rows.of(i));
        // Each entry of x - x_ref is rounded.
        let ridge = self.loss.ridge(self.point);
        let of_entry = |j: usize| 4.0 * UNIT * ridge * (self.x[j].abs() + p.reference(j).abs()) * positive.deviation(j);
        let regulariser = (0..p.cols()).map(of_entry).sum::<f64>();
        if !p.has_row_reg() {
            return data + regulariser;
        }
        let centre = p.reference_given().map(|x| p.a().absolute_times(&x.iter().map(|x| x.abs()).collect::<Vec<_>>()));
        let unit = (-self.point.log_unit(p.form())).exp();
        let of_pull = |i: usize| {
            let centre = centre.as_ref().map_or(0.0, |centre| centre[i]);
            let shift = self.of_term * 2.0 * (self.terms[i] + centre) + 4.0 * UNIT * self.point.z[i].abs();
            unit * p.row_reg_squared(i) * shift * rows.of(i)
        };
        data + regulariser + sum_rows(n, of_pull)
    }

    /// A bound of the error of entry i of the diagonal of the curvature in z.
    pub(crate) fn of_row_curvature(&self, i: usize) -> f64 {
        let p = self.problem();
        let (size, regulariser) = (self.size(i), 4.0 * UNIT * p.row_reg_squared(i));
        let data = match p.form() {
            Form::Plain => {
                let error = self.relative(i);
                let terms = p.weight(i) * size * size + size * self.residual(i);
                (4.0 * error * (1.0 + error) + 8.0 * UNIT) * terms + UNDERFLOW * (1.0 + p.weight(i))
            }
            Form::Rescaled => self.of_sums * size * (p.weight(i) * size + self.residual(i) + self.shared),
            Form::Normalised => {
                let share = self.share(i);
                self.of_sums * self.kappa * share * (p.weight(i) * share + self.residual(i) + self.shared)
            }
        };
        data + if regulariser > 0.0 { (-self.point.log_unit(p.form())).exp() * regulariser } else { 0.0 }
    }

    /// For each column a bound of the error that those of all rows can make on the diagonal of the Hessian.
    pub(crate) fn of_hessian(&self) -> Vec<f64> {
        let p = self.problem();
        let mut errors = p.a().column_squares(Some(&each_row(p.rows(), |i| self.of_row_curvature(i))));
        if p.form() == Form::Plain {
            return errors;
        }
        // The rank-two part: (Σ |u_i a_ij|)² <= Σ |u_i| times Σ |u_i| a_ij².
        let column = |u: &(dyn Fn(usize) -> f64 + Sync)| {
            let u = each_row(p.rows(), u);
            let total = u.iter().sum::<f64>();
            p.a().column_squares(Some(&u)).into_iter().map(|s| total * s).collect::<Vec<_>>()
        };
        let (first, second, corner) = match p.form() {
            Form::Rescaled => {
                let squares = sum_rows(p.rows(), |i| p.weight(i) * p.b()[i].powi(2));
                (column(&|i| self.size(i)), column(&|i| p.weight(i) * p.b()[i].abs() * self.size(i)), squares)
            }
            _ => {
                let squares = sum_rows(p.rows(), |i| p.weight(i) * self.share(i).powi(2));
                let second = column(&|i| self.share(i) * (p.weight(i) * self.share(i) + self.residual(i)));
                (column(&|i| self.share(i)), second, squares + 2.0 * self.shared)
            }
        };
        let relative = self.of_sums * if p.form() == Form::Normalised { self.kappa } else { 1.0 };
        for (j, error) in errors.iter_mut().enumerate() {
            *error += relative * (corner * first[j] + 2.0 * (first[j] * second[j]).sqrt());
        }
        errors
    }

    /// A bound of the error of the sum S.
    pub(crate) fn of_sum(&self) -> f64 {
        let n = self.problem().rows();
        sum_rows(n, |i| self.relative(i) * self.size(i)) + gamma(n + 64) * self.sum
    }
}

/// k e / (1 - k e) for the unit roundoff e.
fn gamma(k: usize) -> f64 {
    let ke = k as f64 * UNIT;
    ke / (1.0 - ke)
}
