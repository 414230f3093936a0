//! The one module that touches files: streamed features, spilled panels, outputs.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "streaming and spilling are file work, and stand here alone")]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use certus_contract::InputError;
use certus_io::{Dtype, NpyLocation};
use half::{bf16, f16};

use crate::error::Error;

/// Reads at an offset, from any thread.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[n..];
        offset += n as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut buffer: &[u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_write(file, buffer, offset)?;
        buffer = &buffer[n..];
        offset += n as u64;
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(unix, windows)))]
fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes that are converted at a time, on the stack.
const CHUNK: usize = 4096;

/// Features in an `.npy` file, read by blocks of rows at any place.
#[derive(Debug)]
pub struct NpyFeatures {
    file: File,
    path: String,
    start: u64,
    rows: usize,
    columns: usize,
    dtype: Dtype,
    big_endian: bool,
    fortran: bool,
}

impl NpyFeatures {
    /// Opens the file and reads its header; a file that is shorter than its header says is refused.
    ///
    /// # Errors
    /// As for any `.npy` file; `UnsupportedFormat` for entries that are no floats or integers of up to 16 bits.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let NpyLocation { header, start } = NpyLocation::of(path)?;
        let label = path.display().to_string();
        let supported = matches!(
            header.dtype,
            Dtype::Float16 | Dtype::Float32 | Dtype::Float64 | Dtype::Int8 | Dtype::UInt8 | Dtype::Int16 | Dtype::UInt16 | Dtype::Bool
        );
        if !supported {
            let found = header.dtype.to_string();
            return Err(
                InputError::unsupported(label, found, "an array of float16, float32, float64, bool, or integers of 8 or 16 bits").into()
            );
        }
        let [rows, columns] = header.shape[..] else {
            return Err(InputError::shape(label, &header.shape, "a matrix (nodes x columns)").into());
        };
        let file = File::open(path).map_err(|source| failed("reading", &label, source))?;
        let (dtype, big_endian, fortran) = (header.dtype, header.big_endian, header.fortran_order);
        Ok(NpyFeatures { file, path: label, start, rows, columns, dtype, big_endian, fortran })
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
        self.dtype.size() as u64
    }

    /// Reads rows from `first` on into `out`, row after row. Returns the bytes read.
    pub(crate) fn read_rows(&self, first: usize, out: &mut [f32]) -> Result<u64, Error> {
        if self.columns == 0 {
            return Ok(0);
        }
        let (count, size) = (out.len() / self.columns, self.dtype.size());
        if self.fortran {
            for column in 0..self.columns {
                let offset = self.start + ((column * self.rows + first) * size) as u64;
                let mut row = 0;
                self.read_entries(offset, count, |value| {
                    out[row * self.columns + column] = value;
                    row += 1;
                })?;
            }
        } else {
            let offset = self.start + (first * self.columns * size) as u64;
            let mut k = 0;
            self.read_entries(offset, out.len(), |value| {
                out[k] = value;
                k += 1;
            })?;
        }
        Ok((out.len() * size) as u64)
    }

    fn read_entries(&self, mut offset: u64, mut count: usize, mut put: impl FnMut(f32)) -> Result<(), Error> {
        let size = self.dtype.size();
        let mut buffer = [0; CHUNK];
        while count > 0 {
            let now = count.min(CHUNK / size);
            let bytes = &mut buffer[..now * size];
            read_at(&self.file, bytes, offset).map_err(|source| self.short(source))?;
            if self.big_endian {
                bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            match self.dtype {
                Dtype::Float32 => bytes.as_chunks::<4>().0.iter().for_each(|&b| put(f32::from_le_bytes(b))),
                Dtype::Float64 => bytes.as_chunks::<8>().0.iter().for_each(|&b| put(f64::from_le_bytes(b) as f32)),
                Dtype::Float16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f16::from_le_bytes(b).to_f32())),
                Dtype::BFloat16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(bf16::from_le_bytes(b).to_f32())),
                Dtype::Int16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f32::from(i16::from_le_bytes(b)))),
                Dtype::UInt16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f32::from(u16::from_le_bytes(b)))),
                Dtype::Int8 => bytes.iter().for_each(|&b| put(f32::from(b as i8))),
                _ => bytes.iter().for_each(|&b| put(f32::from(b))),
            }
            offset += bytes.len() as u64;
            count -= now;
        }
        Ok(())
    }

    fn short(&self, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return InputError::truncated(&self.path, format!("{} x {} entries", self.rows, self.columns), "fewer").into();
        }
        failed("reading", &self.path, source)
    }
}

fn failed(action: &'static str, path: &str, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// Refuses a spill folder that is none.
pub(crate) fn require_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let shown = folder.display().to_string();
    if folder.exists() {
        return Err(InputError::parameter("the spill folder", shown, "a folder, not a file").into());
    }
    Err(InputError::not_found(format!("the spill folder {shown}"), [""; 0]).into())
}

/// Panels on disk: slots of equal size in one file without a name, so that nothing stays after any end of the process.
#[derive(Debug)]
pub(crate) struct PanelFile {
    file: File,
    folder: PathBuf,
    /// Numbers in a row of a panel.
    s: usize,
    /// Bytes of a number: 4, or 2 for f16.
    size: usize,
    /// Bytes of a slot.
    slot: u64,
    read: AtomicU64,
    written: AtomicU64,
}

impl PanelFile {
    /// A file for panels of n x s numbers. Where the system knows files without names, it never has one; else it is removed on drop.
    pub(crate) fn create(folder: &Path, nodes: usize, s: usize, half: bool) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(folder).map_err(|source| failed("writing", &folder.display().to_string(), source))?;
        let size = if half { 2 } else { 4 };
        let slot = size as u64 * nodes as u64 * s as u64;
        Ok(PanelFile { file, folder: folder.to_owned(), s, size, slot, read: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// Rows of a slot from `first` on, s numbers each.
    pub(crate) fn read_rows(&self, slot: usize, first: usize, out: &mut [f32]) -> Result<(), Error> {
        let mut buffer = [0; CHUNK];
        let mut offset = self.offset(slot, first);
        for part in out.chunks_mut(CHUNK / self.size) {
            let bytes = &mut buffer[..self.size * part.len()];
            read_at(&self.file, bytes, offset).map_err(|source| failed("reading", &self.shown(), source))?;
            match self.size {
                2 => part.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(number, &b)| *number = f16::from_le_bytes(b).to_f32()),
                _ => part.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(number, &b)| *number = f32::from_le_bytes(b)),
            }
            offset += bytes.len() as u64;
        }
        self.read.fetch_add((self.size * out.len()) as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Writes rows of a slot from `first` on.
    pub(crate) fn write_rows(&self, slot: usize, first: usize, rows: &[f32]) -> Result<(), Error> {
        let mut buffer = [0; CHUNK];
        let mut offset = self.offset(slot, first);
        for part in rows.chunks(CHUNK / self.size) {
            let bytes = &mut buffer[..self.size * part.len()];
            match self.size {
                2 => part.iter().zip(bytes.as_chunks_mut::<2>().0).for_each(|(&number, b)| *b = f16::from_f32(number).to_le_bytes()),
                _ => part.iter().zip(bytes.as_chunks_mut::<4>().0).for_each(|(&number, b)| *b = number.to_le_bytes()),
            }
            write_at(&self.file, bytes, offset).map_err(|source| failed("writing", &self.shown(), source))?;
            offset += bytes.len() as u64;
        }
        self.written.fetch_add((self.size * rows.len()) as u64, Ordering::Relaxed);
        Ok(())
    }

    fn offset(&self, slot: usize, first: usize) -> u64 {
        self.slot * slot as u64 + (self.size * first * self.s) as u64
    }

    /// Bytes read and written so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }

    fn shown(&self) -> String {
        format!("a spill file in {}", self.folder.display())
    }
}
