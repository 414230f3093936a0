//! The one way in which every crate refuses a bad input.

use std::fmt;

/// A bad input: what was wrong, where, and what would be right.
///
/// The kinds are the same in every crate and in the command's JSON. A crate's own `Error` wraps this one and may add
/// kinds of its own. Build it with the constructors; they keep the sentences alike.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is nothing to work on: an array without rows, columns or entries.
    #[error("{array} is empty (shape {shape})")]
    EmptyProblem {
        /// Name of the array or file.
        array: String,
        /// Its shape, as in `(0, 3)`.
        shape: String,
    },
    /// Two shapes that must agree do not.
    #[error("{array} has {found}, but {expected} is needed")]
    DimensionMismatch {
        /// Name of the array or file.
        array: String,
        /// What was found: `length 3`, `shape (2, 3)`.
        found: String,
        /// What is needed, and because of what: `length 4 (the rows of a)`.
        expected: String,
    },
    /// An entry is NaN or infinite.
    #[error("{array}{position} is {value}, but every entry must be finite")]
    NonFinite {
        /// Name of the array or file.
        array: String,
        /// Where the first such entry stands.
        position: Position,
        /// The entry as text: `NaN`, `inf`, `-inf`.
        value: String,
    },
    /// An option or parameter is outside its range.
    #[error("{parameter} is {value}, but must be {expected}")]
    InvalidParameter {
        /// Name of the parameter, as in the API or on the command line.
        parameter: String,
        /// The given value as text.
        value: String,
        /// The allowed range.
        expected: String,
    },
    /// A sparse array whose index arrays contradict each other or its shape.
    #[error("{array}{position}: {problem}")]
    InvalidSparsity {
        /// Name of the array or file.
        array: String,
        /// Where.
        position: Position,
        /// What is wrong there.
        problem: String,
    },
    /// A file or array of a format, type or order that is not supported.
    #[error("{array} is {found}, but {supported} is supported")]
    UnsupportedFormat {
        /// Name of the array or file.
        array: String,
        /// What was found.
        found: String,
        /// What is supported here.
        supported: String,
    },
    /// A file that ends before its own header says.
    #[error("{array} is cut short: {expected} expected, {found} found")]
    Truncated {
        /// Name of the array or file.
        array: String,
        /// What its header promises.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file, or an array in a file, that is not there.
    #[error("{array} is not found{available}")]
    NotFound {
        /// Name of the array or file.
        array: String,
        /// What there is instead, as `" (it has x, y)"`, or empty.
        available: String,
    },
    /// Sizes that this machine or an index type cannot hold.
    #[error("{array} is too large: {found}, at most {limit} is possible")]
    TooLarge {
        /// Name of the array, file or quantity.
        array: String,
        /// The size asked for.
        found: String,
        /// The limit, and what sets it.
        limit: String,
    },
}

/// Where in an array or file something stands. Indices count from 0, lines from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nowhere in particular.
    Whole,
    /// Entry of an n-dimensional array.
    Entry(Vec<usize>),
    /// Row of a matrix.
    Row(usize),
    /// Line of a text file, from 1.
    Line(u64),
    /// Byte offset in a file.
    Byte(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Whole => Ok(()),
            Position::Entry(index) => write!(f, "[{}]", index.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
            Position::Row(row) => write!(f, " (row {row})"),
            Position::Line(line) => write!(f, " (line {line})"),
            Position::Byte(byte) => write!(f, " (byte {byte})"),
        }
    }
}

/// The longest piece of text that a message repeats from its input, in characters.
const LONGEST: usize = 400;

/// How many names a message lists.
const MOST_NAMES: usize = 12;

/// Text from outside, fit for one sentence on a terminal: nothing is `""`, control characters are escaped, what is very
/// long is cut.
fn plain(text: impl Into<String>) -> String {
    let text = text.into();
    if text.trim().is_empty() {
        return format!("{text:?}");
    }
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for c in chars.by_ref().take(LONGEST) {
        if c.is_control() { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    if chars.next().is_some() {
        out.push_str("...");
    }
    out
}

/// A shape as NumPy writes it: `(3,)`, `(2, 3)`.
fn shape_text(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

impl InputError {
    /// `array` of this `shape` has no entries.
    pub fn empty(array: impl Into<String>, shape: &[usize]) -> Self {
        InputError::EmptyProblem { array: plain(array), shape: shape_text(shape) }
    }

    /// `array` has a `found` shape or length where `expected` is needed.
    pub fn dimension(array: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        InputError::DimensionMismatch { array: plain(array), found: plain(found), expected: plain(expected) }
    }

    /// `array` has shape `found` where `expected` is needed.
    pub fn shape(array: impl Into<String>, found: &[usize], expected: impl Into<String>) -> Self {
        Self::dimension(array, format!("shape {}", shape_text(found)), expected)
    }

    /// `array[index]` is `value`, which is NaN or infinite.
    pub fn non_finite(array: impl Into<String>, index: &[usize], value: f64) -> Self {
        let position = if index.is_empty() { Position::Whole } else { Position::Entry(index.to_vec()) };
        InputError::NonFinite { array: plain(array), position, value: value.to_string() }
    }

    /// `parameter` has `value` but must be `expected`.
    pub fn parameter(parameter: impl Into<String>, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        let text = value.to_string();
        // A float displays without an exponent, in up to 300 digits.
        let value = match text.parse::<f64>() {
            Ok(number) if text.len() > 24 => format!("{number:e}"),
            _ => plain(text),
        };
        InputError::InvalidParameter { parameter: plain(parameter), value, expected: plain(expected) }
    }

    /// The index arrays of `array` are wrong at `position`.
    pub fn sparsity(array: impl Into<String>, position: Position, problem: impl Into<String>) -> Self {
        InputError::InvalidSparsity { array: plain(array), position, problem: plain(problem) }
    }

    /// `array` is `found`; only `supported` is supported.
    pub fn unsupported(array: impl Into<String>, found: impl Into<String>, supported: impl Into<String>) -> Self {
        InputError::UnsupportedFormat { array: plain(array), found: plain(found), supported: plain(supported) }
    }

    /// `array` ends early.
    pub fn truncated(array: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        InputError::Truncated { array: plain(array), expected: plain(expected), found: plain(found) }
    }

    /// `array` is not there; `available` names what is.
    pub fn not_found<S: AsRef<str>>(array: impl Into<String>, available: impl IntoIterator<Item = S>) -> Self {
        let mut names = available.into_iter().map(|name| plain(name.as_ref())).collect::<Vec<_>>();
        if names.len() > MOST_NAMES {
            let more = format!("{} more", names.len() - MOST_NAMES);
            names.truncate(MOST_NAMES);
            names.push(more);
        }
        let available = if names.is_empty() { String::new() } else { format!(" (there is {})", names.join(", ")) };
        InputError::NotFound { array: plain(array), available }
    }

    /// `array` would need `found`, beyond `limit`.
    pub fn too_large(array: impl Into<String>, found: impl Into<String>, limit: impl Into<String>) -> Self {
        InputError::TooLarge { array: plain(array), found: plain(found), limit: plain(limit) }
    }

    /// The kind as the JSON's `error.kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            InputError::EmptyProblem { .. } => "EmptyProblem",
            InputError::DimensionMismatch { .. } => "DimensionMismatch",
            InputError::NonFinite { .. } => "NonFinite",
            InputError::InvalidParameter { .. } => "InvalidParameter",
            InputError::InvalidSparsity { .. } => "InvalidSparsity",
            InputError::UnsupportedFormat { .. } => "UnsupportedFormat",
            InputError::Truncated { .. } => "Truncated",
            InputError::NotFound { .. } => "NotFound",
            InputError::TooLarge { .. } => "TooLarge",
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            InputError::EmptyProblem { .. } => "Give at least one row, column and entry.".into(),
            InputError::DimensionMismatch { expected, .. } => {
                format!("Reshape or transpose it to {expected}, or check that the right file was given.")
            }
            InputError::NonFinite { .. } => "Remove, impute or mask such entries before the call.".into(),
            InputError::InvalidParameter { parameter, expected, .. } => format!("Set {parameter} to a value that is {expected}."),
            InputError::InvalidSparsity { .. } => {
                "Write the array again from a consistent sparse matrix (in SciPy: check_format(), sum_duplicates()).".into()
            }
            InputError::UnsupportedFormat { supported, .. } => format!("Convert it to {supported}."),
            InputError::Truncated { .. } => "Write or download the file again; it is incomplete.".into(),
            InputError::NotFound { .. } => "Check the path and the name of the array.".into(),
            InputError::TooLarge { limit, .. } => format!("Reduce the size to at most {limit}, or split the work."),
        }
    }
}

/// Refuses the first entry of a C-ordered array that is not finite, with its index. Cost: one pass.
///
/// `shape` is the array's shape; its product must be `values.len()`.
///
/// # Errors
/// `NonFinite`.
pub fn require_finite(array: &str, shape: &[usize], values: &[f64]) -> Result<(), InputError> {
    let Some(flat) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let mut rest = flat;
    let mut index = vec![0; shape.len()];
    for (i, &extent) in index.iter_mut().zip(shape).rev() {
        *i = rest % extent.max(1);
        rest /= extent.max(1);
    }
    Err(InputError::non_finite(array, &index, values[flat]))
}

/// Refuses a vector whose length is not `expected`; `because` says what sets it, as in `"the rows of a"`.
///
/// # Errors
/// `DimensionMismatch`.
pub fn require_length(array: &str, found: usize, expected: usize, because: &str) -> Result<(), InputError> {
    if found == expected {
        Ok(())
    } else {
        Err(InputError::dimension(array, format!("length {found}"), format!("length {expected} ({because})")))
    }
}

/// Refuses a parameter that is not finite and above zero.
///
/// # Errors
/// `InvalidParameter`.
pub fn require_positive(parameter: &str, value: f64) -> Result<(), InputError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(InputError::parameter(parameter, value, "finite and above 0")) }
}
