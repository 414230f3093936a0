//! The shipped data, for [`System::sample`](crate::System::sample). `data/README.md` says where it comes from.

use std::fs;
use std::path::Path;

use certus_io::{Npz, Source, write_csr, write_mtx, write_npy};
use certus_numeric::{Array, Csr};

use crate::error::CliError;

/// `diabetes.npz`: `x` 442 x 10 (standardised), `y` 442 (f64).
pub const DIABETES: &[u8] = include_bytes!("../../../data/diabetes.npz");

/// `digits.npz`: `x` 1797 x 64 (u8, 0 to 16), `y` 1797 (u8, 0 to 9).
pub const DIGITS: &[u8] = include_bytes!("../../../data/digits.npz");

/// `head.npz`: `q k v` 63 x 32, `probs` 63 x 63, `unseen_q unseen_k unseen_v` 62 x 32 (f32): one attention head on two texts; with
/// `_3bit` and `_4bit` of rounded weights.
pub const HEAD: &[u8] = include_bytes!("../../../data/head.npz");

/// Writes [`HEAD`].
///
/// # Errors
/// `WriteFailed`.
pub fn head(path: &Path) -> Result<(), CliError> {
    save(path, HEAD)
}

/// Writes [`DIABETES`].
///
/// # Errors
/// `WriteFailed`.
pub fn diabetes(path: &Path) -> Result<(), CliError> {
    save(path, DIABETES)
}

/// Writes [`DIGITS`].
///
/// # Errors
/// `WriteFailed`.
pub fn digits(path: &Path) -> Result<(), CliError> {
    save(path, DIGITS)
}

/// Writes `b.npy`: the disease progression of [`DIABETES`], 442 numbers.
///
/// # Errors
/// `WriteFailed`.
pub fn progression(path: &Path) -> Result<(), CliError> {
    Ok(write_npy(path, &Npz::open(Source::memory("diabetes.npz", DIABETES))?.array::<f64>("y")?)?)
}

/// Writes `labels.npy`: the digits of [`DIGITS`], 1797 numbers of type u8.
///
/// # Errors
/// `WriteFailed`.
pub fn labels(path: &Path) -> Result<(), CliError> {
    Ok(write_npy(path, &Npz::open(Source::memory("digits.npz", DIGITS))?.array::<u8>("y")?)?)
}

/// Writes `sparse.npz`: the pixels of [`DIGITS`] that are dark in some image, 1797 x 61, as SciPy's csr.
///
/// # Errors
/// `WriteFailed`.
pub fn pixels(path: &Path) -> Result<(), CliError> {
    Ok(write_csr(path, &Csr::from_dense(&dark_pixels(usize::MAX)?))?)
}

/// Writes `sparse.mtx`: the first 300 rows of [`pixels`] as MatrixMarket text.
///
/// # Errors
/// `WriteFailed`.
pub fn pixels_as_text(path: &Path) -> Result<(), CliError> {
    Ok(write_mtx(path, &Csr::from_dense(&dark_pixels(300)?).into())?)
}

/// The first `rows` images of [`DIGITS`], without the pixels that are dark in none of all images.
fn dark_pixels(rows: usize) -> Result<Array, CliError> {
    let images = Npz::open(Source::memory("digits.npz", DIGITS))?.array::<f64>("x")?;
    let dark = (0..images.cols()).filter(|&j| (0..images.rows()).any(|i| images.row(i)[j] != 0.0)).collect::<Vec<_>>();
    Ok(Array::from_fn(images.rows().min(rows), dark.len(), |i, j| images.row(i)[dark[j]]))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    fs::write(path, bytes).map_err(|error| CliError::write_failed(path, &error))
}
