//! Features in a file that is mapped into memory.
#![cfg_attr(target_os = "linux", allow(unsafe_code, reason = "a map of a file has no safe form"))]

use std::path::Path;

use certus_contract::InputError;
use certus_io::{Dtype, NpyLocation, Source};

use crate::error::Error;

/// The entries of an `.npy` file of f32, where they stand in the file.
#[derive(Debug)]
pub(crate) struct MappedFeatures {
    map: Map,
    rows: usize,
    columns: usize,
}

impl MappedFeatures {
    /// Maps the file; a file that is shorter than its header says is refused.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let NpyLocation { header, start, label } = NpyLocation::of(Source::file(path))?;
        let native = header.big_endian == cfg!(target_endian = "big");
        if header.dtype != Dtype::Float32 || !native || header.fortran_order || start % 4 != 0 {
            let byte_order = if native { "" } else { ", of another byte order" };
            let order = if header.fortran_order { ", column by column" } else { "" };
            let found = format!("{}{byte_order}{order}, from byte {start}", header.dtype);
            let expected = "an .npy file of float32 in this machine's byte order, row by row, or features that are streamed (not mapped)";
            return Err(InputError::unsupported(label, found, expected).into());
        }
        let [rows, columns] = header.shape[..] else {
            return Err(InputError::shape(label, &header.shape, "a matrix (nodes x columns)").into());
        };
        Ok(MappedFeatures { map: Map::open(path, &label, start as usize, header.entries())?, rows, columns })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        self.map.numbers()
    }
}

#[cfg(target_os = "linux")]
use linux::Map;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::path::Path;

    use certus_contract::InputError;
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

    use crate::error::Error;
    use crate::storage::failed;

    /// Pages of a file, from its beginning.
    #[derive(Debug)]
    pub(super) struct Map {
        begin: *mut std::ffi::c_void,
        bytes: usize,
        /// The byte of the first number.
        start: usize,
        numbers: usize,
    }

    // SAFETY: the pages are only read, from whatever thread, and belong to this value until it is dropped.
    unsafe impl Send for Map {}
    // SAFETY: the same.
    unsafe impl Sync for Map {}

    impl Map {
        /// `start` is a multiple of four.
        pub(super) fn open(path: &Path, label: &str, start: usize, numbers: usize) -> Result<Self, Error> {
            let file = File::open(path).map_err(|source| failed("reading", label, source))?;
            let length = file.metadata().map_err(|source| failed("reading", label, source))?.len();
            let bytes = numbers.checked_mul(4).and_then(|bytes| bytes.checked_add(start));
            let Some(bytes) = bytes.filter(|&bytes| bytes as u64 <= length) else {
                return Err(InputError::truncated(label, format!("{numbers} entries"), "fewer").into());
            };
            // SAFETY: a new map at a place of the system's choice changes no memory that exists; it is as long as the file at most.
            let begin = unsafe { mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) };
            let begin = begin.map_err(|error| failed("mapping", label, error.into()))?;
            Ok(Map { begin, bytes, start, numbers })
        }

        pub(super) fn numbers(&self) -> &[f32] {
            // SAFETY: the map holds `start + 4 numbers` bytes that can be read until it is dropped; it begins at a page, and `start` is a
            // multiple of four; any bytes are numbers. That nobody changes the file meanwhile is what `Features::mapped` asks for.
            unsafe { std::slice::from_raw_parts(self.begin.cast::<u8>().add(self.start).cast::<f32>(), self.numbers) }
        }
    }

    impl Drop for Map {
        fn drop(&mut self) {
            // SAFETY: the map was made with this length, and no reference to it is left.
            let _ = unsafe { munmap(self.begin, self.bytes) };
        }
    }
}

/// No map of a file is made here.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
enum Map {}

#[cfg(not(target_os = "linux"))]
impl Map {
    fn open(_: &Path, label: &str, _: usize, _: usize) -> Result<Self, Error> {
        let expected = "features that are streamed: files are mapped on Linux alone";
        Err(InputError::unsupported(label, "a file to be mapped", expected).into())
    }

    fn numbers(&self) -> &[f32] {
        match *self {}
    }
}
