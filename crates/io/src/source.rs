//! What a user names: a file, or an array in a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::stream::Stream;

/// A file format, known by the extension of the file's name (in lower or upper case).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One NumPy array: `.npy`.
    Npy,
    /// Named NumPy arrays, or a SciPy sparse matrix: `.npz`.
    Npz,
    /// A MatrixMarket matrix: `.mtx`.
    Mtx,
    /// FROSTT coordinates of a sparse tensor: `.tns`.
    Tns,
    /// Named tensors: `.safetensors`.
    Safetensors,
}

impl Format {
    fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "npy" => Some(Format::Npy),
            "npz" => Some(Format::Npz),
            "mtx" => Some(Format::Mtx),
            "tns" => Some(Format::Tns),
            "safetensors" => Some(Format::Safetensors),
            _ => None,
        }
    }

    fn holds_names(self) -> bool {
        matches!(self, Format::Npz | Format::Safetensors)
    }
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Memory { path: PathBuf, bytes: Arc<[u8]> },
}

/// What to read: a file, or an array in a file as `FILE.npz:NAME` or `FILE.safetensors:NAME`.
///
/// Every reader takes `impl Into<Source>`, so a plain path will do. A text is split at the first `.npz:` or
/// `.safetensors:` in it; use [`Source::named`] for a path that itself contains such a thing, or that is not UTF-8.
///
/// ```
/// use certus_io::{Format, Source};
/// let source = Source::from("run/weights.npz:layer0/w");
/// assert_eq!(source.path().to_str(), Some("run/weights.npz"));
/// assert_eq!(source.array(), Some("layer0/w"));
/// assert_eq!(source.format()?, Format::Npz);
/// # Ok::<(), certus_io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Source {
    place: Place,
    array: Option<String>,
}

impl Source {
    /// The file at `path` as a whole, or its only array; nothing in the path is taken for the name of an array.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Source { place: Place::File(path.into()), array: None }
    }

    /// The array `name` in the file at `path`.
    pub fn named(path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Source { place: Place::File(path.into()), array: Some(name.into()) }
    }

    /// Bytes in memory, for where there is no file system. `name` stands for the path: its extension gives the format, it
    /// may name an array, and messages show it.
    pub fn memory(name: &str, bytes: impl Into<Arc<[u8]>>) -> Self {
        let (path, array) = split(name);
        Source { place: Place::Memory { path: path.into(), bytes: bytes.into() }, array: array.map(str::to_owned) }
    }

    /// Another array of the same file.
    pub fn with_array(self, name: impl Into<String>) -> Self {
        Source { array: Some(name.into()), ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::File(path) | Place::Memory { path, .. } => path,
        }
    }

    /// The name of the array in it, if one was given.
    pub fn array(&self) -> Option<&str> {
        self.array.as_deref()
    }

    /// The format by the file's extension.
    ///
    /// # Errors
    /// `UnsupportedFormat` for an extension that is none of `npy`, `npz`, `mtx`, `tns`, `safetensors`.
    pub fn format(&self) -> Result<Format> {
        let format = Format::of(self.path()).ok_or_else(|| {
            let found = match self.path().extension() {
                Some(extension) => format!("a file of type .{}", extension.to_string_lossy()),
                None => "a file without an extension".into(),
            };
            Error::unsupported(self.label(), found, ".npy, .npz, .mtx, .tns or .safetensors")
        })?;
        match &self.array {
            Some(name) if !format.holds_names() => {
                Err(Error::unsupported(self.file_label(), format!("one array without a name, not '{name}'"), "FILE.npz:NAME"))
            }
            _ => Ok(format),
        }
    }

    /// How messages call it: as the user wrote it.
    pub(crate) fn label(&self) -> String {
        match &self.array {
            Some(name) => member_label(&self.file_label(), name),
            None => self.file_label(),
        }
    }

    /// How messages call the file alone.
    pub(crate) fn file_label(&self) -> String {
        self.path().display().to_string()
    }

    pub(crate) fn open(&self) -> Result<Stream> {
        match &self.place {
            Place::File(path) => Stream::open(path),
            Place::Memory { bytes, .. } => Ok(Stream::memory(bytes.clone())),
        }
    }
}

/// How messages call an array in a file.
pub(crate) fn member_label(file: &str, name: &str) -> String {
    format!("{file}:{name}")
}

fn split(text: &str) -> (&str, Option<&str>) {
    let lower = text.to_ascii_lowercase();
    let cut = [".npz:", ".safetensors:"].iter().filter_map(|mark| lower.find(mark).map(|at| at + mark.len() - 1)).min();
    match cut {
        Some(cut) => (&text[..cut], Some(&text[cut + 1..])),
        None => (text, None),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.label())
    }
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        let (path, array) = split(text);
        Source { place: Place::File(path.into()), array: array.map(str::to_owned) }
    }
}

impl From<&String> for Source {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => text.into(),
            None => Source::file(path),
        }
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&Source> for Source {
    fn from(source: &Source) -> Self {
        source.clone()
    }
}
