//! SciPy's sparse matrices: an `.npz` of index arrays.

use std::path::Path;

use certus_contract::{InputError, Position};
use certus_numeric::{Coo, Csr};

use crate::any::{AnyArray, Data};
use crate::compressed::{from_coordinates, from_entries, from_rows, require_extents};
use crate::element::{Element, Misfit, convert};
use crate::error::{Error, Result};
use crate::npz::{Npz, NpzWriter};
use crate::source::member_label;

/// Whether the archive is one that `scipy.sparse.save_npz` writes.
pub(crate) fn is_sparse(npz: &Npz) -> bool {
    npz.contains("format") && npz.contains("shape") && npz.contains("data")
}

/// The matrix in a SciPy archive (csr, csc or coo) by compressed rows: columns sorted, duplicates added up.
pub(crate) fn read_csr(npz: &mut Npz) -> Result<Csr> {
    let label = npz.label().to_owned();
    let shape = shape(npz)?;
    let [rows, cols] = shape[..] else {
        return Err(InputError::shape(label, &shape, "a matrix (two dimensions)").into());
    };
    require_extents(&label, rows, cols, npz.len())?;
    let format = format(npz)?;
    match format.as_str() {
        "csr" | "csc" => {
            let indptr = indices::<u64>(npz.read("indptr")?)?.into_iter().map(|i| i as usize).collect();
            let columns = indices::<u32>(npz.read("indices")?)?;
            let values = npz.array::<f64>("data")?.into_vec();
            let names = [&*member_label(&label, "indptr"), &*member_label(&label, "indices")];
            if format == "csr" {
                from_rows(names, rows, cols, indptr, columns, values)
            } else {
                // Compressed columns are the compressed rows of the transpose.
                Ok(from_rows(names, cols, rows, indptr, columns, values)?.transposed())
            }
        }
        "coo" => {
            let coo = read_coo(npz)?;
            let [row, col] = [0, 1].map(|k| coo.indices().iter().skip(k).step_by(2).copied().collect::<Vec<_>>());
            from_entries(&label, rows, cols, &row, &col, coo.values())
        }
        other => Err(Error::unsupported(label, format!("a SciPy matrix of format {other}"), "csr, csc or coo (.tocsr())")),
    }
}

/// The array in a SciPy archive by coordinates, with what duplicates it has.
pub(crate) fn read_coo(npz: &mut Npz) -> Result<Coo> {
    let format = format(npz)?;
    if format != "coo" {
        return Ok(to_coo(&read_csr(npz)?)?);
    }
    let label = npz.label().to_owned();
    let shape = shape(npz)?;
    let values = npz.array::<f64>("data")?.into_vec();
    let axes = if npz.contains("coords") {
        let coords = npz.read("coords")?;
        let found = coords.shape().to_vec();
        if found != [shape.len(), values.len()] {
            let expected = format!("shape ({}, {})", shape.len(), values.len());
            return Err(InputError::shape(member_label(&label, "coords"), &found, expected).into());
        }
        let flat = indices::<u32>(coords)?;
        flat.chunks(values.len().max(1)).map(<[u32]>::to_vec).collect::<Vec<_>>()
    } else {
        vec![indices::<u32>(npz.read("row")?)?, indices::<u32>(npz.read("col")?)?]
    };
    // `chunks` of no entries at all gives no axes.
    if values.is_empty() && axes.iter().all(Vec::is_empty) {
        return from_coordinates(&label, shape, Vec::new(), Vec::new());
    }
    if axes.len() != shape.len() || axes.iter().any(|axis| axis.len() != values.len()) {
        let problem = format!("{} index arrays of {:?} entries", axes.len(), axes.iter().map(Vec::len).collect::<Vec<_>>());
        let expected = format!("{} of {} entries (the shape and the data)", shape.len(), values.len());
        return Err(InputError::dimension(label, problem, expected).into());
    }
    let mut interleaved = Vec::with_capacity(values.len() * axes.len());
    for k in 0..values.len() {
        for (axis, &extent) in axes.iter().zip(&shape) {
            if axis[k] as usize >= extent {
                let problem = format!("index {} is outside 0..{extent}", axis[k]);
                return Err(InputError::sparsity(label, Position::Entry(vec![k]), problem).into());
            }
            interleaved.push(axis[k]);
        }
    }
    from_coordinates(&label, shape, interleaved, values)
}

/// The entries of a matrix by coordinates.
pub(crate) fn to_coo(csr: &Csr) -> std::result::Result<Coo, InputError> {
    let mut indices = Vec::with_capacity(2 * csr.nnz());
    for i in 0..csr.rows() {
        indices.extend(csr.row(i).0.iter().flat_map(|&j| [i as u32, j]));
    }
    Coo::new([csr.rows(), csr.cols()], indices, csr.values().to_vec())
}

/// Writes a matrix as SciPy's csr `.npz`, by rename. Indices are 32-bit where SciPy would choose so.
///
/// # Errors
/// `Io`; then there is no new file.
pub fn write_csr(path: impl AsRef<Path>, matrix: &Csr) -> Result<()> {
    let small = |n: usize| i32::try_from(n).is_ok();
    let mut writer = NpzWriter::create(path)?;
    if small(matrix.cols()) && small(matrix.rows()) && small(matrix.nnz()) {
        writer.add_slice("indices", &[matrix.nnz()], &matrix.indices().iter().map(|&j| j as i32).collect::<Vec<_>>())?;
        writer.add_slice("indptr", &[matrix.rows() + 1], &matrix.indptr().iter().map(|&k| k as i32).collect::<Vec<_>>())?;
    } else {
        writer.add_slice("indices", &[matrix.nnz()], &matrix.indices().iter().map(|&j| i64::from(j)).collect::<Vec<_>>())?;
        writer.add_slice("indptr", &[matrix.rows() + 1], &matrix.indptr().iter().map(|&k| k as i64).collect::<Vec<_>>())?;
    }
    writer.add_bytes("format", b"csr")?;
    writer.add_slice("shape", &[2], &[matrix.rows() as i64, matrix.cols() as i64])?;
    writer.add_slice("data", &[matrix.nnz()], matrix.values())?;
    writer.finish()
}

fn format(npz: &mut Npz) -> Result<String> {
    let label = member_label(npz.label(), "format");
    match npz.read("format")?.into_text()?.as_slice() {
        [format] => Ok(format.clone()),
        several => Err(InputError::dimension(label, format!("{} strings", several.len()), "one string").into()),
    }
}

fn shape(npz: &mut Npz) -> Result<Vec<usize>> {
    let shape = npz.read("shape")?;
    Ok(indices::<u64>(shape)?.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect())
}

/// Indices of any integer type; a negative or too large one is a fault of the sparse structure.
fn indices<T: Element>(array: AnyArray) -> Result<Vec<T>> {
    let label = array.label().to_owned();
    if matches!(array.data(), Data::Float32(_) | Data::Float64(_) | Data::Bool(_)) {
        return Err(Error::unsupported(label, array.dtype().to_string(), "an array of integers"));
    }
    let dtype = array.dtype();
    match convert::<T>(array.into_data()) {
        Ok(values) => Ok(values),
        Err(Misfit::Entry(k, number)) => {
            let problem = format!("index {number} is outside 0..2^{}", 8 * T::SIZE);
            Err(InputError::sparsity(label, Position::Entry(vec![k]), problem).into())
        }
        Err(Misfit::Dtype) => Err(Error::unsupported(label, dtype.to_string(), "an array of integers")),
    }
}
