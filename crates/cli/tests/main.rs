//! Tests of the `certus` command.

mod attention;
mod completions;
mod examples;
mod frame;
mod gnn;
mod gnn_import;
mod gnn_limits;
mod gnn_refusals;
mod gnn_train;
mod help;
mod hostile;
mod interrupt;
mod linalg;
mod process;
mod regression;
mod support;
mod toy;
