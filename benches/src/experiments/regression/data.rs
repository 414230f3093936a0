//! Data for exp(A x): a matrix, dense or sparse, and noisy targets.

use certus_linalg::Matrix;
use certus_numeric::seed::bounded;
use certus_numeric::{Array, Csr, Seed};
use certus_regression::{Form, Link, Problem};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::frame::Failure;
use crate::peers::Exchange;

/// Standard deviation of A x, and of the noise relative to the target.
const SPREAD: f64 = 0.7;
const NOISE: f64 = 0.05;
/// A matrix and a target: exp(A x) for some x, with noise.
pub(super) struct Data {
    pub(super) a: Design,
    pub(super) b: Vec<f64>,
}

pub(super) enum Design {
    Dense(Array),
    Sparse(Csr),
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

impl Data {
    /// `per_row` entries in each of `n` rows, one in each strip of columns. As many as there are columns make it dense.
    pub(super) fn new(n: usize, d: usize, per_row: usize, seed: u64) -> Result<Self, Failure> {
        let mut rng = Seed(seed).stream("regression data");
        let truth: Vec<f64> = (0..d).map(|_| SPREAD / (per_row as f64).sqrt() * normal(&mut rng)).collect();
        let (strip, dense) = (d / per_row, per_row == d);
        let (mut indices, mut values, mut b) = (Vec::new(), Vec::with_capacity(n * per_row), Vec::with_capacity(n));
        for _ in 0..n {
            let mut z = 0.0f64;
            for k in 0..per_row {
                let column = if dense { k } else { k * strip + bounded(rng.next_u64(), strip as u64) as usize };
                let value = normal(&mut rng);
                z += truth[column] * value;
                values.push(value);
                if !dense {
                    indices.push(column as u32);
                }
            }
            b.push(noisy(z.exp(), &mut rng));
        }
        let a = if dense {
            Design::Dense(Array::matrix(n, d, values)?)
        } else {
            Design::Sparse(Csr::new(n, d, (0..=n).map(|i| i * per_row).collect(), indices, values)?)
        };
        Ok(Data { a, b })
    }

    pub(super) fn matrix(&self) -> Matrix<'_> {
        match &self.a {
            Design::Dense(a) => Matrix::from(a),
            Design::Sparse(a) => Matrix::from(a),
        }
    }

    pub(super) fn plain(&self) -> Result<Problem<'_>, Failure> {
        Ok(Problem::new(self.matrix(), &self.b, Link::Exp, Form::Plain)?)
    }

    pub(super) fn write(&self, exchange: &Exchange) -> Result<(), Failure> {
        match &self.a {
            Design::Dense(a) => exchange.write("a", a)?,
            Design::Sparse(a) => {
                exchange.write("indptr", &Array::vector(a.indptr().iter().map(|&p| p as i64).collect()))?;
                exchange.write("indices", &Array::vector(a.indices().iter().map(|&j| j as i32).collect()))?;
                exchange.write("values", &Array::vector(a.values().to_vec()))?;
            }
        }
        exchange.write("b", &Array::vector(self.b.clone()))?;
        Ok(())
    }
}

pub(super) fn noisy(value: f64, rng: &mut impl Rng) -> f64 {
    value * (1.0 + NOISE * normal(rng))
}
