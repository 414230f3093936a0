//! Whole arrays from `.npy` data.

use std::io::Read;

use certus_contract::InputError;

use crate::any::{AnyArray, from_fortran, read_data};
use crate::error::{Error, Result};
use crate::npy::header::NpyHeader;
use crate::stream::{Stream, Supply, read_full};

/// The array in a whole file.
pub(crate) fn read_file(label: &str, stream: &mut Stream) -> Result<AnyArray> {
    let header = NpyHeader::read(label, stream)?;
    let data = stream.len().saturating_sub(header.len);
    read_body(label, stream, header, Supply::Known(data))
}

/// The array whose header was just read; the reader must end with it.
pub(crate) fn read_body(label: &str, reader: &mut dyn Read, header: NpyHeader, supply: Supply) -> Result<AnyArray> {
    let data = read_data(label, reader, header.dtype, header.entries(), header.big_endian, supply)?;
    // One more byte: what follows the array is not ours to ignore, and an archive checks its sum at the end.
    let more = read_full(reader, &mut [0]).map_err(|error| Error::reading(label, error))?;
    if more > 0 {
        let expected = format!("{} bytes (shape {:?} of {})", header.bytes(), header.shape, header.dtype);
        return Err(InputError::dimension(label, "more data than its header says", expected).into());
    }
    let data = if header.fortran_order { from_fortran(data, &header.shape) } else { data };
    Ok(AnyArray::new(label.to_owned(), header.dtype, header.shape, data))
}
