//! A toy system with a verb for everything that a verb can do.

use std::fs;
use std::path::Path;

use certus_cli::{Cli, CliError, Context, Exit, Explain, InFile, NumberOrFile, OutFile, Report, System, Verb};
use certus_contract::{Certificate, Check, Claim, Event, Status};
use serde_json::json;

/// The command over the toy system.
pub(crate) fn cli() -> Cli {
    let inner = System::new("deep", "A group in a group").verb::<Count>("count");
    let toy = System::new("toy", "Toy verbs")
        .verb::<Count>("count")
        .verb::<Copy>("copy")
        .verb::<Panic>("panic")
        .verb::<Refuse>("refuse")
        .verb::<Secret>("secret")
        .group(System::new("nested", "A group").group(inner))
        .sample("one.txt", |path| save(path, "1\n"))
        .sample("two.txt", |path| save(path, "2\n"));
    Cli::new(System::new("certus", "The whole command").group(toy).verb::<Verify>("verify"))
}

fn save(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| CliError::write_failed(path, &error))
}

/// The certificate of a count: one claim that holds, one that is violated.
pub(crate) fn counting(to: usize) -> Certificate {
    let claim = |name: &'static str, limit: f64| {
        Claim::new(name, "no source").assumes(Check::enforced("counted", "every step was counted")).guarantees(Check::le(
            "reached",
            "last number <= limit",
            to as f64,
            limit,
        ))
    };
    Certificate::new([claim("Counting", to as f64), claim("Too little", 0.0)])
}

/// Count upwards, with an event a step
#[derive(clap::Args)]
pub(crate) struct Count {
    /// The last number
    #[arg(long, value_parser = certus_cli::args::count)]
    to: usize,
    /// A step
    #[arg(long, default_value_t = 1.0, value_parser = certus_cli::args::positive)]
    step: f64,
}

impl Verb for Count {
    const EXAMPLES: &'static [&'static str] = &["certus toy count --to 3"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let mut observer = ctx.observer();
        let done = (1..=self.to).find(|&k| observer(&Event::new("count", k as u64).of(self.to as u64).value(1.0 / k as f64)).is_break());
        Ok(Report::new(if done.is_some() { Status::Stopped } else { Status::Converged })
            .metric("last", done.unwrap_or(self.to))
            .metric("third", self.step / 3.0)
            .metric("tiny", 1.25e-17 * self.step)
            .metric("undefined", f64::NAN)
            .metric("infinite", f64::INFINITY)
            .metric("missing", None::<f64>)
            .metric("name", "counting")
            .metric("shape", vec![2, 3])
            .metric("threads", rayon::current_num_threads())
            .metric("drawn", ctx.seed().0)
            .field("outcome", "counted")
            .field("cuts", json!([[1, 2], [3, 4]]))
            .warnings(["OddNumber: three is odd"])
            .trace((1..=self.to).map(|k| 1.0 / k as f64))
            .certificate(counting(self.to)))
    }
}

/// Copy files, then fail if asked to
#[derive(clap::Args)]
pub(crate) struct Copy {
    /// What to copy
    #[arg(long)]
    from: InFile,
    /// A number or a file
    #[arg(long)]
    also: Option<NumberOrFile>,
    /// The copy
    #[arg(long, value_parser = OutFile::any)]
    out: OutFile,
    /// A second copy, written early
    #[arg(long, value_parser = OutFile::any)]
    second_out: Option<OutFile>,
    /// Fail after the second copy is written
    #[arg(long)]
    fail: bool,
    /// Make a folder in the place of the copy before the files get their names
    #[arg(long)]
    block: bool,
}

impl Verb for Copy {
    const EXAMPLES: &'static [&'static str] = &["certus toy copy --from one.txt --out copy.txt"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        let read = |path: &Path| fs::read(path).map_err(|e| CliError::new("NotFound", e.to_string(), "Check the path."));
        let content = read(self.from.path())?;
        let mut report = Report::new(Status::MaxIterations);
        if let Some(out) = &self.second_out {
            let staged = ctx.stage(out)?;
            fs::write(staged.path(), &content).map_err(|error| CliError::write_failed(out.path(), &error))?;
            report = report.staged(staged);
        }
        if let Some(NumberOrFile::File(file)) = &self.also {
            read(file.path())?;
        }
        let place = self.out.clone();
        let (fail, block) = (self.fail, self.block);
        Ok(report.file(&self.out, move |path| {
            fs::write(path, content).map_err(|error| CliError::write_failed(place.path(), &error))?;
            if block {
                fs::create_dir(place.path()).map_err(|error| CliError::write_failed(place.path(), &error))?;
            }
            if fail { Err(CliError::write_failed(place.path(), &std::io::Error::other("the disk is full"))) } else { Ok(()) }
        }))
    }
}

/// Panic
#[derive(clap::Args)]
pub(crate) struct Panic {}

impl Verb for Panic {
    const EXAMPLES: &'static [&'static str] = &["certus toy panic"];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        panic!("index 3 of 2")
    }
}

/// Refuse, with a kind and fields of the system's own
#[derive(clap::Args)]
pub(crate) struct Refuse {}

struct Refusal;

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the budget of 1 is spent\u{1b}[31m")
    }
}

impl Explain for Refusal {
    fn kind(&self) -> String {
        "budget_exceeded".into()
    }

    fn hint(&self) -> String {
        "Open another ledger.".into()
    }

    fn exit(&self) -> Exit {
        Exit::NotReached
    }

    fn fields(&self) -> serde_json::Map<String, serde_json::Value> {
        [("minimum_budget".to_owned(), json!(2))].into_iter().collect()
    }
}

impl Verb for Refuse {
    const EXAMPLES: &'static [&'static str] = &["certus toy refuse"];

    fn run(&self, _: &Context) -> Result<Report, CliError> {
        Err(Refusal.into())
    }
}

/// Tell neither seed nor time, and refuse a seed
#[derive(clap::Args)]
pub(crate) struct Secret {}

impl Verb for Secret {
    const EXAMPLES: &'static [&'static str] = &["certus toy secret"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        if ctx.given_seed().is_some() {
            return Err(CliError::new("InvalidParameter", "--seed must not be given: the noise is not repeatable", "Leave it out."));
        }
        Ok(Report::new(Status::Done).silent_about_seed_and_time())
    }
}

/// Check something that is not so
#[derive(clap::Args)]
pub(crate) struct Verify {}

impl Verb for Verify {
    const EXAMPLES: &'static [&'static str] = &["certus verify"];

    fn run(&self, ctx: &Context) -> Result<Report, CliError> {
        Ok(Report::new(Status::Done).metric("stopped", ctx.stopped()).unreached())
    }
}
