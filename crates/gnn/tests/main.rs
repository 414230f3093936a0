//! Tests of GNN inference.
#![allow(clippy::disallowed_methods, reason = "tests make files and look into folders")]

mod cases;
