//! Dense arrays: a shape and row-major data.

use certus_contract::{InputError, require_finite};
use rayon::prelude::*;

use crate::sum::max_abs;

/// A dense n-dimensional array in C (row-major) order; element type `f64` unless said.
///
/// ```
/// use certus_numeric::Array;
/// let a = Array::matrix(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((a.rows(), a.cols()), (2, 3));
/// assert_eq!(a.row(1), [4.0, 5.0, 6.0]);
/// assert_eq!(a.transposed().row(2), [3.0, 6.0]);
/// # Ok::<(), certus_contract::InputError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T = f64> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T> Array<T> {
    /// An array of this shape over `data`, which is in row-major order.
    ///
    /// # Errors
    /// `DimensionMismatch` if the product of `shape` is not `data.len()`; `TooLarge` if the product of its extents above zero
    /// overflows.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<T>) -> Result<Self, InputError> {
        let shape = shape.into();
        let entries = entries(&shape)?;
        if entries != data.len() {
            return Err(InputError::dimension("data", format!("{} entries", data.len()), format!("{entries} entries (shape {shape:?})")));
        }
        Ok(Array { shape, data })
    }

    /// A matrix of `rows` x `cols`.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn matrix(rows: usize, cols: usize, data: Vec<T>) -> Result<Self, InputError> {
        Array::new(vec![rows, cols], data)
    }

    /// A vector.
    pub fn vector(data: Vec<T>) -> Self {
        Array { shape: vec![data.len()], data }
    }

    /// A matrix whose entry (i, j) is `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for i in 0..rows {
            data.extend((0..cols).map(|j| f(i, j)));
        }
        Array { shape: vec![rows, cols], data }
    }

    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of dimensions.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// The number of rows: the first extent (1 for a zero-dimensional array).
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The number of entries in a row: the product of all extents but the first.
    pub fn cols(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All entries, row by row.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// All entries, row by row, writable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The entries as an owned vector, row by row.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// Row `i`: all entries with first index `i`.
    pub fn row(&self, i: usize) -> &[T] {
        let cols = self.cols();
        &self.data[i * cols..(i + 1) * cols]
    }

    /// Row `i`, writable.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        let cols = self.cols();
        &mut self.data[i * cols..(i + 1) * cols]
    }

    /// The same entries under another shape.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn reshaped(self, shape: impl Into<Vec<usize>>) -> Result<Self, InputError> {
        Array::new(shape, self.data)
    }

    /// The same shape with `f` of each entry.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Array<U> {
        Array { shape: self.shape.clone(), data: self.data.iter().map(f).collect() }
    }

    /// Refuses an array that is not a matrix; `name` is how the caller's user calls it.
    ///
    /// # Errors
    /// `DimensionMismatch`.
    pub fn require_matrix(&self, name: &str) -> Result<(usize, usize), InputError> {
        match self.shape[..] {
            [rows, cols] => Ok((rows, cols)),
            _ => Err(InputError::shape(name, &self.shape, "a matrix (two dimensions)")),
        }
    }

    /// Refuses an array that is not a vector; n x 1 and 1 x n count as vectors.
    ///
    /// # Errors
    /// `DimensionMismatch`.
    pub fn require_vector(&self, name: &str) -> Result<usize, InputError> {
        match self.shape[..] {
            [n] | [n, 1] | [1, n] => Ok(n),
            _ => Err(InputError::shape(name, &self.shape, "a vector (one dimension)")),
        }
    }
}

impl<T: Copy + Send + Sync> Array<T> {
    /// The matrix with rows and columns exchanged, as a copy. Cost: one pass in cache-sized tiles, in parallel.
    pub fn transposed(&self) -> Array<T> {
        const TILE: usize = 16;
        let (rows, cols) = (self.rows(), self.cols());
        let mut data = self.data.clone();
        if !data.is_empty() {
            data.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, out)| {
                for i0 in (0..rows).step_by(TILE) {
                    for (j, out) in out.chunks_exact_mut(rows).enumerate() {
                        for i in i0..rows.min(i0 + TILE) {
                            out[i] = self.data[i * cols + tile * TILE + j];
                        }
                    }
                }
            });
        }
        Array { shape: vec![cols, rows], data }
    }
}

impl<T: Clone + Default> Array<T> {
    /// An array of zeros (the type's default).
    ///
    /// # Panics
    /// If the address space cannot hold it.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let data = vec![T::default(); shape.iter().fold(1usize, |product, &extent| product.saturating_mul(extent))];
        Array { shape, data }
    }
}

impl Array<f64> {
    /// Refuses an array with an entry that is NaN or infinite; `name` is how the caller's user calls it.
    ///
    /// # Errors
    /// `NonFinite`, with the index of the first such entry.
    pub fn require_finite(&self, name: &str) -> Result<(), InputError> {
        if max_abs(&self.data).is_finite() { Ok(()) } else { require_finite(name, &self.shape, &self.data) }
    }

    /// The identity matrix.
    pub fn identity(n: usize) -> Self {
        Array::from_fn(n, n, |i, j| if i == j { 1.0 } else { 0.0 })
    }
}

/// The number of entries. An extent of zero does not excuse the others: their product is the number of columns.
fn entries(shape: &[usize]) -> Result<usize, InputError> {
    let product = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent.max(1))).ok_or_else(|| {
        InputError::too_large("the array", format!("shape {shape:?}"), format!("{} entries (the address space)", usize::MAX))
    })?;
    Ok(if shape.contains(&0) { 0 } else { product })
}
