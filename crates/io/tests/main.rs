//! Tests of `certus-io`.
#![allow(clippy::disallowed_methods, reason = "tests time what must not hang")]

mod atomic;
mod foreign;
mod hostile;
mod mutate;
mod round_trip;
mod rows;
mod soak;
mod sparse;
mod support;
