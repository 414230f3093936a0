//! The entries of one array in a file, read at any place and from any thread.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "streaming is file work")]

use std::fs::File;
use std::io;
use std::path::Path;

use certus_contract::InputError;
use certus_io::{Dtype, NpyLocation};
use half::{bf16, f16};

use super::{CHUNK, failed, read_at};
use crate::error::Error;

/// An open array of an `.npy` file, or of an `.npz` that is not compressed.
#[derive(Debug)]
pub(super) struct Entries {
    file: File,
    label: String,
    /// The byte where entry 0 begins.
    start: u64,
    count: usize,
    dtype: Dtype,
    big_endian: bool,
}

impl Entries {
    pub(super) fn open(path: &Path, location: &NpyLocation) -> Result<Self, Error> {
        let NpyLocation { header, start, label } = location;
        let file = File::open(path).map_err(|source| failed("reading", label, source))?;
        let (dtype, big_endian) = (header.dtype, header.big_endian);
        Ok(Entries { file, label: label.clone(), start: *start, count: header.entries(), dtype, big_endian })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of an entry.
    pub(super) fn entry_bytes(&self) -> u64 {
        self.dtype.size() as u64
    }

    /// Whole numbers from entry `first` on; those beyond 63 bits become the largest.
    pub(super) fn integers(&self, first: u64, count: usize, mut put: impl FnMut(i64)) -> Result<(), Error> {
        self.chunks(first, count, |bytes| match self.dtype {
            Dtype::Int64 => bytes.as_chunks::<8>().0.iter().for_each(|&b| put(i64::from_le_bytes(b))),
            Dtype::UInt64 => bytes.as_chunks::<8>().0.iter().for_each(|&b| put(u64::from_le_bytes(b).try_into().unwrap_or(i64::MAX))),
            Dtype::Int32 => bytes.as_chunks::<4>().0.iter().for_each(|&b| put(i32::from_le_bytes(b).into())),
            Dtype::UInt32 => bytes.as_chunks::<4>().0.iter().for_each(|&b| put(u32::from_le_bytes(b).into())),
            Dtype::Int16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(i16::from_le_bytes(b).into())),
            Dtype::UInt16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(u16::from_le_bytes(b).into())),
            Dtype::Int8 => bytes.iter().for_each(|&b| put((b as i8).into())),
            _ => bytes.iter().for_each(|&b| put(b.into())),
        })
    }

    /// Numbers from entry `first` on, rounded to f32.
    pub(super) fn floats(&self, first: u64, count: usize, mut put: impl FnMut(f32)) -> Result<(), Error> {
        match self.dtype {
            Dtype::Int32 | Dtype::Int64 | Dtype::UInt32 | Dtype::UInt64 => self.integers(first, count, |value| put(value as f64 as f32)),
            _ => self.chunks(first, count, |bytes| match self.dtype {
                Dtype::Float32 => bytes.as_chunks::<4>().0.iter().for_each(|&b| put(f32::from_le_bytes(b))),
                Dtype::Float64 => bytes.as_chunks::<8>().0.iter().for_each(|&b| put(f64::from_le_bytes(b) as f32)),
                Dtype::Float16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f16::from_le_bytes(b).to_f32())),
                Dtype::BFloat16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(bf16::from_le_bytes(b).to_f32())),
                Dtype::Int16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f32::from(i16::from_le_bytes(b)))),
                Dtype::UInt16 => bytes.as_chunks::<2>().0.iter().for_each(|&b| put(f32::from(u16::from_le_bytes(b)))),
                Dtype::Int8 => bytes.iter().for_each(|&b| put(f32::from(b as i8))),
                _ => bytes.iter().for_each(|&b| put(f32::from(b))),
            }),
        }
    }

    /// Entry `at` before it is rounded to f32.
    pub(super) fn double(&self, at: u64) -> Result<f64, Error> {
        let mut value = f64::NAN;
        match self.dtype {
            Dtype::Float64 => self.chunks(at, 1, |bytes| bytes.as_chunks::<8>().0.iter().for_each(|&b| value = f64::from_le_bytes(b)))?,
            _ => self.floats(at, 1, |x| value = f64::from(x))?,
        }
        Ok(value)
    }

    /// The bytes of entries, some at a time, little-endian.
    fn chunks(&self, first: u64, mut count: usize, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        let size = self.dtype.size();
        let mut offset = self.start + first * size as u64;
        let mut buffer = [0; CHUNK];
        while count > 0 {
            let now = count.min(CHUNK / size);
            let bytes = &mut buffer[..now * size];
            read_at(&self.file, bytes, offset).map_err(|source| self.short(source))?;
            if self.big_endian {
                bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            take(bytes);
            offset += bytes.len() as u64;
            count -= now;
        }
        Ok(())
    }

    fn short(&self, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return InputError::truncated(&self.label, format!("{} entries", self.count), "fewer").into();
        }
        failed("reading", &self.label, source)
    }
}
