//! Tests of the automation.

mod bans;
mod layers;
mod report;
mod tools;
