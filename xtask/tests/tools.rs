//! The smaller verbs.

use std::fs;

use xtask::data::check;
use xtask::{ci, soak};

#[test]
fn the_shipped_data_sets_are_intact() {
    let found = check(&xtask::workspace::root().join("data")).unwrap();
    assert!(found.len() >= 2);
    assert!(found.iter().all(|set| set.bytes.is_some() && set.state == "intact"), "{found:?}");
}

#[test]
fn a_changed_a_missing_and_an_unlisted_data_set_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    fs::write(folder.path().join("SHA256SUMS"), format!("{empty}  a.npz\n{empty}  b.npz\n{empty}  c.npz\n")).unwrap();
    fs::write(folder.path().join("a.npz"), "").unwrap();
    fs::write(folder.path().join("b.npz"), "x").unwrap();
    fs::write(folder.path().join("d.npz"), "").unwrap();
    let states: Vec<&str> = check(folder.path()).unwrap().into_iter().map(|set| set.state).collect();
    assert_eq!(states, ["intact", "CHANGED", "missing", "not in SHA256SUMS"]);
}

#[test]
fn an_unknown_step_or_job_is_refused_with_the_known_ones() {
    let failure = ci::run(&ci::Options { only: vec!["nothing".into()], ..Default::default() }).unwrap_err();
    assert!(failure.to_string().contains("clippy"), "{failure}");
    let failure = soak::run(&soak::Options { only: vec!["nothing".into()], list: false }).unwrap_err();
    assert!(failure.to_string().contains("io"), "{failure}");
}
