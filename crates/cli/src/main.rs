//! The `certus` command; everything is in the library.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use certus_cli::{Cli, interrupt, systems};

fn main() -> ExitCode {
    interrupt::quiet_panics();
    let cli = Cli::new(systems::certus()).stopped_by(interrupt::stop_on_signal()).with_progress(std::io::stderr().is_terminal());
    let exit = cli.run(std::env::args_os(), &mut anstream::stdout().lock(), &mut anstream::stderr());
    ExitCode::from(exit.code())
}
