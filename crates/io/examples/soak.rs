//! Reads spoiled files of every format, for as long as asked: no panic, no hang, no memory out of proportion.
//!
//!     cargo run --release -p certus-io --example soak -- --iterations 1000000 --seed 7
//!
//! Prints counts; ends with an exit code other than 0 at the first broken promise, naming seed and iteration.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "an example reads its arguments and prints")]

use std::process::ExitCode;

#[path = "../tests/mutate.rs"]
mod mutate;

fn main() -> ExitCode {
    let (mut iterations, mut seed) = (1_000_000, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let number = arguments.next().and_then(|text| text.parse().ok());
        match (option.as_str(), number) {
            ("--iterations", Some(number)) => iterations = number,
            ("--seed", Some(number)) => seed = number,
            _ => {
                eprintln!("usage: soak [--iterations N] [--seed S]");
                return ExitCode::from(2);
            }
        }
    }
    let report = mutate::run(iterations, seed);
    println!("files tried    {}", report.tried);
    println!("reads accepted {}", report.accepted);
    for (kind, count) in &report.refused {
        println!("reads refused  {count} {kind}");
    }
    println!("peak memory    {} KiB", report.peak >> 10);
    println!("slowest file   {:.1} ms", 1e3 * report.slowest.as_secs_f64());
    ExitCode::SUCCESS
}
