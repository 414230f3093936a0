//! The clap form of the registered systems: help texts, examples, completions.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgMatches, Args as _, Command, value_parser};
use clap_complete::Shell;

use crate::args::Globals;
use crate::examples::Examples;
use crate::verb::{Entry, Registered, System};

pub(crate) const COMPLETIONS: &str = "completions";
pub(crate) const EXAMPLES: &str = "examples";

/// Lines of examples are broken beyond this, as a shell takes them.
const WIDTH: usize = 78;

/// The whole command over the verbs of `root`.
pub(crate) fn build(root: &System) -> Command {
    let command = Globals::augment_args(group(root)).version(env!("CARGO_PKG_VERSION")).after_help(front(root.name));
    command.subcommand(Examples::augment_args(Command::new(EXAMPLES))).subcommand(
        Command::new(COMPLETIONS)
            .about("Print a completion script for a shell")
            .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell))),
    )
}

/// What stands below the help of the whole command.
fn front(name: &str) -> String {
    let (first, second) = (format!("{name} examples demo && cd demo"), format!("{name} ... VERB --help"));
    format!(
        "First steps:
  {first:35}  sample files, and command lines that run on them
  {second:35}  what a verb takes, and examples

Exit codes: 0 done; 2 bad input or usage; 3 ran, but did not reach what was asked; 1 anything else."
    )
}

/// The completion script that is asked for.
pub(crate) fn completions(mut command: Command, matches: &ArgMatches) -> String {
    let mut script = Vec::new();
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        let name = command.get_name().to_owned();
        clap_complete::generate(*shell, &mut command, name, &mut script);
    }
    String::from_utf8_lossy(&script).into_owned()
}

fn group(system: &System) -> Command {
    let command = Command::new(system.name).about(system.about).subcommand_required(true).arg_required_else_help(true);
    system.entries.iter().fold(command, |command, entry| {
        command.subcommand(match entry {
            Entry::Verb(registered) => verb(registered),
            Entry::Group(inner) => group(inner),
        })
    })
}

fn verb(verb: &Registered) -> Command {
    let title = if verb.examples.len() == 1 { "Example" } else { "Examples" };
    let lines = verb.examples.iter().map(|example| broken(example)).collect::<String>();
    (verb.augment)(Command::new(verb.name)).after_help(format!("{title} (on the files of `examples DIR`):{lines}"))
}

/// The arguments with negative values joined to their options (`--box -1,1` as `--box=-1,1`), which clap would take for
/// options of their own.
pub(crate) fn join_negative_values(args: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::with_capacity(args.len());
    for arg in args {
        match joined.last_mut() {
            Some(option) if is_negative_value(&arg) && is_bare_option(option) => {
                option.push("=");
                option.push(arg);
            }
            _ => joined.push(arg),
        }
    }
    joined
}

fn is_negative_value(arg: &OsStr) -> bool {
    let rest = arg.to_str().and_then(|text| text.strip_prefix('-')).unwrap_or_default();
    rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') || rest.parse::<f64>().is_ok()
}

fn is_bare_option(arg: &OsStr) -> bool {
    arg.to_str().is_some_and(|text| text.len() > 2 && text.starts_with("--") && !text.contains('='))
}

/// A command line over as many lines as it needs.
fn broken(line: &str) -> String {
    let mut text = String::from("\n  ");
    let mut column = 2;
    for word in line.split(' ') {
        if column + word.len() > WIDTH {
            text.push_str("\\\n      ");
            column = 6;
        }
        text.push_str(word);
        text.push(' ');
        column += word.len() + 1;
    }
    text.trim_end().to_owned()
}
