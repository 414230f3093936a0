//! Hessians that are positive definite beyond their rounding, and the rows of A in the norm of their inverse.

use certus_linalg::factor::{Cholesky, Triangle, solve_triangular, solve_triangular_vec, symmetric_eigenvalues};
use certus_linalg::product::matmul;
use certus_linalg::solve::lanczos_extremes;
use certus_linalg::{Mat, MatRef, Matrix};
use certus_numeric::Seed;
use certus_numeric::sum::{max_abs, norm2, par_blocks};

use crate::rows::each_row;
use crate::solver::Certify;

/// A matrix H that is positive definite beyond the rounding of its entries, bounded from below by a product `D L Lᵀ D`: norms in that
/// of H⁻¹ are computed with L, and are upper bounds.
pub(crate) struct Positive {
    scales: Vec<f64>,
    factor: Cholesky,
    inverse_lower: Mat<f64>,
    /// By how much H may exceed the product, as a part of it.
    pub(crate) excess: f64,
    /// The least eigenvalue of H, an estimate.
    pub(crate) least: f64,
    /// An upper bound of the largest eigenvalue of H⁻¹.
    pub(crate) largest_inverse: f64,
}

/// Columns so few that one row at a time is the faster way.
const FEW: usize = 8;
/// Columns up to which the least eigenvalue comes from all of them.
const ALL_EIGENVALUES: usize = 128;
/// Beyond, the relative error at which Lanczos' method stops, and its steps at most.
const LANCZOS_TOLERANCE: f64 = 1e-5;
const LANCZOS_STEPS: usize = 60;

impl Positive {
    /// By a Cholesky factorisation of `H - c I` in scaled variables (Rump 2006), half of c for what it has to cover, half for the error
    /// of the product. H is a sum of `terms` rows; `sizes` bounds the sums of their absolute values on its diagonal, `errors` what the
    /// rows' own errors can make of it.
    pub(crate) fn prove(h: MatRef<'_, f64>, sizes: &[f64], errors: &[f64], terms: usize) -> Option<Positive> {
        let d = h.nrows();
        let scales = (0..d).map(|j| h[(j, j)].sqrt()).collect::<Vec<_>>();
        if !scales.iter().all(|s| *s > 0.0 && s.is_finite()) {
            return None;
        }
        let trace = |of: &[f64]| of.iter().zip(&scales).map(|(s, scale)| s / (scale * scale)).sum::<f64>();
        // The rows' errors, the sum of all (whatever blocks they come in), the scaling; then the factorisation of a matrix of trace d.
        let entry = trace(errors) + (terms + 64) as f64 * f64::EPSILON * (trace(sizes) + d as f64);
        let shift = 2.0 * (entry + (d + 2) as f64 * f64::EPSILON * d as f64);
        let inverse_scales = scales.iter().map(|s| 1.0 / s).collect::<Vec<_>>();
        let shifted = |by: &dyn Fn(usize) -> f64| {
            Mat::from_fn(d, d, |i, j| {
                if i < j {
                    return 0.0;
                }
                let entry = h[(i, j)] * inverse_scales[i] * inverse_scales[j];
                if i == j { entry - by(j) } else { entry }
            })
        };
        let factor = Cholesky::in_place("the shifted Hessian", shifted(&|_| shift)).ok()?;
        // Another shifted factorisation proves that the least eigenvalue is nearly as large as it seems.
        let proven = |least: f64, nearly: f64| {
            let less = |j: usize| shift + nearly * least * inverse_scales[j] * inverse_scales[j];
            Cholesky::in_place("the Hessian less its least eigenvalue", shifted(&less)).is_ok().then_some(nearly * least)
        };
        let mut positive = Positive { scales, factor, inverse_lower: Mat::zeros(0, 0), excess: 0.0, least: 0.0, largest_inverse: 0.0 };
        let (inverse_lower, iterated) = if d <= ALL_EIGENVALUES {
            (positive.factor.inverse_lower(), None)
        } else {
            let iterated = || positive.least_by_lanczos().map(|least| (least, proven(least, 0.99)));
            rayon::join(|| positive.factor.inverse_lower(), iterated)
        };
        positive.inverse_lower = inverse_lower;
        let of_scaled = (0..d).map(|j| (positive.deviation(j) * positive.scales[j]).powi(2)).sum::<f64>();
        positive.excess = shift * of_scaled;
        // The largest eigenvalue of H⁻¹ is at most its trace.
        positive.largest_inverse = (0..d).map(|j| positive.deviation(j).powi(2)).sum::<f64>() * (1.0 + 1e-9);
        if !positive.largest_inverse.is_finite() {
            return None;
        }
        let (least, bound) = match iterated {
            Some(found) => found,
            None => {
                let least = positive.least_of_all().unwrap_or(1.0 / positive.largest_inverse);
                (least, proven(least, 1.0 - 1e-6))
            }
        };
        positive.least = least;
        positive.largest_inverse = positive.largest_inverse.min(bound.map_or(f64::INFINITY, |least| 1.0 / least));
        Some(positive)
    }

    /// The bounds for a matrix that differs by at most this part; `None` where it may not be positive.
    pub(crate) fn within(mut self, part: f64) -> Option<Positive> {
        if !(0.0..1.0).contains(&part) {
            return None;
        }
        self.scales.iter_mut().for_each(|s| *s *= (1.0 - part).sqrt());
        self.excess = ((1.0 + part) * self.excess + 2.0 * part) / (1.0 - part);
        self.largest_inverse /= 1.0 - part;
        Some(self)
    }

    /// The square root of each entry of the diagonal of H⁻¹, rounded up.
    pub(crate) fn deviations(&self) -> Vec<f64> {
        (0..self.scales.len()).map(|j| self.deviation(j) * (1.0 + 1e-9)).collect()
    }

    /// The y with `|y|² >= gᵀ H⁻¹ g`, nearly equal.
    pub(crate) fn half_solve(&self, g: &[f64]) -> Vec<f64> {
        let mut y = g.iter().zip(&self.scales).map(|(g, s)| g / s).collect::<Vec<_>>();
        solve_triangular_vec(Triangle::Lower, self.factor.lower(), &mut y);
        y
    }

    /// The norm of s in the norm of H.
    pub(crate) fn norm(&self, s: &[f64]) -> f64 {
        let scaled = s.iter().zip(&self.scales).map(|(s, scale)| s * scale).collect::<Vec<_>>();
        let lower = self.factor.lower();
        norm2(&(0..scaled.len()).map(|j| (j..scaled.len()).map(|i| lower[(i, j)] * scaled[i]).sum::<f64>()).collect::<Vec<_>>())
    }

    /// The norm in that of H that the rounding of x to its spacing can have.
    pub(crate) fn spacing(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.scales).map(|(x, scale)| f64::EPSILON * x.abs() * scale).sum()
    }

    /// `H⁻¹ g`.
    pub(crate) fn solve(&self, g: &[f64]) -> Vec<f64> {
        let y = self.factor.solve(&g.iter().zip(&self.scales).map(|(g, s)| g / s).collect::<Vec<_>>());
        y.iter().zip(&self.scales).map(|(y, s)| y / s).collect()
    }

    /// H⁻¹ in scaled variables.
    fn scaled_inverse(&self) -> Mat<f64> {
        let inverse = self.inverse_lower.as_ref();
        matmul(inverse.transpose(), inverse)
    }

    /// The norm of row i in the norm of H⁻¹, by the columns of L⁻¹.
    fn inverse_norm(&self, a: Matrix<'_>, i: usize) -> f64 {
        let mut y = vec![0.0; self.scales.len()];
        let mut add = |j: usize, v: f64| {
            let factor = v / self.scales[j];
            y[j..].iter_mut().zip(self.inverse_lower.col(j).iter().skip(j)).for_each(|(y, l)| *y += factor * l);
        };
        match a {
            Matrix::Dense(a) => a.row(i).iter().enumerate().for_each(|(j, v)| add(j, *v)),
            Matrix::Sparse(a) => {
                let (columns, values) = a.row(i);
                columns.iter().zip(values).for_each(|(&j, v)| add(j as usize, *v));
            }
        }
        norm2(&y)
    }

    /// The norm of a sparse row, less a centre c given as H⁻¹ c and its square, in the norm of H⁻¹, given in scaled variables.
    fn inverse_norm_of(&self, inverse: MatRef<'_, f64>, (columns, values): (&[u32], &[f64]), centre: Option<&(Vec<f64>, f64)>) -> f64 {
        let entries = || columns.iter().zip(values).map(|(&j, v)| (j as usize, v / self.scales[j as usize]));
        let square = entries().map(|(i, a)| entries().fold(0.0, |sum, (j, b)| sum + inverse[(i, j)] * b) * a).sum::<f64>();
        let Some((solved, of_centre)) = centre else { return square.max(0.0).sqrt() };
        let product = columns.iter().zip(values).map(|(&j, v)| v * solved[j as usize]).sum::<f64>();
        // What the difference of the squares cancels to is rounding.
        let rounding = 1e-12 * (square.abs() + of_centre);
        ((square - 2.0 * product + of_centre).max(0.0) + rounding).sqrt()
    }

    /// As [`Positive::inverse_norms`], of one row with at most [`FEW`] entries.
    fn inverse_norm_of_few(&self, row: &[f64], centre: Option<&[f64]>) -> f64 {
        let lower = self.factor.lower();
        let (mut y, mut square) = ([0.0; FEW], 0.0);
        for (j, (v, scale)) in row.iter().zip(&self.scales).enumerate() {
            let entry = (v - centre.map_or(0.0, |c| c[j])) / scale;
            y[j] = (0..j).fold(entry, |entry, k| entry - lower[(j, k)] * y[k]) / lower[(j, j)];
            square += y[j] * y[j];
        }
        square.sqrt()
    }

    /// The norms of some rows, less a centre, in the norm of H⁻¹: those of `L⁻¹ D⁻¹ (a - c)`.
    fn inverse_norms(&self, a: Matrix<'_>, rows: std::ops::Range<usize>, centre: Option<&[f64]>) -> Vec<f64> {
        let (d, first) = (self.scales.len(), rows.start);
        if let Matrix::Dense(a) = a
            && d <= FEW
        {
            return rows.map(|i| self.inverse_norm_of_few(a.row(i), centre)).collect();
        }
        let mut block = Mat::from_fn(d, rows.len(), |j, k| match a {
            Matrix::Dense(a) => a.row(first + k)[j],
            Matrix::Sparse(_) => 0.0,
        });
        if let Matrix::Sparse(a) = a {
            for (k, i) in rows.clone().enumerate() {
                let (columns, values) = a.row(i);
                columns.iter().zip(values).for_each(|(&j, v)| block[(j as usize, k)] = *v);
            }
        }
        for k in 0..rows.len() {
            for j in 0..d {
                block[(j, k)] = (block[(j, k)] - centre.map_or(0.0, |c| c[j])) / self.scales[j];
            }
        }
        solve_triangular(Triangle::Lower, self.factor.lower(), block.as_mut());
        block.col_iter().map(|column| column.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()
    }

    /// The square root of entry j of the diagonal of H⁻¹.
    pub(crate) fn deviation(&self, j: usize) -> f64 {
        self.inverse_lower.col(j).try_as_col_major().map_or(f64::INFINITY, |column| norm2(&column.as_slice()[j..])) / self.scales[j]
    }

    /// The least eigenvalue of H, from the largest of its inverse, which scaling does not spoil.
    fn least_of_all(&self) -> Option<f64> {
        let d = self.scales.len();
        let mut inverse = if d <= FEW {
            let lower = &self.inverse_lower;
            Mat::from_fn(d, d, |i, j| (i.max(j)..d).fold(0.0, |sum, k| sum + lower[(k, i)] * lower[(k, j)]))
        } else {
            self.scaled_inverse()
        };
        for j in 0..d {
            (0..d).for_each(|i| inverse[(i, j)] /= self.scales[i] * self.scales[j]);
        }
        symmetric_eigenvalues(inverse.as_ref()).ok()?.last().map(|largest| 1.0 / largest)
    }

    /// The same by Lanczos' method for H⁻¹.
    fn least_by_lanczos(&self) -> Option<f64> {
        let inverse = (self.scales.len(), |x: &[f64], y: &mut [f64]| y.copy_from_slice(&self.solve(x)));
        let extremes = lanczos_extremes(&inverse, LANCZOS_TOLERANCE, LANCZOS_STEPS, Seed(0)).ok()?;
        Some(1.0 / extremes.largest)
    }
}

/// Upper bounds of `|a_i|` in the norm of H⁻¹, less a centre where given.
pub(crate) struct RowNorms {
    norms: Vec<f64>,
    /// Whether they are computed, not bounded.
    pub(crate) exact: bool,
}

/// Whether the row norms are computed by solving with the factor.
fn by_factor(a: Matrix<'_>, certify: Certify) -> bool {
    a.rows().saturating_mul(a.cols() * a.cols()) <= EXACT_NORMS[usize::from(certify == Certify::Full)]
}

/// Whether they are computed from the inverse, by the pairs of entries that share a row.
fn by_inverse(a: Matrix<'_>, certify: Certify) -> bool {
    let Matrix::Sparse(a) = a else { return false };
    let pairs = a.indptr().windows(2).map(|row| (row[1] - row[0]).pow(2)).sum::<usize>();
    pairs <= EXACT_NORMS[usize::from(certify == Certify::Full)] / 64
}

/// Work up to which these norms are computed, not bounded: with cheap and with full certification.
const EXACT_NORMS: [usize; 2] = [1 << 25, 1 << 33];
/// Rows that are worked on together.
const NORM_ROWS: usize = 256;

impl RowNorms {
    /// Whether the work is small for the certificate that is asked for.
    pub(crate) fn are_computed(a: Matrix<'_>, certify: Certify) -> bool {
        by_factor(a, certify) || by_inverse(a, certify)
    }

    /// Computed where the work is small for the certificate that is asked for, or else bounded.
    pub(crate) fn new(a: Matrix<'_>, positive: &Positive, centre: Option<&[f64]>, certify: Certify) -> RowNorms {
        let up = 1.0 + 1e-9;
        let norms = match a {
            _ if by_factor(a, certify) => {
                let blocks = par_blocks(a.rows(), NORM_ROWS, |rows| positive.inverse_norms(a, rows, centre));
                blocks.concat().into_iter().map(|norm| norm * up).collect()
            }
            Matrix::Sparse(a) if by_inverse(Matrix::Sparse(a), certify) => {
                let inverse = positive.scaled_inverse();
                let centre = centre.map(|c| (positive.solve(c), norm2(&positive.half_solve(c)).powi(2)));
                each_row(a.rows(), |i| up * positive.inverse_norm_of(inverse.as_ref(), a.row(i), centre.as_ref()))
            }
            _ => {
                let whole = RowNorms::bounds(a.absolute_times(&positive.deviations()), 0.0);
                return match centre {
                    Some(centre) => whole.less(positive, centre),
                    None => whole,
                };
            }
        };
        RowNorms { norms, exact: true }
    }

    /// From `|A|` times the [deviations](Positive::deviations), by the triangle inequality over the entries of a row; for a matrix that
    /// [differs](Positive::within) from that of the deviations by at most this part.
    pub(crate) fn bounds(mut norms: Vec<f64>, part: f64) -> RowNorms {
        if part > 0.0 {
            let up = (1.0 + f64::EPSILON) / (1.0 - part).sqrt();
            norms.iter_mut().for_each(|norm| *norm *= up);
        }
        RowNorms { norms, exact: false }
    }

    /// Bounds of the rows less a centre, by the triangle inequality.
    pub(crate) fn less(&self, positive: &Positive, centre: &[f64]) -> RowNorms {
        let of_centre = norm2(&positive.half_solve(centre)) * (1.0 + 1e-9);
        RowNorms { norms: self.norms.iter().map(|norm| norm + of_centre).collect(), exact: false }
    }

    /// Computes those of some rows instead of bounding them. Cost: d² flops a row, or d a stored entry.
    pub(crate) fn refine(&mut self, a: Matrix<'_>, positive: &Positive, rows: &[usize]) {
        let norms = par_blocks(rows.len(), 16, |block| rows[block].iter().map(|&i| positive.inverse_norm(a, i)).collect::<Vec<_>>());
        for (&i, norm) in rows.iter().zip(norms.concat()) {
            self.norms[i] = self.norms[i].min(norm * (1.0 + 1e-9));
        }
    }

    /// That of row i.
    pub(crate) fn of(&self, i: usize) -> f64 {
        self.norms[i]
    }

    pub(crate) fn all(&self) -> &[f64] {
        &self.norms
    }

    pub(crate) fn largest(&self) -> f64 {
        max_abs(&self.norms)
    }
}
