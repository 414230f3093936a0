//! Tests of the `certus` command.

mod examples;
mod frame;
mod support;
mod toy;
