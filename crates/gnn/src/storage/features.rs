//! Features in a file.

use std::path::Path;

use certus_contract::InputError;
use certus_io::{Dtype, NpyLocation, Source};

use super::entries::Entries;
use crate::error::Error;

/// Features in an `.npy` file, read by blocks of rows at any place.
#[derive(Debug)]
pub struct NpyFeatures {
    entries: Entries,
    rows: usize,
    columns: usize,
    fortran: bool,
}

impl NpyFeatures {
    /// Opens the file and reads its header; a file that is shorter than its header says is refused.
    ///
    /// # Errors
    /// As for any `.npy` file; `UnsupportedFormat` for entries that are no floats or integers of up to 16 bits.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let location = NpyLocation::of(Source::file(path))?;
        let supported = matches!(
            location.header.dtype,
            Dtype::Float16 | Dtype::Float32 | Dtype::Float64 | Dtype::Int8 | Dtype::UInt8 | Dtype::Int16 | Dtype::UInt16 | Dtype::Bool
        );
        if !supported {
            let (label, found) = (location.label, location.header.dtype.to_string());
            return Err(
                InputError::unsupported(label, found, "an array of float16, float32, float64, bool, or integers of 8 or 16 bits").into()
            );
        }
        let [rows, columns] = location.header.shape[..] else {
            return Err(InputError::shape(location.label, &location.header.shape, "a matrix (nodes x columns)").into());
        };
        let fortran = location.header.fortran_order;
        Ok(NpyFeatures { entries: Entries::open(path, &location)?, rows, columns, fortran })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of an entry.
    pub fn entry_bytes(&self) -> u64 {
        self.entries.entry_bytes()
    }

    /// One entry before it is rounded to f32.
    pub(crate) fn entry(&self, row: usize, column: usize) -> Result<f64, Error> {
        let at = if self.fortran { column * self.rows + row } else { row * self.columns + column };
        self.entries.double(at as u64)
    }

    /// Reads rows from `first` on into `out`, row after row. Returns the bytes read.
    pub(crate) fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<u64, Error> {
        if self.columns == 0 {
            return Ok(0);
        }
        if self.fortran {
            let count = out.len() / self.columns;
            for column in 0..self.columns {
                let mut row = 0;
                self.entries.floats((column * self.rows + first) as u64, count, |value| {
                    out[row * self.columns + column] = value;
                    row += 1;
                })?;
            }
        } else {
            let mut k = 0;
            self.entries.floats((first * self.columns) as u64, out.len(), |value| {
                out[k] = value;
                k += 1;
            })?;
        }
        Ok(out.len() as u64 * self.entry_bytes())
    }
}
