use std::process::{Command, Output};

use certus_numeric::Array;
use certus_testkit::cases::{VARIABLE, array, existing, external, json, numbers, shipped};

#[test]
fn shipped_json_is_read_with_nulls_and_infinities() {
    let value = json(shipped(env!("CARGO_MANIFEST_DIR"), "numbers.json"));
    let x = numbers(&value["x"]);
    assert_eq!((x[0], x[1].is_nan(), x[2], x[3]), (1.0, true, f64::INFINITY, -2.5));
}

#[test]
fn arrays_of_an_archive_are_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.npz");
    let mut writer = certus_io::NpzWriter::create(&path).unwrap();
    writer.add("x", &Array::vector(vec![1i64, -2])).unwrap();
    writer.finish().unwrap();
    assert_eq!(array(&path, "x"), Array::vector(vec![1.0, -2.0]));
    let missing = std::panic::catch_unwind(|| array(&path, "y")).unwrap_err();
    assert!(missing.downcast::<String>().unwrap().contains("y is not found (there is x)"));
}

#[test]
#[should_panic(expected = "absent.json is missing")]
fn a_missing_shipped_case_fails() {
    shipped(env!("CARGO_MANIFEST_DIR"), "absent.json");
}

/// Looks for cases where the tests below run it, in a process of its own with the variable set as they say.
#[test]
fn child() {
    if std::env::args().any(|argument| argument == "cases::child")
        && let Some(folder) = external("testkit")
    {
        existing(folder.join("tests/cases/absent.npz"));
    }
}

fn child_with(folder: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["cases::child", "--exact", "--nocapture"]).env_remove(VARIABLE);
    command.envs(folder.map(|folder| (VARIABLE, folder))).output().unwrap()
}

#[test]
fn without_the_variable_one_line_says_so_and_the_test_passes() {
    let output = child_with(None);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("skipped: CERTUS_CASES is not set\n").count(), 1);
}

#[test]
fn with_the_variable_a_missing_folder_or_file_fails() {
    for (folder, missing) in [("no/such/folder", "testkit is missing"), ("crates", "absent.npz is missing")] {
        let output = child_with(Some(folder));
        assert!(!output.status.success());
        assert!(String::from_utf8(output.stderr).unwrap().contains(missing));
    }
}
