//! What can go wrong with a file.

use std::io;
use std::path::Path;

use certus_contract::InputError;

/// A file that cannot be read or written.
///
/// Every message names the file as the user gave it, the array within it, and where it stands: a line of text (from 1), a
/// byte of a binary file (from 0), an entry of an array (from 0).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The content is not what it must be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The operating system refuses: permission, a full disk, a broken device.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The result of reading or writing a file.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The kind as the JSON's `error.kind`: an input error's own, or `Io`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(error) => error.kind(),
            Error::Io { .. } => "Io",
        }
    }

    /// What to do about it, in one sentence.
    pub fn hint(&self) -> String {
        match self {
            Error::Input(error) => error.hint(),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "Check who owns the file and its folder, and their permissions.".into()
            }
            Error::Io { action: "write", .. } => "Check that the folder exists and has space left, or choose another.".into(),
            Error::Io { .. } => "Check the device or file system that holds the file.".into(),
        }
    }

    pub(crate) fn unsupported(array: impl Into<String>, found: impl Into<String>, supported: impl Into<String>) -> Self {
        InputError::unsupported(array, found, supported).into()
    }

    pub(crate) fn truncated(array: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        InputError::truncated(array, expected, found).into()
    }

    /// A failed read. The system's errors carry its code; all others come from decoding, and are faults of the content.
    pub(crate) fn reading(array: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::truncated(array, "more data", "the end of the file"),
            _ if source.raw_os_error().is_some() => Error::Io { action: "read", path: array.to_owned(), source },
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Error::unsupported(array, format!("damaged ({source})"), "an intact file")
            }
            _ => Error::unsupported(array, format!("not readable ({source})"), "an intact file of stored or deflated data"),
        }
    }

    /// A failed write. Of an error that names the temporary file the kind alone is kept: the user knows the path, not that name.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let named = source.raw_os_error().is_none() && source.to_string().contains(" at path ");
        let source = if named { source.kind().into() } else { source };
        Error::Io { action: "write", path: path.display().to_string(), source }
    }
}

/// The first of `names`, as the shared errors list them.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let mut listed = names.take(SHOWN).map(|name| quoted(name.as_bytes())).collect::<Vec<_>>().join(", ");
    if more > 0 {
        listed.push_str(&format!(", {more} more"));
    }
    listed
}

/// Text from a file as a short printable excerpt.
pub(crate) fn quoted(text: &[u8]) -> String {
    const SHOWN: usize = 40;
    let short = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let mut excerpt = short.chars().take(SHOWN).flat_map(char::escape_debug).collect::<String>().replace("\\'", "'");
    if short.chars().count() > SHOWN {
        excerpt.push_str("...");
    }
    excerpt
}
