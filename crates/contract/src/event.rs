//! What a solver tells while it runs, and how it ended.

use std::fmt;
use std::ops::ControlFlow;

/// One step of a running solver.
///
/// An observer sees every iteration and may stop the run by returning [`ControlFlow::Break`]; a stopped run still returns
/// its best answer, with [`Status::Stopped`]. A time budget is such an observer: solvers themselves read no clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The part of the work, in the field's words: `"sketch"`, `"iterate"`.
    pub phase: &'static str,
    /// Steps of this phase that are done.
    pub done: u64,
    /// Steps of this phase in all, where that is known.
    pub total: Option<u64>,
    /// The quantity that the phase drives (a loss, a residual), where there is one.
    pub value: Option<f64>,
}

impl Event {
    /// A step of `phase` with no known end and no value.
    pub fn new(phase: &'static str, done: u64) -> Self {
        Event { phase, done, total: None, value: None }
    }

    /// The same event with the number of steps in all.
    pub fn of(self, total: u64) -> Self {
        Event { total: Some(total), ..self }
    }

    /// The same event with the quantity that the phase drives.
    pub fn value(self, value: f64) -> Self {
        Event { value: Some(value), ..self }
    }
}

/// What `solve_with` takes: a closure that sees every [`Event`] and may stop the run.
pub trait Observer: FnMut(&Event) -> ControlFlow<()> {}

impl<F: FnMut(&Event) -> ControlFlow<()>> Observer for F {}

/// The observer that never stops a run.
pub fn ignore_events(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// How a run ended. A run that did not converge never looks like one that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Status {
    /// The stopping rule that was asked for is met.
    Converged,
    /// The allowed number of iterations is used up; the best answer so far is given.
    MaxIterations,
    /// No further progress is possible in this precision, though the stopping rule is not met.
    Stalled,
    /// The observer stopped the run.
    Stopped,
    /// The iteration left the finite numbers or its own region of validity.
    Diverged,
    /// The work is finished; it had no stopping rule to meet.
    Done,
}

impl Status {
    /// Whether what was asked for was reached (`Converged` or `Done`): the command's exit code 0 rather than 3.
    pub fn reached(self) -> bool {
        matches!(self, Status::Converged | Status::Done)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Converged => "converged",
            Status::MaxIterations => "max_iterations",
            Status::Stalled => "stalled",
            Status::Stopped => "stopped",
            Status::Diverged => "diverged",
            Status::Done => "done",
        })
    }
}
