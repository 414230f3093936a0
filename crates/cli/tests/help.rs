//! Every example in a help text, and every command in the README and the guides, runs as it stands.

use std::fs;
use std::path::Path;

use certus_cli::{Cli, ENVELOPE, systems};
use serde_json::Value;

use crate::support::{examples, listing, run, run_json};

/// The full names of all verbs: `linalg leverage`.
fn verbs() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, verbs: &mut Vec<String>) {
        if command.has_subcommands() {
            command.get_subcommands().for_each(|c| walk(c, format!("{path} {}", c.get_name()).trim(), verbs));
        } else {
            verbs.push(path.to_owned());
        }
    }
    let mut verbs = Vec::new();
    walk(&Cli::new(systems::certus()).command(), "", &mut verbs);
    verbs.retain(|verb| !["examples", "completions"].contains(&verb.as_str()));
    verbs
}

/// The command lines in a text: those that start a line with `certus`, with broken lines joined.
fn command_lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| line.starts_with("certus ")).map(str::to_owned).collect()
}

/// The examples of all help texts.
fn help_examples() -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let of = |verb: &String| {
        let output = run(dir.path(), &format!("certus {verb} --help"));
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{verb}");
        let (_, examples) = help.split_once("\nExample").unwrap_or_else(|| panic!("{verb} has no example: {help}"));
        let lines = command_lines(examples);
        assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with(&format!("certus {verb} "))), "{verb}: {lines:?}");
        lines
    };
    verbs().iter().flat_map(of).collect()
}

#[test]
fn examples_of_the_help_run_as_text_and_as_json() {
    for line in help_examples() {
        let dir = examples();
        let before = listing(dir.path());
        let output = run(dir.path(), &line);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""), "{line}");
        assert!(out.contains("certificate: ") || makes_data(&line), "{line}: {out}");
        assert!(!out.contains('\u{1b}'), "{line}: {out}");
        assert!(listing(dir.path()).len() > before.len() || !line.contains("--out"), "{line} wrote nothing");

        let (code, value) = run_json(dir.path(), &line);
        assert_eq!(code, 0, "{line}");
        check_envelope(dir.path(), &line, &value);
    }
}

/// Verbs that make or convert data prove nothing.
fn makes_data(line: &str) -> bool {
    ["certus gnn synth ", "certus gnn import "].iter().any(|verb| line.starts_with(verb))
}

fn check_envelope(dir: &Path, line: &str, value: &Value) {
    let object = value.as_object().unwrap();
    for key in ENVELOPE {
        assert!(object.contains_key(key), "{line}: {key}");
    }
    assert!(line.starts_with(&format!("certus {} ", value["command"].as_str().unwrap())), "{line}");
    assert!(["converged", "done"].contains(&value["status"].as_str().unwrap()), "{line}: {}", value["status"]);
    assert!(value["metrics"].as_object().is_some_and(|m| !m.is_empty()), "{line}");
    assert!(value["warnings"].is_array() && value["trace"].is_array(), "{line}");
    for (name, path) in value["outputs"].as_object().unwrap() {
        assert!(dir.join(path.as_str().unwrap()).is_file(), "{line}: {name}");
    }
    let certificate = &value["certificate"];
    if certificate.is_null() && makes_data(line) {
        return;
    }
    assert!(["holds", "vacuous"].contains(&certificate["verdict"].as_str().unwrap()), "{line}: {certificate:#}");
    for claim in certificate["claims"].as_array().unwrap() {
        for key in ["theorem", "source", "verdict", "basis", "assumptions", "guarantees"] {
            assert!(claim.get(key).is_some(), "{line}: {key}");
        }
    }
}

#[test]
fn examples_give_the_same_bits_on_one_thread_and_two() {
    for line in help_examples() {
        let [mut one, mut two] = ["1", "2"].map(|threads| {
            let dir = examples();
            let (_, mut value) = run_json(dir.path(), &format!("{line} --threads {threads}"));
            value["seconds"] = Value::Null;
            if line.starts_with("certus gnn ") {
                // Each thread has its scratch: the plan differs, the answer does not.
                value = Value::Null;
            }
            let files = listing(dir.path()).into_iter().filter(|f| dir.path().join(f).is_file());
            let contents = files.map(|f| (fs::read(dir.path().join(&f)).unwrap(), f)).collect::<Vec<_>>();
            (value.to_string(), contents)
        });
        assert_eq!(one.0, two.0, "{line}");
        one.1.retain(|file| !two.1.contains(file));
        two.1.clear();
        assert_eq!(one.1.iter().map(|(_, name)| name).collect::<Vec<_>>(), [""; 0], "{line}");
    }
}

#[test]
fn commands_in_the_readme_and_the_guides_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = fs::read_dir(root.join("docs/guide")).unwrap().map(|entry| entry.unwrap().path());
    for page in guides.chain([root.join("README.md")]) {
        let commands = readme_commands(&fs::read_to_string(&page).unwrap());
        for line in commands {
            let dir = examples();
            let output = run(dir.path(), &line);
            assert_eq!(output.status.code(), Some(0), "{}: {line}: {}", page.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Commands in code blocks, and in the cells of tables.
fn readme_commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (k, part) in readme.split("```").enumerate() {
        if k % 2 == 1 {
            commands.extend(command_lines(&part.replace("\n$ ", "\n")));
        } else {
            let cells = part.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
            commands.extend(cells.filter(|cell| cell.starts_with("certus ")).map(|cell| cell.replace("\\|", "|")));
        }
    }
    // Later words of a shell line, and what the row leaves open, are not for this test.
    commands
        .iter()
        .map(|c| c.split(" && ").next().unwrap_or(c).to_owned())
        .filter(|c| !c.contains("SYSTEM") && !c.contains("DIR"))
        .collect()
}

#[test]
fn commands_are_found_in_code_blocks_and_tables() {
    let readme = "Run `certus no`.\n```sh\n$ certus a b \\\n  --c\n# certus no\ncertus examples demo && cd demo\n```\n| 1 | `certus t` |\n";
    assert_eq!(readme_commands(readme), ["certus a b    --c", "certus examples demo", "certus t"]);
}
