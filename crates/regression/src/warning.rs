//! What is odd about a problem or its answer, but no failure.

use certus_linalg::{Mat, Matrix};

use crate::answer::Answer;
use crate::facts::Facts;
use crate::powers::powers;
use crate::problem::{Form, Link, Problem};
use crate::rows::sum_rows;

/// Cancellation of a sum beyond which it is worth a word.
const NEAR_ZERO: f64 = 1e6;

/// Each starts with its name.
pub(crate) fn warnings(p: &Problem<'_>, answer: &Answer, facts: &Facts, unseen: Option<&Mat<f64>>, overflow: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut warn = |name: &str, text: String| found.push(format!("{name}: {text}"));
    if p.form() != Form::Plain {
        let sum = p.b().iter().sum::<f64>();
        if (sum - 1.0).abs() > 1e-9 {
            warn("TargetSumNotOne", format!("the targets add up to {sum}, so that the residual cannot vanish"));
        }
    }
    if overflow {
        warn("OverflowAtStart", "the given start is far above the targets; a start from the targets was taken instead".into());
    }
    if let Some(unseen) = unseen {
        let largest = |k: usize| {
            let entries = (0..p.cols()).max_by(|i, j| unseen[(*i, k)].abs().total_cmp(&unseen[(*j, k)].abs()));
            entries.unwrap_or(0)
        };
        let columns = (0..unseen.ncols().min(5)).map(|k| largest(k).to_string()).collect::<Vec<_>>().join(", ");
        warn(
            "UnidentifiedDirections",
            format!(
                "the loss does not see {} of {} directions of x (mainly columns {columns}); x has no part along them",
                unseen.ncols(),
                p.cols()
            ),
        );
        warn("RankDeficient", format!("the loss sees {} of {} directions", facts.rank, p.cols()));
    }
    if p.is_even() {
        warn("SignSymmetric", "x and -x have the same loss".into());
    }
    if p.link() == Link::Sinh && p.form() == Form::Rescaled && p.is_even() {
        let zero = answer.x.iter().all(|x| *x == 0.0) || facts.zero_loss;
        if zero {
            warn("TrivialMinimiser", "x = 0 has loss 0 for any data: this is no fit".into());
        } else {
            warn("TrivialMinimiserPossible", "x = 0 has loss 0 for any data".into());
        }
    }
    if p.form() == Form::Normalised && answer.point.kappa > NEAR_ZERO {
        warn("NearZeroNormaliser", format!("the terms of the sum of u cancel {:.1e} times", answer.point.kappa));
    }
    // Without an offset a row of zeros has the u of zero: only such rows of A are looked at.
    let of_zero = powers(p.link(), &[0.0], answer.point.m).0[0];
    let zero_rows = sum_rows(p.rows(), |i| {
        if !p.has_offset() && answer.point.u[i] != of_zero {
            return 0.0;
        }
        let values = match p.a() {
            Matrix::Dense(a) => a.row(i),
            Matrix::Sparse(a) => a.row(i).1,
        };
        f64::from(values.iter().all(|v| *v == 0.0))
    });
    if zero_rows > 0.0 {
        warn("ZeroRows", format!("{zero_rows} rows of a are zero: x does not move them"));
    }
    if p.form() == Form::Plain {
        let count = |below: f64| sum_rows(p.rows(), |i| f64::from(p.b()[i] < below));
        match p.link() {
            Link::Exp if count(0.0) > 0.0 => {
                warn("NegativeTargetsUnreachable", format!("{} targets are below 0, where exp never is", count(0.0)))
            }
            Link::Cosh if count(1.0) > 0.0 => warn("TargetsBelowOne", format!("{} targets are below 1, where cosh never is", count(1.0))),
            _ => {}
        }
    }
    if facts.kantorovich.is_some_and(|k| k > 0.5) {
        warn("VacuousBound", "the bound on the change of the Hessian is too large to prove anything here".into());
    }
    if p.form() == Form::Normalised && p.rows() == 1 {
        warn("ConstantLoss", "with one row the normalised form does not depend on x".into());
    }
    found
}
