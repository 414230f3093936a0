//! `certus regression`: fits of u(Ax) to b.

use std::path::Path;

use certus_io::{Npz, Source, write_npy};
use certus_numeric::Array;
use certus_regression::{Certify, Form, Link, Outcome, Problem, Solution, Solver};

use crate::args;
use crate::error::{CliError, Exit, Explain};
use crate::report::Report;
use crate::samples;
use crate::verb::System;

mod evaluate;
mod fit;
mod fit_many;
mod leverage;
mod problem;
mod sensitivity;

/// The verbs, and the files of their examples.
pub(crate) fn system() -> System {
    System::new("regression", "Fit u(Ax) to b for u in exp, cosh, sinh; with a proof at the answer")
        .verb::<fit::Fit>("fit")
        .verb::<evaluate::Evaluate>("evaluate")
        .verb::<fit_many::FitMany>("fit-many")
        .verb::<sensitivity::Sensitivity>("sensitivity")
        .verb::<leverage::RowLeverage>("leverage")
        .sample("design.npy", design)
        .sample("fitted.npy", fitted)
        .sample("threes.npy", threes)
        .sample("each-digit.npy", each_digit)
}

impl From<args::Certify> for Certify {
    fn from(certify: args::Certify) -> Self {
        match certify {
            args::Certify::Cheap => Certify::Cheap,
            args::Certify::Full => Certify::Full,
        }
    }
}

/// What all verbs report of a point.
fn report(solution: &Solution) -> Report {
    let facts = &solution.facts;
    let (outcome, radius) = match &solution.outcome {
        Outcome::ProvenLocalMinimum { radius } => ("proven_local_minimum", Some(*radius)),
        Outcome::ProvenGlobalMinimum { radius } => ("proven_global_minimum", Some(*radius)),
        Outcome::NotProven { .. } => ("not_proven", None),
    };
    let report = Report::new(solution.status)
        .metric("loss", solution.loss.to_f64())
        .metric("log_loss", Some(solution.loss.ln()).filter(|log| log.is_finite()))
        .metric("gradient_inf", facts.gradient_inf)
        .metric("iterations", facts.iterations)
        .metric("rank", facts.rank)
        .metric("newton_decrement", facts.newton_decrement)
        .metric("proven_radius", radius)
        .metric("lambda_min", facts.lambda_min)
        .metric("hessian_choice", facts.hessian_choice.name())
        .metric("explained", facts.explained)
        .metric("regularisation_share", facts.regularisation_share)
        .field("outcome", outcome)
        .warnings(&solution.warnings)
        .certificate(solution.certificate.clone());
    match &solution.outcome {
        Outcome::NotProven { reason } => report.note(format!("Nothing is proven of x: {reason}.")),
        Outcome::ProvenLocalMinimum { radius } => report.note(format!("Proven: a local minimum lies within {radius:.3e} of x.")),
        Outcome::ProvenGlobalMinimum { radius } => report.note(format!("Proven: the global minimum lies within {radius:.3e} of x.")),
    }
}

impl Explain for certus_regression::Error {
    fn kind(&self) -> String {
        certus_regression::Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        certus_regression::Error::hint(self)
    }

    fn exit(&self) -> Exit {
        match self {
            certus_regression::Error::LinearAlgebra(error) => error.exit(),
            _ => Exit::BadInput,
        }
    }
}

/// The columns of the diabetes data with one of ones before them.
fn with_intercept() -> Result<Array, CliError> {
    let x = Npz::open(Source::memory("diabetes.npz", samples::DIABETES))?.array::<f64>("x")?;
    Ok(Array::from_fn(x.rows(), x.cols() + 1, |i, j| if j == 0 { 1.0 } else { x.row(i)[j - 1] }))
}

fn design(path: &Path) -> Result<(), CliError> {
    Ok(write_npy(path, &with_intercept()?)?)
}

/// The fit of the disease progression by an exponential of the design.
fn fitted(path: &Path) -> Result<(), CliError> {
    let (a, b) = (with_intercept()?, Npz::open(Source::memory("diabetes.npz", samples::DIABETES))?.array::<f64>("y")?.into_vec());
    let x = Solver::default().solve(&Problem::new(&a, &b, Link::Exp, Form::Plain)?)?.x;
    Ok(write_npy(path, &Array::vector(x))?)
}

/// One n-th on each of the n images of a digit, 0 on the others; a column a digit.
fn shares() -> Result<Array, CliError> {
    let labels = Npz::open(Source::memory("digits.npz", samples::DIGITS))?.array::<f64>("y")?.into_vec();
    let count = |digit: f64| labels.iter().filter(|label| **label == digit).count() as f64;
    let counts = (0..10).map(|digit| count(f64::from(digit))).collect::<Vec<_>>();
    Ok(Array::from_fn(labels.len(), 10, |i, j| if labels[i] == j as f64 { 1.0 / counts[j] } else { 0.0 }))
}

fn threes(path: &Path) -> Result<(), CliError> {
    let shares = shares()?;
    Ok(write_npy(path, &Array::vector((0..shares.rows()).map(|i| shares.row(i)[3]).collect()))?)
}

fn each_digit(path: &Path) -> Result<(), CliError> {
    Ok(write_npy(path, &shares()?)?)
}
