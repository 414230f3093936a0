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
pub struct CliError(Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    exit: Exit,
    kind: String,
    message: String,
    hint: String,
    fields: Map<String, Value>,
}

impl CliError {
    /// A bad input or usage (exit code 2): its kind as the JSON's `error.kind`; what was wrong, where, and what would be right;
    /// and what to do about it, in one sentence.
    pub fn new(kind: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let parts = Parts { exit: Exit::BadInput, kind: kind.into(), message: message.into(), hint: hint.into(), fields: Map::new() };
        CliError(Box::new(parts))
    }

    /// The same error with another exit code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.0.exit = exit;
        self
    }

    /// The same error with another hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// The same error with one path in its message in place of another.
    pub(crate) fn renamed(mut self, from: &Path, to: &Path) -> Self {
        self.0.message = self.0.message.replace(&from.display().to_string(), &to.display().to_string());
        self
    }

    /// The same error with the file that it is about before its message.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.message = format!("{}: {}", path.display(), self.0.message);
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What was wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.0.hint
    }

    /// A file that could not be written though all checks before the work said that it could (exit code 1).
    pub fn write_failed(path: &Path, error: &std::io::Error) -> Self {
        let message = format!("{} could not be written: {error}", path.display());
        CliError::new("WriteFailed", message, "Free space or choose another folder, and run again.").with_exit(Exit::Failed)
    }

    /// The object that `--json` prints.
    pub fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("kind".into(), self.0.kind.clone().into());
        error.insert("message".into(), self.0.message.clone().into());
        error.insert("hint".into(), self.0.hint.clone().into());
        error.extend(self.0.fields.clone());
        json!({ "error": error })
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        let (exit, fields) = (error.exit(), error.fields());
        CliError(Box::new(Parts { exit, kind: error.kind(), message: error.to_string(), hint: error.hint(), fields }))
    }
}
