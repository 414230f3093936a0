//! What the frame does for every verb, on toy verbs.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use certus_cli::Exit;
use serde_json::Value;

use crate::support::{in_process, listing};
use crate::toy::{cli, counting};

fn json(line: &str) -> (Exit, Value) {
    let (exit, out, err) = in_process(&cli(), &format!("{line} --json"));
    assert_eq!(err, "", "{line}");
    assert_eq!(out.lines().count(), 1, "{line}: one object on one line");
    (exit, serde_json::from_str(&out).unwrap())
}

/// The text without colours and with a fixed time.
fn text(out: &str) -> String {
    let plain = anstream::adapter::strip_str(out).to_string();
    let mut lines = plain.lines().map(str::to_owned).collect::<Vec<_>>();
    if let Some((head, _)) = lines[0].split_once(" in ") {
        lines[0] = format!("{head} in TIME");
    }
    lines.join("\n")
}

#[test]
fn text_for_people_holds_metrics_warnings_and_the_certificate() {
    let (exit, out, err) = in_process(&cli(), "certus toy count --to 3 --threads 2 --seed 7");
    assert_eq!((exit, err.as_str()), (Exit::Done, ""));
    let text = text(&out);
    let (report, certificate) = text.split_once("\n\n").unwrap();
    assert_eq!(certificate, counting(3).to_string());
    insta::assert_snapshot!(report, @r"
    toy count: converged in TIME
      last       3
      third      0.333333
      tiny       1.25000e-17
      undefined  -
      infinite   -
      missing    -
      name       counting
      shape      [2, 3]
      threads    2
      drawn      7
      outcome    counted
      cuts       [[1, 2], [3, 4]]
    warning: OddNumber: three is odd
    ");
}

#[test]
fn verdicts_are_coloured() {
    let (_, out, _) = in_process(&cli(), "certus toy count --to 3");
    let coloured = out.lines().filter(|line| line.contains("violated") && line.contains('\u{1b}')).count();
    assert_eq!(coloured, 2, "the verdict of the certificate and that of the second claim");
}

#[test]
fn json_has_the_envelope_and_numbers_round_trip() {
    let (exit, value) = json("certus toy count --to 3 --seed 18446744073709551615 --threads 2");
    assert_eq!(exit, Exit::Done);
    let keys = value.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    let expected = ["command", "status", "seed", "seconds", "metrics", "outcome", "cuts", "warnings", "trace", "outputs", "certificate"];
    assert_eq!(keys, expected);
    assert_eq!(value["command"], "toy count");
    assert_eq!(value["seed"], u64::MAX);
    assert_eq!(value["metrics"]["third"].as_f64(), Some(1.0 / 3.0));
    assert_eq!(value["metrics"]["tiny"].as_f64(), Some(1.25e-17));
    assert_eq!(value["metrics"]["threads"], 2);
    assert_eq!(value["trace"][2].as_f64(), Some(1.0 / 3.0));
    for name in ["undefined", "infinite", "missing"] {
        assert!(value["metrics"][name].is_null() && value["metrics"].get(name).is_some(), "{name}");
    }
    assert_eq!(value["certificate"]["verdict"], "violated");
    assert_eq!(value["certificate"]["claims"][0]["verdict"], "holds");
}

#[test]
fn groups_nest() {
    let (exit, value) = json("certus toy nested deep count --to 1");
    assert_eq!((exit, value["command"].as_str()), (Exit::Done, Some("toy nested deep count")));
}

#[test]
fn verb_without_a_system_that_finds_what_was_not_asked() {
    let (exit, value) = json("certus verify");
    assert_eq!((exit, &value["command"], &value["status"]), (Exit::NotReached, &"verify".into(), &"done".into()));
}

#[test]
fn global_options_stand_anywhere() {
    let (_, before) = json("certus --seed 5 toy count --to 1");
    let (_, between) = json("certus toy --seed 5 count --to 1");
    assert_eq!((&before["seed"], &between["seed"]), (&5.into(), &5.into()));
}

#[test]
fn quiet_prints_nothing_but_errors() {
    assert_eq!(in_process(&cli(), "certus toy count --to 3 --quiet"), (Exit::Done, String::new(), String::new()));
    let (exit, out, err) = in_process(&cli(), "certus toy refuse --quiet");
    assert_eq!((exit, out.as_str()), (Exit::NotReached, ""));
    assert!(err.contains("the budget of 1 is spent"));
}

#[test]
fn stopped_run_still_reports() {
    let cli = cli().stopped_by(Arc::new(AtomicBool::new(true)));
    let (exit, out, _) = in_process(&cli, "certus toy count --to 100 --json");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &value["status"], &value["metrics"]["last"]), (Exit::NotReached, &"stopped".into(), &1.into()));
}

#[test]
fn panic_is_one_sentence_and_exit_code_1() {
    let (exit, value) = json("certus toy panic");
    assert_eq!((exit, &value["error"]["kind"]), (Exit::Failed, &"Internal".into()));
    assert!(value["error"]["message"].as_str().unwrap().ends_with("index 3 of 2"));
}

#[test]
fn errors_of_a_system_keep_their_kind_code_and_fields() {
    let (exit, value) = json("certus toy refuse");
    assert_eq!(exit, Exit::NotReached);
    let error = &value["error"];
    assert_eq!(
        (&error["kind"], &error["hint"], &error["minimum_budget"]),
        (&"budget_exceeded".into(), &"Open another ledger.".into(), &2.into())
    );
}

#[test]
fn names_cannot_command_the_terminal() {
    let (_, _, err) = in_process(&cli(), "certus toy refuse");
    assert!(!anstream::adapter::strip_str(&err).to_string().contains('\u{1b}') && err.contains("\\u{1b}[31m"), "{err:?}");
}

#[test]
fn secret_verbs_tell_neither_seed_nor_time() {
    let (exit, value) = json("certus toy secret");
    assert_eq!((exit, value["seed"].is_null(), value["seconds"].is_null()), (Exit::Done, true, true));
    let (_, out, _) = in_process(&cli(), "certus toy secret");
    assert_eq!(text(&out), "toy secret: done");
    assert_eq!(json("certus toy secret --seed 0").0, Exit::BadInput);
}

#[test]
fn files_appear_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("in"), "content").unwrap();
    let copy = format!("certus toy copy --from {} --out {} --second-out {}", path("in"), path("a"), path("b"));

    let (exit, value) = json(&format!("{copy} --fail"));
    assert_eq!((exit, &value["error"]["kind"]), (Exit::Failed, &"WriteFailed".into()));
    assert_eq!(listing(dir.path()), ["in"]);
    assert_eq!(json(&format!("{copy} --also {}", path("missing"))).0, Exit::BadInput);
    assert_eq!(listing(dir.path()), ["in"]);

    assert_eq!(json(&format!("{copy} --block")).0, Exit::Failed);
    assert_eq!(listing(dir.path()), ["a", "in"], "the folder that the test made, and not b, which had its name already");
    fs::remove_dir(path("a")).unwrap();

    let (exit, value) = json(&copy);
    assert_eq!(exit, Exit::NotReached, "max_iterations, with outputs");
    assert_eq!((&value["outputs"]["out"], &value["outputs"]["second-out"]), (&path("a").into(), &path("b").into()));
    assert_eq!(listing(dir.path()), ["a", "b", "in"]);
    assert_eq!(fs::read(path("b")).unwrap(), b"content");
}

#[cfg(unix)]
#[test]
fn replaced_files_keep_their_permissions_and_links_are_followed() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("in"), "content").unwrap();
    fs::write(path("old"), "old").unwrap();
    fs::set_permissions(path("old"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old", path("link")).unwrap();
    assert_eq!(json(&format!("certus toy copy --from {} --out {}", path("in"), path("link"))).0, Exit::NotReached);
    assert_eq!(fs::read(path("old")).unwrap(), b"content");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    assert_eq!(fs::metadata(path("old")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn outputs_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("in"), "content").unwrap();
    fs::write(path("locked"), "").unwrap();
    let mut permissions = fs::metadata(path("locked")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path("locked"), permissions).unwrap();
    let from = format!("certus toy copy --from {}", path("in"));
    let before = listing(dir.path());
    let cases = [
        (format!("--out {}", path("in")), "InvalidParameter"),
        (format!("--out {}/../{}/in", path("."), dir.path().file_name().unwrap().display()), "InvalidParameter"),
        (format!("--out {0} --second-out {0}", path("same")), "InvalidParameter"),
        (format!("--out {} --second-out {}", path("same"), path("./same")), "InvalidParameter"),
        (format!("--also {0} --out {0}", path("also")), "InvalidParameter"),
        (format!("--out {}", path("")), "InvalidParameter"),
        (format!("--out {}", path("in/below")), "InvalidParameter"),
        (format!("--out {}", path("locked")), "InvalidParameter"),
        (format!("--out {}", path("nowhere/x")), "NotFound"),
        ("--out /dev/null".to_owned(), "InvalidParameter"),
        ("--out /proc/certus".to_owned(), "InvalidParameter"),
    ];
    for (options, kind) in cases {
        let (exit, value) = json(&format!("{from} {options}"));
        assert_eq!((exit, value["error"]["kind"].as_str()), (Exit::BadInput, Some(kind)), "{options}: {value}");
        assert_eq!(listing(dir.path()), before, "{options}");
    }
}

#[test]
fn usage_errors_are_exit_code_2_and_json_on_request() {
    let cases = [
        ("certus", "Usage"),
        ("certus toy", "Usage"),
        ("certus nothing", "Usage"),
        ("certus toy nothing", "Usage"),
        ("certus toy count", "Usage"),
        ("certus toy count --to", "Usage"),
        ("certus toy count --to 3 --unknown", "Usage"),
        ("certus toy count --to 3 extra", "Usage"),
        ("certus toy count --to 3 --to 4", "Usage"),
        ("certus toy count --to 0", "InvalidParameter"),
        ("certus toy count --to -1", "InvalidParameter"),
        ("certus toy count --to 1e99", "InvalidParameter"),
        ("certus toy count --to 1 --step 0", "InvalidParameter"),
        ("certus toy count --to 1 --step -1e-3", "InvalidParameter"),
        ("certus toy count --to 1 --step -inf", "InvalidParameter"),
        ("certus toy count --to 1 --step -1,1", "InvalidParameter"),
        ("certus toy count --to 1 --step nan", "InvalidParameter"),
        ("certus toy count --to 1 --step inf", "InvalidParameter"),
        ("certus toy count --to 1 --threads 0", "InvalidParameter"),
        ("certus toy count --to 1 --threads -1", "InvalidParameter"),
        ("certus toy count --to 1 --threads 1000000", "InvalidParameter"),
        ("certus toy count --to 1 --seed -1", "InvalidParameter"),
        ("certus toy count --to 1 --seed 1.5", "InvalidParameter"),
        ("certus completions tcsh", "InvalidParameter"),
    ];
    for (line, kind) in cases {
        let (exit, value) = json(line);
        let error = &value["error"];
        assert_eq!((exit, error["kind"].as_str()), (Exit::BadInput, Some(kind)), "{line}: {value}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n') && !message.contains('\u{1b}'), "{line}: {message:?}");
        assert!(!error["hint"].as_str().unwrap().is_empty(), "{line}");
        let (exit, out, err) = in_process(&cli(), line);
        assert_eq!((exit, out.as_str()), (Exit::BadInput, ""), "{line}");
        assert!(!err.is_empty(), "{line}");
    }
}

#[test]
fn what_follows_two_dashes_is_no_option() {
    let (exit, out, _) = in_process(&cli(), "certus toy count --to 3 -- --json");
    assert_eq!((exit, out.as_str()), (Exit::BadInput, ""));
}

struct Pipe(io::ErrorKind);

impl Write for Pipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn closed_pipe_is_no_failure_but_a_full_disk_is() {
    let words = ["certus", "toy", "count", "--to", "3"];
    let mut err = Vec::new();
    assert_eq!(cli().run(words, &mut Pipe(io::ErrorKind::BrokenPipe), &mut err), Exit::Done);
    assert!(err.is_empty());
    assert_eq!(cli().run(words, &mut Pipe(io::ErrorKind::StorageFull), &mut err), Exit::Failed);
    assert!(!err.is_empty());
}
