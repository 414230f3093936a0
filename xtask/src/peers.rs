//! `cargo xtask peers`: the Python environments of the peers, in `.peers`.
//!
//! Nothing of ours needs them: what is missing is told in a table, and is no error. A finished environment carries a copy
//! of its requirements, so that a second call does nothing, and a changed list of versions installs anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Failure, root, table};

/// Which environments to prepare.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Only these
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = ["main", "torch", "ntk"])]
    pub only: Vec<String>,
    /// Only NumPy, SciPy, scikit-learn and threadpoolctl: a minute, not three
    #[arg(long)]
    pub minimal: bool,
}

struct Environment {
    name: &'static str,
    /// Files in benches/peers, installed in turn; those named `nodeps` without what they ask for.
    requirements: &'static [&'static str],
    /// Interpreters to try. PyTorch is the distribution's, which only its own interpreter sees.
    pythons: &'static [&'static str],
    /// What must be importable.
    imports: &'static str,
    /// Whether packages of the distribution are used.
    system: bool,
    /// What to do if the interpreter or a system package is missing.
    advice: &'static str,
}

const PYTHONS: &[&str] = &["python3.11", "python3.12", "python3.13", "python3"];

const MINIMAL: Environment = Environment {
    name: "main",
    requirements: &["requirements-minimal.txt"],
    pythons: PYTHONS,
    imports: "import numpy, scipy, sklearn, threadpoolctl",
    system: false,
    advice: "install Python 3.11 or newer with venv",
};

const ENVIRONMENTS: &[Environment] = &[
    Environment {
        name: "main",
        requirements: &["requirements-main.txt"],
        pythons: PYTHONS,
        imports: "import numpy, scipy, sklearn, threadpoolctl, jax, tensorly, opendp, qiskit_aer, qulacs, faiss, glum, statsmodels",
        system: false,
        advice: "install Python 3.11 with venv",
    },
    Environment {
        name: "torch",
        requirements: &["requirements-torch.txt", "requirements-torch-nodeps.txt"],
        pythons: &["/usr/bin/python3"],
        imports: "import numpy, scipy, torch, torch_geometric, torchattacks, auto_LiRPA",
        system: true,
        advice: "install the distribution's python3-torch, python3-venv and libopenblas0-pthread",
    },
    Environment {
        name: "ntk",
        requirements: &["requirements-ntk.txt", "requirements-ntk-nodeps.txt"],
        pythons: &["python3.11"],
        // The package's TensorFlow half is not wanted: an empty stand-in for it, before the first import.
        imports: "import sys, types; sys.modules['neural_tangents.experimental'] = types.ModuleType('x'); import neural_tangents",
        system: false,
        advice: "install Python 3.11 with venv",
    },
];

/// Prepares the environments and prints what is ready. Always `Ok(true)`: their absence fails nothing.
///
/// # Errors
/// If the folder `.peers` or a file of requirements cannot be used.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let wanted = |environment: &&Environment| options.only.is_empty() || options.only.iter().any(|name| name == environment.name);
    let environments: Vec<&Environment> = if options.minimal { vec![&MINIMAL] } else { ENVIRONMENTS.iter().filter(wanted).collect() };
    let folder = root().join(".peers");
    fs::create_dir_all(&folder)?;
    let mut rows = Vec::new();
    for environment in environments {
        println!("── {}", environment.name);
        let (state, note) = match prepare(&folder, environment) {
            Ok(note) => ("ready", note),
            Err(reason) => ("absent", reason),
        };
        rows.push(vec![environment.name.to_owned(), state.to_owned(), note]);
    }
    println!("\n{}", table(&["environment", "state", "note"], &[], rows).trim_fmt());
    Ok(true)
}

/// Makes one environment ready; gives its interpreter's version, or what is missing.
fn prepare(folder: &Path, environment: &Environment) -> Result<String, String> {
    let home = folder.join(environment.name);
    let python = home.join("bin/python");
    let stamp = home.join("certus-requirements.txt");
    let wanted = requirements(environment)?;
    let present = fs::read_to_string(&stamp).unwrap_or_default();
    // What is there may hold more than is asked for: a whole environment is a minimal one too.
    let enough = wanted.lines().all(|line| present.lines().any(|have| have == line));
    if enough && read(&python, environment.imports).is_ok() {
        return Ok(format!("{}, as before", version(&python).unwrap_or_default()));
    }
    let base = environment.pythons.iter().find(|python| version(Path::new(python)).is_some());
    let base = base.ok_or_else(|| format!("no {}: {}", environment.pythons.join(" or "), environment.advice))?;
    if environment.system {
        read(Path::new(base), "import torch").map_err(|_| format!("{base} has no torch: {}", environment.advice))?;
    }
    if version(&python).is_none() {
        let flag = environment.system.then_some("--system-site-packages");
        let arguments = ["-m", "venv", "--clear"].into_iter().chain(flag).map(PathBuf::from).chain([home.clone()]);
        logged(folder, environment, &duct::cmd(*base, arguments))?;
    }
    for file in environment.requirements {
        let path = root().join("benches/peers").join(file);
        let nodeps = file.contains("nodeps").then_some("--no-deps");
        let arguments = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"];
        let arguments = arguments.into_iter().chain(nodeps).chain(["-r"]).map(PathBuf::from).chain([path]);
        logged(folder, environment, &duct::cmd(&python, arguments))?;
    }
    read(&python, environment.imports)?;
    fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(version(&python).unwrap_or_default())
}

/// The pinned packages of all files, one a line.
fn requirements(environment: &Environment) -> Result<String, String> {
    let read = |file: &&str| fs::read_to_string(root().join("benches/peers").join(file)).map_err(|error| format!("{file}: {error}"));
    let texts = environment.requirements.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

/// The interpreter's version, if it runs and is 3.11 or newer.
fn version(python: &Path) -> Option<String> {
    let code = "import sys; assert sys.version_info >= (3, 11); print('Python', sys.version.split()[0])";
    read(python, code).ok()
}

/// Runs a line of Python: what it prints, or the last line of its complaint.
fn read(python: &Path, code: &str) -> Result<String, String> {
    // As a name, not as a path: duct looks for a path without a folder in the current one, not in PATH.
    let call = duct::cmd!(python.as_os_str(), "-c", code).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    let output = call.stdout_capture().stderr_capture().unchecked().run().map_err(|error| error.to_string())?;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(last(&output.stdout)) } else { Err(last(&output.stderr)) }
}

/// Runs a long command with its output in `.peers/NAME.log`; the last line of it, if the command fails.
fn logged(folder: &Path, environment: &Environment, call: &duct::Expression) -> Result<(), String> {
    let log = folder.join(environment.name).with_extension("log");
    let call = call.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin_null().stderr_to_stdout().stdout_path(&log).unchecked();
    let output = call.run().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    // pip's own sentence is worth more than a trailing notice.
    let complaint = text.lines().rev().find(|line| line.starts_with("ERROR")).or(text.lines().last()).unwrap_or("it failed without a word");
    Err(format!("{complaint} (.peers/{}.log)", environment.name))
}
