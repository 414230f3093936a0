//! Compressed rows from index arrays of any order.

use certus_contract::{InputError, Position};
use certus_numeric::{Coo, Csr};

use crate::error::Result;

/// The extent that a sparse matrix may claim whatever the size of its file: its row pointers then take 32 MiB.
///
/// Beyond it an extent may be as large as the file has bytes. Otherwise a file of a few bytes that claims 2^32 rows would
/// cost 32 GiB.
pub const FREE_EXTENT: usize = 1 << 22;

/// Refuses extents out of proportion to the file, and such as [`Csr`] cannot index.
pub(crate) fn require_extents(label: &str, rows: usize, cols: usize, file_bytes: u64) -> Result<()> {
    let limit = (file_bytes.max(FREE_EXTENT as u64)).min(1 << 32);
    if rows as u64 > limit || cols as u64 > limit {
        let why = format!("{limit} rows and columns for a file of {file_bytes} bytes");
        return Err(InputError::too_large(label, format!("a sparse matrix of {rows} x {cols}"), why).into());
    }
    Ok(())
}

/// The array by coordinates; refuses extents that 32-bit indices do not reach.
pub(crate) fn from_coordinates(label: &str, shape: Vec<usize>, indices: Vec<u32>, values: Vec<f64>) -> Result<Coo> {
    if let Some(extent) = shape.iter().find(|&&extent| extent as u64 > 1 << 32) {
        let found = format!("a sparse array with an extent of {extent}");
        return Err(InputError::too_large(label, found, "2^32 in one dimension (32-bit indices)").into());
    }
    Ok(Coo::new(shape, indices, values)?)
}

/// Index arrays as a file has them: columns in any order, duplicates allowed (they are added up).
///
/// `names` is how messages call `indptr` and `indices`.
pub(crate) fn from_rows(
    names: [&str; 2],
    rows: usize,
    cols: usize,
    mut indptr: Vec<usize>,
    mut indices: Vec<u32>,
    mut values: Vec<f64>,
) -> Result<Csr> {
    let [pointers, columns] = names;
    let wrong = |array: &str, position, problem: String| Err(InputError::sparsity(array, position, problem).into());
    if indptr.len() != rows + 1 {
        return wrong(pointers, Position::Whole, format!("it has {} entries, but {} + 1 are needed", indptr.len(), rows));
    }
    if indices.len() != values.len() {
        return wrong(columns, Position::Whole, format!("it has {} entries, but there are {} values", indices.len(), values.len()));
    }
    if indptr[0] != 0 {
        return wrong(pointers, Position::Entry(vec![0]), format!("it begins with {}, but must begin with 0", indptr[0]));
    }
    if let Some(i) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return wrong(pointers, Position::Entry(vec![i + 1]), format!("it falls from {} to {}", indptr[i], indptr[i + 1]));
    }
    let used = indptr[rows];
    if used > values.len() {
        return wrong(pointers, Position::Entry(vec![rows]), format!("it ends with {used}, but there are {} values", values.len()));
    }
    // SciPy allows room after the last row; it means nothing.
    indices.truncate(used);
    values.truncate(used);
    if let Some(k) = indices.iter().position(|&j| j as usize >= cols) {
        return wrong(columns, Position::Entry(vec![k]), format!("index {} is outside 0..{cols}", indices[k]));
    }
    let ascends = |i: usize| indices[indptr[i]..indptr[i + 1]].windows(2).all(|pair| pair[0] < pair[1]);
    if !(0..rows).all(ascends) {
        merge_rows(&mut indptr, &mut indices, &mut values);
    }
    Ok(Csr::new(rows, cols, indptr, indices, values)?)
}

/// Sorts each row by column and adds up duplicates in the order of the file, in place.
fn merge_rows(indptr: &mut [usize], indices: &mut Vec<u32>, values: &mut Vec<f64>) {
    let mut row: Vec<(u32, f64)> = Vec::new();
    let mut kept = 0;
    let mut begin = 0;
    for i in 1..indptr.len() {
        let end = indptr[i];
        row.clear();
        row.extend(indices[begin..end].iter().copied().zip(values[begin..end].iter().copied()));
        row.sort_by_key(|&(column, _)| column);
        let first = kept;
        for &(column, value) in &row {
            if kept > first && indices[kept - 1] == column {
                values[kept - 1] += value;
            } else {
                (indices[kept], values[kept]) = (column, value);
                kept += 1;
            }
        }
        begin = end;
        indptr[i] = kept;
    }
    indices.truncate(kept);
    values.truncate(kept);
}

/// Entries in any order as compressed rows; duplicates are added up. All indices must be inside the shape.
pub(crate) fn from_entries(label: &str, rows: usize, cols: usize, row: &[u32], col: &[u32], value: &[f64]) -> Result<Csr> {
    let mut indptr = vec![0usize; rows + 1];
    for &i in row {
        indptr[i as usize + 1] += 1;
    }
    for i in 0..rows {
        indptr[i + 1] += indptr[i];
    }
    let mut next = indptr.clone();
    let mut indices = vec![0; col.len()];
    let mut values = vec![0.0; value.len()];
    for ((&i, &j), &v) in row.iter().zip(col).zip(value) {
        let slot = next[i as usize];
        next[i as usize] += 1;
        (indices[slot], values[slot]) = (j, v);
    }
    from_rows([label, label], rows, cols, indptr, indices, values)
}
