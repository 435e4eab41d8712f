//! Routes with patterns, and the callbacks around handlers, as `outside/_handlers/routes.py` and `outside/_handlers/around.py` set them:
//! functions of the module instead of methods, for them alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::error_page;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call::asynchronous::EventLoop;
use crate::call::plan::{Argument, Plan};
use crate::call::sync::Gate;
use crate::convert::{code_and_message, shown};
use crate::failure::answer_of;
use crate::hooks::install;
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;
use crate::routes::{engine_handler, need_loop};
use crate::server::OutsideHttp;
use crate::settings::value_error;

/// Adds a route of whole paths. `by_place` and `by_name` are the arguments of a function: -1 is the request, any other the
/// parameter of this number.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called in one place, by name")]
pub(crate) fn _add_route(
    server: &Bound<'_, OutsideHttp>,
    pattern: &str,
    methods: Vec<String>,
    origin: &str,
    handler: &Bound<'_, PyAny>,
    by_place: Vec<i64>,
    by_name: Vec<(String, i64)>,
    scope: Py<PyAny>,
    blocking: Option<bool>,
    streaming: bool,
    cancel_on_disconnect: Option<bool>,
) -> PyResult<()> {
    let server = server.get().server()?;
    let argument = |number| usize::try_from(number).map_or(Argument::Request, Argument::Parameter);
    let plan = Plan {
        by_place: by_place.into_iter().map(argument).collect(),
        by_name: by_name.into_iter().map(|(name, number)| (name, argument(number))).collect(),
        scope,
    };
    let made = engine_handler(handler, blocking, streaming, cancel_on_disconnect, &server.shared, Some(plan))?;
    let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
    server.engine.add_route(pattern, &methods, origin, made).map_err(value_error)?;
    server.routes.add(handler);
    Ok(())
}

/// Takes out what was added with this very pattern; was there anything?
#[pyfunction]
pub(crate) fn _remove_pattern(server: &Bound<'_, OutsideHttp>, pattern: &str) -> PyResult<bool> {
    Ok(server.get().server()?.engine.remove_pattern(pattern))
}

/// The names of a pattern's parameters. A pattern that is none is a `ValueError`.
#[pyfunction]
pub(crate) fn _route_parameters(pattern: &str) -> PyResult<Vec<String>> {
    outside::pattern_names(pattern).map_err(value_error)
}

/// Says which callbacks there are: `around` any handler, before everything (`gate`), `after` every answer; and whether one of
/// them, or of those at start and end, is an `async def` function. `scope` is that of the server itself.
#[pyfunction]
pub(crate) fn _set_around(
    server: &Bound<'_, OutsideHttp>,
    scope: Py<PyAny>,
    around: bool,
    gate: bool,
    after: bool,
    asynchronous: bool,
) -> PyResult<()> {
    let py = server.py();
    let server = server.get().server()?;
    let shared = &server.shared;
    if asynchronous {
        need_loop(py, shared)?;
    }
    // It is the same object each time.
    let _is_there_already = shared.scope.set(scope);
    shared.is_around.store(around, Ordering::Relaxed);
    shared.has_after.store(after, Ordering::Relaxed);
    let function = || outside::Function::new(Gate { shared: Arc::clone(shared) }, None);
    server.engine.set_gate(gate.then(function));
    install(server, py);
    Ok(())
}

/// The built-in page of a status code.
#[pyfunction]
pub(crate) fn _error_page(
    py: Python<'_>,
    request: &Bound<'_, Request>,
    code: u16,
    message: Option<&str>,
) -> PyResult<Py<Response>> {
    shown(py, &error_page(Some(request.get().inner()), code, message))
}

/// Code and message of an exception that says itself how it is answered; `None` for any other.
#[pyfunction]
pub(crate) fn _status_of(py: Python<'_>, error: Bound<'_, PyAny>) -> Option<(u16, Option<String>)> {
    let answer = answer_of(py, &PyErr::from_value(error))?;
    Some((answer.code(), answer.public_message().map(str::to_owned)))
}

/// Code and message of what a handler returned in place of an answer.
#[pyfunction]
pub(crate) fn _code_and_message(pair: &Bound<'_, PyTuple>) -> PyResult<(u16, Option<String>)> {
    code_and_message(pair)
}

/// Logs an exception as the server logs it.
#[pyfunction]
pub(crate) fn _log_failure(py: Python<'_>, request: &Bound<'_, Request>, what: &str, error: Bound<'_, PyAny>) {
    let inner = request.get().inner();
    log_exception(py, None, &format!("{} {}: {what}", inner.method(), inner.target()), &PyErr::from_value(error));
}

/// Runs a coroutine on the loop of `async def` handlers and puts what comes of it into a `concurrent.futures.Future`; `False`
/// if there is no loop.
#[pyfunction]
pub(crate) fn _run_on_loop(coroutine: Py<PyAny>, future: Py<PyAny>) -> bool {
    EventLoop::run(coroutine, future)
}
