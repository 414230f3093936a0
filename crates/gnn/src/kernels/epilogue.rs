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

/// The other operands' error bounds, beside a [`Bound`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OtherErrors<'a> {
    pub(crate) mix: Option<RowsOf<'a>>,
    pub(crate) skip: Option<RowsOf<'a>>,
}

/// A bound that is no number (a weight of zero for one that is infinite) is none.
#[inline(always)]
pub(crate) fn no_bound_if_nan(bound: f32) -> f32 {
    if bound.is_nan() { f32::INFINITY } else { bound }
}

/// A bound times a factor's size. Two numbers that are not 0 make none that is: a bound of 0 says that both runs have the same number.
#[inline(always)]
pub(crate) fn times(factor: f32, bound: f32) -> f32 {
    let product = factor.abs() * bound;
    if product == 0.0 && factor != 0.0 && bound != 0.0 { f32::from_bits(1) } else { product }
}

/// An operation with few roundings in either run: `propagated` bounds the distance of its exact results, `size` the numbers that it rounds. Where
/// the operands are the same, so is the result.
#[inline(always)]
pub(crate) fn widened(propagated: f32, size: f32) -> f32 {
    if propagated == 0.0 { 0.0 } else { no_bound_if_nan(propagated * (1.0 + 2f32.powi(-20)) + size * 2f32.powi(-20) + 2f32.powi(-100)) }
}

impl Bound<'_> {
    /// As [`Bound::apply`], and the same for bounds on the distance from another run whose numbers are within `e` before.
    #[inline(always)]
    pub(crate) fn apply_bounded(
        &self,
        x: &mut [f32],
        e: &mut [f32],
        i: usize,
        column: usize,
        factors: RowFactors,
        old: Option<(&[f32], &[f32])>,
        others: OtherErrors,
    ) {
        let n = x.len();
        if let Some(norm) = factors.norm {
            scale_bounded(x, e, norm);
        }
        if let Some(count) = factors.count {
            for (x, e) in x.iter_mut().zip(e.iter_mut()) {
                *x /= count;
                *e = widened(times(1.0 / count, *e), x.abs());
            }
        }
        if let Some((old, old_errors)) = old {
            add_bounded(x, e, old, old_errors);
        }
        if let (Some((alpha, rows)), Some(errors)) = (self.mix, others.mix) {
            let (own, own_errors) = (rows.row(i, column, n), errors.row(i, column, n));
            for k in 0..n {
                let (a, b) = ((1.0 - alpha) * x[k], alpha * own[k]);
                e[k] = widened(times(1.0 - alpha, e[k]) + times(alpha, own_errors[k]), a.abs() + b.abs());
                x[k] = a + b;
            }
        }
        if let Some(bias) = self.bias {
            for (k, bias) in bias[column..column + n].iter().enumerate() {
                x[k] += bias;
                e[k] = widened(e[k], x[k].abs());
            }
        }
        if let Some((scale, shift)) = self.affine {
            for k in 0..n {
                let (scale, shift) = (scale[column + k], shift[column + k]);
                e[k] = widened(times(scale, e[k]), (x[k] * scale).abs() + shift.abs());
                x[k] = x[k] * scale + shift;
            }
        }
        activate(self.activation, x);
        match self.activation {
            // None is farther apart after these.
            Activation::None | Activation::Relu => {}
            // Their errors are within 4 ulp of 1.
            Activation::Leakyrelu | Activation::Elu | Activation::Tanh | Activation::Sigmoid => {
                e.iter_mut().zip(x.iter()).for_each(|(e, x)| *e = widened(*e, x.abs().max(1.0)));
            }
        }
        if let (Some(rows), Some(errors)) = (self.skip, others.skip) {
            add_bounded(x, e, rows.row(i, column, n), errors.row(i, column, n));
        }
        if let Some(norm) = factors.rescale {
            scale_bounded(x, e, norm);
        }
    }
}

#[inline(always)]
fn scale_bounded(x: &mut [f32], e: &mut [f32], factor: f32) {
    for (x, e) in x.iter_mut().zip(e) {
        *x *= factor;
        *e = widened(times(factor, *e), x.abs());
    }
}

#[inline(always)]
fn add_bounded(x: &mut [f32], e: &mut [f32], y: &[f32], y_errors: &[f32]) {
    for k in 0..x.len() {
        x[k] += y[k];
        e[k] = widened(e[k] + y_errors[k], x[k].abs());
    }
}

/// Numbers that an activation by exponentials works on at a time.
const CHUNK: usize = 64;

/// Applies an activation to each entry. Tanh and sigmoid are within 4 ulp of 1 of the exact value, ELU too.
#[inline(always)]
pub(crate) fn activate(activation: Activation, x: &mut [f32]) {
    if activation != Activation::None {
        // A function with bounded values must not hide that its argument left the finite numbers.
        x.iter_mut().for_each(|x| *x = if x.abs() <= f32::MAX { *x } else { f32::NAN });
    }
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
    let norm = square.sqrt().max(1e-12);
    x.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
}

/// Subtracts a row's mean and divides by its deviation, with `eps` added to the variance.
pub(crate) fn standardise(x: &mut [f32], eps: f64) {
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + eps).sqrt();
    x.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * inverse) as f32);
}
