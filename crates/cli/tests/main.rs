//! Tests of the `certus` command.

mod examples;
mod frame;
mod interrupt;
mod support;
mod toy;
