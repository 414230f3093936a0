//! A folder of arrays that both sides read and write.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use npyz::{AutoSerialize, NpyFile, WriterBuilder as _};
use tempfile::TempDir;

/// A temporary folder of `.npy` files, removed when dropped. Arrays are written once and read by many calls.
#[derive(Debug)]
pub struct Exchange {
    folder: TempDir,
}

/// An array that a peer returned, in C order, as f64.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyArray {
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its entries, the last index fastest.
    pub values: Vec<f64>,
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

    /// Writes `name.npy` in C order. The peer's function gets it as its argument `name`.
    ///
    /// # Errors
    /// As the system's, and if `values` does not fill `shape`.
    pub fn write<T: AutoSerialize + Clone>(&self, name: &str, shape: &[usize], values: &[T]) -> io::Result<()> {
        let extents: Vec<u64> = shape.iter().map(|&extent| extent as u64).collect();
        let file = BufWriter::new(File::create(self.folder.path().join(name).with_extension("npy"))?);
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&extents).writer(file).begin_nd()?;
        writer.extend(values.iter().cloned())?;
        writer.finish()
    }

    /// Reads an array of f64 that the peer returned.
    ///
    /// # Errors
    /// As the system's, and for another type or order of entries.
    pub fn read(&self, name: &str) -> io::Result<NpyArray> {
        let file = NpyFile::new(BufReader::new(File::open(self.folder.path().join(format!("out_{name}.npy")))?))?;
        if file.order() != npyz::Order::C && file.shape().len() > 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name}: Fortran order")));
        }
        let shape = file.shape().iter().map(|&extent| extent as usize).collect();
        Ok(NpyArray { shape, values: file.into_vec::<f64>()? })
    }
}
