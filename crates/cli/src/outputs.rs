//! Files out: checked before the work, written to temporary names beside their places, renamed together at the end.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use certus_contract::InputError;
use tempfile::TempPath;

use crate::args::OutFile;
use crate::error::CliError;

/// All outputs of one run.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    declared: Vec<Declared>,
}

/// An output that may be written: its folder exists and takes files.
#[derive(Debug)]
struct Declared {
    option: String,
    out: OutFile,
    /// Where the bytes go: the path, with symbolic links followed.
    target: PathBuf,
    /// The permissions of the file that stands there now.
    permissions: Option<Permissions>,
}

/// An output under way: a temporary file beside its place, with its ending. Dropped before a
/// [`Report`](crate::Report) takes it, it is removed.
#[derive(Debug)]
pub struct Staged {
    pub(crate) out: OutFile,
    path: TempPath,
}

impl Staged {
    /// Where to write. The file exists and is empty; writers that replace a file by rename are welcome.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error that names the output where it named the temporary file.
    pub fn named(&self, error: impl Into<CliError>) -> CliError {
        error.into().renamed(&self.path, self.out.path())
    }
}

impl Outputs {
    /// Checks the outputs of a verb against each other, against its inputs and against the file system.
    pub(crate) fn check(outputs: &[(String, OutFile)], inputs: &[(String, PathBuf)]) -> Result<Self, CliError> {
        let mut declared: Vec<Declared> = Vec::new();
        for (option, out) in outputs {
            let new = Declared::check(option, out)?;
            let rival = declared.iter().map(|d| (&d.option, &d.target)).chain(inputs.iter().map(|(option, path)| (option, path)));
            for (other, path) in rival {
                if same_file(path, &new.target) {
                    return Err(InputError::parameter(
                        format!("--{option}"),
                        out.path().display(),
                        format!("another file than that of --{other}"),
                    )
                    .into());
                }
            }
            declared.push(new);
        }
        Ok(Outputs { declared })
    }

    /// The name of the option that declared `out`.
    pub(crate) fn option(&self, out: &OutFile) -> Option<&str> {
        self.declared.iter().find(|d| d.out == *out).map(|d| d.option.as_str())
    }

    /// Opens the temporary file of `out`.
    pub(crate) fn stage(&self, out: &OutFile) -> Result<Staged, CliError> {
        let path = self.declared(out)?.temporary().map_err(|error| CliError::write_failed(out.path(), &error))?;
        Ok(Staged { out: out.clone(), path })
    }

    /// Gives all files their names. If one cannot have its name, those that are new are removed again.
    pub(crate) fn commit(&self, staged: Vec<Staged>) -> Result<(), CliError> {
        let mut new: Vec<&Path> = Vec::new();
        for Staged { out, path } in staged {
            let declared = self.declared(&out)?;
            if let Err(error) = declared.settle(path) {
                for path in new {
                    // Nothing better is left to do with a failure here: the error is told already.
                    let _ = fs::remove_file(path);
                }
                return Err(CliError::write_failed(out.path(), &error));
            }
            if declared.permissions.is_none() {
                new.push(&declared.target);
            }
        }
        Ok(())
    }

    fn declared(&self, out: &OutFile) -> Result<&Declared, CliError> {
        self.declared.iter().find(|d| d.out == *out).ok_or_else(|| {
            CliError::write_failed(out.path(), &io::Error::other("it is not an option of this verb, so it was not checked before the work"))
        })
    }
}

impl Declared {
    fn check(option: &str, out: &OutFile) -> Result<Self, CliError> {
        let refused = |found: &str, expected: &str| {
            let value = format!("{} ({found})", out.path().display());
            CliError::from(InputError::parameter(format!("--{option}"), value, expected))
        };
        let path = out.path();
        if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) && !path.exists() {
            return Err(refused("a symbolic link to nothing", "a file"));
        }
        let metadata = fs::metadata(path).ok();
        match &metadata {
            Some(m) if m.is_dir() => return Err(refused("a folder", "a file")),
            Some(m) if !m.is_file() => return Err(refused("a device or pipe", "a regular file: it is written and then renamed")),
            Some(m) if m.permissions().readonly() => return Err(refused("write-protected", "a file that may be replaced")),
            _ => {}
        }
        let folder = folder(path);
        if !folder.exists() {
            return Err(CliError::from(InputError::not_found(format!("the folder {} of --{option}", folder.display()), [""; 0]))
                .with_hint("Create the folder first, or choose another."));
        }
        if path.file_name().is_none() || !folder.is_dir() {
            return Err(refused("not a file name in a folder", "a file"));
        }
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let permissions = metadata.as_ref().map(Metadata::permissions);
        let declared = Declared { option: option.to_owned(), out: out.clone(), target, permissions };
        match declared.temporary() {
            Ok(_) => Ok(declared),
            Err(error) => Err(refused(&reason(&error), "in a folder that can be written")),
        }
    }

    /// An empty file beside the target, with its ending.
    fn temporary(&self) -> io::Result<TempPath> {
        let ending = self.target.extension().map_or_else(|| ".tmp".into(), |e| format!(".{}", e.to_string_lossy()));
        let file =
            tempfile::Builder::new().prefix(".certus-").suffix(&ending).make_in(folder(&self.target), |path| File::create_new(path))?;
        Ok(file.into_temp_path())
    }

    /// Gives a temporary file the name and the permissions of the target.
    fn settle(&self, file: TempPath) -> io::Result<()> {
        if let Some(permissions) = &self.permissions {
            fs::set_permissions(&file, permissions.clone())?;
        }
        file.persist(&self.target).map_err(|error| error.error)
    }
}

/// The folder of a path: `.` where it names none.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Whether two paths lead to the same file, which need not exist.
fn same_file(a: &Path, b: &Path) -> bool {
    match (settled(a), settled(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The absolute path without symbolic links, of a file that may not exist yet.
fn settled(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| Some(fs::canonicalize(folder(path)).ok()?.join(path.file_name()?)))
}

/// An error of the operating system without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
