//! Tests of GNN inference.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests make files and look into folders")]

mod cases;
mod certificates;
mod half;
mod hostile;
mod made;
mod memory;
mod names;
mod properties;
mod reference;
mod support;

certus_testkit::count_memory!();
