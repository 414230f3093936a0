//! `certus examples DIR`.

use std::fs;

use certus_cli::Exit;
use serde_json::Value;

use crate::support::{in_process, listing};
use crate::toy::cli;

#[test]
fn files_are_written_listed_and_never_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new");
    let line = format!("certus examples {}", target.display());
    let run = |line: &str| {
        let (exit, out, err) = in_process(&cli(), &format!("{line} --json"));
        assert_eq!(err, "");
        (exit, serde_json::from_str::<Value>(&out).unwrap())
    };

    let (exit, value) = run(&line);
    assert_eq!((exit, &value["metrics"]["written"]), (Exit::Done, &2.into()));
    assert_eq!(value["outputs"]["one.txt"], target.join("one.txt").display().to_string());
    assert!(value["commands"].as_array().unwrap().contains(&"certus toy count --to 3".into()));
    assert_eq!(listing(&target), ["one.txt", "two.txt"]);

    let (exit, value) = run(&line);
    assert_eq!((exit, &value["metrics"]["written"]), (Exit::Done, &0.into()), "they are the same already");

    fs::write(target.join("two.txt"), "mine").unwrap();
    fs::remove_file(target.join("one.txt")).unwrap();
    let (exit, value) = run(&line);
    assert_eq!((exit, value["error"]["kind"].as_str()), (Exit::BadInput, Some("Exists")));
    assert_eq!((listing(&target), fs::read_to_string(target.join("two.txt")).unwrap()), (vec!["two.txt".to_owned()], "mine".to_owned()));

    let (exit, value) = run(&format!("{line} --force"));
    assert_eq!((exit, &value["metrics"]["written"]), (Exit::Done, &2.into()));
    assert_eq!(fs::read_to_string(target.join("two.txt")).unwrap(), "2\n");
}

#[test]
fn folders_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for (name, kind) in [("file", "InvalidParameter"), ("file/below", "InvalidParameter"), ("no/where", "NotFound")] {
        let line = format!("certus examples {} --json", dir.path().join(name).display());
        let (exit, out, _) = in_process(&cli(), &line);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, value["error"]["kind"].as_str()), (Exit::BadInput, Some(kind)), "{value}");
    }
    assert_eq!(listing(dir.path()), ["file"]);
}

#[test]
fn people_see_what_to_try_next() {
    let dir = tempfile::tempdir().unwrap();
    let (_, out, _) = in_process(&cli(), &format!("certus examples {}", dir.path().display()));
    let plain = anstream::adapter::strip_str(&out).to_string();
    assert!(plain.contains("one.txt") && plain.contains("\n  certus toy count --to 3\n"), "{plain}");
}
