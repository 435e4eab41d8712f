//! Results of coroutines for threads that may wait for them.

use pyo3::prelude::*;

use crate::support::is_coroutine;

/// The value itself, or the result of a coroutine: on the loop of `async def` handlers, or on one of its own if there
/// is none. The coroutine runs in `context`.
pub(crate) fn awaited<'py>(
    value: Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if is_coroutine(&value)? { wait_for(value, context) } else { Ok(value) }
}

/// The result of a coroutine.
pub(crate) fn wait_for<'py>(
    coroutine: Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    coroutine.py().import("outside._handlers.loop")?.call_method1("wait_for", (coroutine, context))
}
