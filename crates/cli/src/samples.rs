//! The shipped data, for [`System::sample`](crate::System::sample). `data/README.md` says where it comes from.

use std::fs;
use std::path::Path;

use crate::error::CliError;

/// `diabetes.npz`: `x` 442 x 10 (standardised), `y` 442 (f64).
pub const DIABETES: &[u8] = include_bytes!("../../../data/diabetes.npz");

/// `digits.npz`: `x` 1797 x 64 (u8, 0 to 16), `y` 1797 (u8, 0 to 9).
pub const DIGITS: &[u8] = include_bytes!("../../../data/digits.npz");

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

fn save(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    fs::write(path, bytes).map_err(|error| CliError::write_failed(path, &error))
}
