//! Targets made of others: shares, and what stands for a change of x.

use certus_contract::{InputError, require_finite};
use certus_numeric::ScaledValue;
use certus_numeric::sum::{norm2, sum};

use crate::Error;
use crate::objective::{Loss, ZERO_SUM, no_loss};
use crate::point::Point;
use crate::problem::{Form, Problem};

impl Problem<'_> {
    /// b over its sum: n numbers that add up to 1, as a normalised or rescaled fit needs for its residual to vanish.
    ///
    /// ```
    /// use certus_regression::Problem;
    /// assert_eq!(Problem::normalised_target(&[1.0, 3.0])?, [0.25, 0.75]);
    /// assert!(Problem::normalised_target(&[1.0, -1.0]).is_err());
    /// # Ok::<(), certus_regression::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EmptyProblem`, `NonFinite`; `InvalidParameter` where the sum is not above 0 and finite, or too small for the entries.
    pub fn normalised_target(b: &[f64]) -> Result<Vec<f64>, Error> {
        if b.is_empty() {
            return Err(InputError::empty("b", &[0]).into());
        }
        require_finite("b", &[b.len()], b)?;
        let total = sum(b);
        let shares = b.iter().map(|b| b / total).collect::<Vec<_>>();
        if !(total > 0.0 && total.is_finite() && shares.iter().all(|share| share.is_finite())) {
            return Err(InputError::parameter("sum of b", total, "above 0, finite, and no smaller than its terms by 300 digits").into());
        }
        Ok(shares)
    }

    /// The target b' whose residual at `from` is that of the problem's own target b at `to`, n numbers: a step of x as a change of b.
    ///
    /// | form | b' |
    /// |---|---|
    /// | plain | b + u(from) - u(to) |
    /// | rescaled | (u(from) - u(to) + S(to) b) / S(from) |
    /// | normalised | b + f(from) - f(to), f = u / S |
    ///
    /// For the normalised exp, `|b' - b| <= ½ |A| |to - from|`: the softmax is ½-Lipschitz. Cost: two passes over A.
    ///
    /// ```
    /// use certus_numeric::Array;
    /// use certus_regression::{Form, Link, Problem};
    /// let (a, b) = (Array::matrix(2, 1, vec![0.0, 1.0])?, [1.0, 2.0]);
    /// let problem = Problem::new(&a, &b, Link::Exp, Form::Plain)?;
    /// assert_eq!(problem.equivalent_target(&[0.0], &[2f64.ln()])?, [1.0, 1.0]);
    /// # Ok::<(), certus_regression::Error>(())
    /// ```
    ///
    /// Source: the reductions between updates of x and of b in Song, Yin, Zhang, Li et al., rescaled and softmax regression, 2023.
    ///
    /// # Errors
    /// `DimensionMismatch`, `NonFinite`; `ZeroNormaliser` where S(from), or S(to) in the normalised form, is zero to rounding;
    /// `InvalidParameter` where Ax or b' is not finite.
    pub fn equivalent_target(&self, from: &[f64], to: &[f64]) -> Result<Vec<f64>, Error> {
        self.require_point("from", from)?;
        self.require_point("to", to)?;
        let point = |x: &[f64]| Loss::new(self, &[]).evaluate(x).map_err(|reason| no_loss(x, reason));
        let (first, second) = (point(from)?, point(to)?);
        if self.form() == Form::Rescaled && (first.kappa.is_nan() || first.kappa >= 1.0 / ZERO_SUM) {
            return Err(Error::ZeroNormaliser { x_norm: norm2(from), kappa: first.kappa });
        }
        let true_value = |point: &Point, u: f64| ScaledValue::new(u, point.m).to_f64().unwrap_or(f64::INFINITY);
        let unit = (second.m - first.m).exp();
        let entry = |(i, b): (usize, &f64)| {
            let (u_from, u_to) = (first.u[i], second.u[i]);
            match self.form() {
                Form::Plain => b + (true_value(&first, u_from) - true_value(&second, u_to)),
                Form::Rescaled => (u_from + unit * (second.sum * b - u_to)) / first.sum,
                Form::Normalised => b + (u_from / first.sum - u_to / second.sum),
            }
        };
        let target = self.b().iter().enumerate().map(entry).collect::<Vec<_>>();
        if !target.iter().all(|b| b.is_finite()) {
            let expected = "small enough for the equivalent target to be finite";
            return Err(InputError::parameter("from, to", norm2(from).max(norm2(to)), expected).into());
        }
        Ok(target)
    }
}
