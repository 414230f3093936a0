//! One progress bar for all systems, drawn from their events.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use certus_contract::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter runs show no bar at all.
const DELAY: Duration = Duration::from_millis(300);
const REDRAW: Duration = Duration::from_millis(100);

/// A bar on standard error, or nothing.
pub(crate) struct Progress(Option<Mutex<Shown>>);

struct Shown {
    bar: Option<ProgressBar>,
    begun: Instant,
    drawn: Instant,
    phase: &'static str,
    total: Option<u64>,
}

impl Progress {
    pub(crate) fn new(visible: bool) -> Self {
        let now = Instant::now();
        Progress(visible.then(|| Mutex::new(Shown { bar: None, begun: now, drawn: now, phase: "", total: None })))
    }

    /// Shows an event, at most ten times a second.
    pub(crate) fn show(&self, event: &Event) {
        let Some(shown) = &self.0 else { return };
        shown.lock().unwrap_or_else(PoisonError::into_inner).show(event);
    }

    /// Writes a line above the bar.
    pub(crate) fn say(&self, text: &str) {
        let Some(shown) = &self.0 else { return };
        match &shown.lock().unwrap_or_else(PoisonError::into_inner).bar {
            Some(bar) => bar.println(text),
            None => anstream::eprintln!("{text}"),
        }
    }
}

impl Shown {
    fn show(&mut self, event: &Event) {
        let new_phase = event.phase != self.phase || event.total != self.total;
        let due = if self.bar.is_none() { self.begun.elapsed() > DELAY } else { new_phase || self.drawn.elapsed() > REDRAW };
        if !due {
            return;
        }
        let first = self.bar.is_none();
        let bar = self.bar.get_or_insert_with(ProgressBar::hidden);
        if new_phase {
            match event.total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_position(event.done);
            bar.set_style(style(event.total.is_some()));
            bar.set_prefix(event.phase);
            // Drawn only when all of it is known.
            if first {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            (self.phase, self.total) = (event.phase, event.total);
        }
        bar.set_message(event.value.map(|v| format!("{v:.3e}")).unwrap_or_default());
        bar.set_position(event.done);
        bar.tick();
        self.drawn = Instant::now();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(with_end: bool) -> ProgressStyle {
    let template = if with_end { "{prefix:12} [{bar:30}] {pos}/{len}  {msg}" } else { "{prefix:12} {spinner} {pos}  {msg}" };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
