//! That the Hessian is positive definite at an answer.

use certus_linalg::MatRef;

use crate::answer::{Answer, Known};
use crate::lagged::lag;
use crate::objective::Loss;
use crate::positive::{Positive, RowNorms};
use crate::problem::Form;
use crate::rounding::Rounding;
use crate::rows::max_rows;
use crate::solver::Certify;

/// Whether the Hessian is positive definite beyond all rounding, and what that took.
pub(crate) struct Proof<'p, 'a> {
    pub(crate) positive: Option<Positive>,
    pub(crate) errors: Rounding<'p, 'a>,
    /// Bounds of the row norms, where they came with the rest.
    pub(crate) bounds: Option<RowNorms>,
}

impl<'p, 'a> Proof<'p, 'a> {
    /// Of the matrix that was formed. Cost: a pass over A, or two.
    pub(crate) fn new(loss: &Loss<'p, 'a>, answer: &'p Answer, h: MatRef<'_, f64>, certify: Certify) -> Self {
        let (p, rows) = (loss.problem, &answer.point.rows);
        let absolute = answer.x.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let sizes = answer.curvature.hessian().map_or_else(Vec::new, |hessian| loss.curvature_size(&answer.point, hessian));
        // Where all rows have positive curvature, a part of each is a part of their sum: no pass over A is needed to bound it.
        let all_positive = p.form() == Form::Plain && max_rows(p.rows(), 0.0, |i| if rows.h[i] > 0.0 { 0.0 } else { 1.0 }) == 0.0;
        if all_positive && let Some(positive) = Positive::prove(h, &sizes, &vec![0.0; sizes.len()], p.rows()) {
            let (terms, bounds) = if RowNorms::are_computed(p.a(), certify) {
                (p.a().absolute_times(&absolute), None)
            } else {
                let [terms, norms] = p.a().absolute_times_all([&absolute, &positive.deviations()]);
                (terms, Some(norms))
            };
            let mut errors = Rounding::new(loss, answer, terms);
            errors.of_curvatures = max_rows(p.rows(), 0.0, |i| errors.of_row_curvature(i) / rows.h[i]);
            let part = match &answer.curvature {
                Known::Earlier(formed) => Some(errors.of_curvatures + lag(&rows.h, &formed.rows)),
                _ => Some(errors.of_curvatures + 4.0 * f64::EPSILON).filter(|part| *part <= 1e-3),
            };
            if let Some(part) = part {
                let bounds = bounds.map(|norms| RowNorms::bounds(norms, part));
                let mut positive = positive.within(part);
                if let (Known::Earlier(_), Some(positive)) = (&answer.curvature, &mut positive) {
                    // By how much the rows have grown since is not known.
                    positive.excess = f64::INFINITY;
                }
                return Proof { positive, errors, bounds };
            }
            let positive = Positive::prove(h, &sizes, &errors.of_hessian(), p.rows());
            return Proof { positive, errors, bounds: None };
        }
        let errors = Rounding::new(loss, answer, p.a().absolute_times(&absolute));
        let unproven = all_positive || matches!(answer.curvature, Known::Earlier(_));
        let positive = if unproven { None } else { Positive::prove(h, &sizes, &errors.of_hessian(), p.rows()) };
        Proof { positive, errors, bounds: None }
    }
}
