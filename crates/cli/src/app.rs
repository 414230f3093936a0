//! The frame: from arguments to an exit code.

use std::any::Any;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;
use std::time::Instant;

use certus_contract::InputError;
use clap::{ArgMatches, FromArgMatches as _};

use crate::args::{Globals, InFile, NumberOrFile, OutFile};
use crate::command::{self, COMPLETIONS, EXAMPLES};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::examples::{self, Examples};
use crate::human;
use crate::interrupt;
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::report::Finished;
use crate::usage;
use crate::verb::{Entry, Registered, System, Work};

/// Bytes of stack of each thread: what the main thread usually has.
const STACK: usize = 8 << 20;

/// A command over registered verbs.
pub struct Cli {
    root: System,
    stop: Arc<AtomicBool>,
    progress: bool,
}

/// What there is to print.
enum Outcome {
    /// Help, version or a completion script.
    Text(String),
    Finished {
        finished: Box<Finished>,
        quiet: bool,
    },
}

enum Failure {
    Usage(clap::Error),
    Error(CliError),
}

impl<E: Into<CliError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Error(error.into())
    }
}

/// A verb that is ready to run, with the files that it reads and writes by option.
struct Job {
    command: String,
    inputs: Vec<(String, PathBuf)>,
    outputs: Vec<(String, OutFile)>,
    work: Work,
}

impl Cli {
    /// The command whose name, help and verbs are those of `root`, with the verbs `examples` and `completions` added.
    pub fn new(root: System) -> Self {
        Cli { root, stop: Arc::new(AtomicBool::new(false)), progress: false }
    }

    /// The same command, whose running verb stops at its next event once the flag is set.
    pub fn stopped_by(self, stop: Arc<AtomicBool>) -> Self {
        Cli { stop, ..self }
    }

    /// The same command with or without a progress bar on standard error.
    pub fn with_progress(self, progress: bool) -> Self {
        Cli { progress, ..self }
    }

    /// Its clap form: for completions, manuals and tests.
    pub fn command(&self) -> clap::Command {
        command::build(&self.root)
    }

    /// Runs one command line, the first of `args` being the program's name, and prints to `out` and `err`.
    pub fn run(&self, args: impl IntoIterator<Item = impl Into<OsString>>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
        let args = command::join_negative_values(args.into_iter().map(Into::into).collect());
        let json = args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json");
        // Nothing that a panic leaves behind is looked at again.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.outcome(&args)));
        let (exit, printed) = match outcome.unwrap_or_else(|panic| Err(Failure::Error(broken(panic.as_ref())))) {
            Ok(Outcome::Text(text)) => (Exit::Done, out.write_all(text.as_bytes())),
            Ok(Outcome::Finished { finished, quiet }) => (finished.report.exit(), print(&finished, json, quiet, out)),
            Err(Failure::Usage(error)) if json => (Exit::BadInput, writeln!(out, "{}", usage::explain(&error).to_json())),
            Err(Failure::Usage(error)) => (Exit::BadInput, write!(err, "{}", error.render().ansi())),
            Err(Failure::Error(error)) if json => (error.exit(), writeln!(out, "{}", error.to_json())),
            Err(Failure::Error(error)) => (error.exit(), human::print_error(&error, err)),
        };
        match printed.and_then(|()| out.flush()) {
            Ok(()) => exit,
            // The reader has seen enough; that is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
            Err(error) => {
                let _ = writeln!(err, "error: the report could not be printed: {error}");
                Exit::Failed
            }
        }
    }

    fn outcome(&self, args: &[OsString]) -> Result<Outcome, Failure> {
        let matches = match self.command().try_get_matches_from(args) {
            Ok(matches) => matches,
            Err(error) if error.exit_code() == 0 => return Ok(Outcome::Text(error.render().ansi().to_string())),
            Err(error) => return Err(Failure::Usage(error)),
        };
        let globals = Globals::from_arg_matches(&matches).map_err(Failure::Usage)?;
        if let Some((COMPLETIONS, matches)) = matches.subcommand() {
            return Ok(Outcome::Text(command::completions(self.command(), matches)));
        }
        let job = self.job(&matches)?;
        let finished = Box::new(self.execute(job, &globals)?);
        Ok(Outcome::Finished { finished, quiet: globals.quiet })
    }

    fn job(&self, matches: &ArgMatches) -> Result<Job, Failure> {
        if let Some((EXAMPLES, matches)) = matches.subcommand() {
            let examples = Examples::from_arg_matches(matches).map_err(Failure::Usage)?;
            let (outputs, work) = examples::prepare(&examples, &self.root)?;
            return Ok(Job { command: EXAMPLES.into(), inputs: Vec::new(), outputs, work });
        }
        let (verb, command, matches) = self.verb(matches).ok_or_else(|| {
            // clap refuses everything else before; this is for a frame that has changed.
            Failure::Usage(self.command().error(clap::error::ErrorKind::MissingSubcommand, "a system and a verb are needed"))
        })?;
        let work = (verb.parse)(matches).map_err(Failure::Usage)?;
        Ok(Job { command, inputs: inputs(matches), outputs: values(matches), work })
    }

    /// The verb that is called, its full name, and its arguments.
    fn verb<'a>(&self, matches: &'a ArgMatches) -> Option<(&Registered, String, &'a ArgMatches)> {
        let (mut group, mut matches, mut names) = (&self.root, matches, Vec::new());
        loop {
            let (name, inner) = matches.subcommand()?;
            names.push(name);
            matches = inner;
            match group.entries.iter().find(|entry| entry.name() == name)? {
                Entry::Verb(verb) => return Some((verb, names.join(" "), matches)),
                Entry::Group(inner) => group = inner,
            }
        }
    }

    /// Checks the outputs, runs the work in its pool, and writes its files.
    fn execute(&self, job: Job, globals: &Globals) -> Result<Finished, CliError> {
        let begun = Instant::now();
        let outputs = Outputs::check(&job.outputs, &job.inputs)?;
        require_files(&job.inputs)?;
        let context = Context {
            seed: globals.seed,
            stop: Arc::clone(&self.stop),
            told: AtomicBool::new(false),
            progress: Progress::new(self.progress && !globals.quiet && !globals.json),
            outputs,
        };
        let threads = globals.threads.unwrap_or_else(|| available_parallelism().map_or(1, Into::into));
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build().map_err(|error| no_threads(threads, &error))?;
        let mut report = pool.install(|| (job.work)(&context))?;
        let written = report.write(&context.outputs)?;
        let seed = context.seed().0;
        Ok(Finished { command: job.command, seed, seconds: begun.elapsed().as_secs_f64(), report, written })
    }
}

fn print(finished: &Finished, json: bool, quiet: bool, out: &mut dyn Write) -> io::Result<()> {
    match (json, quiet) {
        (true, _) => writeln!(out, "{}", finished.to_json()?),
        (false, true) => Ok(()),
        (false, false) => human::print(finished, out),
    }
}

/// The values of one type among the arguments, with the names of their options.
fn values<T: Any + Clone + Send + Sync>(matches: &ArgMatches) -> Vec<(String, T)> {
    let of = |id: &clap::Id| {
        let values = matches.try_get_many::<T>(id.as_str()).ok().flatten();
        values.into_iter().flatten().map(|value| (id.as_str().replace('_', "-"), value.clone())).collect::<Vec<_>>()
    };
    matches.ids().flat_map(of).collect()
}

fn inputs(matches: &ArgMatches) -> Vec<(String, PathBuf)> {
    let mut files = values::<InFile>(matches);
    files.extend(values::<NumberOrFile>(matches).into_iter().filter_map(|(option, value)| match value {
        NumberOrFile::File(file) => Some((option, file)),
        NumberOrFile::Number(_) => None,
    }));
    files.into_iter().map(|(option, file)| (option, file.path().to_owned())).collect()
}

/// Refuses a missing file at once: others, which take long to read, may come before it.
fn require_files(inputs: &[(String, PathBuf)]) -> Result<(), InputError> {
    match inputs.iter().find(|(_, path)| path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)) {
        Some((_, path)) => Err(InputError::not_found(path.display().to_string(), [""; 0])),
        None => Ok(()),
    }
}

fn no_threads(threads: usize, error: &rayon::ThreadPoolBuildError) -> CliError {
    let message = format!("{threads} threads could not be started: {error}");
    CliError::new("ThreadsFailed", message, "Ask for fewer with --threads.").with_exit(Exit::Failed)
}

/// A panic as an error.
fn broken(panic: &(dyn Any + Send)) -> CliError {
    let what = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place = interrupt::place_of_panic().map(|place| format!(" at {place}")).unwrap_or_default();
    let message = format!("an internal error{place}: {what}");
    CliError::new("Internal", message, "This is a bug in certus; nothing was written. Please report it with the command line.")
        .with_exit(Exit::Failed)
}
