//! `cargo xtask data`: the shipped data sets, and whether they are intact.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::workspace::{Failure, root, table, write_whole};

/// What to do with the data.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Make the files anew with data/make.py (needs `cargo xtask peers`), and their checksums
    #[arg(long)]
    pub make: bool,
}

/// One file, and how it stands to its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Its file name.
    pub name: String,
    /// Its size, if it is there.
    pub bytes: Option<u64>,
    /// `"intact"`, `"missing"`, `"CHANGED"` or `"not in SHA256SUMS"`.
    pub state: &'static str,
}

/// Lists the data sets and checks them against `data/SHA256SUMS`. `Ok(false)` if one is missing, changed or unlisted.
///
/// # Errors
/// If a file cannot be read, or `make.py` cannot be run.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let folder = root().join("data");
    if options.make {
        make(&folder)?;
    }
    let found = check(&folder)?;
    let rows = found.iter().map(|set| vec![set.name.clone(), set.bytes.map_or("–".into(), |b| b.to_string()), set.state.to_owned()]);
    println!("{}\nWhat they are and where they come from: data/README.md", table(&["data set", "bytes", "state"], &[1], rows).trim_fmt());
    Ok(found.iter().all(|set| set.state == "intact"))
}

/// Name, size and state of each data set that is listed or there.
///
/// # Errors
/// If the list or a file cannot be read.
pub fn check(folder: &Path) -> Result<Vec<DataSet>, Failure> {
    let list = fs::read_to_string(folder.join("SHA256SUMS"))?;
    let listed: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once("  ")).collect();
    let mut found = Vec::new();
    for (sum, name) in &listed {
        let path = folder.join(name);
        let state = match fs::read(&path) {
            Err(_) => "missing",
            Ok(bytes) if checksum(&bytes) == *sum => "intact",
            Ok(_) => "CHANGED",
        };
        found.push(DataSet { name: (*name).to_owned(), bytes: fs::metadata(&path).ok().map(|m| m.len()), state });
    }
    for name in data_sets(folder)? {
        if listed.iter().all(|(_, known)| *known != name) {
            let bytes = fs::metadata(folder.join(&name)).ok().map(|m| m.len());
            found.push(DataSet { name, bytes, state: "not in SHA256SUMS" });
        }
    }
    Ok(found)
}

fn make(folder: &Path) -> Result<(), Failure> {
    let python = root().join(".peers/main/bin/python");
    if !python.exists() {
        return Err("no Python environment: run `cargo xtask peers --minimal` first".into());
    }
    duct::cmd!(python, "make.py").dir(folder).run()?;
    let mut list = String::new();
    for name in data_sets(folder)? {
        writeln!(list, "{}  {name}", checksum(&fs::read(folder.join(&name))?))?;
    }
    Ok(write_whole(&folder.join("SHA256SUMS"), &list)?)
}

/// The `.npz` files in alphabetical order.
fn data_sets(folder: &Path) -> Result<Vec<String>, Failure> {
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".npz")).collect();
    names.sort();
    Ok(names)
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
