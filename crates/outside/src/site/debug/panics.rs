//! Panics of handlers, for the debug page: the message, and where it happened.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

thread_local! {
    /// The last panic of this thread that was not taken yet.
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// A panic, as the cause of an error.
#[derive(Debug)]
pub(crate) struct Panicked {
    message: String,
    pub(super) backtrace: Backtrace,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Panicked {}

/// Has every later panic noted, before it is printed as it was until now.
pub(super) fn note() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let panicked = Panicked { message: info.to_string(), backtrace: Backtrace::force_capture() };
            // A thread that ends has no place for it any more.
            drop(LAST.try_with(|last| last.replace(Some(panicked))));
            before(info);
        }));
    });
}

/// The last panic of this thread, if panics are noted.
pub(crate) fn take_panic() -> Option<Panicked> {
    LAST.with(RefCell::take)
}
