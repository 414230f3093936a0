//! Ways to run the command: as a process, and as a library over toy verbs.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use certus_cli::{Cli, Exit};
use serde_json::Value;
use tempfile::TempDir;

/// The binary, ready to run in `dir`.
pub(crate) fn certus(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certus"));
    command.current_dir(dir).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// Runs a command line of words without quotes, such as `"certus linalg leverage --a a.npy"`.
pub(crate) fn run(dir: &Path, line: &str) -> Output {
    let words = line.split_whitespace().collect::<Vec<_>>();
    assert_eq!(words[0], "certus", "{line}");
    certus(dir).args(&words[1..]).output().unwrap()
}

/// Runs a command line with `--json`; its exit code and what it printed, which must be one JSON object.
pub(crate) fn run_json(dir: &Path, line: &str) -> (i32, Value) {
    let output = run(dir, &format!("{line} --json"));
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error} in {text}\n{stderr}"));
    assert!(value.is_object(), "{line}: {text}");
    assert_eq!(stderr, "", "{line}: --json prints to standard output alone");
    (output.status.code().unwrap(), value)
}

/// A folder with the files of `certus examples`, and the shipped data in `data`.
pub(crate) fn examples() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), "certus examples .");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    fs::create_dir(dir.path().join("data")).unwrap();
    for file in ["diabetes.npz", "digits.npz"] {
        fs::copy(data.join(file), dir.path().join("data").join(file)).unwrap();
    }
    dir
}

/// Runs the library over given systems; exit code, standard output and standard error.
pub(crate) fn in_process(cli: &Cli, line: &str) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = cli.run(line.split_whitespace(), &mut out, &mut err);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// The names of all files under a folder, hidden ones too.
pub(crate) fn listing(dir: &Path) -> Vec<String> {
    let mut names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    names
}
