//! Open files, and reads that never allocate more than what is there.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use certus_contract::InputError;

use crate::element::Raw;
use crate::error::{Error, Result};

/// Bytes decoded at a time.
const CHUNK: usize = 256 << 10;

/// An open file, or bytes in memory.
#[derive(Debug)]
pub(crate) enum Stream {
    File { reader: BufReader<File>, len: u64 },
    Memory(Cursor<Arc<[u8]>>),
}

impl Stream {
    /// Opens a regular file. Anything else is refused before it is opened: opening a pipe would wait for its writer.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => InputError::not_found::<&str>(&label, []).into(),
            // A path that no file system can hold: a NUL in it, or a name that is too long.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => InputError::not_found::<&str>(&label, []).into(),
            _ => Error::Io { action: "read", path: label.clone(), source },
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::unsupported(label, "a folder", "a file"));
        }
        if !metadata.is_file() {
            return Err(Error::unsupported(label, "a pipe, socket or device", "a regular file"));
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Stream::File { reader: BufReader::with_capacity(64 << 10, file), len })
    }

    pub(crate) fn memory(bytes: Arc<[u8]>) -> Self {
        Stream::Memory(Cursor::new(bytes))
    }

    /// The length of the whole in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Stream::File { len, .. } => *len,
            Stream::Memory(cursor) => cursor.get_ref().len() as u64,
        }
    }

    /// Moves to a byte; cheap if the byte is near.
    pub(crate) fn move_to(&mut self, byte: u64) -> io::Result<()> {
        match self {
            Stream::File { reader, .. } => {
                let here = reader.stream_position()?;
                reader.seek_relative(byte.wrapping_sub(here) as i64)
            }
            Stream::Memory(cursor) => {
                cursor.set_position(byte);
                Ok(())
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::File { reader, .. } => reader.read(buffer),
            Stream::Memory(cursor) => cursor.read(buffer),
        }
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Stream::File { reader, .. } => reader.fill_buf(),
            Stream::Memory(cursor) => cursor.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Stream::File { reader, .. } => reader.consume(amount),
            Stream::Memory(cursor) => cursor.consume(amount),
        }
    }
}

impl Seek for Stream {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Stream::File { reader, .. } => reader.seek(position),
            Stream::Memory(cursor) => cursor.seek(position),
        }
    }
}

/// How many bytes a reader can still give, as far as that is known before reading.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Supply {
    /// At least this many: memory for them may be reserved at once.
    Known(u64),
    /// At most this many (compressed data): memory grows as they arrive.
    AtMost(u64),
}

/// Fills `buffer` as far as the reader goes.
pub(crate) fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Appends `count` numbers to `out`. The memory taken is bounded by what the reader holds, whatever `count` says.
pub(crate) fn read_values<T: Raw>(
    label: &str,
    reader: &mut dyn Read,
    count: usize,
    big_endian: bool,
    supply: Supply,
    out: &mut Vec<T>,
) -> Result<()> {
    let bytes = require_supply(label, count, T::SIZE, supply)?;
    if let Supply::Known(_) = supply {
        out.reserve_exact(count);
    }
    let mut buffer = vec![0; bytes.min(CHUNK - CHUNK % T::SIZE)];
    let mut done = 0;
    while done < bytes {
        let wanted = buffer.len().min(bytes - done);
        let chunk = &mut buffer[..wanted];
        let got = read_full(reader, chunk).map_err(|error| Error::reading(label, error))?;
        if got < wanted {
            return Err(short(label, bytes as u64, (done + got) as u64));
        }
        if big_endian {
            out.extend(chunk.chunks_exact(T::SIZE).map(T::from_be));
        } else {
            out.extend(chunk.chunks_exact(T::SIZE).map(T::from_le));
        }
        done += wanted;
    }
    Ok(())
}

/// The bytes of `count` items of `size` bytes; refuses more than the reader can hold.
pub(crate) fn require_supply(label: &str, count: usize, size: usize, supply: Supply) -> Result<usize> {
    let (Supply::Known(available) | Supply::AtMost(available)) = supply;
    let bytes = (count as u64).saturating_mul(size as u64);
    if bytes > available {
        return Err(short(label, bytes, available));
    }
    usize::try_from(bytes).map_err(|_| InputError::too_large(label, format!("{bytes} bytes"), "the address space").into())
}

pub(crate) fn short(label: &str, expected: u64, found: u64) -> Error {
    Error::truncated(label, format!("{expected} bytes of data"), format!("{found}"))
}

/// The number of entries of a shape whose entries have `size` bytes.
///
/// Extents of 0 do not excuse the others, so that no later product of extents can overflow.
pub(crate) fn entries(label: &str, shape: &[usize], size: usize) -> Result<usize> {
    let span = shape.iter().filter(|&&n| n > 0).try_fold(size.max(1), |product, &n| product.checked_mul(n));
    match span {
        Some(span) if isize::try_from(span).is_ok() => Ok(shape.iter().product()),
        _ => Err(InputError::too_large(label, format!("shape {shape:?}"), format!("{} bytes (the address space)", isize::MAX)).into()),
    }
}
