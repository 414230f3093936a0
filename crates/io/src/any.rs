//! Arrays of whatever type the file has.

use std::io::Read;

use certus_contract::Position;
use certus_numeric::Array;
use half::{bf16, f16};
use num_complex::Complex;

use crate::dtype::Dtype;
use crate::element::{Element, Misfit, Raw, convert};
use crate::error::{Error, Result, quoted};
use crate::stream::{Supply, read_full, read_values, require_supply, short};

/// The entries of an array, by type. Half precision is held as `f32`, byte strings as text.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Data {
    Bool(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Complex64(Vec<Complex<f32>>),
    Complex128(Vec<Complex<f64>>),
    Text(Vec<String>),
}

/// An array as a file holds it, in C order.
///
/// ```
/// use certus_io::{Dtype, NpzWriter, Source};
/// use certus_numeric::Array;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("labels.npy");
/// certus_io::write_npy(&path, &Array::vector(vec![3_i32, 1, 2]))?;
/// let labels = certus_io::read(&path)?;
/// assert_eq!((labels.dtype(), labels.shape()), (Dtype::Int32, &[3][..]));
/// assert_eq!(labels.into_array::<f64>()?.as_slice(), [3.0, 1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnyArray {
    label: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Data,
}

impl AnyArray {
    pub(crate) fn new(label: String, dtype: Dtype, shape: Vec<usize>, data: Data) -> Self {
        AnyArray { label, dtype, shape, data }
    }

    /// How messages call it: `FILE` or `FILE:NAME`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The type in the file.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The entries in C order.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The entries in C order, owned.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The array as one of `T`, by the rules of [`Element`]; without a copy where it is of that type.
    ///
    /// # Errors
    /// `UnsupportedFormat` if the types do not go together or an entry would change its value; the message names it.
    pub fn into_array<T: Element>(self) -> Result<Array<T>> {
        let AnyArray { label, dtype, shape, data } = self;
        let values = convert_or_say::<T>(&label, dtype, &shape, 0, data)?;
        Ok(Array::new(shape, values)?)
    }

    /// The entries as text.
    ///
    /// # Errors
    /// `UnsupportedFormat` if they are numbers.
    pub fn into_text(self) -> Result<Vec<String>> {
        match self.data {
            Data::Text(text) => Ok(text),
            _ => Err(Error::unsupported(self.label, self.dtype.to_string(), "an array of strings")),
        }
    }
}

impl Data {
    /// The number of entries.
    pub fn len(&self) -> usize {
        match self {
            Data::Bool(v) => v.len(),
            Data::Int8(v) => v.len(),
            Data::Int16(v) => v.len(),
            Data::Int32(v) => v.len(),
            Data::Int64(v) => v.len(),
            Data::UInt8(v) => v.len(),
            Data::UInt16(v) => v.len(),
            Data::UInt32(v) => v.len(),
            Data::UInt64(v) => v.len(),
            Data::Float32(v) => v.len(),
            Data::Float64(v) => v.len(),
            Data::Complex64(v) => v.len(),
            Data::Complex128(v) => v.len(),
            Data::Text(v) => v.len(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type that holds them in memory; for text the width of the longest string in characters.
    pub fn dtype(&self) -> Dtype {
        match self {
            Data::Bool(_) => Dtype::Bool,
            Data::Int8(_) => Dtype::Int8,
            Data::Int16(_) => Dtype::Int16,
            Data::Int32(_) => Dtype::Int32,
            Data::Int64(_) => Dtype::Int64,
            Data::UInt8(_) => Dtype::UInt8,
            Data::UInt16(_) => Dtype::UInt16,
            Data::UInt32(_) => Dtype::UInt32,
            Data::UInt64(_) => Dtype::UInt64,
            Data::Float32(_) => Dtype::Float32,
            Data::Float64(_) => Dtype::Float64,
            Data::Complex64(_) => Dtype::Complex64,
            Data::Complex128(_) => Dtype::Complex128,
            Data::Text(v) => Dtype::Str(v.iter().map(|text| text.chars().count()).max().unwrap_or(0)),
        }
    }
}

/// `data` as numbers of type `T`, or the error that names the entry; its first entry is number `first` of the array.
pub(crate) fn convert_or_say<T: Element>(label: &str, dtype: Dtype, shape: &[usize], first: usize, data: Data) -> Result<Vec<T>> {
    convert(data).map_err(|misfit| match misfit {
        Misfit::Dtype => {
            let numbers = if matches!(T::DTYPE, Dtype::Complex64 | Dtype::Complex128) { "numbers" } else { "real numbers" };
            Error::unsupported(label, dtype.to_string(), format!("an array of {numbers} (here as {})", T::DTYPE))
        }
        Misfit::Entry(k, number) => {
            let index = unravel(first + k, shape);
            let place = if index.is_empty() { label.to_owned() } else { format!("{label}{}", Position::Entry(index)) };
            let supported = match T::DTYPE {
                Dtype::Bool => "a number (0 or not 0)".to_owned(),
                held => format!("a number that {held} holds"),
            };
            Error::unsupported(place, format!("{number} ({dtype})"), supported)
        }
    })
}

/// The index of entry number `flat` in C order.
fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &extent) in index.iter_mut().zip(shape).rev() {
        *i = flat % extent.max(1);
        flat /= extent.max(1);
    }
    index
}

/// Reads `count` entries of type `dtype` in the order of the file.
pub(crate) fn read_data(label: &str, reader: &mut dyn Read, dtype: Dtype, count: usize, big_endian: bool, supply: Supply) -> Result<Data> {
    fn values<T: Raw>(label: &str, reader: &mut dyn Read, count: usize, big: bool, supply: Supply) -> Result<Vec<T>> {
        let mut out = Vec::new();
        read_values(label, reader, count, big, supply, &mut out)?;
        Ok(out)
    }
    let big = big_endian;
    Ok(match dtype {
        Dtype::Bool => Data::Bool(values(label, reader, count, big, supply)?),
        Dtype::Int8 => Data::Int8(values(label, reader, count, big, supply)?),
        Dtype::Int16 => Data::Int16(values(label, reader, count, big, supply)?),
        Dtype::Int32 => Data::Int32(values(label, reader, count, big, supply)?),
        Dtype::Int64 => Data::Int64(values(label, reader, count, big, supply)?),
        Dtype::UInt8 => Data::UInt8(values(label, reader, count, big, supply)?),
        Dtype::UInt16 => Data::UInt16(values(label, reader, count, big, supply)?),
        Dtype::UInt32 => Data::UInt32(values(label, reader, count, big, supply)?),
        Dtype::UInt64 => Data::UInt64(values(label, reader, count, big, supply)?),
        Dtype::Float16 => Data::Float32(values::<f16>(label, reader, count, big, supply)?.into_iter().map(f16::to_f32).collect()),
        Dtype::BFloat16 => Data::Float32(values::<bf16>(label, reader, count, big, supply)?.into_iter().map(bf16::to_f32).collect()),
        Dtype::Float32 => Data::Float32(values(label, reader, count, big, supply)?),
        Dtype::Float64 => Data::Float64(values(label, reader, count, big, supply)?),
        Dtype::Complex64 => Data::Complex64(values(label, reader, count, big, supply)?),
        Dtype::Complex128 => Data::Complex128(values(label, reader, count, big, supply)?),
        Dtype::Str(_) | Dtype::Bytes(_) => Data::Text(read_text(label, reader, dtype, count, big, supply)?),
    })
}

/// Strings of a fixed width, padded with NULs. A width of 0 holds only empty strings, and is refused: any number of them
/// would fit in no bytes at all.
fn read_text(label: &str, reader: &mut dyn Read, dtype: Dtype, count: usize, big: bool, supply: Supply) -> Result<Vec<String>> {
    if dtype.size() == 0 && count > 1 {
        return Err(Error::unsupported(label, "an array of strings of width 0", "strings of width 1 or more"));
    }
    let bytes = require_supply(label, count, dtype.size(), supply)?;
    let mut item = vec![0; if count == 0 { 0 } else { dtype.size() }];
    let mut out = Vec::new();
    for k in 0..count {
        let got = read_full(reader, &mut item).map_err(|error| Error::reading(label, error))?;
        if got < item.len() {
            return Err(short(label, bytes as u64, (k * item.len() + got) as u64));
        }
        let text = match dtype {
            Dtype::Str(_) => unicode(&item, big),
            _ => String::from_utf8(trimmed(&item).to_vec()).ok(),
        };
        out.push(text.ok_or_else(|| {
            let array = format!("{label}{}", Position::Entry(vec![k]));
            Error::unsupported(array, format!("'{}', which is not valid text", quoted(&item)), "text")
        })?);
    }
    Ok(out)
}

fn unicode(item: &[u8], big: bool) -> Option<String> {
    let code = |bytes: &[u8]| char::from_u32(if big { <u32 as Raw>::from_be(bytes) } else { <u32 as Raw>::from_le(bytes) });
    let text = item.chunks_exact(4).map(code).collect::<Option<String>>()?;
    Some(text.trim_end_matches('\0').to_owned())
}

fn trimmed(item: &[u8]) -> &[u8] {
    let end = item.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    &item[..end]
}

/// Entries in Fortran order as entries in C order.
pub(crate) fn from_fortran(data: Data, shape: &[usize]) -> Data {
    match data {
        Data::Bool(v) => Data::Bool(reversed(v, shape)),
        Data::Int8(v) => Data::Int8(reversed(v, shape)),
        Data::Int16(v) => Data::Int16(reversed(v, shape)),
        Data::Int32(v) => Data::Int32(reversed(v, shape)),
        Data::Int64(v) => Data::Int64(reversed(v, shape)),
        Data::UInt8(v) => Data::UInt8(reversed(v, shape)),
        Data::UInt16(v) => Data::UInt16(reversed(v, shape)),
        Data::UInt32(v) => Data::UInt32(reversed(v, shape)),
        Data::UInt64(v) => Data::UInt64(reversed(v, shape)),
        Data::Float32(v) => Data::Float32(reversed(v, shape)),
        Data::Float64(v) => Data::Float64(reversed(v, shape)),
        Data::Complex64(v) => Data::Complex64(reversed(v, shape)),
        Data::Complex128(v) => Data::Complex128(reversed(v, shape)),
        Data::Text(v) => Data::Text(reversed(v, shape)),
    }
}

/// Exchanges the first and the last axis in tiles that fit in cache, for each index of the axes between.
pub(crate) fn reversed<T: Clone>(data: Vec<T>, shape: &[usize]) -> Vec<T> {
    const TILE: usize = 16;
    // An axis of extent 1 does not move anything.
    let shape = shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    let ([first, .., last], Some(fill)) = (&shape[..], data.first()) else { return data };
    let middle = &shape[1..shape.len() - 1];
    let (rows, cols) = (*first, *last);
    let planes = middle.iter().product::<usize>();
    let mut out = vec![fill.clone(); data.len()];
    let mut index = vec![0; middle.len()];
    for plane in 0..planes {
        // `plane` counts the middle axes in C order; in the file the earlier of them runs faster.
        let from = index.iter().zip(middle).rev().fold(0, |sum, (&i, &n)| sum * n + i) * rows;
        for i0 in (0..rows).step_by(TILE) {
            for j0 in (0..cols).step_by(TILE) {
                for i in i0..rows.min(i0 + TILE) {
                    for j in j0..cols.min(j0 + TILE) {
                        out[(i * planes + plane) * cols + j] = data[from + i + j * rows * planes].clone();
                    }
                }
            }
        }
        for (i, &n) in index.iter_mut().zip(middle).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    out
}
