//! Archives of named arrays.

use std::io::Write;
use std::path::{Path, PathBuf};

use certus_contract::InputError;
use certus_numeric::Array;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::any::AnyArray;
use crate::atomic::AtomicFile;
use crate::element::Element;
use crate::error::{Error, Result, listed};
use crate::npy::header::{NpyHeader, descr, encode};
use crate::npy::read::read_body;
use crate::npy::write::write_values;
use crate::source::{Source, member_label};
use crate::stream::{Stream, Supply, entries, short};

/// Deflate turns one byte into at most 1032, so a compressed array cannot be larger than this times its bytes in the file.
const DEFLATE_RATIO: u64 = 1032;

/// An open `.npz` file: named arrays, stored or deflated.
///
/// Opening reads the list of names; each array is read when it is asked for. A compressed array takes memory as its data
/// arrives, never more than its header and its bytes in the file allow.
///
/// ```
/// use certus_io::{Npz, NpzWriter};
/// use certus_numeric::Array;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.npz");
/// let mut writer = NpzWriter::create(&path)?;
/// writer.add("w", &Array::identity(2))?;
/// writer.add_scalar("alpha", 0.5)?;
/// writer.finish()?;
///
/// let mut model = Npz::open(&path)?;
/// assert_eq!(model.names().collect::<Vec<_>>(), ["w", "alpha"]);
/// assert_eq!(model.array::<f64>("w")?.row(1), [0.0, 1.0]);
/// assert_eq!(model.scalar::<f32>("alpha")?, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Npz {
    label: String,
    len: u64,
    archive: ZipArchive<Stream>,
    /// Names without `.npy`, and the number in the archive.
    members: Vec<(String, usize)>,
}

/// Where an uncompressed array stands in the file.
pub(crate) struct StoredMember {
    pub(crate) label: String,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl Npz {
    /// Opens an archive. The name of an array in `source` is ignored.
    ///
    /// # Errors
    /// `NotFound`; `UnsupportedFormat` for a file that is no zip archive, is damaged, or holds two arrays of one name;
    /// `Io`.
    pub fn open(source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        let label = source.file_label();
        let mut stream = source.open()?;
        let len = stream.len();
        let failed = |error: std::io::Error| Error::reading(&label, error);
        // The zip format allows anything before an archive. NumPy writes nothing there, and the search for an archive in
        // what is none ends in a message about a missing directory, which helps nobody.
        let mut start = [0; 6];
        let got = crate::stream::read_full(&mut stream, &mut start).map_err(failed)?;
        if !start[..got].starts_with(b"PK") {
            let found = match &start[..got] {
                [] => "an empty file",
                [0x93, b'N', ..] => "a single .npy array",
                _ => "no zip archive",
            };
            return Err(Error::unsupported(label, found, "an .npz archive"));
        }
        stream.move_to(0).map_err(failed)?;
        let archive = ZipArchive::new(stream).map_err(|error| damaged(&label, error))?;
        if archive.has_duplicate_names() {
            return Err(Error::unsupported(label, "an archive with two arrays of one name", "an archive of distinct names"));
        }
        let members = archive.file_names_raw().enumerate().filter_map(|(k, name)| {
            let name = name.strip_suffix(b".npy")?;
            Some((String::from_utf8_lossy(name).into_owned(), k))
        });
        let members = members.collect();
        Ok(Npz { label, len, archive, members })
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is an array of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    /// Type and shape of the array `name`, without its data.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn header(&mut self, name: &str) -> Result<NpyHeader> {
        let (label, index) = self.find(name)?;
        let mut file = self.archive.by_index(index).map_err(|error| damaged(&label, error))?;
        NpyHeader::read(&label, &mut file)
    }

    /// The array `name` as it is.
    ///
    /// # Errors
    /// `NotFound`, naming what there is; `Truncated`, `TooLarge`, `UnsupportedFormat` for data that is cut short, absurd,
    /// damaged (the archive's checksum is verified) or of another type; `DimensionMismatch` for surplus data.
    pub fn read(&mut self, name: &str) -> Result<AnyArray> {
        let (label, index) = self.find(name)?;
        let len = self.len;
        let mut file = self.archive.by_index(index).map_err(|error| damaged(&label, error))?;
        let (packed, size) = (file.compressed_size().min(len), file.size());
        let header = NpyHeader::read(&label, &mut file)?;
        let supply = match file.compression() {
            CompressionMethod::Stored => Supply::Known(packed.saturating_sub(header.len)),
            _ => Supply::AtMost(packed.saturating_mul(DEFLATE_RATIO).min(size).saturating_sub(header.len)),
        };
        read_body(&label, &mut file, header, supply)
    }

    /// The array `name` as numbers of type `T`, by the rules of [`Element`].
    ///
    /// # Errors
    /// As [`Npz::read`] and [`AnyArray::into_array`].
    pub fn array<T: Element>(&mut self, name: &str) -> Result<Array<T>> {
        self.read(name)?.into_array()
    }

    /// The only entry of the array `name`.
    ///
    /// # Errors
    /// As [`Npz::array`], and `DimensionMismatch` for an array of more or fewer entries.
    pub fn scalar<T: Element>(&mut self, name: &str) -> Result<T> {
        let array = self.array::<T>(name)?;
        match array.as_slice() {
            [value] => Ok(*value),
            _ => Err(InputError::shape(member_label(&self.label, name), array.shape(), "a single number").into()),
        }
    }

    /// The name that a source without one means: that of the only array.
    pub(crate) fn only_name(&self) -> Result<String> {
        match &self.members[..] {
            [(name, _)] => Ok(name.clone()),
            [] => Err(Error::unsupported(&self.label, "an archive without arrays", "an archive of .npy arrays")),
            _ => {
                let names = listed(self.names());
                let expected = format!("{}:NAME with NAME one of {names}", self.label);
                Err(InputError::parameter(&self.label, "an archive of several arrays", expected).into())
            }
        }
    }

    /// Where the array `name` (or the only one) stands in the file, if it is not compressed.
    pub(crate) fn stored_member(mut self, name: Option<&str>) -> Result<StoredMember> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.only_name()?,
        };
        let (label, index) = self.find(&name)?;
        let file = self.archive.by_index(index).map_err(|error| damaged(&label, error))?;
        let (begin, size) = (file.data_start().unwrap_or(u64::MAX), file.size());
        if file.compression() != CompressionMethod::Stored {
            return Err(Error::unsupported(label, "compressed", "an uncompressed array (np.save, np.savez) for reading by rows"));
        }
        let end = begin.saturating_add(size);
        if end > self.len {
            return Err(short(&label, size, self.len.saturating_sub(begin)));
        }
        Ok(StoredMember { label, begin, end })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn find(&self, name: &str) -> Result<(String, usize)> {
        let label = member_label(&self.label, name);
        let found = |wanted: &str| self.members.iter().find(|(member, _)| member == wanted).map(|&(_, index)| index);
        match found(name).or_else(|| found(name.strip_suffix(".npy")?)) {
            Some(index) => Ok((label, index)),
            None => Err(InputError::not_found(label, self.names()).into()),
        }
    }
}

fn damaged(label: &str, error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::reading(label, error),
        ZipError::UnsupportedArchive(what) if what == ZipError::PASSWORD_REQUIRED => {
            Error::unsupported(label, "encrypted", "an archive without a password")
        }
        ZipError::CompressionMethodNotSupported(method) => {
            Error::unsupported(label, format!("compressed by method {method}"), "stored or deflated data (np.savez, np.savez_compressed)")
        }
        other => Error::unsupported(label, format!("damaged ({other})"), "an intact archive"),
    }
}

/// Writes an `.npz` file: named arrays, by rename when it is complete.
///
/// Arrays are stored as they are (as `np.savez` does), unless [`NpzWriter::compressed`] is asked for. The same arrays give
/// the same bytes: no time is recorded.
#[derive(Debug)]
pub struct NpzWriter {
    path: PathBuf,
    zip: ZipWriter<AtomicFile>,
    options: SimpleFileOptions,
    buffer: Vec<u8>,
}

impl NpzWriter {
    /// Begins an archive.
    ///
    /// # Errors
    /// `Io` if the folder cannot be written to.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let file = AtomicFile::create(path)?;
        let path = file.path().to_owned();
        // The earliest time that the format knows.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644);
        Ok(NpzWriter { path, zip: ZipWriter::new(file), options, buffer: Vec::new() })
    }

    /// The same archive, with all that follows deflated: worth its time for integers and sparse patterns, not for floats.
    pub fn compressed(mut self) -> Self {
        self.options = self.options.compression_method(CompressionMethod::Deflated);
        self
    }

    /// Adds an array.
    ///
    /// # Errors
    /// `InvalidParameter` for a name that is there already; `Io`.
    pub fn add<T: Element>(&mut self, name: &str, array: &Array<T>) -> Result<()> {
        self.add_slice(name, array.shape(), array.as_slice())
    }

    /// Adds a zero-dimensional array.
    ///
    /// # Errors
    /// As [`NpzWriter::add`].
    pub fn add_scalar<T: Element>(&mut self, name: &str, value: T) -> Result<()> {
        self.add_slice(name, &[], &[value])
    }

    /// Adds an array of this shape from its entries in C order.
    ///
    /// # Errors
    /// As [`NpzWriter::add`], and `DimensionMismatch` if the number of entries is not the shape's.
    pub fn add_slice<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<()> {
        let label = member_label(&self.path.display().to_string(), name);
        if entries(&label, shape, T::SIZE)? != values.len() {
            return Err(InputError::shape(label, shape, format!("a shape of {} entries", values.len())).into());
        }
        self.start(name, &descr(T::DTYPE), shape, values.len() * T::SIZE)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = write_values(&mut self.zip, values, &mut buffer);
        self.buffer = buffer;
        written.map_err(|error| Error::writing(&self.path, error))
    }

    /// Adds a zero-dimensional byte string, as SciPy names the format of a sparse matrix.
    pub(crate) fn add_bytes(&mut self, name: &str, text: &[u8]) -> Result<()> {
        self.start(name, &format!("|S{}", text.len()), &[], text.len())?;
        self.zip.write_all(text).map_err(|error| Error::writing(&self.path, error))
    }

    /// Completes the archive and gives it its name.
    ///
    /// # Errors
    /// `Io`; the file does not appear then.
    pub fn finish(self) -> Result<()> {
        let failed = |error: ZipError| Error::writing(&self.path, error.into());
        self.zip.finish().map_err(failed)?.commit()
    }

    fn start(&mut self, name: &str, descr: &str, shape: &[usize], bytes: usize) -> Result<()> {
        let header = encode(descr, shape);
        // The 64-bit form of the format is needed from 4 GiB on; leave room for what deflate may add.
        let large = bytes as u64 + header.len() as u64 > u64::from(u32::MAX) - (64 << 20);
        self.zip.start_file(format!("{name}.npy"), self.options.large_file(large)).map_err(|error| match error {
            ZipError::InvalidArchive(_) => {
                Error::from(InputError::parameter(format!("the name of an array in {}", self.path.display()), name, "new in its archive"))
            }
            other => Error::writing(&self.path, other.into()),
        })?;
        self.zip.write_all(&header).map_err(|error| Error::writing(&self.path, error))
    }
}
