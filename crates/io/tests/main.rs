//! Tests of `certus-io`.

mod atomic;
mod foreign;
mod hostile;
mod mutate;
mod round_trip;
mod rows;
mod soak;
mod sparse;
mod support;
