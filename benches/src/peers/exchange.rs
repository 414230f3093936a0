//! A folder of arrays that both sides read and write.

use std::io;
use std::path::Path;

use certus_io::{Element, Error};
use certus_numeric::Array;
use tempfile::TempDir;

/// A temporary folder of `.npy` files, removed when dropped. Arrays are written once and read by many calls.
#[derive(Debug)]
pub struct Exchange {
    folder: TempDir,
}

impl Exchange {
    /// An empty folder.
    ///
    /// # Errors
    /// As the system's.
    pub fn new() -> io::Result<Self> {
        Ok(Exchange { folder: tempfile::Builder::new().prefix("certus-peers-").tempdir()? })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `name.npy`. The peer's function gets it as its argument `name`.
    ///
    /// # Errors
    /// As the system's.
    pub fn write<T: Element>(&self, name: &str, array: &Array<T>) -> Result<(), Error> {
        certus_io::write_npy(self.folder.path().join(name).with_extension("npy"), array)
    }

    /// Reads an array that the peer returned.
    ///
    /// # Errors
    /// As the system's, and for entries that are not numbers.
    pub fn read(&self, name: &str) -> Result<Array, Error> {
        certus_io::read_array(self.folder.path().join(format!("out_{name}.npy")))
    }
}
