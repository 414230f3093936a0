//! `certus attention`: fits of an attention layer, or of an attention map.

use std::path::Path;

use certus_attention::recover::{Projections, Recovery, output, round_columns};
use certus_attention::{Certify, Facts, Mask, layer, map};
use certus_io::{Npz, NpzWriter, Source, write_npy};
use certus_numeric::Array;

use crate::args;
use crate::error::{CliError, Exit, Explain};
use crate::report::Report;
use crate::samples;
use crate::verb::System;

mod evaluate;
mod fit;
mod map_verb;
mod problem;
mod recover;
mod stability;

/// The verbs, and the files of their examples.
pub(crate) fn system() -> System {
    System::new("attention", "Fit an attention layer, or an attention map; with a proof that a local minimum lies near")
        .verb::<fit::Fit>("fit")
        .verb::<map_verb::Map>("map")
        .verb::<evaluate::Evaluate>("evaluate")
        .verb::<recover::Recover>("recover")
        .verb::<stability::Stability>("stability")
        .sample("head.npz", samples::head)
        .sample("rounded.npz", rounded)
        .sample("output.npy", head_output)
        .sample("identity.npy", identity)
        .sample("fitted-head.npz", fitted_head)
}

impl From<args::Certify> for Certify {
    fn from(certify: args::Certify) -> Self {
        match certify {
            args::Certify::Cheap => Certify::Cheap,
            args::Certify::Full => Certify::Full,
        }
    }
}

/// What all verbs report of a layer's point.
fn report(solution: &layer::Solution) -> Report {
    let facts = &solution.facts;
    let report = Report::new(solution.status).metric("loss", solution.loss).metric("loss_start", facts.loss_start);
    finish(report, facts, &solution.warnings).certificate(solution.certificate.clone())
}

/// What all verbs report of a map's point.
fn map_report(solution: &map::Solution) -> Report {
    let facts = &solution.facts;
    let log = Some(solution.loss.ln()).filter(|log| log.is_finite());
    let report = Report::new(solution.status)
        .metric("loss", solution.loss.to_f64())
        .metric("log_loss", log)
        .metric("loss_start", solution.loss_start.to_f64());
    finish(report, facts, &solution.warnings).certificate(solution.certificate.clone())
}

fn finish(report: Report, facts: &Facts, warnings: &[String]) -> Report {
    let found = facts.kantorovich;
    let report = report
        .metric("gradient", facts.gradient.0.hypot(facts.gradient.1))
        .metric("iterations", facts.iterations)
        .metric("kantorovich_h", found.and_then(|k| k.h))
        .metric("method", facts.method.name())
        .warnings(warnings);
    let report = match facts.sketch {
        Some(sketch) => report
            .metric("sketch", sketch.sketch.name())
            .metric("sketch_rows", sketch.rows)
            .metric("sketch_epsilon", sketch.epsilon())
            .metric("rank_one_distance", sketch.distance),
        None => report,
    };
    let Some((test, radius)) = found.and_then(|k| Some((k, k.logit_radius?))) else {
        return report.note("Nothing is known of a minimum near this point.");
    };
    let how = if test.estimated || test.directions_left_out { "Estimated" } else { "Proven" };
    let given = if facts.has_values { ", Y held fixed" } else { "" };
    let kind = if test.is_minimum() { "local minimum" } else { "stationary point" };
    let below = test.gap.map_or(String::new(), |gap| format!(", at most {gap:.3e} below"));
    report.note(format!("{how}{given}: a {kind} lies within {radius:.3e} in the logits{below}."))
}

impl Explain for certus_attention::Error {
    fn kind(&self) -> String {
        certus_attention::Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        certus_attention::Error::hint(self)
    }

    fn exit(&self) -> Exit {
        match self {
            certus_attention::Error::LinearAlgebra(error) => error.exit(),
            _ => Exit::BadInput,
        }
    }
}

/// The head's queries, keys and values.
fn projections() -> Result<[Array; 3], CliError> {
    let mut head = Npz::open(Source::memory("head.npz", samples::HEAD))?;
    Ok([head.array("q")?, head.array("k")?, head.array("v")?])
}

/// The same, each column rounded to four bits.
fn rounded(path: &Path) -> Result<(), CliError> {
    let mut archive = NpzWriter::create(path)?;
    for (name, array) in ["q", "k", "v"].into_iter().zip(projections()?) {
        archive.add(name, &round_columns(&array, 4)?)?;
    }
    Ok(archive.finish()?)
}

/// X and Y of the rounded head, refitted.
fn fitted_head(path: &Path) -> Result<(), CliError> {
    let [q, k, v] = projections()?;
    let [rq, rk, rv] = [round_columns(&q, 4)?, round_columns(&k, 4)?, round_columns(&v, 4)?];
    let rounded = Projections { q: &rq, k: &rk, v: &rv };
    let found = Recovery::default().recover(&Projections { q: &q, k: &k, v: &v }, &rounded)?;
    let mut archive = NpzWriter::create(path)?;
    archive.add("x", &found.solution.params.x)?;
    archive.add("y", &found.solution.params.y)?;
    Ok(archive.finish()?)
}

fn head_output(path: &Path) -> Result<(), CliError> {
    let [q, k, v] = projections()?;
    let scale = 1.0 / (q.cols() as f64).sqrt();
    Ok(write_npy(path, &output(&Projections { q: &q, k: &k, v: &v }, scale, Mask::None)?)?)
}

fn identity(path: &Path) -> Result<(), CliError> {
    Ok(write_npy(path, &Array::identity(32))?)
}
