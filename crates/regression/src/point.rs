//! What is kept of a point: the predictor, its powers, and the derivatives of each row.

use certus_numeric::ScaledValue;
use certus_numeric::memory::zeros;
use rayon::prelude::*;

use crate::problem::Form;
use crate::rows::BLOCK;

/// Everything kept of one point x.
#[derive(Clone, Debug, Default)]
pub(crate) struct Point {
    /// A x + offset; empty where nothing needs it: in the plain form without a scale and a row regulariser.
    pub(crate) z: Vec<f64>,
    /// u(z) e^-m.
    pub(crate) u: Vec<f64>,
    /// u'(z) e^-m; empty for exp, where it is u.
    pub(crate) v: Vec<f64>,
    /// The exponent of the scale.
    pub(crate) m: f64,
    /// The largest entry of z (exp), of |z| (cosh, sinh).
    pub(crate) top: f64,
    /// The largest |z|.
    pub(crate) largest: f64,
    /// Sum of u e^-m.
    pub(crate) sum: f64,
    /// Sum of |u| over |sum of u|: by how much the terms cancel.
    pub(crate) kappa: f64,
    /// The data part D of the loss.
    pub(crate) data: ScaledValue,
    /// The regulariser.
    pub(crate) regulariser: f64,
    pub(crate) loss: ScaledValue,
    /// x - x_ref.
    pub(crate) shift: Vec<f64>,
    /// Derivatives with respect to z.
    pub(crate) rows: RowDerivatives,
    /// The gradient of the data and of the row regulariser, where it came with the rest.
    pub(crate) gradient: Option<Vec<f64>>,
    /// Aᵀ U, for the forms with a sum.
    pub(crate) images: Vec<Vec<f64>>,
}

/// The derivatives of the loss with respect to z, in the unit of the point: gradient `g` and curvature `diag(h) + U C Uᵀ`.
#[derive(Clone, Debug, Default)]
pub struct RowDerivatives {
    /// The gradient, n numbers, with the row regulariser.
    pub g: Vec<f64>,
    /// The diagonal of the curvature, n numbers, with the row regulariser.
    pub h: Vec<f64>,
    /// The columns of U, none or two.
    pub u: Vec<Vec<f64>>,
    /// C, symmetric.
    pub c: [[f64; 2]; 2],
    /// The size of the terms whose difference is `g`: `|ω v (|u| + |b|)|`, in norm.
    pub size: f64,
}

/// The derivatives of one row, and the square of the size of the terms of `g`.
pub(crate) struct Row {
    pub(crate) g: f64,
    pub(crate) h: f64,
    /// Its entry of the second column of U.
    pub(crate) second: f64,
    pub(crate) size: f64,
}

impl Row {
    /// With what the row regulariser adds.
    #[inline(always)]
    pub(crate) fn pulled(self, g: f64, h: f64) -> Row {
        Row { g: self.g + g, h: self.h + h, size: self.size + g * g, ..self }
    }
}

/// One row of the plain form, and its residual.
#[inline(always)]
pub(crate) fn plain_row(omega: f64, u: f64, v: f64, b: f64) -> (Row, f64) {
    let r = u - b;
    let size = omega * v * (u.abs() + b.abs());
    (Row { g: omega * v * r, h: omega * (v * v + r * u), second: 0.0, size: size * size }, r)
}

/// Sums and maxima over some rows of the plain form.
pub(crate) struct PlainRows {
    pub(crate) top: f64,
    pub(crate) largest: f64,
    pub(crate) squares: f64,
    pub(crate) of_rows: f64,
    pub(crate) size: f64,
}

impl RowDerivatives {
    /// Row by row, in parallel; `size` is the sum of the rows' squares, `u` holds the second column alone, if any.
    pub(crate) fn of_rows(n: usize, second: bool, row: impl Fn(usize) -> Row + Sync) -> RowDerivatives {
        let (mut g, mut h, mut u) = (zeros(n), zeros(n), zeros(if second { n } else { 0 }));
        let block = |first: usize, g: &mut [f64], h: &mut [f64], u: &mut [f64]| {
            let mut size = 0.0;
            for k in 0..g.len() {
                let row = row(first + k);
                (g[k], h[k]) = (row.g, row.h);
                if let Some(u) = u.get_mut(k) {
                    *u = row.second;
                }
                size += row.size;
            }
            size
        };
        let size = if n <= BLOCK {
            block(0, &mut g, &mut h, &mut u)
        } else {
            let mut columns = u.chunks_mut(BLOCK).collect::<Vec<_>>();
            columns.resize_with(n.div_ceil(BLOCK), Default::default);
            let blocks = g.par_chunks_mut(BLOCK).zip(h.par_chunks_mut(BLOCK)).zip(columns).enumerate();
            blocks.map(|(k, ((g, h), u))| block(k * BLOCK, g, h, u)).collect::<Vec<_>>().into_iter().sum()
        };
        RowDerivatives { g, h, u: if second { vec![u] } else { Vec::new() }, size, ..RowDerivatives::default() }
    }
}

impl Point {
    /// u'(z) e^-m.
    pub(crate) fn v(&self) -> &[f64] {
        if self.v.is_empty() { &self.u } else { &self.v }
    }

    /// The logarithm of the unit of the derivatives: twice m, but for the normalised form, whose scale cancels.
    pub(crate) fn log_unit(&self, form: Form) -> f64 {
        if form == Form::Normalised { 0.0 } else { 2.0 * self.m }
    }

    /// The whole loss.
    pub(crate) fn loss(&self) -> ScaledValue {
        self.loss
    }
}
