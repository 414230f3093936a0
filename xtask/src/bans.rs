//! Bans: what system crates must not do, as clippy's configuration, and a trial that shows each entry failing once.
//!
//! The root's `clippy.toml` holds the list. Clippy takes the nearest file upward from a crate, so faces have an empty one,
//! and `io` and `linalg` have the root's without the group that is their work.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::workspace::{Failure, cargo_in, root, write_whole};

/// What to do about crates whose own file has fallen behind the root's.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Write the files of io and linalg anew from the root's
    #[arg(long)]
    pub fix: bool,
}

/// Crates for which nothing is banned: faces, tools, and the support of tests.
const FREE: &[&str] = &["benches", "crates/cli", "crates/gradientcoin-node", "crates/testkit", "xtask"];

/// Crates that may do what one group of paths stands for.
const EXEMPT: &[(&str, &str)] = &[("crates/io", "std::fs::"), ("crates/linalg", "faer::")];

/// Each banned path with a use of it. A path of a method or macro stands with a call, that of a type with its name.
pub const TRIALS: &[(&str, &str)] = &[
    ("std::time::Instant::now", "std::time::Instant::now()"),
    ("std::time::SystemTime::now", "std::time::SystemTime::now()"),
    ("std::env::var", "std::env::var(\"HOME\")"),
    ("std::env::var_os", "std::env::var_os(\"HOME\")"),
    ("std::env::vars", "std::env::vars()"),
    ("std::env::vars_os", "std::env::vars_os()"),
    ("std::env::args", "std::env::args()"),
    ("std::env::current_dir", "std::env::current_dir()"),
    ("std::env::temp_dir", "std::env::temp_dir()"),
    ("std::process::Command::new", "std::process::Command::new(\"true\")"),
    ("std::process::exit", "std::process::exit(0)"),
    ("std::process::abort", "std::process::abort()"),
    ("std::thread::spawn", "std::thread::spawn(|| ())"),
    ("std::thread::scope", "std::thread::scope(|_| ())"),
    ("std::thread::Builder::new", "std::thread::Builder::new()"),
    ("std::thread::sleep", "std::thread::sleep(std::time::Duration::ZERO)"),
    ("std::thread::available_parallelism", "std::thread::available_parallelism()"),
    ("rayon::current_num_threads", "rayon::current_num_threads()"),
    ("rayon::ThreadPoolBuilder::new", "rayon::ThreadPoolBuilder::new()"),
    ("std::fs::canonicalize", "std::fs::canonicalize(\".\")"),
    ("std::fs::copy", "std::fs::copy(\"a\", \"b\")"),
    ("std::fs::create_dir", "std::fs::create_dir(\"a\")"),
    ("std::fs::create_dir_all", "std::fs::create_dir_all(\"a\")"),
    ("std::fs::exists", "std::fs::exists(\"a\")"),
    ("std::fs::metadata", "std::fs::metadata(\"a\")"),
    ("std::fs::read", "std::fs::read(\"a\")"),
    ("std::fs::read_dir", "std::fs::read_dir(\"a\")"),
    ("std::fs::read_to_string", "std::fs::read_to_string(\"a\")"),
    ("std::fs::remove_dir_all", "std::fs::remove_dir_all(\"a\")"),
    ("std::fs::remove_file", "std::fs::remove_file(\"a\")"),
    ("std::fs::rename", "std::fs::rename(\"a\", \"b\")"),
    ("std::fs::write", "std::fs::write(\"a\", \"b\")"),
    ("std::io::stdin", "std::io::stdin()"),
    ("std::io::stdout", "std::io::stdout()"),
    ("std::io::stderr", "std::io::stderr()"),
    ("faer::mat::generic::Mat::qr", "linalg::MAT.qr()"),
    ("faer::mat::generic::Mat::thin_svd", "linalg::MAT.thin_svd()"),
    ("faer::mat::generic::Mat::svd", "linalg::MAT.svd()"),
    ("faer::mat::generic::Mat::llt", "linalg::MAT.llt()"),
    ("faer::mat::generic::Mat::ldlt", "linalg::MAT.ldlt()"),
    ("faer::mat::generic::Mat::lblt", "linalg::MAT.lblt()"),
    ("faer::mat::generic::Mat::col_piv_qr", "linalg::MAT.col_piv_qr()"),
    ("faer::mat::generic::Mat::partial_piv_lu", "linalg::MAT.partial_piv_lu()"),
    ("faer::mat::generic::Mat::full_piv_lu", "linalg::MAT.full_piv_lu()"),
    ("faer::mat::generic::Mat::self_adjoint_eigen", "linalg::MAT.self_adjoint_eigen()"),
    ("faer::mat::generic::Mat::self_adjoint_eigenvalues", "linalg::MAT.self_adjoint_eigenvalues()"),
    ("faer::mat::generic::Mat::singular_values", "linalg::MAT.singular_values()"),
    ("faer::mat::generic::Mat::eigen", "linalg::MAT.eigen()"),
    ("faer::mat::generic::Mat::eigenvalues", "linalg::MAT.eigenvalues()"),
    ("faer::mat::generic::Mat::determinant", "linalg::MAT.determinant()"),
    ("faer::linalg::matmul::matmul", "linalg::matmul()"),
    ("f64::mul_add", "1f64.mul_add(2.0, 3.0)"),
    ("f32::mul_add", "1f32.mul_add(2.0, 3.0)"),
    ("std::fs::File", "std::fs::File"),
    ("std::fs::OpenOptions", "std::fs::OpenOptions"),
    ("std::net::TcpStream", "std::net::TcpStream"),
    ("std::net::TcpListener", "std::net::TcpListener"),
    ("std::net::UdpSocket", "std::net::UdpSocket"),
    ("std::print", "print!(\"x\")"),
    ("std::println", "println!(\"x\")"),
    ("std::eprint", "eprint!(\"x\")"),
    ("std::eprintln", "eprintln!(\"x\")"),
    ("std::dbg", "dbg!(1)"),
];

/// Checks the files and runs the trial; prints what is wrong.
///
/// # Errors
/// If clippy does not run or a file cannot be read.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let config = fs::read_to_string(root().join("clippy.toml"))?;
    if options.fix {
        for (folder, group) in EXEMPT {
            write_whole(&root().join(folder).join("clippy.toml"), &without(&config, group))?;
        }
    }
    let mut wrong = misplaced(&root(), &config);
    wrong.extend(unreported(&config)?);
    for sentence in &wrong {
        println!("{sentence}");
    }
    println!("bans: {} entries, each tried once, {} wrong", paths(&config).len(), wrong.len());
    Ok(wrong.is_empty())
}

/// The paths that a configuration bans.
pub fn paths(config: &str) -> BTreeSet<String> {
    config.lines().filter_map(entry).map(str::to_owned).collect()
}

/// The path of an entry; `None` for any other line.
fn entry(line: &str) -> Option<&str> {
    line.trim().strip_prefix("{ path = \"")?.split('"').next()
}

/// The configuration of a crate that may use the paths of one group.
pub fn without(config: &str, group: &str) -> String {
    let lists = config.find("disallowed-methods").map_or("", |start| &config[start..]);
    let kept = lists.lines().filter(|line| entry(line).is_none_or(|path| !path.starts_with(group)));
    let head = format!("# The root's clippy.toml without {group}*, which is this crate's work. Written by `cargo xtask bans --fix`.\n");
    kept.fold(head, |text, line| text + "\n" + line) + "\n"
}

/// A sentence for each crate whose own `clippy.toml` is not what it should be.
pub fn misplaced(root: &Path, config: &str) -> Vec<String> {
    let read = |folder: &str| fs::read_to_string(root.join(folder).join("clippy.toml")).ok();
    let exists = |folder: &str| root.join(folder).join("Cargo.toml").exists();
    let mut wrong = Vec::new();
    for folder in FREE.iter().filter(|folder| exists(folder)) {
        if read(folder).is_none_or(|text| !paths(&text).is_empty()) {
            wrong.push(format!("{folder} should have a clippy.toml without entries: nothing is banned there"));
        }
    }
    for (folder, group) in EXEMPT.iter().filter(|(folder, _)| exists(folder)) {
        if read(folder).is_none_or(|text| text != without(config, group)) {
            wrong.push(format!("{folder}/clippy.toml is not the root's without {group}*: cargo xtask bans --fix"));
        }
    }
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    for folder in crates.map(|entry| format!("crates/{}", entry.file_name().to_string_lossy())) {
        let known = FREE.contains(&folder.as_str()) || EXEMPT.iter().any(|(exempt, _)| *exempt == folder);
        if !known && read(&folder).is_some() {
            wrong.push(format!("{folder} has a clippy.toml of its own, and no system crate may"));
        }
    }
    wrong
}

/// Runs clippy with this configuration on a crate that does everything that is banned, once; gives a sentence for each
/// entry that it does not report, and for each that has no trial.
///
/// # Errors
/// If clippy does not run.
pub fn unreported(config: &str) -> Result<Vec<String>, Failure> {
    let entries = paths(config);
    let trials: Vec<_> = TRIALS.iter().filter(|(path, _)| entries.contains(*path)).collect();
    let untried = entries.iter().filter(|path| TRIALS.iter().all(|(tried, _)| tried != path));
    let mut wrong: Vec<String> = untried.map(|path| format!("{path} is banned, but nothing tries it (xtask/src/bans.rs)")).collect();
    let reported = reported_lines(config, &trials)?;
    let silent = trials.iter().enumerate().filter(|(k, _)| !reported.contains(&(k + 1)));
    wrong.extend(silent.map(|(_, (path, _))| format!("{path} is banned, but clippy does not report it")));
    if reported.contains(&(trials.len() + 1)) {
        wrong.push("clippy reports what is not banned".into());
    }
    Ok(wrong)
}

/// The lines on which clippy reports a ban. Trial `k` stands on line `k + 1`, and something allowed on the line after all.
fn reported_lines(config: &str, trials: &[&(&str, &str)]) -> Result<BTreeSet<usize>, Failure> {
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    let trial = trials.iter().enumerate().map(|(k, (path, usage))| {
        let is_type = path.rsplit("::").next().is_some_and(|name| name.starts_with(char::is_uppercase));
        if is_type { format!("pub fn trial_{k}(_: {usage}) {{}}\n") } else { format!("pub fn trial_{k}() {{ let _ = {usage}; }}\n") }
    });
    let trial = trial.collect::<String>() + "pub fn allowed() { let _ = 1f64.sqrt(); }\n";
    // Stand-ins with the names and paths of the real crates: the trial costs seconds, not a build of faer.
    write_crate(&at("rayon"), "rayon", "", STAND_IN_RAYON)?;
    write_crate(&at("faer"), "faer", "", &stand_in_faer(trials))?;
    write_crate(&at("linalg"), "linalg", "faer = { path = \"../faer\" }\n", "pub use faer::{MAT, linalg::matmul::matmul};\n")?;
    let dependencies = "rayon = { path = \"rayon\" }\nlinalg = { path = \"linalg\" }\n";
    write_crate(folder.path(), "trial", dependencies, &trial)?;
    fs::write(at("clippy.toml"), config)?;
    let output = cargo_in(folder.path(), ["clippy", "--offline", "--quiet", "--message-format=json"])
        .env("CARGO_TARGET_DIR", at("target"))
        .env_remove("RUSTFLAGS")
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()?;
    if !output.status.success() {
        return Err(format!("cargo clippy: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let bans =
        messages.filter(|message| message["message"]["code"]["code"].as_str().is_some_and(|code| code.starts_with("clippy::disallowed_")));
    let lines = bans.flat_map(|ban| ban["message"]["spans"].as_array().cloned().unwrap_or_default());
    Ok(lines.filter_map(|span| span["line_start"].as_u64()).map(|line| line as usize).collect())
}

fn write_crate(folder: &Path, name: &str, dependencies: &str, source: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder.join("src"))?;
    let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\n[workspace]\n");
    // Only the outermost crate is a workspace of its own.
    let manifest = if name == "trial" { manifest } else { manifest.replace("\n[workspace]\n", "") };
    fs::write(folder.join("Cargo.toml"), manifest)?;
    Ok(fs::write(folder.join("src/lib.rs"), source)?)
}

const STAND_IN_RAYON: &str = "pub fn current_num_threads() -> usize { 1 }\npub struct ThreadPoolBuilder;\nimpl ThreadPoolBuilder { pub fn new() -> Self { Self } }\n";

fn stand_in_faer(trials: &[&(&str, &str)]) -> String {
    let methods = trials.iter().filter_map(|(path, _)| path.strip_prefix("faer::mat::generic::Mat::"));
    let methods: String = methods.map(|name| format!("pub fn {name}(&self) {{}}\n")).collect();
    format!(
        "pub mod mat {{ pub mod generic {{ pub struct Mat;\nimpl Mat {{\n{methods}}} }} }}\n\
         pub mod linalg {{ pub mod matmul {{ pub fn matmul() {{}} }} }}\npub static MAT: mat::generic::Mat = mat::generic::Mat;\n"
    )
}
