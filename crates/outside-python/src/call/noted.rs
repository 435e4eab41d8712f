//! Whether calls that last are noted for the status page: in servers without one, a call pays one look at this.

use std::sync::atomic::{AtomicBool, Ordering};

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Switches the notes on or off.
pub(crate) fn note_calls(is_on: bool) {
    IS_ON.store(is_on, Ordering::Relaxed);
}

/// Whether calls are noted.
pub(crate) fn are_noted() -> bool {
    IS_ON.load(Ordering::Relaxed)
}
