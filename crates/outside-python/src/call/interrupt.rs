//! Ending a plain function that runs too long: `HandlerTimeout`, raised in its thread.
//!
//! `PyThreadState_SetAsyncExc` is reached through `ctypes`, which keeps this crate free of unsafe code. It takes effect
//! at the next bytecode: a thread that waits in C (`time.sleep`, a socket) is reached when it comes back.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::logging::log_exception;

pyo3::create_exception!(
    outside,
    HandlerTimeout,
    pyo3::exceptions::PyBaseException,
    "Raised in a handler that has run longer than process_timeout. `except Exception` does not catch it."
);

/// Python's number of this thread.
pub(crate) fn thread_ident(py: Python<'_>) -> PyResult<u64> {
    thread_local! {
        static IDENT: Cell<Option<u64>> = const { Cell::new(None) };
    }
    if let Some(ident) = IDENT.get() {
        return Ok(ident);
    }
    let ident = py.import("threading")?.call_method0("get_ident")?.extract()?;
    IDENT.set(Some(ident));
    Ok(ident)
}

pub(super) fn raise_in(py: Python<'_>, thread: u64) {
    set(py, thread, true);
}

pub(super) fn withdraw(py: Python<'_>, thread: u64) {
    set(py, thread, false);
}

fn set(py: Python<'_>, thread: u64, raise: bool) {
    let done = function(py).and_then(|(set, exception)| {
        let exception = if raise { exception.clone_ref(py) } else { py.None() };
        set.bind(py).call1((thread, exception))
    });
    if let Err(error) = done {
        log_exception(py, None, "a handler could not be interrupted", &error);
    }
}

/// The function, and the address of the exception class as its argument.
fn function(py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
    static FUNCTION: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    FUNCTION.get_or_try_init(py, || {
        let ctypes = py.import("ctypes")?;
        let set = ctypes.getattr("PyDLL")?.call1((py.None(),))?.getattr("PyThreadState_SetAsyncExc")?;
        set.setattr("argtypes", (ctypes.getattr("c_ulong")?, ctypes.getattr("c_void_p")?))?;
        let builtins = py.import("builtins")?;
        let address = builtins.getattr("id")?.call((py.get_type::<HandlerTimeout>(),), None::<&Bound<'_, PyDict>>)?;
        Ok((set.unbind(), address.unbind()))
    })
}

/// Imports before the first request comes: importing runs Python code.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    function(py).map(drop)
}
