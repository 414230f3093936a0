//! `cargo xtask`: everything about the workspace that is not the product.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::workspace::{Failure, output_dir};
use xtask::{bans, bench, ci, data, layers, peers, report, soak};

/// Experiments, report, checks and long tests of the Certus workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run experiments; write results.json and the report
    #[command(after_help = "Example: cargo xtask bench --quick --only machine")]
    Bench(bench::Options),
    /// Render the report again from results.json
    #[command(after_help = "Example: cargo xtask report")]
    Report,
    /// Run all checks, each within its budget of time
    #[command(after_help = "Example: cargo xtask ci --only layers,bans")]
    Ci(ci::Options),
    /// Check that crates depend on each other only as the layers allow
    #[command(after_help = "Example: cargo xtask layers")]
    Layers,
    /// Check that clippy reports each thing that system crates must not do
    #[command(after_help = "Example: cargo xtask bans")]
    Bans(bans::Options),
    /// Run the tests that take longer than a minute
    #[command(after_help = "Example: cargo xtask soak --only io")]
    Soak(soak::Options),
    /// Prepare the Python environments of the peers in .peers
    #[command(after_help = "Example: cargo xtask peers --minimal")]
    Peers(peers::Options),
    /// List the shipped data sets and check that they are intact
    #[command(after_help = "Example: cargo xtask data")]
    Data(data::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(verb: &Verb) -> Result<bool, Failure> {
    match verb {
        Verb::Bench(options) => bench::run(options),
        Verb::Report => {
            println!("{}", report::write(&output_dir()?)?.display());
            Ok(true)
        }
        Verb::Ci(options) => ci::run(options),
        Verb::Layers => layers::run(),
        Verb::Bans(options) => bans::run(options),
        Verb::Soak(options) => soak::run(options),
        Verb::Peers(options) => peers::run(options),
        Verb::Data(options) => data::run(options),
    }
}
