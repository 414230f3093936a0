//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};

/// A file in the making: it is written under a temporary name in the folder of its path, and renamed at the end.
///
/// If it is dropped before [`AtomicFile::commit`], nothing is left and what stood at the path before is untouched.
/// [`AtomicFile::create`] already tells whether the folder can be written to, so call it before long work.
#[derive(Debug)]
pub struct AtomicFile {
    /// As the user gave it, for messages.
    path: PathBuf,
    /// Where it leads.
    target: PathBuf,
    writer: BufWriter<NamedTempFile>,
    /// A write failed, which was told; what comes after it goes nowhere, so that writers can be dropped in peace.
    failed: bool,
    /// Where the next byte goes, or would go.
    place: u64,
}

impl AtomicFile {
    /// Begins a file that will stand at `path`. A link there is followed.
    ///
    /// # Errors
    /// `Io` if the folder does not exist or cannot be written to, or if `path` is a folder or a device.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_buffer(path, 128 << 10)
    }

    /// As [`AtomicFile::create`], with a buffer of this many bytes.
    ///
    /// # Errors
    /// As there.
    pub fn with_buffer(path: impl AsRef<Path>, bytes: usize) -> Result<Self> {
        let given = path.as_ref();
        let refuse = |why: &str| Err(Error::writing(given, io::Error::new(io::ErrorKind::InvalidInput, why)));
        let target = fs::canonicalize(given).unwrap_or_else(|_| given.to_owned());
        match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => return refuse("it is a folder"),
            Ok(metadata) if !metadata.is_file() => return refuse("it is no regular file"),
            _ => {}
        }
        let Some(name) = target.file_name() else { return refuse("it names no file") };
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let prefix = format!(".{}.", name.to_string_lossy().chars().take(40).collect::<String>());
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        let mode = plain_mode();
        if let Some(mode) = &mode {
            builder.permissions(mode.clone());
        }
        // The temporary name would only confuse, so of these errors the kind alone is kept.
        let file = match builder.tempfile_in(folder) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return refuse("its folder does not exist"),
            Err(error) => return Err(Error::writing(given, error.kind().into())),
        };
        let writer = BufWriter::with_capacity(bytes, file);
        Ok(AtomicFile { path: given.to_owned(), target, writer, failed: false, place: 0 })
    }

    /// Where it will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, replacing what stood there.
    ///
    /// # Errors
    /// `Io`; then nothing is left of it.
    pub fn commit(self) -> Result<()> {
        if self.failed {
            return Err(Error::writing(&self.path, io::Error::other("an earlier write failed")));
        }
        let file = self.writer.into_inner().map_err(|error| Error::writing(&self.path, error.into_error()))?;
        file.persist(&self.target).map_err(|error| Error::writing(&self.path, error.error))?;
        Ok(())
    }
}

/// Temporary files are for their owner alone; a file that stays has the rights that the user's mask leaves to new files.
#[cfg(unix)]
fn plain_mode() -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn plain_mode() -> Option<fs::Permissions> {
    None
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = if self.failed {
            bytes.len()
        } else {
            self.writer.write(bytes).inspect_err(|error| self.failed = error.kind() != io::ErrorKind::Interrupted)?
        };
        self.place += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        self.writer.flush().inspect_err(|_| self.failed = true)
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.place = match (self.failed, position) {
            (false, _) => self.writer.seek(position).inspect_err(|_| self.failed = true)?,
            (true, SeekFrom::Start(place)) => place,
            (true, SeekFrom::Current(by) | SeekFrom::End(by)) => self.place.saturating_add_signed(by),
        };
        Ok(self.place)
    }
}
