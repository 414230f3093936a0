//! Tests of the regressions.
#![allow(clippy::disallowed_methods, reason = "tests list the folder of the reference cases")]

mod cases;
mod certificates;
mod facts;
mod hostile;
mod large;
mod path;
mod properties;
mod sampling;
mod scaled;
mod starts;
mod support;
mod targets;
