//! `certus examples DIR`: sample files on which every example of the help texts runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use certus_contract::{InputError, Status};

use crate::args::OutFile;
use crate::error::CliError;
use crate::report::Report;
use crate::verb::{System, Work};

/// Write sample files on which every example of the help texts runs
///
/// A file that is there already and differs is never replaced, unless --force is given.
#[derive(clap::Args)]
pub(crate) struct Examples {
    /// Folder for the files; made if it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Replace files that differ
    #[arg(long)]
    force: bool,
}

/// The files that will be written, by their names, and the work of doing so.
pub(crate) fn prepare(examples: &Examples, root: &System) -> Result<(Vec<(String, OutFile)>, Work), CliError> {
    make_folder(&examples.dir)?;
    let mut files = Vec::new();
    for (name, make) in root.all_samples().into_iter().map(|s| (s.name, s.make)).collect::<BTreeMap<_, _>>() {
        let out = OutFile::at(examples.dir.join(name));
        let content = content(name, make)?;
        match fs::read(out.path()) {
            Ok(present) if present == content => continue,
            Ok(_) if !examples.force => return Err(occupied(out.path())),
            _ => files.push((name.to_owned(), out, content)),
        }
    }
    let outputs = files.iter().map(|(name, out, _)| (name.clone(), out.clone())).collect();
    let lines = root.examples();
    let dir = examples.dir.display().to_string();
    let work = move |_: &_| {
        let report = Report::new(Status::Done)
            .metric("written", files.len())
            .field("commands", lines.clone())
            .note(format!("\nThese run in {dir}:"));
        let report = lines.iter().fold(report, |report, line| report.note(format!("  {line}")));
        Ok(files.into_iter().fold(report, |report, (_, out, content)| {
            let place = out.clone();
            report.file(&out, move |path| fs::write(path, content).map_err(|error| CliError::write_failed(place.path(), &error)))
        }))
    };
    Ok((outputs, Box::new(work)))
}

/// What a sample's maker writes.
fn content(name: &str, make: fn(&Path) -> Result<(), CliError>) -> Result<Vec<u8>, CliError> {
    let failed = |error| CliError::write_failed(Path::new(name), &error);
    let folder = tempfile::tempdir().map_err(failed)?;
    let path = folder.path().join(name);
    make(&path)?;
    fs::read(&path).map_err(failed)
}

fn make_folder(dir: &Path) -> Result<(), CliError> {
    let parameter =
        |found: &str| InputError::parameter("DIR", format!("{} ({found})", dir.display()), "a folder, or a new name in a folder");
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(parameter("a file").into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(InputError::not_found(format!("the folder that should hold {}", dir.display()), [""; 0]).into())
        }
        Err(error) => Err(parameter(&crate::outputs::reason(&error)).into()),
    }
}

fn occupied(path: &Path) -> CliError {
    let message = format!("{} is there already, with another content", path.display());
    CliError::new("Exists", message, "Choose another folder, or add --force to replace such files.")
}
