//! What happens to the process as a whole: Ctrl-C and panics. Only the binary calls this.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the process at once.
///
/// Where the operating system refuses a handler, Ctrl-C keeps its usual meaning.
pub fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order counts: the first handler acts only if the second has set the flag before.
        if flag::register_conditional_default(signal, Arc::clone(&stop)).is_ok() {
            let _ = flag::register(signal, Arc::clone(&stop));
        }
    }
    stop
}

static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Replaces the message that a panic prints by one sentence of the frame's, which names the place in the source.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// The place of the last panic, where [`quiet_panics`] was called.
pub(crate) fn place_of_panic() -> Option<String> {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner).take()
}
