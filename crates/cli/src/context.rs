//! What the frame gives to a running verb.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use certus_contract::Event;
use certus_numeric::Seed;

use crate::args::OutFile;
use crate::error::CliError;
use crate::outputs::{Outputs, Staged};
use crate::progress::Progress;

/// What the frame gives to a running verb: the seed, an observer, files under way. The verb runs in the pool of `--threads`.
pub struct Context {
    pub(crate) seed: Option<u64>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) told: AtomicBool,
    pub(crate) progress: Progress,
    pub(crate) outputs: Outputs,
}

impl Context {
    /// The seed of `--seed`; 0 without it.
    pub fn seed(&self) -> Seed {
        Seed(self.seed.unwrap_or(0))
    }

    /// The seed of `--seed` only if it was given: for verbs that refuse it.
    pub fn given_seed(&self) -> Option<Seed> {
        self.seed.map(Seed)
    }

    /// Whether Ctrl-C was pressed: for verbs that run until then, and for loops of their own.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The observer for a solver: draws the progress bar, and stops the run after Ctrl-C.
    pub fn observer(&self) -> impl FnMut(&Event) -> ControlFlow<()> + '_ {
        |event| {
            self.progress.show(event);
            if !self.stopped() {
                return ControlFlow::Continue(());
            }
            if !self.told.swap(true, Ordering::Relaxed) {
                self.progress.say("stopping with the best answer so far; Ctrl-C again ends at once");
            }
            ControlFlow::Break(())
        }
    }

    /// A temporary file for an output that is written while the verb computes; give it to
    /// [`Report::staged`](crate::Report::staged) when it is whole. Outputs that fit in memory need not care:
    /// [`Report::array`](crate::Report::array).
    ///
    /// # Errors
    /// `WriteFailed` (exit code 1).
    pub fn stage(&self, out: &OutFile) -> Result<Staged, CliError> {
        self.outputs.stage(out)
    }
}
