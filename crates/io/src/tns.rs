//! FROSTT coordinates: sparse tensors as text (<http://frostt.io/tensors/file-formats.html>).

use std::io::Write;
use std::path::Path;

use certus_contract::InputError;
use certus_numeric::Coo;

use crate::atomic::AtomicFile;
use crate::compressed::from_coordinates;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::text::Lines;

/// The most dimensions of a `.tns` file.
const MOST_DIMENSIONS: usize = 64;

/// How a `.tns` file is to be understood, since it does not say so itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TnsOptions {
    /// Whether indices count from 0 (default: from 1).
    pub zero_based: bool,
    /// The shape (default: in each dimension the largest index that is listed).
    pub shape: Option<Vec<usize>>,
}

/// Reads a `.tns` file: a line an entry, its indices and then its value; `#` begins a comment.
///
/// Entries keep the order of the file, and duplicates stay: [`Coo::sorted`] treats them.
///
/// # Errors
/// With the line: `UnsupportedFormat` for what is no number; `DimensionMismatch` for a line of another length than the
/// first, or than the given shape; `InvalidSparsity` for an index outside the shape (0 where they count from 1);
/// `EmptyProblem` if nothing is listed and no shape is given.
pub fn read_tns(source: impl Into<Source>, options: &TnsOptions) -> Result<Coo> {
    let source = source.into();
    let mut lines = Lines::new(source.label(), source.open()?, b'#');
    let base = u64::from(!options.zero_based);
    let mut dimensions = options.shape.as_ref().map(Vec::len);
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    let mut largest = Vec::new();
    while lines.next()? {
        let found = lines.words().count().saturating_sub(1);
        let expected = *dimensions.get_or_insert(found);
        if found != expected || found == 0 || found > MOST_DIMENSIONS {
            let expected = match found {
                0 => "one index or more, then a value".to_owned(),
                _ if found == expected => format!("at most {MOST_DIMENSIONS} indices, then a value"),
                _ => format!("{expected} indices, then a value"),
            };
            return Err(InputError::dimension(lines.here(), format!("{} numbers", found + 1), expected).into());
        }
        largest.resize(found, 0u32);
        for (mode, word) in lines.words().enumerate() {
            if mode == found {
                values.push(lines.real(word)?);
                break;
            }
            let extent = options.shape.as_ref().map(|shape| shape[mode] as u64);
            let index = lines.index(word, base, extent)?;
            largest[mode] = largest[mode].max(index);
            indices.push(index);
        }
    }
    let shape = match &options.shape {
        Some(shape) => shape.clone(),
        None if values.is_empty() => return Err(InputError::empty(&lines.label, &[]).into()),
        None => largest.iter().map(|&index| index as usize + 1).collect(),
    };
    from_coordinates(&lines.label, shape, indices, values)
}

/// Writes a sparse array as `.tns` (indices from 1), by rename.
///
/// Numbers are the shortest text that reads back to the same bits. The shape is not recorded by the format.
///
/// # Errors
/// `Io`; then there is no new file.
pub fn write_tns(path: impl AsRef<Path>, tensor: &Coo) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    let mut write = || -> std::io::Result<()> {
        for (k, v) in tensor.values().iter().enumerate() {
            for &i in tensor.index(k) {
                write!(file, "{} ", u64::from(i) + 1)?;
            }
            writeln!(file, "{v:?}")?;
        }
        Ok(())
    };
    write().map_err(|error| Error::writing(path, error))?;
    file.commit()
}
