//! Test support for the Certus workspace; a development dependency only.
//!
//! | module | for |
//! |---|---|
//! | [`cases`] | reference cases made by independent software |
//! | [`derivative`] | gradients and Hessian-vector products against differences |
//! | [`same_bits`](mod@same_bits) | the same bits on 1, 2 and 8 threads |
//! | [`memory`] | the peak memory of a piece of work |
//! | [`hostile`] | files and arrays that must be refused |
//! | [`certificates`] | certificates whose checks can all fail |
//! | [`stats`] | statistical tests with stated false-alarm rates |
//!
//! Every function panics with one clear message where a test must fail.
#![forbid(unsafe_code)]

pub mod cases;
pub mod certificates;
pub mod derivative;
pub mod hostile;
pub mod memory;
pub mod same_bits;
pub mod stats;

pub use same_bits::{Bits, same_bits, strict};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
