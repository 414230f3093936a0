//! Tests of attention fitting.

mod cases;
mod support;
