//! `cargo xtask soak`: what takes longer than a minute. One row a job; a new long test adds its own.

use std::time::Instant;

use crate::workspace::{Failure, cargo, table};

/// Which jobs to run.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Only these jobs, by name
    #[arg(long, value_delimiter = ',', value_name = "JOB")]
    pub only: Vec<String>,
    /// List the jobs and exit
    #[arg(long)]
    pub list: bool,
}

struct Job {
    name: &'static str,
    what: &'static str,
    /// Arguments of cargo.
    call: &'static str,
}

/// The jobs. All run with `CERTUS_SOAK=1`: tests that are long only for that variable look for it.
const JOBS: &[Job] = &[
    Job {
        name: "io",
        what: "a million mutated files through every reader: no panic, no huge allocation",
        call: "run --release -p certus-io --example soak -- --iterations 1000000",
    },
    Job { name: "tests", what: "all tests at their full length", call: "test --release --workspace" },
];

/// Runs the jobs, and prints a table of their times. `Ok(false)` if one failed.
///
/// # Errors
/// If a name in `only` is unknown or cargo does not start.
pub fn run(options: &Options) -> Result<bool, Failure> {
    if let Some(unknown) = options.only.iter().find(|name| JOBS.iter().all(|job| job.name != name.as_str())) {
        let known: Vec<_> = JOBS.iter().map(|job| job.name).collect();
        return Err(format!("there is no job \"{unknown}\"; there are: {}", known.join(", ")).into());
    }
    let jobs = JOBS.iter().filter(|job| options.only.is_empty() || options.only.iter().any(|name| name == job.name));
    if options.list {
        println!(
            "{}",
            table(&["job", "what", "cargo"], &[], jobs.map(|job| [job.name, job.what, job.call].map(String::from).to_vec())).trim_fmt()
        );
        return Ok(true);
    }
    let (mut rows, mut good) = (Vec::new(), true);
    for job in jobs {
        println!("── {}: {}", job.name, job.what);
        let start = Instant::now();
        let passed = cargo(job.call.split(' ')).env("CERTUS_SOAK", "1").unchecked().run()?.status.success();
        good &= passed;
        let word = if passed { "passed" } else { "FAILED" };
        rows.push(vec![job.name.into(), format!("{:.0} s", start.elapsed().as_secs_f64()), word.into()]);
    }
    println!("\n{}", table(&["job", "time", "result"], &[1], rows).trim_fmt());
    Ok(good)
}
