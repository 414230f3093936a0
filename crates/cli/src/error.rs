//! How the command fails: one sentence, a kind, a hint and an exit code.

use std::fmt::Display;
use std::path::Path;

use certus_contract::InputError;
use serde_json::{Map, Value, json};

/// The exit codes of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or converged.
    Done,
    /// 1: anything that is neither the caller's fault nor a property of the problem: a full disk, a bug.
    Failed,
    /// 2: bad input or usage. Nothing was written.
    BadInput,
    /// 3: ran, but did not reach what was asked. The best answer is given.
    NotReached,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::NotReached => 3,
        }
    }
}

/// What the command needs of an error of a library, to show it: implement it for a system's `Error`, and `?` works in
/// [`Verb::run`](crate::Verb::run).
pub trait Explain: Display {
    /// The kind, as the JSON's `error.kind`: `DimensionMismatch`.
    fn kind(&self) -> String;

    /// What to do about it, in one sentence.
    fn hint(&self) -> String;

    /// The exit code; by default bad input.
    fn exit(&self) -> Exit {
        Exit::BadInput
    }

    /// Fields of the JSON's `error` beside kind, message and hint.
    fn fields(&self) -> Map<String, Value> {
        Map::new()
    }
}

impl Explain for InputError {
    fn kind(&self) -> String {
        InputError::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        InputError::hint(self)
    }
}

impl Explain for certus_io::Error {
    fn kind(&self) -> String {
        certus_io::Error::kind(self).to_owned()
    }

    fn hint(&self) -> String {
        certus_io::Error::hint(self)
    }

    fn exit(&self) -> Exit {
        match self {
            certus_io::Error::Io { action: "write", .. } => Exit::Failed,
            _ => Exit::BadInput,
        }
    }
}

/// An error as the command shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// The kind, as the JSON's `error.kind`.
    pub kind: String,
    /// What was wrong, where, and what would be right.
    pub message: String,
    /// What to do about it, in one sentence.
    pub hint: String,
    /// Further fields of the JSON's `error`.
    pub fields: Map<String, Value>,
}

impl CliError {
    /// A bad input or usage (exit code 2).
    pub fn new(kind: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        CliError { exit: Exit::BadInput, kind: kind.into(), message: message.into(), hint: hint.into(), fields: Map::new() }
    }

    /// The same error with another exit code.
    pub fn exit(self, exit: Exit) -> Self {
        CliError { exit, ..self }
    }

    /// The same error with another hint.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        CliError { hint: hint.into(), ..self }
    }

    /// A file that could not be written though all checks before the work said that it could (exit code 1).
    pub fn write_failed(path: &Path, error: &std::io::Error) -> Self {
        let message = format!("{} could not be written: {error}", path.display());
        CliError::new("WriteFailed", message, "Free space or choose another folder, and run again.").exit(Exit::Failed)
    }

    /// The object that `--json` prints.
    pub fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("kind".into(), self.kind.clone().into());
        error.insert("message".into(), self.message.clone().into());
        error.insert("hint".into(), self.hint.clone().into());
        error.extend(self.fields.clone());
        json!({ "error": error })
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        CliError { exit: error.exit(), kind: error.kind(), message: error.to_string(), hint: error.hint(), fields: error.fields() }
    }
}
