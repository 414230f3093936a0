//! Tests of attention fitting.

mod cases;
mod certificates;
mod gauge;
mod heads;
mod helpers;
mod hostile;
mod properties;
mod sketches;
mod support;
