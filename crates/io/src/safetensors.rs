//! Named tensors with a JSON header (<https://github.com/huggingface/safetensors>).
//!
//! The header is understood by the `safetensors` crate, which also checks that the tensors fill the file without gap or
//! overlap. Its readers want the whole file in memory; here one tensor is read at a time.

use std::io::Write;
use std::path::Path;

use certus_contract::InputError;
use certus_numeric::Array;
use num_complex::Complex;
use safetensors::tensor::{Dtype as TensorType, Metadata, TensorInfo};

use crate::any::{AnyArray, Data, read_data};
use crate::atomic::AtomicFile;
use crate::dtype::Dtype;
use crate::element::Element;
use crate::error::{Error, Result, listed};
use crate::npy::header::MOST_DIMENSIONS;
use crate::npy::write::write_values;
use crate::source::{Source, member_label};
use crate::stream::{Stream, Supply, entries, read_full, short};

/// The longest header that is read: enough for a hundred thousand tensors. Parsing takes some tens of times this memory.
const LONGEST: u64 = 16 << 20;

/// An open `.safetensors` file.
#[derive(Debug)]
pub struct Safetensors {
    label: String,
    stream: Stream,
    metadata: Metadata,
    names: Vec<String>,
    /// Where the data begins.
    start: u64,
}

impl Safetensors {
    /// Opens a file and reads its header. The name of a tensor in `source` is ignored.
    ///
    /// # Errors
    /// `NotFound`; `Truncated`; `UnsupportedFormat` for a header that is not what the format says; `TooLarge` for one of
    /// more than 16 MiB; `DimensionMismatch` for surplus data; `Io`.
    pub fn open(source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        let label = source.file_label();
        let mut stream = source.open()?;
        let failed = |error: std::io::Error| Error::reading(&label, error);
        let mut length = [0; 8];
        let got = read_full(&mut stream, &mut length).map_err(failed)?;
        if got < length.len() {
            return Err(Error::truncated(label, "a header", format!("{got} bytes")));
        }
        let length = u64::from_le_bytes(length);
        let rest = stream.len().saturating_sub(8);
        if length > rest {
            return Err(Error::truncated(label, format!("a header of {length} bytes"), format!("{rest}")));
        }
        if length > LONGEST {
            return Err(InputError::too_large(label, format!("a header of {length} bytes"), format!("{LONGEST} bytes")).into());
        }
        let mut header = vec![0; length as usize];
        if read_full(&mut stream, &mut header).map_err(failed)? < header.len() {
            return Err(Error::truncated(label, format!("a header of {length} bytes"), "the end of the file"));
        }
        let metadata = serde_json::from_slice::<Metadata>(&header)
            .map_err(|error| Error::unsupported(&label, format!("a file with a bad header ({error})"), "a .safetensors file"))?;
        let (expected, found) = (metadata.data_len() as u64, rest - length);
        if found < expected {
            return Err(short(&label, expected, found));
        }
        if found > expected {
            return Err(InputError::dimension(label, format!("{found} bytes of data"), format!("{expected} (its header)")).into());
        }
        let names = metadata.offset_keys();
        Ok(Safetensors { label, stream, metadata, names, start: 8 + length })
    }

    /// The names of the tensors, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// The tensor `name` as it is.
    ///
    /// # Errors
    /// `NotFound`, naming what there is; `UnsupportedFormat` for a type of less than 8 bits or an 8-bit float; `TooLarge` for
    /// more than 64 dimensions; `Io`.
    pub fn read(&mut self, name: &str) -> Result<AnyArray> {
        let label = member_label(&self.label, name);
        let Some(info) = self.metadata.info(name) else {
            return Err(InputError::not_found(label, self.names()).into());
        };
        let dtype = dtype(&label, info.dtype)?;
        if info.shape.len() > MOST_DIMENSIONS {
            let found = format!("{} dimensions", info.shape.len());
            return Err(InputError::too_large(label, found, format!("{MOST_DIMENSIONS} dimensions")).into());
        }
        let shape = info.shape.clone();
        let count = entries(&label, &shape, dtype.size())?;
        let (begin, end) = info.data_offsets;
        self.stream.move_to(self.start + begin as u64).map_err(|error| Error::reading(&label, error))?;
        let data = read_data(&label, &mut self.stream, dtype, count, false, Supply::Known((end - begin) as u64))?;
        Ok(AnyArray::new(label, dtype, shape, data))
    }

    /// The tensor `name` as numbers of type `T`, by the rules of [`Element`].
    ///
    /// # Errors
    /// As [`Safetensors::read`] and [`AnyArray::into_array`].
    pub fn array<T: Element>(&mut self, name: &str) -> Result<Array<T>> {
        self.read(name)?.into_array()
    }

    /// The name that a source without one means: that of the only tensor.
    pub(crate) fn only_name(&self) -> Result<String> {
        match &self.names[..] {
            [name] => Ok(name.clone()),
            [] => Err(Error::unsupported(&self.label, "a file without tensors", "a .safetensors file with tensors")),
            _ => {
                let names = listed(self.names());
                let expected = format!("{}:NAME with NAME one of {names}", self.label);
                Err(InputError::parameter(&self.label, "a file of several tensors", expected).into())
            }
        }
    }
}

fn dtype(label: &str, dtype: TensorType) -> Result<Dtype> {
    Ok(match dtype {
        TensorType::BOOL => Dtype::Bool,
        TensorType::I8 => Dtype::Int8,
        TensorType::I16 => Dtype::Int16,
        TensorType::I32 => Dtype::Int32,
        TensorType::I64 => Dtype::Int64,
        TensorType::U8 => Dtype::UInt8,
        TensorType::U16 => Dtype::UInt16,
        TensorType::U32 => Dtype::UInt32,
        TensorType::U64 => Dtype::UInt64,
        TensorType::F16 => Dtype::Float16,
        TensorType::BF16 => Dtype::BFloat16,
        TensorType::F32 => Dtype::Float32,
        TensorType::F64 => Dtype::Float64,
        TensorType::C64 => Dtype::Complex64,
        other => return Err(Error::unsupported(label, format!("of type {other:?}"), "F64, F32, F16, BF16, C64, I8-I64, U8-U64 or BOOL")),
    })
}

fn tensor_type(dtype: Dtype) -> Option<TensorType> {
    Some(match dtype {
        Dtype::Bool => TensorType::BOOL,
        Dtype::Int8 => TensorType::I8,
        Dtype::Int16 => TensorType::I16,
        Dtype::Int32 => TensorType::I32,
        Dtype::Int64 => TensorType::I64,
        Dtype::UInt8 => TensorType::U8,
        Dtype::UInt16 => TensorType::U16,
        Dtype::UInt32 => TensorType::U32,
        Dtype::UInt64 => TensorType::U64,
        Dtype::Float32 => TensorType::F32,
        Dtype::Float64 => TensorType::F64,
        Dtype::Complex64 => TensorType::C64,
        _ => return None,
    })
}

/// A named tensor to be written: its entries in C order keep their type.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

impl NamedTensor {
    /// The tensor `name` with these entries.
    pub fn new<T: Element>(name: impl Into<String>, array: Array<T>) -> Self {
        let shape = array.shape().to_vec();
        NamedTensor { name: name.into(), shape, data: T::wrap(array.into_vec()) }
    }
}

/// Writes named tensors as `.safetensors`, in the given order, by rename.
///
/// # Errors
/// `UnsupportedFormat` for `complex128`, which the format does not know; `InvalidParameter` for a name that is given
/// twice; `Io`. Then there is no new file.
pub fn write_safetensors(path: impl AsRef<Path>, tensors: &[NamedTensor]) -> Result<()> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    let mut offset = 0;
    let mut infos: Vec<(String, TensorInfo)> = Vec::with_capacity(tensors.len());
    let mut names = std::collections::BTreeSet::new();
    for tensor in tensors {
        let label = member_label(&shown, &tensor.name);
        let dtype = tensor.data.dtype();
        let Some(kind) = tensor_type(dtype) else {
            return Err(Error::unsupported(label, dtype.to_string(), "any type but complex128 and text in .safetensors"));
        };
        if !names.insert(&tensor.name) || tensor.name == "__metadata__" {
            return Err(InputError::parameter(format!("the name of a tensor in {shown}"), &tensor.name, "new in its file").into());
        }
        let end = offset + tensor.data.len() * dtype.size();
        infos.push((tensor.name.clone(), TensorInfo { dtype: kind, shape: tensor.shape.clone(), data_offsets: (offset, end) }));
        offset = end;
    }
    let header = Metadata::new(None, infos).map_err(|error| error.to_string());
    let header = header.and_then(|metadata| serde_json::to_vec(&metadata).map_err(|error| error.to_string()));
    let mut header = header.map_err(|error| Error::writing(path, std::io::Error::other(error)))?;
    // The data begins at a multiple of 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = AtomicFile::create(path)?;
    let mut write = || -> std::io::Result<()> {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let mut buffer = Vec::new();
        tensors.iter().try_for_each(|tensor| write_data(&mut file, &tensor.data, &mut buffer))
    };
    write().map_err(|error| Error::writing(path, error))?;
    file.commit()
}

fn write_data(out: &mut dyn Write, data: &Data, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    match data {
        Data::Bool(v) => write_values(out, v, buffer),
        Data::Int8(v) => write_values(out, v, buffer),
        Data::Int16(v) => write_values(out, v, buffer),
        Data::Int32(v) => write_values(out, v, buffer),
        Data::Int64(v) => write_values(out, v, buffer),
        Data::UInt8(v) => write_values(out, v, buffer),
        Data::UInt16(v) => write_values(out, v, buffer),
        Data::UInt32(v) => write_values(out, v, buffer),
        Data::UInt64(v) => write_values(out, v, buffer),
        Data::Float32(v) => write_values(out, v, buffer),
        Data::Float64(v) => write_values(out, v, buffer),
        Data::Complex64(v) => write_values::<Complex<f32>>(out, v, buffer),
        Data::Complex128(v) => write_values::<Complex<f64>>(out, v, buffer),
        Data::Text(_) => Ok(()),
    }
}
