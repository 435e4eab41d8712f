//! Functions that every folder of the binding needs: locks, and questions about Python objects.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt as _, PyOnceLock};

/// Locks, even after a panic under the lock: the values behind these locks are whole after each statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, but releases the interpreter while it waits: the thread that holds the lock may need the interpreter.
pub(crate) fn lock_attached<'a, T>(mutex: &'a Mutex<T>, py: Python<'_>) -> MutexGuard<'a, T> {
    mutex.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
}

/// The name of an object's type, for messages.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// The object as `repr()` shows it, for error messages.
pub(crate) fn shown(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| kind(object), |text| text.to_string())
}

/// Whether the object is an `async def` function, or has a `__call__` that is one.
pub(crate) fn is_async(handler: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = handler.py();
    let check = py.import("inspect")?.getattr("iscoroutinefunction")?;
    if check.call1((handler,))?.is_truthy()? {
        return Ok(true);
    }
    let called = handler.get_type().getattr(intern!(py, "__call__"))?;
    check.call1((called,))?.is_truthy()
}

/// Raises a `TypeError` for a handler that cannot be called.
pub(crate) fn check_callable(handler: &Bound<'_, PyAny>) -> PyResult<()> {
    if handler.is_callable() {
        Ok(())
    } else {
        Err(PyTypeError::new_err(format!("a handler is a function, not {}", kind(handler))))
    }
}

/// Whether the object is a coroutine.
pub(crate) fn is_coroutine(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static IS_COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if value.is_none() {
        return Ok(false);
    }
    IS_COROUTINE.import(value.py(), "inspect", "iscoroutine")?.call1((value,))?.is_truthy()
}
