//! Panels that memory does not hold.
#![allow(clippy::disallowed_types, reason = "spilling is file work")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;

use super::{CHUNK, failed, read_at, write_at};
use crate::error::Error;

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

    /// Whether numbers are in f16.
    pub(crate) fn is_half(&self) -> bool {
        self.size == 2
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
