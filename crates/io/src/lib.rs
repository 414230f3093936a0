//! Array files of the scientific world, in and out.
//!
//! | format | reads | writes |
//! |---|---|---|
//! | `.npy` | [`read_array`], [`read_as`], [`read`]; by blocks of rows [`NpyRows`] | [`write_npy`]; row by row [`NpyWriter`] |
//! | `.npz` (stored or deflated) | the same with `FILE.npz:NAME`; several arrays [`Npz`] | [`NpzWriter`] |
//! | SciPy's sparse `.npz` (csr, csc, coo) | [`read_matrix`], [`read_coo`] | [`write_csr`] |
//! | MatrixMarket `.mtx` (coordinate, array) | [`read_matrix`], [`read_mtx`] | [`write_mtx`] |
//! | FROSTT `.tns` | [`read_tensor`], [`read_coo`], [`read_tns`] | [`write_tns`] |
//! | `.safetensors` | as `.npz`; several tensors [`Safetensors`] | [`write_safetensors`] |
//!
//! Element types are NumPy's: floats of 16, 32, 64 bits, integers of 8 to 64 bits, bool, complex, strings; C or Fortran
//! order; little or big endian. An array is asked for as a type `T` ([`Element`]) and converted where each entry keeps its
//! value; an integer that `f64` does not hold exactly is refused, not rounded. NaN and infinity are read as they are:
//! whether they make sense, the caller knows (`require_finite`).
//!
//! ```
//! use certus_io::{Matrix, NpzWriter, read_matrix, read_vector};
//! use certus_numeric::Array;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("problem.npz");
//! # let path = path.to_str().ok_or("a folder that is not UTF-8")?;
//! let mut writer = NpzWriter::create(path)?;
//! writer.add("a", &Array::identity(2))?;
//! writer.add("b", &Array::vector(vec![1_i64, 2]))?;
//! writer.finish()?;
//!
//! let Matrix::Dense(a) = read_matrix(format!("{path}:a"))? else { panic!("it was written dense") };
//! assert_eq!(a.row(0), [1.0, 0.0]);
//! assert_eq!(read_vector(format!("{path}:b"))?, [1.0, 2.0]);
//!
//! let error = read_vector(format!("{path}:c")).unwrap_err();
//! assert_eq!(error.kind(), "NotFound");
//! assert!(error.to_string().ends_with("problem.npz:c is not found (there is a, b)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Hostile files
//! No content makes a reader panic, hang, or take memory out of proportion to the file. A length in a header is believed
//! only as far as the file can hold what it promises: an uncompressed array is refused before it is read, a compressed one
//! takes memory as its data arrives. What a reader holds at its peak is at most 96 times the bytes of the file (for an
//! `.npz`, of its arrays unpacked) and 128 MiB. The factor is for strings of one character and for JSON headers; numbers
//! stay below 16. The constant is for sparse matrices, whose number of rows may exceed their bytes up to [`FREE_EXTENT`].
//! Errors name file, array and place.
//!
//! # Whole files or none
//! Everything is written under a temporary name in the folder of its path and renamed when it is complete
//! ([`AtomicFile`]). A failed write leaves no file, and what stood there before stays.
#![forbid(unsafe_code)]

mod any;
mod atomic;
mod compressed;
mod dtype;
mod element;
mod error;
mod matrix;
mod mtx;
mod npy;
mod npz;
mod read;
mod safetensors;
mod scipy;
mod source;
mod stream;
mod text;
mod tns;

pub use any::{AnyArray, Data};
pub use atomic::AtomicFile;
pub use compressed::FREE_EXTENT;
pub use dtype::Dtype;
pub use element::Element;
pub use error::{Error, Result};
pub use matrix::{Matrix, Tensor};
pub use mtx::{read_mtx, write_mtx};
pub use npy::header::NpyHeader;
pub use npy::rows::{NpyLocation, NpyRows};
pub use npy::write::{NpyWriter, write_npy};
pub use npz::{Npz, NpzWriter};
pub use num_complex::Complex;
pub use read::{read, read_array, read_as, read_coo, read_mask, read_matrix, read_tensor, read_text, read_vector};
pub use safetensors::{NamedTensor, Safetensors, write_safetensors};
pub use scipy::write_csr;
pub use source::{Format, Source};
pub use tns::{TnsOptions, read_tns, write_tns};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/files.md")]
struct Guide;
