//! Plain numbers for the Certus workspace: arrays, seeds, vectorised exponentials, ordered sums, special functions.
//!
//! Nothing here factorises a matrix (that is `certus-linalg`) or knows a problem. Everything gives the same bits on any
//! number of threads.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@array`] | [`Array`]: dense, n-dimensional, row-major |
//! | [`sparse`] | [`Csr`] and [`Coo`]: validated once, then trusted |
//! | [`seed`] | [`Seed`]: ChaCha streams split by purpose, the 64-bit mix |
//! | [`scaled`] | [`ScaledValue`]: a number times e to a power, for what overflows |
//! | [`special`], [`roots`], [`quadrature`], [`intervals`] | special functions to 1e-13 into the far tails, and what is built on them |
//! | [`real`] | [`Real`]: `f32` or `f64` |
//! | [`exp`] | the exponential of slices, within 1 ulp |
//! | [`softmax`] | row softmax and log-sum-exp |
//! | [`lbfgs`] | the history of limited-memory BFGS |
//! | [`memory`] | long vectors in large pages |
//! | [`sum`] | sums, dot products and block reductions in a fixed order |
#![deny(unsafe_code)]

pub mod array;
pub mod exp;
pub mod intervals;
pub mod lbfgs;
pub mod memory;
pub mod quadrature;
pub mod real;
pub mod roots;
pub mod scaled;
pub mod seed;
pub mod softmax;
pub mod sparse;
pub mod special;
pub mod sum;

pub use array::Array;
pub use real::Real;
pub use scaled::ScaledValue;
pub use seed::Seed;
pub use sparse::{Coo, Csr};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
