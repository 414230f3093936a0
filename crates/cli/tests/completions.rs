//! Completion scripts.

use crate::support::run;

#[test]
fn completions_name_systems_verbs_and_options() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(dir.path(), &format!("certus completions {shell}"));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        for word in ["linalg", "least-squares", "sketch", "completions", "examples"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn bash_accepts_its_script() {
    let dir = tempfile::tempdir().unwrap();
    let script = run(dir.path(), "certus completions bash").stdout;
    std::fs::write(dir.path().join("certus.bash"), script).unwrap();
    // Not every machine that runs the tests has bash.
    if let Ok(status) = std::process::Command::new("bash").args(["-n", "certus.bash"]).current_dir(dir.path()).status() {
        assert!(status.success());
    }
}
