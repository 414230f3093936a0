//! Runs experiments and writes what they found, one JSON file each. `cargo xtask bench` calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use certus_benches::peers::Peers;
use certus_benches::{Context, Failure, environment, experiments, frame, memory};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: &memory::Counting = &memory::COUNTER;

/// Runs experiments and writes one JSON file for each.
#[derive(Parser)]
#[command(after_help = "Example: experiments --quick --only machine --out results")]
struct Arguments {
    /// List the experiments and exit.
    #[arg(long)]
    list: bool,
    /// Small sizes: all experiments in less than three minutes.
    #[arg(long)]
    quick: bool,
    /// Only these, by name.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Compare with the peers in `.peers` too.
    #[arg(long)]
    peers: bool,
    /// The most threads to use [default: all].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Where everything random begins.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The folder to write NAME.json into.
    #[arg(long, value_name = "DIR", default_value = "target/certus/results")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let entries = experiments::select(&arguments.only)?;
    if arguments.list {
        for entry in entries {
            println!("{:16} {}", entry.name, entry.question);
        }
        return Ok(true);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let context = Context {
        quick: arguments.quick,
        threads: arguments.threads.map_or_else(environment::cores, usize::from),
        seed: arguments.seed,
        peers: arguments.peers.then(|| Peers::new(root, Duration::from_secs(600))),
    };
    fs::create_dir_all(&arguments.out)?;
    let mut good = true;
    for entry in entries {
        eprintln!("{}: {}", entry.name, entry.question);
        let experiment = frame::run(entry, &context);
        for failure in experiment.failures() {
            eprintln!("{}: {failure}", entry.name);
            good = false;
        }
        let file = arguments.out.join(entry.name).with_extension("json");
        fs::write(&file, serde_json::to_string_pretty(&experiment)? + "\n")?;
    }
    Ok(good)
}
