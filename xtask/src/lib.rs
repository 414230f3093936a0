//! Automation for the workspace: experiments and their report, the checks of continuous integration, long tests, peers.
//!
//! It starts cargo, reads JSON and writes HTML, and links none of our crates.
#![forbid(unsafe_code)]

pub mod bans;
pub mod bench;
pub mod ci;
pub mod data;
pub mod layers;
pub mod peers;
pub mod report;
#[path = "../../benches/src/results.rs"]
pub mod results;
pub mod soak;
pub mod workspace;
