//! One function for each thing that a caller wants from a file of any format.

use certus_numeric::{Array, Coo};

use crate::any::AnyArray;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, Tensor};
use crate::mtx::read_mtx;
use crate::npy::read::read_file;
use crate::npz::Npz;
use crate::safetensors::Safetensors;
use crate::scipy;
use crate::source::{Format, Source};
use crate::tns::{TnsOptions, read_tns};

/// Reads a dense array of any type: `.npy`, `.npz:NAME`, `.safetensors:NAME`. A file of one array needs no name.
///
/// # Errors
/// `NotFound` for a file or a name that is not there (then with the names that are); `InvalidParameter` where a name is
/// needed; `Truncated`, `TooLarge`, `UnsupportedFormat`, `DimensionMismatch` for content that is not what its header says;
/// `Io`. Every message names file and array.
pub fn read(source: impl Into<Source>) -> Result<AnyArray> {
    let source = source.into();
    match source.format()? {
        Format::Npy => read_file(&source.label(), &mut source.open()?),
        Format::Npz => {
            let mut npz = Npz::open(&source)?;
            let name = match source.array() {
                Some(name) => name.to_owned(),
                None if scipy::is_sparse(&npz) => {
                    return Err(Error::unsupported(source.label(), "a sparse matrix", "a dense array here (.toarray())"));
                }
                None => npz.only_name()?,
            };
            npz.read(&name)
        }
        Format::Safetensors => {
            let mut file = Safetensors::open(&source)?;
            let name = match source.array() {
                Some(name) => name.to_owned(),
                None => file.only_name()?,
            };
            file.read(&name)
        }
        Format::Mtx | Format::Tns => {
            Err(Error::unsupported(source.label(), "a file of text", "a dense array here (.npy, .npz:NAME or .safetensors:NAME)"))
        }
    }
}

/// Reads a dense array as `f64`: what [`read`] reads, and `.mtx` files of layout `array`.
///
/// # Errors
/// As [`read`]; `UnsupportedFormat` for complex numbers, strings, and integers that `f64` does not hold exactly.
pub fn read_array(source: impl Into<Source>) -> Result<Array> {
    let source = source.into();
    if source.format()? != Format::Mtx {
        return read_as(source);
    }
    match read_mtx(&source)? {
        Matrix::Dense(dense) => Ok(dense),
        Matrix::Sparse(_) => Err(Error::unsupported(source.label(), "a sparse matrix", "a dense array here")),
    }
}

/// Reads a dense array as numbers of type `T`, by the rules of [`Element`].
///
/// # Errors
/// As [`read`] and [`AnyArray::into_array`].
pub fn read_as<T: Element>(source: impl Into<Source>) -> Result<Array<T>> {
    read(source)?.into_array()
}

/// Reads a vector: an array of shape (n,), (n, 1) or (1, n).
///
/// # Errors
/// As [`read_array`], and `DimensionMismatch` for another shape.
pub fn read_vector(source: impl Into<Source>) -> Result<Vec<f64>> {
    let source = source.into();
    let array = read_array(&source)?;
    array.require_vector(&source.label())?;
    Ok(array.into_vec())
}

/// Reads a mask: an array of bool, or of numbers where 0 is false.
///
/// # Errors
/// As [`read`], and `UnsupportedFormat` for complex numbers, strings and NaN.
pub fn read_mask(source: impl Into<Source>) -> Result<Array<bool>> {
    read_as(source)
}

/// Reads strings: an array of NumPy's `U` or `S`.
///
/// # Errors
/// As [`read`], and `UnsupportedFormat` for numbers.
pub fn read_text(source: impl Into<Source>) -> Result<Vec<String>> {
    read(source)?.into_text()
}

/// Reads a matrix, dense or sparse as the file has it: a dense array of two dimensions, SciPy's sparse `.npz` (csr, csc,
/// coo), or `.mtx`. A sparse one comes with sorted columns and with duplicates added up.
///
/// # Errors
/// As [`read_array`]; `DimensionMismatch` for an array that is no matrix; `InvalidSparsity` for index arrays that
/// contradict each other or the shape; `TooLarge` for a sparse matrix with more rows or columns than
/// [`FREE_EXTENT`](crate::FREE_EXTENT) and than its file has bytes.
pub fn read_matrix(source: impl Into<Source>) -> Result<Matrix> {
    let source = source.into();
    match source.format()? {
        Format::Mtx => read_mtx(source),
        Format::Npz if source.array().is_none() => {
            let mut npz = Npz::open(&source)?;
            if scipy::is_sparse(&npz) {
                return Ok(Matrix::Sparse(scipy::read_csr(&mut npz)?));
            }
            let name = npz.only_name()?;
            dense(&source, npz.array(&name)?)
        }
        _ => dense(&source, read_as(&source)?),
    }
}

fn dense(source: &Source, array: Array) -> Result<Matrix> {
    array.require_matrix(&source.label())?;
    Ok(Matrix::Dense(array))
}

/// Reads an array of any number of dimensions, dense or sparse as the file has it: a dense array of any format, `.tns`
/// (by `options`), SciPy's sparse `.npz` (n-dimensional coo too), or `.mtx`.
///
/// A sparse array keeps the order and the duplicates of a `.tns` or coo file.
///
/// # Errors
/// As [`read_matrix`] and [`read_tns`].
pub fn read_tensor(source: impl Into<Source>, options: &TnsOptions) -> Result<Tensor> {
    let source = source.into();
    match source.format()? {
        Format::Tns => Ok(Tensor::Sparse(read_tns(source, options)?)),
        Format::Mtx => Ok(match read_mtx(source)? {
            Matrix::Dense(dense) => Tensor::Dense(dense),
            Matrix::Sparse(csr) => Tensor::Sparse(scipy::to_coo(&csr)?),
        }),
        Format::Npz if source.array().is_none() => {
            let mut npz = Npz::open(&source)?;
            if scipy::is_sparse(&npz) {
                return Ok(Tensor::Sparse(scipy::read_coo(&mut npz)?));
            }
            let name = npz.only_name()?;
            Ok(Tensor::Dense(npz.array(&name)?))
        }
        _ => Ok(Tensor::Dense(read_as(source)?)),
    }
}

/// Reads a sparse array by coordinates: what [`read_tensor`] reads, if it is sparse.
///
/// # Errors
/// As [`read_tensor`]; `UnsupportedFormat` for a dense array.
pub fn read_coo(source: impl Into<Source>, options: &TnsOptions) -> Result<Coo> {
    let source = source.into();
    match read_tensor(&source, options)? {
        Tensor::Sparse(coo) => Ok(coo),
        Tensor::Dense(_) => Err(Error::unsupported(source.label(), "a dense array", "a sparse array here (.tns, .mtx, SciPy .npz)")),
    }
}
