//! The `certus` command: one frame, and the verbs of each system in a file of its own.
//!
//! The frame parses the command line, refuses what cannot work before anything runs, runs a verb in its thread pool with a
//! progress bar and Ctrl-C, writes all files or none, and prints the report as text or as one JSON object.
//! A system adds itself with one file under `systems` and one line in [`systems::certus`]:
//!
//! ```
//! use certus_cli::{Cli, CliError, Context, Exit, OutFile, Report, System, Verb};
//! use certus_contract::Status;
//!
//! /// Count to a number
//! #[derive(clap::Args)]
//! struct Count {
//!     /// The last number
//!     #[arg(long, value_parser = certus_cli::args::count)]
//!     to: usize,
//!     /// Where the numbers go
//!     #[arg(long, value_parser = OutFile::any)]
//!     out: Option<OutFile>,
//! }
//!
//! impl Verb for Count {
//!     const EXAMPLES: &'static [&'static str] = &["certus toy count --to 3"];
//!
//!     fn run(&self, _: &Context) -> Result<Report, CliError> {
//!         Ok(Report::new(Status::Done).metric("sum", self.to * (self.to + 1) / 2))
//!     }
//! }
//!
//! let toy = System::new("toy", "Small examples").verb::<Count>("count");
//! let cli = Cli::new(System::new("certus", "The whole command").group(toy));
//! let (mut out, mut err) = (Vec::new(), Vec::new());
//! assert_eq!(cli.run(["certus", "toy", "count", "--to", "3", "--json"], &mut out, &mut err), Exit::Done);
//! let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
//! assert_eq!(json["metrics"]["sum"], 6);
//! ```
#![forbid(unsafe_code)]

mod app;
pub mod args;
mod arrays;
mod command;
mod context;
mod error;
mod examples;
mod human;
pub mod interrupt;
mod outputs;
mod progress;
mod report;
pub mod samples;
pub mod systems;
mod usage;
mod verb;

pub use app::Cli;
pub use args::{InFile, NumberOrFile, OutFile};
pub use context::Context;
pub use error::{CliError, Exit, Explain};
pub use outputs::Staged;
pub use report::{ENVELOPE, Report};
pub use verb::{System, Verb};
