//! Tests of GNN inference.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests make files and look into folders")]

mod cases;
mod certificates;
mod half;
mod hostile;
mod int8;
mod jumping;
mod machine;
mod made;
mod mapped;
mod memory;
mod names;
mod properties;
mod reference;
mod support;
mod train;

certus_testkit::count_memory!();
