//! Tests of attention fitting.

mod cases;
mod certificates;
mod heads;
mod helpers;
mod hostile;
mod properties;
mod sketches;
mod support;
