//! How a system registers its verbs.

use std::path::Path;

use clap::{ArgMatches, Command};

use crate::context::Context;
use crate::error::CliError;
use crate::report::Report;

/// One verb of the command: its options (by `#[derive(clap::Args)]`) and what it does.
///
/// The doc comment of the struct is the help text. File options have type [`InFile`](crate::InFile) and
/// [`OutFile`](crate::OutFile).
pub trait Verb: clap::Args + Send + 'static {
    /// Command lines that run on the files of `certus examples`: shown by `--help`, and run by the tests.
    const EXAMPLES: &'static [&'static str];

    /// Reads, computes, and reports. It runs in the pool of `--threads`; what it returns is written and printed by the frame.
    ///
    /// # Errors
    /// Every bad input, before any long work. After an error nothing is written.
    fn run(&self, ctx: &Context) -> Result<Report, CliError>;
}

/// The verbs of one system, of a group within a system, or of the whole command.
pub struct System {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) entries: Vec<Entry>,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) enum Entry {
    Verb(Registered),
    Group(System),
}

impl Entry {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Entry::Verb(verb) => verb.name,
            Entry::Group(group) => group.name,
        }
    }
}

/// A verb without its type.
pub(crate) struct Registered {
    pub(crate) name: &'static str,
    pub(crate) examples: &'static [&'static str],
    pub(crate) augment: fn(Command) -> Command,
    pub(crate) parse: fn(&ArgMatches) -> Result<Work, clap::Error>,
}

impl Registered {
    fn new<V: Verb>(name: &'static str) -> Self {
        let parse = |matches: &ArgMatches| {
            let verb = V::from_arg_matches(matches)?;
            Ok(Box::new(move |ctx: &Context| verb.run(ctx)) as Work)
        };
        Registered { name, examples: V::EXAMPLES, augment: V::augment_args, parse }
    }
}

/// The work of a parsed verb.
pub(crate) type Work = Box<dyn FnOnce(&Context) -> Result<Report, CliError> + Send>;

/// A file that `certus examples` writes.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&Path) -> Result<(), CliError>,
}

impl System {
    /// A system or group with no verbs yet; `about` is one line of the help.
    pub fn new(name: &'static str, about: &'static str) -> Self {
        System { name, about, entries: Vec::new(), samples: Vec::new() }
    }

    /// The same system with one more verb.
    pub fn verb<V: Verb>(mut self, name: &'static str) -> Self {
        self.entries.push(Entry::Verb(Registered::new::<V>(name)));
        self
    }

    /// The same system with a group of verbs: `account` in `certus privacy account compose`, `privacy` in `certus`.
    pub fn group(mut self, group: System) -> Self {
        self.entries.push(Entry::Group(group));
        self
    }

    /// The same system with one more file for `certus examples`, written by `make` to the path that it is given. Systems
    /// may share a file: the same name, the same maker (see [`samples`](crate::samples)).
    pub fn sample(mut self, name: &'static str, make: fn(&Path) -> Result<(), CliError>) -> Self {
        self.samples.push(Sample { name, make });
        self
    }

    /// The examples of all verbs, in order.
    pub(crate) fn examples(&self) -> Vec<&'static str> {
        let of = |entry: &Entry| match entry {
            Entry::Verb(verb) => verb.examples.to_vec(),
            Entry::Group(group) => group.examples(),
        };
        self.entries.iter().flat_map(of).collect()
    }

    /// The samples of this system and its groups.
    pub(crate) fn all_samples(&self) -> Vec<Sample> {
        let groups = self.entries.iter().filter_map(|entry| match entry {
            Entry::Group(group) => Some(group.all_samples()),
            Entry::Verb(_) => None,
        });
        self.samples.iter().copied().chain(groups.flatten()).collect()
    }
}
