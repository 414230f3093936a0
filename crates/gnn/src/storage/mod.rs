//! The one module that touches files: streamed features and graphs, spilled panels.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "streaming and spilling are file work, and stand here alone")]

mod entries;
mod features;
mod graph;
mod mapped;
mod panels;

use std::fs::File;
use std::io;
use std::path::Path;

use certus_contract::InputError;

use crate::error::Error;

pub use features::NpyFeatures;
pub use graph::GraphFile;
pub(crate) use mapped::MappedFeatures;
pub(crate) use panels::PanelFile;

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

fn failed(action: &'static str, path: &str, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// Whether a file is one of `torch.save`: a zip archive whose first entry is a pickle, or in the old form a pickle with a number that marks it.
pub(crate) fn is_pytorch(path: &Path) -> bool {
    use std::io::Read as _;
    // A pipe would wait for its writer.
    if !path.is_file() {
        return false;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
    let archive = start.starts_with(b"PK") && start.windows(8).any(|part| part == b"data.pkl");
    read.is_ok() && (archive || start.starts_with(&[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46]))
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
