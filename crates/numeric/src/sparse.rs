//! Sparse arrays: validated once, then trusted.

use crate::sum::max_abs;
use certus_contract::{InputError, Position};

use crate::array::Array;

/// A sparse matrix by compressed rows, in 12 bytes an entry (`f64` values, 32-bit column numbers) and 8 a row.
///
/// Column numbers ascend strictly in each row, so there are no duplicates. An explicit zero is allowed and stays.
///
/// ```
/// use certus_numeric::Csr;
/// let a = Csr::new(2, 3, vec![0, 1, 3], vec![2, 0, 1], vec![5.0, 1.0, -1.0])?;
/// let (columns, values) = a.row(1);
/// assert_eq!((columns, values), (&[0, 1][..], &[1.0, -1.0][..]));
/// assert_eq!(a.to_dense().row(0), [0.0, 0.0, 5.0]);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Csr<T = f64> {
    cols: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<T>,
}

impl<T: Copy> Csr<T> {
    /// A matrix of `rows` x `cols` from its three arrays: entries `indptr[i]..indptr[i + 1]` belong to row `i`.
    ///
    /// # Errors
    /// `InvalidSparsity` if the arrays contradict each other or the shape, or columns do not ascend strictly in a row;
    /// `TooLarge` if `rows` or `cols` is beyond 2^32.
    pub fn new(rows: usize, cols: usize, indptr: Vec<usize>, indices: Vec<u32>, values: Vec<T>) -> Result<Self, InputError> {
        check_pattern(rows, cols, &indptr, &indices, values.len())?;
        for i in 0..rows {
            let row = &indices[indptr[i]..indptr[i + 1]];
            if let Some(k) = row.windows(2).position(|pair| pair[0] >= pair[1]) {
                let problem = format!("column {} follows column {}; columns must ascend strictly", row[k + 1], row[k]);
                return Err(InputError::sparsity("indices", Position::Row(i), problem));
            }
        }
        Ok(Csr { cols, indptr, indices, values })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The number of stored entries.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Where each row begins; `rows + 1` numbers.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// The column of each entry.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The value of each entry.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The value of each entry, writable.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Columns and values of row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&[u32], &[T]) {
        let range = self.indptr[i]..self.indptr[i + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The same pattern with other values.
    pub fn map<U: Copy>(&self, f: impl FnMut(&T) -> U) -> Csr<U> {
        Csr { cols: self.cols, indptr: self.indptr.clone(), indices: self.indices.clone(), values: self.values.iter().map(f).collect() }
    }

    /// Its transpose. Cost: two passes; memory of the result.
    pub fn transposed(&self) -> Csr<T> {
        let mut indptr = vec![0usize; self.cols + 1];
        for &j in &self.indices {
            indptr[j as usize + 1] += 1;
        }
        for j in 0..self.cols {
            indptr[j + 1] += indptr[j];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0u32; self.nnz()];
        let mut values = self.values.clone();
        for i in 0..self.rows() {
            let (columns, row) = self.row(i);
            for (&j, &v) in columns.iter().zip(row) {
                let slot = next[j as usize];
                next[j as usize] += 1;
                indices[slot] = i as u32;
                values[slot] = v;
            }
        }
        Csr { cols: self.rows(), indptr, indices, values }
    }
}

impl Csr<f64> {
    /// The nonzero entries of a dense matrix.
    pub fn from_dense(a: &Array) -> Self {
        let mut csr = Csr { cols: a.cols(), indptr: vec![0], indices: Vec::new(), values: Vec::new() };
        for i in 0..a.rows() {
            for (j, &v) in a.row(i).iter().enumerate().filter(|(_, v)| **v != 0.0) {
                csr.indices.push(j as u32);
                csr.values.push(v);
            }
            csr.indptr.push(csr.values.len());
        }
        csr
    }

    /// The same matrix as a dense array.
    pub fn to_dense(&self) -> Array {
        let mut dense = Array::zeros([self.rows(), self.cols]);
        for i in 0..self.rows() {
            let (columns, values) = self.row(i);
            let row = dense.row_mut(i);
            for (&j, &v) in columns.iter().zip(values) {
                row[j as usize] = v;
            }
        }
        dense
    }

    /// Refuses a matrix with a stored entry that is NaN or infinite; `name` is how the caller's user calls it.
    ///
    /// # Errors
    /// `NonFinite`, with row and column of the first such entry.
    pub fn require_finite(&self, name: &str) -> Result<(), InputError> {
        if max_abs(&self.values).is_finite() {
            return Ok(());
        }
        let Some(k) = self.values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
        let row = self.indptr.partition_point(|&start| start <= k) - 1;
        Err(InputError::non_finite(name, &[row, self.indices[k] as usize], self.values[k]))
    }
}

/// Indices are 32-bit numbers.
const MAX_EXTENT: u64 = 1 << 32;

fn check_pattern(rows: usize, cols: usize, indptr: &[usize], indices: &[u32], values: usize) -> Result<(), InputError> {
    if cols as u64 > MAX_EXTENT || rows as u64 > MAX_EXTENT {
        return Err(InputError::too_large("the sparse matrix", format!("{rows} x {cols}"), "2^32 rows and columns (32-bit indices)"));
    }
    let whole = |array: &str, problem: String| Err(InputError::sparsity(array, Position::Whole, problem));
    if indptr.len() != rows + 1 {
        return whole("indptr", format!("it has {} entries, but rows + 1 = {} are needed", indptr.len(), rows + 1));
    }
    if indices.len() != values {
        return whole("indices", format!("it has {} entries, but there are {values} values", indices.len()));
    }
    if indptr[0] != 0 || indptr[rows] != values {
        return whole(
            "indptr",
            format!("it runs from {} to {}, but must run from 0 to {values} (the number of values)", indptr[0], indptr[rows]),
        );
    }
    if let Some(i) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(InputError::sparsity("indptr", Position::Row(i), format!("it falls from {} to {}", indptr[i], indptr[i + 1])));
    }
    if let Some(k) = indices.iter().position(|&j| j as usize >= cols) {
        let row = indptr.partition_point(|&start| start <= k) - 1;
        return Err(InputError::sparsity("indices", Position::Row(row), format!("column {} is outside 0..{cols}", indices[k])));
    }
    Ok(())
}

/// What to do with entries that stand at the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// Add them up.
    #[default]
    Sum,
    /// Refuse them.
    Error,
    /// Keep the last.
    Last,
}

/// A sparse array of any number of dimensions by coordinates: `indices` holds `ndim` numbers an entry.
///
/// Order is free and duplicates are allowed, as files have them; [`Coo::sorted`] makes indices ascend and unique.
#[derive(Clone, Debug, PartialEq)]
pub struct Coo<T = f64> {
    shape: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<T>,
}

impl<T: Copy> Coo<T> {
    /// An array of this shape; entry `k` is `values[k]` at `indices[k * ndim..(k + 1) * ndim]`.
    ///
    /// # Errors
    /// `InvalidSparsity` if the lengths disagree or an index is outside the shape; `TooLarge` beyond 2^32 in one dimension.
    pub fn new(shape: impl Into<Vec<usize>>, indices: Vec<u32>, values: Vec<T>) -> Result<Self, InputError> {
        let shape = shape.into();
        if let Some(&extent) = shape.iter().find(|&&extent| extent as u64 > MAX_EXTENT) {
            return Err(InputError::too_large("the sparse array", format!("extent {extent}"), "2^32 in one dimension (32-bit indices)"));
        }
        if indices.len() != values.len() * shape.len() {
            let problem = format!(
                "it has {} numbers, but {} values of {} dimensions need {}",
                indices.len(),
                values.len(),
                shape.len(),
                values.len() * shape.len()
            );
            return Err(InputError::sparsity("indices", Position::Whole, problem));
        }
        if !shape.is_empty() {
            for (k, index) in indices.chunks_exact(shape.len()).enumerate() {
                if let Some(mode) = (0..shape.len()).find(|&mode| index[mode] as usize >= shape[mode]) {
                    let problem = format!("entry {k} has index {} in dimension {mode}, outside 0..{}", index[mode], shape[mode]);
                    return Err(InputError::sparsity("indices", Position::Whole, problem));
                }
            }
        }
        Ok(Coo { shape, indices, values })
    }

    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of dimensions.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// The number of stored entries, duplicates counted.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// The index of entry `k`.
    // Not `Index::index`: that gives a reference to what the array holds at an index.
    #[expect(clippy::should_implement_trait)]
    #[inline]
    pub fn index(&self, k: usize) -> &[u32] {
        &self.indices[k * self.shape.len()..(k + 1) * self.shape.len()]
    }

    /// All indices, entry by entry.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The value of each entry.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl Coo<f64> {
    /// Entries in ascending order of index with duplicates merged, and the number of entries that were merged away.
    ///
    /// # Errors
    /// `InvalidSparsity` for a duplicate under [`Duplicates::Error`].
    pub fn sorted(&self, duplicates: Duplicates) -> Result<(Coo<f64>, usize), InputError> {
        let mut order = (0..self.nnz()).collect::<Vec<_>>();
        order.sort_by(|&a, &b| self.index(a).cmp(self.index(b)));
        let mut indices: Vec<u32> = Vec::with_capacity(self.indices.len());
        let mut values: Vec<f64> = Vec::with_capacity(self.nnz());
        for k in order {
            let index = self.index(k);
            let repeated = !values.is_empty() && indices[indices.len() - self.ndim()..] == *index;
            match (repeated, values.last_mut(), duplicates) {
                (true, Some(_), Duplicates::Error) => {
                    let position = Position::Entry(index.iter().map(|&i| i as usize).collect());
                    return Err(InputError::sparsity("indices", position, "this index stands more than once"));
                }
                (true, Some(last), Duplicates::Sum) => *last += self.values[k],
                (true, Some(last), Duplicates::Last) => *last = self.values[k],
                _ => {
                    indices.extend_from_slice(index);
                    values.push(self.values[k]);
                }
            }
        }
        let merged = self.nnz() - values.len();
        Ok((Coo { shape: self.shape.clone(), indices, values }, merged))
    }

    /// The matrix by compressed rows, with duplicates treated as asked.
    ///
    /// # Errors
    /// `DimensionMismatch` if this is not a matrix, and as [`Coo::sorted`].
    pub fn to_csr(&self, duplicates: Duplicates) -> Result<Csr<f64>, InputError> {
        let [rows, cols] = self.shape[..] else {
            return Err(InputError::shape("the sparse array", &self.shape, "a matrix (two dimensions)"));
        };
        let (sorted, _) = self.sorted(duplicates)?;
        let mut indptr = vec![0usize; rows + 1];
        for k in 0..sorted.nnz() {
            indptr[sorted.index(k)[0] as usize + 1] += 1;
        }
        for i in 0..rows {
            indptr[i + 1] += indptr[i];
        }
        let indices = sorted.indices.chunks_exact(2).map(|index| index[1]).collect();
        Csr::new(rows, cols, indptr, indices, sorted.values)
    }
}
