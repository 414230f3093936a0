//! The binary as a process: colours, closed and full outputs.

use std::fs::File;

use crate::support::{certus, examples, run};

const LINE: &str = "certus linalg least-squares --a diabetes.npz:x --b b.npy --out x.npy";

#[test]
fn colours_are_for_terminals_and_never_against_the_users_will() {
    let dir = examples();
    let out = |variables: &[(&str, &str)]| {
        let mut command = certus(dir.path());
        command.args(LINE.split(' ').skip(1)).envs(variables.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(!out(&[]).contains('\u{1b}'), "a pipe is no terminal");
    assert!(out(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!out(&[("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn no_progress_bar_where_standard_error_is_no_terminal() {
    let dir = examples();
    let output = run(dir.path(), &format!("{LINE} --method lsmr --tol 1e-17"));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn run_that_misses_its_goal_writes_its_answer_and_exits_with_3() {
    let dir = examples();
    let (code, value) = crate::support::run_json(dir.path(), &format!("{LINE} --method lsmr --max-iter 2"));
    assert_eq!((code, &value["status"]), (3, &"max_iterations".into()));
    assert!(dir.path().join("x.npy").is_file());
    assert!(value["certificate"]["claims"].is_array() && value["metrics"]["iterations"] == 2, "{value}");
}

#[test]
fn closed_standard_output_is_no_panic() {
    let dir = examples();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_certus"))
        .args(LINE.split(' ').skip(1))
        .arg("--json")
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    assert!(dir.path().join("x.npy").is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn full_standard_output_is_exit_code_1_with_a_sentence() {
    let dir = examples();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_certus"))
        .args(LINE.split(' ').skip(1))
        .current_dir(dir.path())
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.lines().count() == 1, "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_no_more_is_told_and_leaves_nothing_half_written() {
    let dir = examples();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    // Files of at most one block, and an error instead of the signal (25, SIGXFSZ) for what is beyond.
    let script = "trap '' 25; ulimit -f 1; exec \"$0\" linalg leverage --a digits.npz:x --out tau.npy";
    let output =
        std::process::Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_certus")]).current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: ") && text.contains("tau.npy"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before, "neither the file nor a part of it");
}
