//! `cargo xtask bench`: runs the experiments, shows one table, writes `results.json` and the report.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cargo_metadata::Message;

use crate::report;
use crate::results::{Experiment, Outcome, Results, SCHEMA};
use crate::workspace::{Failure, cargo, output_dir, root, write_whole};

/// What to run.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Small sizes in the dev profile: minutes, and nothing is built twice after the tests
    #[arg(long)]
    pub quick: bool,
    /// Only these experiments
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,
    /// Compare with the peers that `cargo xtask peers` has prepared
    #[arg(long)]
    pub peers: bool,
    /// The most threads to use [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<u16>,
    /// Run the criterion suites instead of the experiments
    #[arg(long, conflicts_with_all = ["quick", "peers", "threads", "list"])]
    pub criterion: bool,
    /// List the experiments and exit
    #[arg(long)]
    pub list: bool,
}

/// Runs what the options ask for. `Ok(false)` if an experiment failed.
///
/// # Errors
/// If cargo fails to build or start, or a file cannot be written.
pub fn run(options: &Options) -> Result<bool, Failure> {
    if options.criterion {
        let filter = options.only.iter().flat_map(|name| ["--bench", name]);
        let call = ["bench", "-p", "certus-benches"].into_iter().chain(filter);
        return Ok(cargo(call).unchecked().run()?.status.success());
    }
    let folder = output_dir()?;
    let results = folder.join("results");
    let start = SystemTime::now();
    if !experiments(options, &results)? {
        return Ok(false);
    }
    if options.list {
        return Ok(true);
    }
    let found = Results { schema: SCHEMA, quick: options.quick, experiments: collect(&results, start)? };
    if found.experiments.is_empty() {
        return Err("the experiments wrote nothing".into());
    }
    let path = folder.join("results.json");
    write_whole(&path, &(serde_json::to_string_pretty(&found)? + "\n"))?;
    let page = report::write(&folder)?;
    println!("{}\n\nresults  {}\nreport   {}", report::summary(&found), path.display(), page.display());
    Ok(found.experiments.iter().all(|experiment| experiment.outcome() != Outcome::Failed))
}

/// Builds and starts the binary. False if it could not run at all; a failed experiment is told in its file.
fn experiments(options: &Options, results: &Path) -> Result<bool, Failure> {
    let Some(binary) = build(options.quick)? else { return Ok(false) };
    let mut arguments: Vec<OsString> = Vec::new();
    let mut flag = |on: bool, word: &str| arguments.extend(on.then(|| word.into()));
    flag(options.quick, "--quick");
    flag(options.peers, "--peers");
    flag(options.list, "--list");
    if let Some(threads) = options.threads {
        arguments.extend(["--threads".into(), threads.to_string().into()]);
    }
    if !options.only.is_empty() {
        arguments.extend(["--only".into(), options.only.join(",").into()]);
    }
    arguments.extend(["--out".into(), results.into()]);
    let status = duct::cmd(binary, arguments).dir(root()).unchecked().run()?.status;
    // 1: something failed, and its file says what. Anything else: there may be no file.
    Ok(matches!(status.code(), Some(0 | 1)))
}

/// Builds the binary and gives its path; `None` if it does not build.
///
/// A quick run uses the dev profile, and asks for a test beside the binary: only then does cargo unify features as for
/// `cargo test --workspace`, and uses again what that has built. Without it, faer and fifty others are built anew.
fn build(quick: bool) -> Result<Option<PathBuf>, Failure> {
    let quick_build = ["build", "--workspace", "--bin", "experiments", "--test", "frame"];
    let full_build = ["build", "--release", "--package", "certus-benches", "--bin", "experiments"];
    let call = if quick { quick_build.as_slice() } else { full_build.as_slice() };
    let output = cargo(call.iter().chain(&["--quiet", "--message-format=json-render-diagnostics"])).stdout_capture().unchecked().run()?;
    if !output.status.success() {
        return Ok(None);
    }
    let artifacts = Message::parse_stream(output.stdout.as_slice()).filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) => Some(artifact),
        _ => None,
    });
    let mut binaries = artifacts.filter(|artifact| artifact.target.name == "experiments").filter_map(|artifact| artifact.executable);
    Ok(Some(binaries.next().ok_or("cargo built no binary \"experiments\"")?.into()))
}

/// The experiments that were written since `start`, in the order of writing.
fn collect(folder: &Path, start: SystemTime) -> Result<Vec<Experiment>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let written = entry.metadata()?.modified()?;
        // File systems keep times in coarse steps: two seconds of grace, and a file of an earlier run is older than a build.
        if entry.path().extension().is_some_and(|extension| extension == "json") && written + std::time::Duration::from_secs(2) >= start {
            files.push((written, entry.path()));
        }
    }
    files.sort();
    let mut names = HashSet::new();
    let read = |(_, path): &(SystemTime, PathBuf)| -> Result<Experiment, Failure> {
        serde_json::from_str(&fs::read_to_string(path)?).map_err(|error| format!("{}: {error}", path.display()).into())
    };
    let experiments = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(experiments.into_iter().filter(|experiment| names.insert(experiment.name.clone())).collect())
}
