//! The end of a child process that a handler has forked and that returns from its handler.

use std::cell::Cell;

use pyo3::prelude::*;

thread_local! {
    /// Whether this process was forked by this thread, in a handler.
    static IS_FORKED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread, the only one of a new child, was in a handler if `is_forked`.
pub(crate) fn note(is_forked: bool) {
    IS_FORKED.set(is_forked);
}

/// Ends this process if it is a child that was forked in the call which has now come back.
pub(crate) fn leave_if_forked<T>(py: Python<'_>, result: &PyResult<T>) {
    if !IS_FORKED.get() {
        return;
    }
    let error = result.as_ref().err().map(|error| error.value(py));
    let left = py.import("outside._process.at_fork").and_then(|module| module.call_method1("leave", (error,)));
    if let Err(error) = left {
        error.write_unraisable(py, None);
    }
    std::process::abort();
}
