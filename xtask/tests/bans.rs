//! Clippy reports each thing that system crates must not do, and the crates that are exempt are the right ones.

use std::collections::BTreeSet;
use std::fs;

use xtask::bans::{TRIALS, misplaced, paths, unreported, without};

fn config() -> String {
    fs::read_to_string(xtask::workspace::root().join("clippy.toml")).unwrap()
}

#[test]
fn every_ban_is_reported_once_it_is_broken() {
    assert_eq!(unreported(&config()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_ban_that_clippy_cannot_find_is_noticed() {
    let config =
        "disallowed-methods = [\n    { path = \"std::fs::wriet\", allow-invalid = true },\n    { path = \"std::fs::write\" },\n]\n";
    assert_eq!(unreported(config).unwrap(), ["std::fs::wriet is banned, but nothing tries it (xtask/src/bans.rs)"]);
    let config = "disallowed-types = [\n    { path = \"std::fs::write\", allow-invalid = true },\n]\n";
    assert_eq!(unreported(config).unwrap(), ["std::fs::write is banned, but clippy does not report it"]);
}

#[test]
fn all_that_is_tried_is_banned() {
    let tried: BTreeSet<String> = TRIALS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(tried.len(), TRIALS.len());
    assert_eq!(tried, paths(&config()));
}

#[test]
fn only_the_right_crates_are_exempt() {
    assert_eq!(misplaced(&xtask::workspace::root(), &config()), Vec::<String>::new());
    let io = paths(&without(&config(), "std::fs::"));
    assert!(io.iter().all(|path| !path.starts_with("std::fs::")) && io.contains("std::env::var") && io.contains("std::println"));
}

#[test]
fn a_system_crate_with_a_file_of_its_own_and_a_stale_copy_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("crates/tensor/clippy.toml", "");
    write("crates/io/Cargo.toml", "");
    write("crates/io/clippy.toml", "disallowed-methods = []\n");
    write("crates/cli/Cargo.toml", "");
    let wrong = misplaced(folder.path(), &config());
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    for crate_name in ["crates/tensor", "crates/io", "crates/cli"] {
        assert!(wrong.iter().any(|sentence| sentence.starts_with(crate_name)), "{crate_name}");
    }
}
