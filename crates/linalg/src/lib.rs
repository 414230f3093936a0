//! Linear algebra for the Certus workspace: the only crate that calls the dense kernels of `faer`.
//!
//! The same input gives the same bits on any number of threads: work is cut by sizes, never by the pool, and sums are added
//! in a fixed order.
//!
//! | module | holds |
//! |---|---|
//! | [`view`] | between [`Array`](certus_numeric::Array) and [`MatRef`] |
//! | [`matrix`] | [`Matrix`]: data that is dense or sparse |
//! | [`product`] | matrix products, Gram matrices, matrix times vector |
//! | [`operator`] | [`LinearOperator`](operator::LinearOperator): dense, sparse or implicit, with a fused step for LSMR |
//! | [`leverage`] | leverage scores, exact and approximate |
//! | [`range_finder`] | an orthonormal basis of the range, with a bound on what it misses |
//! | [`kron`] | row-major `vec`; Kronecker, Khatri-Rao and face-splitting products that are never formed |
//! | [`least_squares`] | sketch-preconditioned least squares with a certificate |
//! | [`sketch`] | random sketches: Gaussian, CountSketch, OSNAP, SRHT, TensorSketch, TensorSRHT, row sampling |
//! | [`solve`] | LSMR, preconditioned conjugate gradients, Lanczos extremes |
//! | [`factor`] | Cholesky, QR, symmetric and generalised symmetric eigen, SVD |
#![forbid(unsafe_code)]

pub mod error;
pub mod factor;
pub mod kron;
pub mod least_squares;
pub mod leverage;
pub mod matrix;
pub mod operator;
pub mod product;
pub mod range_finder;
mod simd;
pub mod sketch;
pub mod solve;
pub mod view;

pub use error::Error;
pub use matrix::Matrix;
pub use view::{Mat, MatMut, MatRef};

/// Makes any call of `faer` that does not name its parallelism panic. For tests: such a call would let the number of threads
/// into the bits of the answer.
pub fn forbid_global_parallelism() {
    faer::disable_global_parallelism();
}

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Keeps the code of the workspace's README compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadme;

/// Keeps the code of the guide compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/least-squares.md")]
struct Guide;
