//! Arrays larger than memory, a block of rows at a time.

use certus_contract::InputError;
use certus_numeric::Array;

use crate::any::{convert_or_say, read_data};
use crate::dtype::Dtype;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::npy::header::NpyHeader;
use crate::npz::Npz;
use crate::source::{Format, Source};
use crate::stream::{Stream, Supply, read_values, short};

/// Reads an `.npy` file, or an uncompressed array of an `.npz`, by blocks of rows (of the first index), in any order.
///
/// Memory is that of the block. The file must be in C order (a vector always is); any type of numbers is converted by the
/// rules of [`Element`].
///
/// ```
/// use certus_io::NpyRows;
/// use certus_numeric::Array;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.npy");
/// certus_io::write_npy(&path, &Array::from_fn(5, 2, |i, j| (10 * i + j) as f64))?;
/// let mut rows = NpyRows::open(&path)?;
/// let mut sum = 0.0;
/// while let Some(block) = rows.next_block::<f64>(2)? {
///     sum += block.as_slice().iter().sum::<f64>();
/// }
/// assert_eq!(sum, 205.0);
/// rows.seek(4)?;
/// assert_eq!(rows.next_block::<f64>(2)?.map(|block| block.into_vec()), Some(vec![40.0, 41.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpyRows {
    label: String,
    stream: Stream,
    header: NpyHeader,
    /// The byte of the file where row 0 begins.
    start: u64,
    next: usize,
}

impl NpyRows {
    /// Opens the file and reads the header.
    ///
    /// # Errors
    /// As [`read`](crate::read), and `UnsupportedFormat` for Fortran order, strings, and compressed arrays. A file that is
    /// shorter than its header says is refused here.
    pub fn open(source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        let NpyLocation { header, start, label } = NpyLocation::of(&source)?;
        let one_axis = header.shape.iter().filter(|&&n| n != 1).count() <= 1;
        if header.fortran_order && !one_axis {
            return Err(Error::unsupported(label, "in Fortran order", "C order (np.ascontiguousarray) for reading by rows"));
        }
        if matches!(header.dtype, Dtype::Str(_) | Dtype::Bytes(_)) {
            return Err(Error::unsupported(label, header.dtype.to_string(), "an array of numbers"));
        }
        let mut stream = source.open()?;
        stream.move_to(start).map_err(|error| Error::reading(&label, error))?;
        Ok(NpyRows { label, stream, header, start, next: 0 })
    }

    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The type in the file.
    pub fn dtype(&self) -> Dtype {
        self.header.dtype
    }

    /// The number of rows: the first extent (1 for a zero-dimensional array).
    pub fn rows(&self) -> usize {
        self.header.shape.first().copied().unwrap_or(1)
    }

    /// The number of entries in a row.
    pub fn cols(&self) -> usize {
        self.header.shape.iter().skip(1).product()
    }

    /// The row that comes next.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Makes `row` the next one; `rows()` is the end.
    ///
    /// # Errors
    /// `InvalidParameter` beyond the end; `Io`.
    pub fn seek(&mut self, row: usize) -> Result<()> {
        if row > self.rows() {
            return Err(InputError::parameter("row", row, format!("at most {} (the rows of {})", self.rows(), self.label)).into());
        }
        let byte = self.start + (row * self.cols() * self.header.dtype.size()) as u64;
        self.stream.move_to(byte).map_err(|error| Error::reading(&self.label, error))?;
        self.next = row;
        Ok(())
    }

    /// Puts the next rows, at most `rows` of them, into `out` (what it held is dropped, its memory is used again). Returns
    /// their number; 0 at the end.
    ///
    /// # Errors
    /// `Truncated` if the file has become shorter, `UnsupportedFormat` for an entry that `T` does not hold, `Io`.
    pub fn read_into<T: Element>(&mut self, rows: usize, out: &mut Vec<T>) -> Result<usize> {
        out.clear();
        let rows = rows.min(self.rows() - self.next);
        let count = rows * self.cols();
        let supply = Supply::Known((count * self.header.dtype.size()) as u64);
        if self.header.dtype == T::DTYPE {
            read_values(&self.label, &mut self.stream, count, self.header.big_endian, supply, out)?;
        } else {
            let data = read_data(&self.label, &mut self.stream, self.header.dtype, count, self.header.big_endian, supply)?;
            *out = convert_or_say(&self.label, self.header.dtype, &self.header.shape, self.next * self.cols(), data)?;
        }
        self.next += rows;
        Ok(rows)
    }

    /// The next rows, at most `rows` of them (at least 1); `None` at the end.
    ///
    /// # Errors
    /// As [`NpyRows::read_into`].
    pub fn next_block<T: Element>(&mut self, rows: usize) -> Result<Option<Array<T>>> {
        let mut values = Vec::new();
        let got = self.read_into(rows.max(1), &mut values)?;
        if got == 0 {
            return Ok(None);
        }
        let mut shape = self.header.shape.clone();
        match shape.first_mut() {
            Some(first) => *first = got,
            None => shape = vec![],
        }
        Ok(Some(Array::new(shape, values)?))
    }

    /// All blocks of `rows` rows from the next one on.
    pub fn blocks<T: Element>(mut self, rows: usize) -> impl Iterator<Item = Result<Array<T>>> {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let block = self.next_block(rows).transpose();
            failed = matches!(block, Some(Err(_)));
            block
        })
    }
}

/// Where the entries of an `.npy` file, or of an uncompressed array of an `.npz`, lie: for readers of their own, at any place and from any
/// thread.
///
/// ```
/// use certus_io::NpyLocation;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("a.npy");
/// certus_io::write_npy(&path, &certus_numeric::Array::identity(2))?;
/// let found = NpyLocation::of(&path)?;
/// assert_eq!((found.header.shape, found.start), (vec![2, 2], 128));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NpyLocation {
    /// Type, shape and order.
    pub header: NpyHeader,
    /// The byte of the file where the first entry begins.
    pub start: u64,
    /// How messages call the array.
    pub label: String,
}

impl NpyLocation {
    /// Reads the header; a file that is shorter than its header says is refused.
    ///
    /// # Errors
    /// As [`NpyRows::open`], Fortran order and strings excepted.
    pub fn of(source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        let (label, mut stream, begin, end) = match source.format()? {
            Format::Npy => {
                let stream = source.open()?;
                let end = stream.len();
                (source.label(), stream, 0, end)
            }
            Format::Npz => {
                let member = Npz::open(&source)?.stored_member(source.array())?;
                (member.label, source.open()?, member.begin, member.end)
            }
            _ => return Err(Error::unsupported(source.label(), "not an .npy array", "an .npy or .npz array for reading by rows")),
        };
        stream.move_to(begin).map_err(|error| Error::reading(&label, error))?;
        let header = NpyHeader::read(&label, &mut stream)?;
        let start = begin + header.len;
        let available = end.saturating_sub(start);
        if header.bytes() > available {
            return Err(short(&label, header.bytes(), available));
        }
        Ok(NpyLocation { header, start, label })
    }
}
