//! The options that describe a problem, and the data behind them.

use certus_io::{Matrix, read_matrix, read_vector};
use certus_regression::{Form, Link, Problem};

use crate::args::{self, InFile, NumberOrFile};
use crate::error::CliError;
use crate::systems::linalg::view;

/// What is fitted, but for the target.
#[derive(clap::Args)]
pub(super) struct ProblemArgs {
    /// The matrix A, n x d: .npy, .npz:NAME, SciPy's sparse .npz, or .mtx
    #[arg(long, value_name = "FILE")]
    pub(super) a: InFile,
    /// The function u: exp, cosh or sinh
    #[arg(long, value_name = "LINK")]
    link: Link,
    /// What is compared: u - b (plain), u - sum(u) b (rescaled), u / sum(u) - b (normalised)
    #[arg(long, value_name = "FORM")]
    form: Form,
    /// Weights omega of the squared residuals, n numbers of at least 0 [default: 1]
    #[arg(long, value_name = "FILE")]
    data_weights: Option<InFile>,
    /// The row regulariser w, not squared: n numbers of at least 0, or one for all rows [default: 0]
    #[arg(long, value_name = "FILE|NUMBER")]
    row_reg: Option<NumberOrFile>,
    /// The ridge, half of which times |x - reference|^2 is added to the loss
    #[arg(long, value_name = "L", default_value = "0", value_parser = args::non_negative)]
    ridge: f64,
    /// The centre of the regularisers, d numbers [default: 0]
    #[arg(long, value_name = "FILE")]
    reference: Option<InFile>,
    /// Added to Ax, n numbers [default: 0]
    #[arg(long, value_name = "FILE")]
    offset: Option<InFile>,
}

/// The data of a problem.
pub(super) struct Data {
    a: Matrix,
    b: Vec<f64>,
    weights: Option<Vec<f64>>,
    row_reg: Option<Vec<f64>>,
}

impl ProblemArgs {
    /// Reads all files but the target. The small ones first, so that what is wrong with them is told at once.
    pub(super) fn read(&self, b: Vec<f64>) -> Result<(Data, Options), CliError> {
        let vector = |file: &Option<InFile>| file.as_ref().map(read_vector).transpose();
        let (uniform, row_reg) = match &self.row_reg {
            None => (0.0, None),
            Some(NumberOrFile::Number(w)) => (*w, None),
            Some(NumberOrFile::File(file)) => (0.0, Some(read_vector(file)?)),
        };
        let options = Options {
            link: self.link,
            form: self.form,
            ridge: self.ridge,
            row_reg: uniform,
            reference: vector(&self.reference)?,
            offset: vector(&self.offset)?,
        };
        let weights = vector(&self.data_weights)?;
        Ok((Data { a: read_matrix(&self.a)?, b, weights, row_reg }, options))
    }
}

/// What else makes a problem of the data.
pub(super) struct Options {
    link: Link,
    form: Form,
    ridge: f64,
    row_reg: f64,
    reference: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
}

impl Data {
    /// The problem, validated.
    pub(super) fn problem<'a>(&'a self, options: &'a Options) -> Result<Problem<'a>, CliError> {
        let mut problem = Problem::new(view(&self.a), &self.b, options.link, options.form)?.with_ridge(options.ridge)?;
        problem = problem.with_uniform_row_reg(options.row_reg)?;
        if let Some(w) = &self.row_reg {
            problem = problem.with_row_reg(w)?;
        }
        if let Some(weights) = &self.weights {
            problem = problem.with_data_weights(weights)?;
        }
        if let Some(reference) = &options.reference {
            problem = problem.with_reference(reference)?;
        }
        if let Some(offset) = &options.offset {
            problem = problem.with_offset(offset)?;
        }
        Ok(problem)
    }
}
