//! Tests of attention fitting.

mod cases;
mod certificates;
mod hostile;
mod properties;
mod support;
