//! Arrays on their way into an output.

use std::path::Path;

use certus_io::{Element, Error, NpzWriter, write_npy};
use certus_numeric::Array;

use crate::args::OutFile;
use crate::error::{CliError, Exit};

/// The arrays of one output, with their names.
pub(crate) type Named = Vec<(String, Box<dyn Stored>)>;

/// An array of any type of element.
pub(crate) trait Stored: Send {
    fn write_npy(&self, path: &Path) -> Result<(), Error>;
    fn add_to(&self, archive: &mut NpzWriter, name: &str) -> Result<(), Error>;
}

impl<T: Element> Stored for Array<T> {
    fn write_npy(&self, path: &Path) -> Result<(), Error> {
        write_npy(path, self)
    }

    fn add_to(&self, archive: &mut NpzWriter, name: &str) -> Result<(), Error> {
        archive.add(name, self)
    }
}

/// Writes the arrays of `out` to `path`, by the ending of `out`.
pub(crate) fn write(out: &OutFile, arrays: &Named, path: &Path) -> Result<(), CliError> {
    let written = match &arrays[..] {
        [(_, array)] if out.path().extension().is_some_and(|e| e == "npy") => array.write_npy(path),
        _ => archive(arrays, path),
    };
    written.map_err(|error| match error {
        Error::Io { source, .. } => CliError::write_failed(out.path(), &source),
        other => CliError::from(other).with_exit(Exit::Failed),
    })
}

fn archive(arrays: &Named, path: &Path) -> Result<(), Error> {
    let mut archive = NpzWriter::create(path)?;
    for (name, array) in arrays {
        array.add_to(&mut archive, name)?;
    }
    archive.finish()
}
