//! Argument types that all verbs share: the global options, files in, files out, numbers with a range.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use certus_io::Source;

// The options that every verb has, before or after its own. (A doc comment here would become the help of the command.)
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Globals {
    /// Seed of all random choices [default: 0]
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    pub(crate) seed: Option<u64>,
    /// Number of threads [default: all]
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Print one JSON object instead of text
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// No progress bar and no report: errors only
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
}

const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=MOST_THREADS) => Ok(n),
        _ => Err(format!("must be a whole number from 1 to {MOST_THREADS}")),
    }
}

/// A number above 0: for `value_parser` of an `f64`.
///
/// # Errors
/// A text that is not such a number; NaN and infinity are none.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, "must be a number above 0", |v| v > 0.0)
}

/// A number that is 0 or more: for `value_parser` of an `f64`.
///
/// # Errors
/// As [`positive`].
pub fn non_negative(text: &str) -> Result<f64, String> {
    number(text, "must be a number of at least 0", |v| v >= 0.0)
}

/// Any number but NaN and infinity: for `value_parser` of an `f64`.
///
/// # Errors
/// As [`positive`].
pub fn finite(text: &str) -> Result<f64, String> {
    number(text, "must be a finite number", |_| true)
}

fn number(text: &str, rule: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite() && fits(*v)).ok_or_else(|| rule.to_owned())
}

/// A count of at least 1: for `value_parser` of a `usize`.
///
/// # Errors
/// A text that is not such a number.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "must be a whole number of at least 1".to_owned())
}

/// A file that a verb writes. Its type says which formats it may have: give one of the functions here as `value_parser`.
///
/// The frame finds every `OutFile` of a verb by its type: it refuses a path that cannot be written before the verb runs,
/// and the same path given twice. The option's name becomes the name in the JSON's `outputs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutFile(PathBuf);

impl OutFile {
    /// An output with any name, in a format of the verb's own.
    ///
    /// # Errors
    /// An empty path.
    pub fn any(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must be a path".into()) } else { Ok(OutFile(text.into())) }
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        OutFile(path)
    }

    /// An output of one array: `.npy`, or `.npz` that holds it under its name.
    ///
    /// # Errors
    /// A path with another ending.
    pub fn array(text: &str) -> Result<Self, String> {
        Self::with_ending(text, &["npy", "npz"])
    }

    /// An output of several arrays: `.npz`.
    ///
    /// # Errors
    /// A path with another ending.
    pub fn archive(text: &str) -> Result<Self, String> {
        Self::with_ending(text, &["npz"])
    }

    fn with_ending(text: &str, endings: &[&str]) -> Result<Self, String> {
        let out = Self::any(text)?;
        if endings.iter().any(|ending| out.0.extension().is_some_and(|e| e == *ending)) {
            Ok(out)
        } else {
            Err(format!("must end in .{}", endings.join(" or .")))
        }
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// A file that a verb reads: `FILE`, or `FILE.npz:NAME` for one array of an archive. The readers of `certus_io` take it.
///
/// The frame finds every `InFile` of a verb by its type and refuses an output with the same path.
#[derive(Clone, Debug)]
pub struct InFile(Source);

impl InFile {
    /// The path, without the name of the array.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl From<&InFile> for Source {
    fn from(file: &InFile) -> Self {
        file.0.clone()
    }
}

impl FromStr for InFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must be a path".into()) } else { Ok(InFile(text.into())) }
    }
}

impl fmt::Display for InFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An option that takes a number or a file: `--ridge 0.1`, `--ridge ridge.npy`.
#[derive(Clone, Debug)]
pub enum NumberOrFile {
    /// A finite number.
    Number(f64),
    /// A file.
    File(InFile),
}

impl FromStr for NumberOrFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(NumberOrFile::Number(v)),
            Ok(_) => Err("must be a finite number or a file".into()),
            Err(_) => text.parse().map(NumberOrFile::File),
        }
    }
}

/// How much to spend on the certificate.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Certify {
    /// What costs little beside the work itself
    Cheap,
    /// Everything that can be checked
    Full,
}
