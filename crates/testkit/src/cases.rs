//! Reference cases made by independent software: those that a crate ships, and those that stand elsewhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use certus_io::Source;
use certus_numeric::Array;

/// The environment variable with the folder of the cases that may not be shipped.
pub const VARIABLE: &str = "CERTUS_CASES";

/// `tests/cases/NAME` of the crate in `manifest_dir` (`env!("CARGO_MANIFEST_DIR")`).
///
/// # Panics
/// If it is not there.
#[track_caller]
pub fn shipped(manifest_dir: &str, name: &str) -> PathBuf {
    existing(Path::new(manifest_dir).join("tests/cases").join(name))
}

/// The folder `SYSTEM` of the cases that may not be shipped, below the folder that `CERTUS_CASES` names (a relative one is
/// taken from the workspace's root). Where the variable is not set, prints one line and gives `None`: the test passes.
///
/// ```no_run
/// let Some(cases) = certus_testkit::cases::external("tensor") else { return };
/// let grammar = certus_testkit::cases::existing(cases.join("pcfg_gum_grammar.json"));
/// ```
///
/// # Panics
/// If the variable is set and the folder is not there. Ask for files through [`existing`], so that a missing one fails too.
#[track_caller]
pub fn external(system: &str) -> Option<PathBuf> {
    let folder = resolve(std::env::var_os(VARIABLE), system);
    if folder.is_none() {
        println!("skipped: {VARIABLE} is not set");
    }
    folder.map(existing)
}

fn resolve(variable: Option<OsString>, system: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    variable.filter(|folder| !folder.is_empty()).map(|folder| root.join(folder).join(system))
}

/// The same path, which must exist.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "reference case {} is missing", path.display());
    path
}

/// A JSON file.
///
/// # Panics
/// If it is missing or no JSON.
#[track_caller]
pub fn json(path: impl AsRef<Path>) -> serde_json::Value {
    let path = path.as_ref();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("reference case {}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("reference case {} is no JSON: {error}", path.display()))
}

/// The array `name` of an `.npz` or `.safetensors` file, as f64.
///
/// # Panics
/// If it is missing or cannot be read.
#[track_caller]
pub fn array(path: impl AsRef<Path>, name: &str) -> Array {
    certus_io::read_array(Source::named(path.as_ref(), name)).unwrap_or_else(|error| panic!("reference case: {error}"))
}

/// The numbers of a JSON array of any depth, in order; null is NaN, and strings such as `"inf"` are read as numbers.
///
/// # Panics
/// If an entry is no number.
#[track_caller]
pub fn numbers(value: &serde_json::Value) -> Vec<f64> {
    use serde_json::Value;
    match value {
        Value::Array(entries) => entries.iter().flat_map(numbers).collect(),
        Value::Null => vec![f64::NAN],
        Value::Number(number) => number.as_f64().into_iter().collect(),
        Value::String(text) => vec![text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))],
        other => panic!("{other} is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_or_empty_variable_skips_and_a_relative_folder_starts_at_the_root() {
        assert_eq!(resolve(None, "tensor"), None);
        assert_eq!(resolve(Some("".into()), "tensor"), None);
        assert_eq!(resolve(Some("/cases".into()), "tensor"), Some(PathBuf::from("/cases/tensor")));
        let root = resolve(Some(".".into()), "crates").map(existing);
        assert!(root.is_some_and(|crates| crates.join("testkit").is_dir()));
    }
}
