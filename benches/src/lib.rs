//! Experiments: one per system, each of which asks one question of theory or speed and answers it with measurements.
//!
//! An experiment is a function that fills a [`results::Experiment`]; the table [`experiments::ALL`] lists them, the binary
//! `experiments` runs them, and `cargo xtask bench` draws what they found. To add one: write `src/experiments/NAME.rs` with
//! a `pub const NAME: Entry`, and add it to the table.
//!
//! Times are wall and processor time of repeated runs ([`measure`]), memory is counted by the allocator ([`memory`]),
//! peers run in Python environments of their own on the same arrays ([`peers`]) and are skipped where they are absent.
#![forbid(unsafe_code)]

pub mod environment;
pub mod experiments;
pub mod frame;
pub mod measure;
pub mod memory;
pub mod peers;
pub mod results;
pub mod scaling;

pub use frame::{Context, Entry, Failure};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
