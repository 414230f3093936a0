//! One attention map in the place of two heads.

use certus_contract::InputError;
use certus_numeric::Array;

use crate::Error;
use crate::layer::{Params, Problem, Sequence, Solution, Solver};
use crate::mask::Mask;
use crate::recover::{Projections, output};

/// Two heads' queries, keys and values side by side, for one map.
#[derive(Clone, Debug)]
pub struct Merged {
    /// X is (d1 + d1') x (d2 + d2'), Y is (d3 + d3') x dv: to be used with the projections side by side.
    pub solution: Solution,
    /// The squared error of the output over the squared sum of the two heads' outputs.
    pub error: f64,
}

/// Fits one map over the projections of two heads, side by side, to the sum of their outputs; the heads see the same tokens.
///
/// It begins at the better of the two heads' own maps, with the best Y for it. `logit_reg` holds X and Y near that start.
///
/// # Errors
/// `DimensionMismatch`, `NonFinite`, `EmptyProblem`, `InvalidParameter`.
pub fn merge_heads(
    first: &Projections<'_>,
    second: &Projections<'_>,
    scale: f64,
    mask: Mask<'_>,
    logit_reg: (f64, f64),
    solver: &Solver,
) -> Result<Merged, Error> {
    let (one, other) = (output(first, scale, mask)?, output(second, scale, mask)?);
    crate::bilinear::require_shape(&other, "the second head's output", one.shape())?;
    if first.k.rows() != second.k.rows() {
        let found = format!("{} rows", second.k.rows());
        return Err(InputError::dimension("the second head's k", found, format!("{}, as in the first", first.k.rows())).into());
    }
    let target = Array::from_fn(one.rows(), one.cols(), |i, j| one.row(i)[j] + other.row(i)[j]);
    let [q, k, v] = [(first.q, second.q), (first.k, second.k), (first.v, second.v)].map(|(a, b)| beside(a, b));
    let problem = || Problem::new(vec![Sequence::new(&q, &k, &v, &target).with_mask(mask)])?.with_scale(scale);
    let values = Array::from_fn(v.cols(), target.cols(), |i, j| f64::from(i % target.cols() == j));
    let start = |head: usize| {
        let (rows, cols) = (first.q.cols(), first.k.cols());
        let is =
            |i: usize, j: usize| if head == 0 { i == j && i < rows && j < cols } else { i >= rows && j >= cols && i - rows == j - cols };
        Params { x: Array::from_fn(q.cols(), k.cols(), |i, j| f64::from(is(i, j))), y: values.clone() }
    };
    let begun = [0, 1].map(|head| solver.clone().with_start(start(head)).fit_values(&problem()?));
    let [a, b] = begun;
    let (a, b) = (a?, b?);
    let begin = if a.loss <= b.loss { a.params } else { b.params };
    let regularised = problem()?.with_logit_reg(logit_reg.0, logit_reg.1)?.with_reference(&begin)?;
    let solution = solver.clone().with_start(begin).solve(&regularised)?;
    let size = target.as_slice().iter().map(|v| v * v).sum::<f64>();
    let error = regularised.data_loss(&solution.params)? / if size > 0.0 { size } else { 1.0 };
    Ok(Merged { solution, error })
}

fn beside(a: &Array, b: &Array) -> Array {
    Array::from_fn(a.rows(), a.cols() + b.cols(), |i, j| if j < a.cols() { a.row(i)[j] } else { b.row(i)[j - a.cols()] })
}
