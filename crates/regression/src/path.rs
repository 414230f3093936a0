//! Fits along values of the ridge.

use certus_contract::{InputError, require_finite};

use crate::Error;
use crate::problem::{Problem, require_ridge};
use crate::solver::{Solution, Solver};
use crate::start::Start;

impl Solver {
    /// Fits the problem with each of these ridges, in the order given; the problem's own ridge is not used.
    ///
    /// The first fit begins where the solver begins, each other one at the answer before it. Where the loss has several minima the
    /// path follows one of them as far as it goes. From large ridges to small ones most steps are saved. Cost: that of the fits.
    ///
    /// ```
    /// use certus_numeric::Array;
    /// use certus_regression::{Form, Link, Problem, Solver};
    /// let a = Array::from_fn(20, 2, |i, j| if j == 0 { 1.0 } else { 0.1 * i as f64 });
    /// let b = (0..20).map(|i| (0.5 + 0.05 * i as f64).exp()).collect::<Vec<_>>();
    /// let path = Solver::default().solve_path(&Problem::new(&a, &b, Link::Exp, Form::Plain)?, &[10.0, 1.0, 0.0])?;
    /// assert!(path[0].x[0] < path[1].x[0] && (path[2].x[0] - 0.5).abs() < 1e-9);
    /// # Ok::<(), certus_regression::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EmptyProblem` without ridges, `NonFinite`, `InvalidParameter` for one below 0 or above 1e300; as [`Solver::solve`], of the first
    /// fit that has one.
    pub fn solve_path(&self, problem: &Problem<'_>, ridges: &[f64]) -> Result<Vec<Solution>, Error> {
        if ridges.is_empty() {
            return Err(InputError::empty("ridges", &[0]).into());
        }
        require_finite("ridges", &[ridges.len()], ridges)?;
        for (k, ridge) in ridges.iter().enumerate() {
            require_ridge(&format!("ridges[{k}]"), *ridge)?;
        }
        let mut path: Vec<Solution> = Vec::with_capacity(ridges.len());
        for ridge in ridges {
            let problem = problem.clone().with_ridge(*ridge)?;
            let solution = match path.last() {
                Some(before) => self.clone().with_start(Start::Given(before.x.clone())).solve(&problem)?,
                None => self.solve(&problem)?,
            };
            path.push(solution);
        }
        Ok(path)
    }
}
