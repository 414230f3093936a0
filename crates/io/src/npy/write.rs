//! Writing `.npy` files, whole or row by row.

use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::Path;

use certus_contract::InputError;
use certus_numeric::Array;

use crate::atomic::AtomicFile;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::npy::header::{descr, encode};
use crate::stream::entries;

/// Entries encoded at a time.
const CHUNK: usize = 16 << 10;

/// Writes one array as `.npy` (C order, little endian), by rename.
///
/// # Errors
/// `Io`; then there is no new file.
pub fn write_npy<T: Element>(path: impl AsRef<Path>, array: &Array<T>) -> Result<()> {
    let mut writer = NpyWriter::create(path, array.shape())?;
    writer.push(array.as_slice())?;
    writer.finish()
}

/// Writes an `.npy` file piece by piece, for arrays that are never in memory as a whole.
///
/// The file appears under its name when it is complete ([`NpyWriter::finish`]); a writer that is dropped leaves nothing.
///
/// ```
/// use certus_io::NpyWriter;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("logits.npy");
/// let mut writer = NpyWriter::<f32>::create(&path, &[3, 2])?;
/// for row in [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] {
///     writer.push(&row)?;
/// }
/// writer.finish()?;
/// assert_eq!(certus_io::read_array(&path)?.row(2), [4.0, 5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpyWriter<T: Element> {
    file: AtomicFile,
    shape: Vec<usize>,
    entries: usize,
    written: usize,
    /// Entries encoded at a time.
    chunk: usize,
    buffer: Vec<u8>,
    element: PhantomData<T>,
}

impl<T: Element> NpyWriter<T> {
    /// Begins a file for an array of this shape.
    ///
    /// # Errors
    /// `TooLarge` for a shape beyond the address space; `Io` if the folder cannot be written to.
    pub fn create(path: impl AsRef<Path>, shape: &[usize]) -> Result<Self> {
        Self::with_buffer(path, shape, 128 << 10)
    }

    /// As [`NpyWriter::create`], with buffers of this many bytes in all, where memory is counted.
    ///
    /// # Errors
    /// As there.
    pub fn with_buffer(path: impl AsRef<Path>, shape: &[usize], bytes: usize) -> Result<Self> {
        let path = path.as_ref();
        let entries = entries(&path.display().to_string(), shape, T::SIZE)?;
        let mut file = AtomicFile::with_buffer(path, bytes / 2)?;
        file.write_all(&encode(&descr(T::DTYPE), shape)).map_err(|error| Error::writing(path, error))?;
        Ok(NpyWriter {
            file,
            shape: shape.to_vec(),
            entries,
            written: 0,
            chunk: (bytes / 2 / T::SIZE).clamp(1, CHUNK),
            buffer: Vec::new(),
            element: PhantomData,
        })
    }

    /// Writes the next entries in C order: rows, or any part of them.
    ///
    /// # Errors
    /// `DimensionMismatch` for more entries than the shape has; `Io`.
    pub fn push(&mut self, values: &[T]) -> Result<()> {
        let written = self.written + values.len();
        if written > self.entries {
            return Err(self.mismatch(written));
        }
        for part in values.chunks(self.chunk) {
            write_values(&mut self.file, part, &mut self.buffer).map_err(|error| Error::writing(self.file.path(), error))?;
        }
        self.written = written;
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// `DimensionMismatch` if entries are missing; `Io`. The file does not appear then.
    pub fn finish(self) -> Result<()> {
        if self.written != self.entries {
            return Err(self.mismatch(self.written));
        }
        self.file.commit()
    }

    fn mismatch(&self, found: usize) -> Error {
        let expected = format!("{} (shape {:?})", self.entries, self.shape);
        InputError::dimension(self.file.path().display().to_string(), format!("{found} entries written"), expected).into()
    }
}

/// Writes entries as little-endian bytes; `buffer` is working memory.
pub(crate) fn write_values<T: Element>(out: &mut dyn Write, values: &[T], buffer: &mut Vec<u8>) -> io::Result<()> {
    for chunk in values.chunks(CHUNK) {
        buffer.clear();
        for &value in chunk {
            value.push_le(buffer);
        }
        out.write_all(buffer)?;
    }
    Ok(())
}
