//! What an experiment is, what it is given, and how it is run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::environment;
use crate::measure::Protocol;
use crate::peers::Peers;
use crate::results::Experiment;

/// Why an experiment ends early. Anything that can be printed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One row of the table of experiments.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name on the command line, in `snake_case`.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it asks, in one sentence.
    pub question: &'static str,
    /// Fills in what it finds. What it has filled in before it fails is kept.
    pub run: fn(&Context, &mut Experiment) -> Result<(), Failure>,
}

/// What an experiment is given.
#[derive(Debug)]
pub struct Context {
    /// Cut sizes and runs down, so that all experiments together take less than three minutes in the dev profile.
    pub quick: bool,
    /// The most threads to use.
    pub threads: usize,
    /// Where everything random begins.
    pub seed: u64,
    /// The peers, if the user asked for them.
    pub peers: Option<Peers>,
}

impl Context {
    /// `full`, or `quick` in a quick run.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How to take times: the default protocol, or three runs within a second in a quick run.
    pub fn protocol(&self) -> Protocol {
        let quick = Protocol { runs: 3, budget: std::time::Duration::from_secs(1), ..Protocol::default() };
        self.size(Protocol::default(), quick)
    }

    /// Runs `work` in a pool of so many threads.
    ///
    /// # Errors
    /// If the system grants no threads.
    pub fn on_threads<R: Send>(&self, threads: usize, work: impl FnOnce() -> R + Send) -> Result<R, Failure> {
        Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(work))
    }

    /// The numbers of threads that are worth a row of their own: one, and all.
    pub fn thread_counts(&self) -> Vec<usize> {
        if self.threads == 1 { vec![1] } else { vec![1, self.threads] }
    }
}

/// Runs one experiment. It always gives a record: an error or a panic is told in its field `failure`.
pub fn run(entry: &Entry, context: &Context) -> Experiment {
    let mut experiment = Experiment {
        name: entry.name.into(),
        title: entry.title.into(),
        question: entry.question.into(),
        environment: environment::describe(context.threads, context.seed),
        ..Experiment::default()
    };
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (entry.run)(context, &mut experiment)));
    experiment.seconds = start.elapsed().as_secs_f64();
    experiment.failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("panicked: {}", text.unwrap_or("without a message")))
        }
    };
    experiment
}
