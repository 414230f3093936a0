//! A head whose queries, keys and values were rounded, refitted to what it gave before.

use std::ops::ControlFlow;

use certus_contract::{Event, InputError, ignore_events};
use certus_numeric::Array;
use certus_numeric::sum::par_dot;

use crate::Error;
use crate::bilinear::require;
use crate::holdout::Split;
use crate::layer::{Params, Problem, Sequence, Solution, Solver};
use crate::mask::Mask;

/// One head's queries (n x d), keys (m x d) and values (m x dv), projected.
#[derive(Clone, Copy, Debug)]
pub struct Projections<'a> {
    /// The queries.
    pub q: &'a Array,
    /// The keys.
    pub k: &'a Array,
    /// The values.
    pub v: &'a Array,
}

/// How a rounded head is refitted. Default: a scale of 1 / sqrt(head width), no mask, regularisers of 1e-2, nothing set aside.
#[derive(Clone, Debug)]
pub struct Recovery<'a> {
    /// tau; by default 1 / sqrt(d).
    pub scale: Option<f64>,
    /// Which keys a query sees.
    pub mask: Mask<'a>,
    /// The weight of X's regulariser in the logit metric, towards the identity.
    pub logit_reg_x: f64,
    /// The weight of Y's, towards the identity.
    pub logit_reg_y: f64,
    /// The part of the queries, the last ones, that is set aside.
    pub holdout: Option<f64>,
    /// How the fit is made.
    pub solver: Solver,
}

impl Default for Recovery<'_> {
    fn default() -> Self {
        Recovery { scale: None, mask: Mask::None, logit_reg_x: 1e-2, logit_reg_y: 1e-2, holdout: None, solver: Solver::default() }
    }
}

/// Squared errors of the output over the squared output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Of the rounded head as it is.
    pub rounded: f64,
    /// With the best Y.
    pub values_only: f64,
    /// With X and Y fitted.
    pub fitted: f64,
}

/// A refitted head.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The fit; X goes between the rounded queries and keys, Y behind the rounded values.
    pub solution: Solution,
    /// On the queries that were fitted.
    pub errors: Errors,
    /// On those that were set aside.
    pub holdout: Option<Errors>,
}

/// Rounds each column c to `s round(c / s)` with `s = max |c| / (2^(bits - 1) - 1)`.
///
/// ```
/// use certus_attention::recover::round_columns;
/// use certus_numeric::Array;
/// let rounded = round_columns(&Array::matrix(3, 1, vec![0.9, -3.0, 1.6])?, 3)?;
/// assert_eq!(rounded.as_slice(), [1.0, -3.0, 2.0]);
/// # Ok::<(), certus_attention::Error>(())
/// ```
///
/// # Errors
/// `InvalidParameter` for bits outside 2 to 16.
pub fn round_columns(a: &Array, bits: u32) -> Result<Array, Error> {
    if !(2..=16).contains(&bits) {
        return Err(InputError::parameter("bits", bits, "2 to 16").into());
    }
    let (rows, cols) = a.require_matrix("array")?;
    let levels = f64::from((1u32 << (bits - 1)) - 1);
    let steps = (0..cols).map(|j| (0..rows).fold(0.0f64, |largest, i| largest.max(a.row(i)[j].abs())) / levels).collect::<Vec<_>>();
    Ok(Array::from_fn(rows, cols, |i, j| if steps[j] > 0.0 { steps[j] * (a.row(i)[j] / steps[j]).round() } else { a.row(i)[j] }))
}

/// The output of a head: `softmax(scale q kᵀ) v`, rows over the visible keys.
///
/// # Errors
/// `DimensionMismatch`, `NonFinite`, `EmptyProblem`, `InvalidParameter`.
pub fn output(head: &Projections<'_>, scale: f64, mask: Mask<'_>) -> Result<Array, Error> {
    let (n, width) = (head.q.require_matrix("q")?.0, head.v.require_matrix("v")?.1);
    let zero = Array::zeros([n, width]);
    let problem = Problem::new(vec![Sequence::new(head.q, head.k, head.v, &zero).with_mask(mask)])?.with_scale(scale)?;
    let outputs = problem.outputs(&identities(head))?;
    outputs.into_iter().next().ok_or_else(|| InputError::empty("q", &[0]).into())
}

fn identities(head: &Projections<'_>) -> Params {
    Params { x: Array::identity(head.q.cols()), y: Array::identity(head.v.cols()) }
}

impl Recovery<'_> {
    fn problem<'s>(&self, sequences: Vec<Sequence<'s>>, scale: f64, reference: &Params) -> Result<Problem<'s>, Error> {
        Problem::new(sequences)?.with_scale(scale)?.with_logit_reg(self.logit_reg_x, self.logit_reg_y)?.with_reference(reference)
    }

    /// Fits X and Y so that the rounded head gives what the original one does.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`, `EmptyProblem`, `InvalidParameter`.
    pub fn recover(&self, original: &Projections<'_>, rounded: &Projections<'_>) -> Result<Recovered, Error> {
        self.recover_with(original, rounded, ignore_events)
    }

    /// As [`Recovery::recover`]; the observer sees each iteration with the loss, and may stop the run.
    ///
    /// # Errors
    /// As [`Recovery::recover`].
    pub fn recover_with(
        &self,
        original: &Projections<'_>,
        rounded: &Projections<'_>,
        observer: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Recovered, Error> {
        let ((n, d), (m, width)) = (original.q.require_matrix("q")?, original.v.require_matrix("v")?);
        for (head, [q, k, v]) in [(original, ["q", "k", "v"]), (rounded, ["rounded-q", "rounded-k", "rounded-v"])] {
            require(head.q, q, n, "the rows of q", d)?;
            require(head.k, k, m, "the rows of v; columns are those of q", d)?;
            require(head.v, v, m, "the rows of v", width)?;
        }
        let scale = self.scale.unwrap_or(1.0 / (d as f64).sqrt());
        let target = output(original, scale, self.mask)?;
        let start = identities(original);
        let whole = [Sequence::new(rounded.q, rounded.k, rounded.v, &target).with_mask(self.mask)];
        let split = self.holdout.map(|fraction| Split::new(&whole, fraction)).transpose()?;
        let kept = self.problem(split.as_ref().map_or_else(|| whole.to_vec(), Split::kept), scale, &start)?;
        let solver = self.solver.clone().with_start(start.clone());
        let values_only = solver.fit_values(&kept)?.params;
        let solution = solver.solve_with(&kept, observer)?;
        let errors = |problem: &Problem<'_>| -> Result<Errors, Error> {
            let of = |params: &Params| relative_error(problem, params);
            Ok(Errors { rounded: of(&start)?, values_only: of(&values_only)?, fitted: of(&solution.params)? })
        };
        let holdout = split.as_ref().map(|split| errors(&self.problem(split.set_aside(), scale, &start)?)).transpose()?;
        Ok(Recovered { errors: errors(&kept)?, holdout, solution })
    }
}

/// The squared error of the outputs over the squared targets.
fn relative_error(problem: &Problem<'_>, params: &Params) -> Result<f64, Error> {
    let square = |a: &Array| par_dot(a.as_slice(), a.as_slice());
    let size = problem.targets().map(square).sum::<f64>();
    let error = problem.data_loss(params)?;
    Ok(if size > 0.0 { error / size } else { error })
}
