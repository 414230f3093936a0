//! `cargo xtask ci`: all checks one after the other, each in a group with a budget of time.
//!
//! A failed step does not stop the others; the table at the end tells all.

use std::fs;
use std::time::Instant;

use crate::workspace::{Failure, cargo, root, table};
use crate::{bans, bench, layers};

/// Which steps to run.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Only these steps, by name
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    pub only: Vec<String>,
    /// Do not fail above a budget: for a machine that is busy with other things
    #[arg(long)]
    pub no_budgets: bool,
}

/// The command that the README tells people to test with; the step `test` runs exactly this.
const TEST_COMMAND: &str = "cargo test --workspace";

/// Steps that share a budget.
struct Group {
    name: &'static str,
    minutes: f64,
    steps: &'static [Step],
}

struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// Arguments of cargo, with one more variable in its environment.
    Cargo(&'static str, Option<(&'static str, &'static str)>),
    /// A function of our own.
    Own(fn() -> Result<bool, Failure>),
}

const fn step(name: &'static str, work: Work) -> Step {
    Step { name, work }
}

const GROUPS: &[Group] = &[
    Group {
        name: "checks",
        minutes: 6.0,
        steps: &[
            step("fmt", Work::Cargo("fmt --all --check", None)),
            step("readme", Work::Own(readme)),
            step("layers", Work::Own(layers::run)),
            step("bans", Work::Own(|| bans::run(&bans::Options::default()))),
            step("clippy", Work::Cargo("clippy --workspace --all-targets -- -D warnings", None)),
        ],
    },
    Group { name: "build", minutes: 12.0, steps: &[step("build", Work::Cargo("test --workspace --no-run", None))] },
    Group { name: "tests", minutes: 15.0, steps: &[step("test", Work::Own(tests))] },
    Group {
        name: "docs",
        minutes: 3.0,
        steps: &[step("doc", Work::Cargo("doc --workspace --no-deps", Some(("RUSTDOCFLAGS", "-Dwarnings"))))],
    },
    Group { name: "quick bench", minutes: 3.0, steps: &[step("bench", Work::Own(quick_bench))] },
];

/// What became of a step.
struct Record {
    name: &'static str,
    good: bool,
    seconds: f64,
}

/// Runs the steps and prints a table of their times. `Ok(false)` if one failed or a group took longer than its budget.
///
/// # Errors
/// If a name in `only` is unknown.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let known = || GROUPS.iter().flat_map(|group| group.steps).map(|step| step.name);
    if let Some(unknown) = options.only.iter().find(|name| known().all(|step| step != name.as_str())) {
        return Err(format!("there is no step \"{unknown}\"; there are: {}", known().collect::<Vec<_>>().join(", ")).into());
    }
    let wanted = |step: &&Step| options.only.is_empty() || options.only.iter().any(|name| name == step.name);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for group in GROUPS {
        let records: Vec<Record> = group.steps.iter().filter(wanted).map(perform).collect();
        let seconds: f64 = records.iter().map(|record| record.seconds).sum();
        let late = seconds > 60.0 * group.minutes;
        failed.extend(records.iter().filter(|record| !record.good).map(|record| format!("step {} failed", record.name)));
        if late && !options.no_budgets {
            failed.push(format!("{} took {seconds:.0} s, and may take {:.0} s", group.name, 60.0 * group.minutes));
        }
        for (k, record) in records.iter().enumerate() {
            let budget = if k + 1 == records.len() { format!("{seconds:.0} / {:.0} s", 60.0 * group.minutes) } else { String::new() };
            let word = if record.good { "passed" } else { "FAILED" };
            let late = if late && k + 1 == records.len() { " late" } else { "" };
            rows.push(vec![group.name.into(), record.name.into(), format!("{:.1} s", record.seconds), budget, format!("{word}{late}")]);
        }
    }
    println!("\n{}", table(&["group", "step", "time", "group / budget", "result"], &[2, 3], rows).trim_fmt());
    for sentence in &failed {
        println!("{sentence}");
    }
    Ok(failed.is_empty())
}

fn perform(step: &Step) -> Record {
    println!("\n── {}", step.name);
    let start = Instant::now();
    let outcome = match &step.work {
        Work::Own(work) => work(),
        Work::Cargo(arguments, variable) => {
            let call = cargo(arguments.split(' '));
            let call = variable.iter().fold(call, |call, (name, value)| call.env(name, value));
            call.unchecked().run().map(|output| output.status.success()).map_err(Failure::from)
        }
    };
    let good = outcome.unwrap_or_else(|failure| {
        println!("error: {failure}");
        false
    });
    Record { name: step.name, good, seconds: start.elapsed().as_secs_f64() }
}

/// Whether the README tells people the command that we test with, on a line of its own.
fn readme() -> Result<bool, Failure> {
    let text = fs::read_to_string(root().join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    let good = text.lines().any(|line| line.trim() == TEST_COMMAND || line.contains(&format!("`{TEST_COMMAND}`")));
    if !good {
        println!("README.md does not tell the test command: {TEST_COMMAND}");
    }
    Ok(good)
}

fn tests() -> Result<bool, Failure> {
    Ok(cargo(TEST_COMMAND.split(' ').skip(1)).unchecked().run()?.status.success())
}

fn quick_bench() -> Result<bool, Failure> {
    bench::run(&bench::Options { quick: true, ..bench::Options::default() })
}
