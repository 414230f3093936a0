//! What happens to a finished sum before it is stored.

use certus_numeric::exp::exp_slice;

use super::RowsOf;
use crate::spec::Activation;

/// Factors of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFactors {
    /// `deg^-1/2` for the sum, if it is normalised.
    pub(crate) norm: Option<f32>,
    /// The number of neighbours, if it is a mean over some.
    pub(crate) count: Option<f32>,
    /// `deg^-1/2` for the next sum.
    pub(crate) rescale: Option<f32>,
}

/// Of a row without any.
pub(crate) const NO_FACTORS: RowFactors = RowFactors { norm: None, count: None, rescale: None };

/// An [`Epilogue`](crate::steps::Epilogue) with its vectors and rows, cut to the columns at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bound<'a> {
    pub(crate) divide: Option<f32>,
    pub(crate) mix: Option<(f32, RowsOf<'a>)>,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) affine: Option<(&'a [f32], &'a [f32])>,
    pub(crate) activation: Activation,
    pub(crate) skip: Option<RowsOf<'a>>,
}

impl Bound<'_> {
    /// Finishes columns `column..` of row `i`; `old`: what stood at the place of the output, to be added.
    #[inline(always)]
    pub(crate) fn apply(&self, x: &mut [f32], i: usize, column: usize, factors: RowFactors, old: Option<&[f32]>) {
        self.before_norm(x, i, column, factors, old);
        self.after_norm(x, i, column, factors);
    }

    /// The part before norms that need the whole row.
    #[inline(always)]
    pub(crate) fn before_norm(&self, x: &mut [f32], i: usize, column: usize, factors: RowFactors, old: Option<&[f32]>) {
        let n = x.len();
        if let Some(norm) = factors.norm {
            x.iter_mut().for_each(|x| *x *= norm);
        }
        if let Some(count) = factors.count {
            x.iter_mut().for_each(|x| *x /= count);
        }
        if let Some(old) = old {
            x.iter_mut().zip(old).for_each(|(x, old)| *x += old);
        }
        if let Some(divisor) = self.divide {
            x.iter_mut().for_each(|x| *x /= divisor);
        }
        if let Some((alpha, rows)) = self.mix {
            let own = rows.row(i, column, n);
            x.iter_mut().zip(own).for_each(|(x, own)| *x = (1.0 - alpha) * *x + alpha * own);
        }
        if let Some(bias) = self.bias {
            x.iter_mut().zip(&bias[column..column + n]).for_each(|(x, bias)| *x += bias);
        }
    }

    /// The part after them.
    #[inline(always)]
    pub(crate) fn after_norm(&self, x: &mut [f32], i: usize, column: usize, factors: RowFactors) {
        let n = x.len();
        if let Some((scale, shift)) = self.affine {
            let pairs = scale[column..column + n].iter().zip(&shift[column..column + n]);
            x.iter_mut().zip(pairs).for_each(|(x, (scale, shift))| *x = *x * scale + shift);
        }
        activate(self.activation, x);
        if let Some(rows) = self.skip {
            let own = rows.row(i, column, n);
            x.iter_mut().zip(own).for_each(|(x, own)| *x += own);
        }
        if let Some(norm) = factors.rescale {
            x.iter_mut().for_each(|x| *x *= norm);
        }
    }
}

/// Numbers that an activation by exponentials works on at a time.
const CHUNK: usize = 64;

/// Applies an activation to each entry. Tanh and sigmoid are within 4 ulp of 1 of the exact value, ELU too.
#[inline(always)]
pub(crate) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::None => {}
        // `x > 0` and not `max`: of two zeros the sign is settled, and NaN stays.
        Activation::Relu => x.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x + 0.0 }),
        Activation::Leakyrelu => x.iter_mut().for_each(|x| *x = leaky(*x, 0.01)),
        Activation::Elu => by_exponentials(x, |x| x, |x, e| if x > 0.0 { x } else { e - 1.0 }),
        Activation::Tanh => by_exponentials(x, |x| -2.0 * x.abs(), |x, e| ((1.0 - e) / (1.0 + e)).copysign(x)),
        Activation::Sigmoid => by_exponentials(x, |x| -x.abs(), |x, e| if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }),
    }
}

#[inline(always)]
pub(crate) fn leaky(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

/// x becomes `result(x, e^exponent(x))`.
#[inline(always)]
fn by_exponentials(x: &mut [f32], exponent: impl Fn(f32) -> f32, result: impl Fn(f32, f32) -> f32) {
    for part in x.chunks_mut(CHUNK) {
        let mut e = [0.0; CHUNK];
        let e = &mut e[..part.len()];
        e.iter_mut().zip(part.iter()).for_each(|(e, &x)| *e = exponent(x));
        exp_slice(e);
        part.iter_mut().zip(e.iter()).for_each(|(x, &e)| *x = result(*x, e));
    }
}

/// Divides a row by its norm.
pub(crate) fn l2_normalise(x: &mut [f32]) {
    let square = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let norm = (square.sqrt() as f32).max(1e-12);
    x.iter_mut().for_each(|x| *x /= norm);
}

/// Subtracts a row's mean and divides by its deviation.
pub(crate) fn standardise(x: &mut [f32]) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + 1e-5).sqrt();
    x.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * inverse) as f32);
}
