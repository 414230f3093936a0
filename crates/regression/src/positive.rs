//! Hessians that are positive definite beyond their rounding, and the rows of A in the norm of their inverse.

use certus_linalg::factor::{Cholesky, Triangle, solve_triangular, solve_triangular_vec, symmetric_eigenvalues};
use certus_linalg::{Mat, MatRef, Matrix};
use certus_numeric::Csr;
use certus_numeric::sum::{dot, max_abs, norm2, par_blocks};

use crate::solver::Certify;

/// A matrix that is positive definite beyond the rounding of its entries.
pub(crate) struct Positive {
    scales: Vec<f64>,
    factor: Cholesky,
    inverse: Mat<f64>,
    /// The true matrix is at least (1 - shrink) times the one that was factored.
    pub(crate) shrink: f64,
    /// The least eigenvalue.
    pub(crate) least: f64,
    /// An upper bound of the largest eigenvalue of the inverse.
    pub(crate) largest_inverse: f64,
}

impl Positive {
    /// By a Cholesky factorisation of `H - c I` in scaled variables (Rump 2006). H is a sum of `terms` rows; `sizes` bounds the sums of
    /// their absolute values on its diagonal, `errors` what the rows' own errors can make of it.
    pub(crate) fn prove(h: MatRef<'_, f64>, sizes: &[f64], errors: &[f64], terms: usize) -> Option<Positive> {
        let d = h.nrows();
        let scales = (0..d).map(|j| h[(j, j)].sqrt()).collect::<Vec<_>>();
        if !scales.iter().all(|s| *s > 0.0 && s.is_finite()) {
            return None;
        }
        let scaled = Mat::from_fn(d, d, |i, j| h[(i, j)] / (scales[i] * scales[j]));
        let trace = |of: &[f64]| of.iter().zip(&scales).map(|(s, scale)| s / (scale * scale)).sum::<f64>();
        // The rows' errors, the sum of all (whatever blocks they come in), the scaling; then the factorisation of a matrix of trace d.
        let entry = trace(errors) + (terms + 64) as f64 * f64::EPSILON * (trace(sizes) + d as f64);
        let shift = entry + (d + 2) as f64 * f64::EPSILON * d as f64;
        let mut shifted = scaled.clone();
        (0..d).for_each(|j| shifted[(j, j)] -= shift);
        Cholesky::new("the shifted Hessian", shifted.as_ref()).ok()?;
        let factor = Cholesky::new("the Hessian", scaled.as_ref()).ok()?;
        let inverse = factor.inverse();
        let largest = inverse.col_iter().flat_map(|c| c.iter()).map(|v| v * v).sum::<f64>().sqrt();
        let shrink = 2.0 * shift * largest;
        if shrink.is_nan() || shrink >= 0.5 {
            return None;
        }
        let mut positive = Positive { scales, factor, inverse, shrink, least: 0.0, largest_inverse: 0.0 };
        positive.largest_inverse = positive.inverse_norm();
        positive.least = positive.least_eigenvalue().unwrap_or(1.0 / positive.largest_inverse);
        // Proven to be nearly that, by another shifted factorisation, or else bounded by the Frobenius norm of the inverse.
        let claimed = positive.least * (1.0 - 1e-6);
        (0..d).for_each(|j| shifted[(j, j)] -= claimed / (positive.scales[j] * positive.scales[j]));
        if Cholesky::new("the Hessian less its least eigenvalue", shifted.as_ref()).is_ok() {
            positive.largest_inverse = positive.largest_inverse.min(1.0 / claimed);
        }
        Some(positive)
    }

    /// The y with `|y|² = gᵀ H⁻¹ g`.
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

    /// The norm of a sparse row in the norm of H⁻¹.
    fn inverse_norm_of(&self, (columns, values): (&[u32], &[f64])) -> f64 {
        let entries = || columns.iter().zip(values).map(|(&j, v)| (j as usize, v / self.scales[j as usize]));
        let square = entries().map(|(i, a)| entries().fold(0.0, |sum, (j, b)| sum + self.inverse[(i, j)] * b) * a).sum::<f64>();
        square.max(0.0).sqrt()
    }

    /// The norms of some rows, less a centre, in the norm of H⁻¹: those of `L⁻¹ D⁻¹ (a - c)`.
    fn inverse_norms(&self, a: Matrix<'_>, rows: std::ops::Range<usize>, centre: Option<&[f64]>) -> Vec<f64> {
        let (d, first) = (self.scales.len(), rows.start);
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
        self.inverse[(j, j)].max(0.0).sqrt() / self.scales[j]
    }

    /// An upper bound of the largest eigenvalue of H⁻¹: its Frobenius norm.
    pub(crate) fn inverse_norm(&self) -> f64 {
        let d = self.scales.len();
        let squares = (0..d)
            .flat_map(|j| (0..d).map(move |i| (i, j)))
            .map(|(i, j)| (self.inverse[(i, j)] / (self.scales[i] * self.scales[j])).powi(2));
        squares.sum::<f64>().sqrt() * (1.0 + 1e-9)
    }

    /// The least eigenvalue of H, from the largest of its inverse, which scaling does not spoil: all of them for small matrices, else
    /// by the power method.
    fn least_eigenvalue(&self) -> Option<f64> {
        let d = self.scales.len();
        if d <= 128 {
            let inverse = Mat::from_fn(d, d, |i, j| self.inverse[(i, j)] / (self.scales[i] * self.scales[j]));
            return symmetric_eigenvalues(inverse.as_ref()).ok()?.last().map(|largest| 1.0 / largest);
        }
        let mut x = (0..d).map(|j| self.deviation(j)).collect::<Vec<_>>();
        let mut value = None;
        for _ in 0..20 {
            let y = self.solve(&x);
            value = Some(dot(&x, &x) / dot(&x, &y));
            let norm = norm2(&y);
            x = y.iter().map(|y| y / norm).collect();
        }
        value
    }
}

/// Upper bounds of `|a_i|` in the norm of H⁻¹, less a centre where given.
pub(crate) struct RowNorms {
    norms: Vec<f64>,
}

/// Pairs of entries that share a row.
fn pairs(a: &Csr) -> usize {
    a.indptr().windows(2).map(|row| (row[1] - row[0]).pow(2)).sum()
}

/// Work up to which these norms are computed, not bounded: with cheap and with full certification.
const EXACT_NORMS: [usize; 2] = [1 << 25, 1 << 33];
/// Rows that are worked on together.
const NORM_ROWS: usize = 256;

impl RowNorms {
    pub(crate) fn new(a: Matrix<'_>, positive: &Positive, centre: Option<&[f64]>, certify: Certify) -> RowNorms {
        let d = a.cols();
        let exact = a.rows().saturating_mul(d * d) <= EXACT_NORMS[usize::from(certify == Certify::Full)];
        let norms = match (exact, a) {
            (true, _) => {
                let blocks = par_blocks(a.rows(), NORM_ROWS, |rows| positive.inverse_norms(a, rows, centre));
                blocks.concat()
            }
            (false, Matrix::Sparse(a)) if centre.is_none() && pairs(a) <= EXACT_NORMS[1] / 64 => {
                let blocks = par_blocks(a.rows(), NORM_ROWS, |rows| rows.map(|i| positive.inverse_norm_of(a.row(i))).collect::<Vec<_>>());
                blocks.concat()
            }
            _ => {
                // The triangle inequality over the entries of a row.
                let deviations = (0..d).map(|j| positive.deviation(j)).collect::<Vec<_>>();
                let of_centre = centre.map_or(0.0, |c| c.iter().zip(&deviations).map(|(c, s)| c.abs() * s).sum());
                a.absolute_times(&deviations).into_iter().map(|v| v + of_centre).collect()
            }
        };
        let up = 1.0 / (1.0 - positive.shrink).sqrt() * (1.0 + 1e-9);
        RowNorms { norms: norms.into_iter().map(|norm| norm * up).collect() }
    }

    /// That of row i.
    pub(crate) fn of(&self, i: usize) -> f64 {
        self.norms[i]
    }

    pub(crate) fn largest(&self) -> f64 {
        max_abs(&self.norms)
    }
}
