//! The report: one self-contained HTML file that reads without JavaScript, in light and dark, on paper, narrow and wide.

mod figures;
mod format;
mod page;
mod parts;
mod plots;

use std::fs;
use std::path::{Path, PathBuf};

use crate::results::{Outcome, Results, SCHEMA};
use crate::workspace::{Failure, table, write_whole};

pub use page::render;

/// Reads `results.json` from the output folder.
///
/// # Errors
/// If it is missing, malformed, or of another version of the schema.
pub fn read(path: &Path) -> Result<Results, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}; `cargo xtask bench` writes it", path.display()))?;
    let results: Results = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if results.schema != SCHEMA {
        return Err(
            format!("{}: schema {} where {SCHEMA} is understood; run `cargo xtask bench` anew", path.display(), results.schema).into()
        );
    }
    Ok(results)
}

/// Renders `folder/results.json` into `folder/report/index.html`, and gives its path.
///
/// # Errors
/// As [`read`], and as the system's.
pub fn write(folder: &Path) -> Result<PathBuf, Failure> {
    let results = read(&folder.join("results.json"))?;
    let path = folder.join("report/index.html");
    write_whole(&path, &render(&results))?;
    Ok(path)
}

/// The summary as a plain table, one row an experiment, and what failed below it.
pub fn summary(results: &Results) -> String {
    let rows = results.experiments.iter().map(|experiment| {
        let outcome = experiment.outcome().word().to_owned();
        vec![experiment.name.clone(), outcome, format::headline(experiment), format::seconds(experiment.seconds)]
    });
    let mut text = table(&["experiment", "outcome", "result", "time"], &[3], rows).trim_fmt();
    for experiment in results.experiments.iter().filter(|experiment| experiment.outcome() == Outcome::Failed) {
        for failure in experiment.failures() {
            text += &format!("\n{}: {failure}", experiment.name);
        }
    }
    for experiment in &results.experiments {
        for skipped in &experiment.skipped {
            text += &format!("\n{}: {} skipped: {}", experiment.name, skipped.peer, skipped.reason);
        }
    }
    text
}
