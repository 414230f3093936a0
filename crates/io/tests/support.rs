//! What the tests share.

use std::path::PathBuf;

use certus_io::{Error, Source};
use tempfile::TempDir;

/// The path of a shipped file.
pub(crate) fn case(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// A folder that goes with the test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// An array of a shipped archive.
pub(crate) fn member(file: &str, name: &str) -> Source {
    Source::named(case(file), name)
}

/// The error of a result, which must be of this kind and name all of `parts`.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Error>, kind: &str, parts: &[&str]) {
    let Err(error) = result else { panic!("accepted, but {kind} with {parts:?} was expected") };
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for part in parts {
        assert!(message.contains(part), "no '{part}' in '{message}'");
    }
    assert!(!error.hint().is_empty());
    assert!(message.len() < 1500, "a message of {} bytes", message.len());
}
