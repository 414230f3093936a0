//! Where things are, how cargo is called, and how tables look on a terminal.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use duct::Expression;

/// Why a verb fails: anything that can be printed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The repository's root.
pub fn root() -> PathBuf {
    // Cargo sets the variable at run time too, so a moved checkout is found without a rebuild.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// A call of cargo in the root.
pub fn cargo<I: IntoIterator<Item = S>, S: Into<OsString>>(arguments: I) -> Expression {
    cargo_in(&root(), arguments)
}

/// A call of cargo in some folder.
pub fn cargo_in<I: IntoIterator<Item = S>, S: Into<OsString>>(folder: &Path, arguments: I) -> Expression {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Cargo describes xtask's own package to xtask; its children must not take that for theirs.
    let own = env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_"));
    let call = duct::cmd(cargo, arguments).dir(folder).env_remove("CARGO_MANIFEST_DIR");
    own.fold(call, |call, name| call.env_remove(name))
}

/// `target/certus`, or its like where cargo's target directory is elsewhere.
///
/// # Errors
/// If `cargo metadata` fails.
pub fn output_dir() -> Result<PathBuf, Failure> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.join("certus").into())
}

/// Writes a file whole: under another name first, then renamed.
///
/// # Errors
/// As the system's.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    let file = file.persist(path).map_err(|error| error.error)?;
    // A temporary file is its owner's alone; a report is for all.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    drop(file);
    Ok(())
}

/// A plain table: columns in `right` flush right, no wrapping where the output is no terminal.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
