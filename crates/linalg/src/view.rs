//! Between plain row-major arrays and the views that the factorisations use.
//!
//! Row-major is a matter of strides: a view costs nothing. Factorisations copy into a column-major [`Mat`] of their own,
//! whose alignment is fixed, so that the same entries give the same bits wherever they were stored.

use certus_numeric::Array;

pub use faer::{Mat, MatMut, MatRef};

/// A view of a matrix (`rows` x `cols`, row-major).
///
/// # Panics
/// If the array is not two-dimensional.
pub fn view(a: &Array) -> MatRef<'_, f64> {
    assert_eq!(a.ndim(), 2, "a matrix has two dimensions");
    rows_of(a.as_slice(), a.rows(), a.cols())
}

/// A writable view of a matrix.
///
/// # Panics
/// If the array is not two-dimensional.
pub fn view_mut(a: &mut Array) -> MatMut<'_, f64> {
    assert_eq!(a.ndim(), 2, "a matrix has two dimensions");
    let (rows, cols) = (a.rows(), a.cols());
    MatMut::from_row_major_slice_mut(a.as_mut_slice(), rows, cols)
}

/// A view of `rows * cols` numbers in row-major order.
///
/// # Panics
/// If the length is not `rows * cols`.
pub fn rows_of(data: &[f64], rows: usize, cols: usize) -> MatRef<'_, f64> {
    MatRef::from_row_major_slice(data, rows, cols)
}

/// A vector as a matrix of one column.
pub fn column(data: &[f64]) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(data, data.len(), 1)
}

/// The entries as a row-major array.
pub fn to_array(a: MatRef<'_, f64>) -> Array {
    let mut array = Array::zeros([a.nrows(), a.ncols()]);
    view_mut(&mut array).copy_from(a);
    array
}

/// Whether every entry is finite.
pub fn is_finite(a: MatRef<'_, f64>) -> bool {
    a.col_iter().all(|column| column.iter().all(|v| v.is_finite()))
}
