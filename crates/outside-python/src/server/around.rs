//! Functions for `outside/_handlers/around.py`, which has the order of the functions around a handler: return values
//! become responses here, and exceptions are reported here, as without such functions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::site::error_page;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call::hooks::install;
use crate::call::sync::{ErrorFunction, Gate};
use crate::errors::{answer_of, refusal_of};
use crate::event_loop::EventLoop;
use crate::logging::log_exception;
use crate::message::answerable::unanswerable;
use crate::message::convert::{Settled, located, settled, shown};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::server::outside_http::OutsideHttp;
use crate::server::routes::need_loop;

/// Tells the engine which callbacks there are: `around` any handler, before everything (`gate`), `after` every answer; and whether
/// one of them, or of those at start and end, is an `async def` function; and whether the application layer finishes the answers of
/// functions (`finishing`). `scope` is that of the server itself.
#[pyfunction]
pub(crate) fn _set_around(
    server: &Bound<'_, OutsideHttp>,
    scope: Py<PyAny>,
    around: bool,
    gate: bool,
    after: bool,
    asynchronous: bool,
    finishing: bool,
) -> PyResult<()> {
    let py = server.py();
    let server = server.get().server()?;
    let shared = &server.shared;
    if asynchronous {
        need_loop(py, shared)?;
    }
    // Setting fails if the scope is set already: it is the same object then.
    let _ = shared.scope.set(scope);
    shared.is_around.store(around, Ordering::Relaxed);
    shared.has_after.store(after, Ordering::Relaxed);
    shared.finishes.store(finishing, Ordering::Relaxed);
    let function = || outside::handler::Function::new(Gate { shared: Arc::clone(shared) }, None);
    // Files have no session: they pass no gate for it.
    server.engine.set_gate((gate || finishing).then(function), !gate);
    install(&server.engine, shared, py);
    Ok(())
}

/// Has a function of (request, code, message) answer every error that the engine would answer; `None` from it is the built-in page.
/// Without a function, the handlers of codes are asked again.
#[pyfunction]
pub(crate) fn _set_any_errorhandler(server: &Bound<'_, OutsideHttp>, function: Option<Py<PyAny>>) -> PyResult<()> {
    let server = server.get().server()?;
    let made = function.map(|function| {
        let shared = Arc::clone(&server.shared);
        Arc::new(ErrorFunction { function, shared, takes_code: true }) as Arc<dyn outside::site::ErrorHandler>
    });
    server.engine.set_any_errorhandler(made);
    Ok(())
}

/// The `Response` that a return value means, or `(code, message)`. A value that is no `Response` has this status. A value that no
/// handler may return is an error that names the function.
#[pyfunction]
pub(crate) fn _settle<'py>(
    answer: Bound<'py, PyAny>,
    status: u16,
    function: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match settled(answer, status).map_err(|error| located(function, error))? {
        Settled::Response(response) => Ok(response),
        Settled::Code(code, message) => Ok((code, message).into_pyobject(function.py())?.into_any()),
    }
}

/// The same where `(code, message)` is an error: after a request.
#[pyfunction]
pub(crate) fn _settle_response<'py>(
    answer: Bound<'py, PyAny>,
    status: u16,
    function: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let settled = _settle(answer.clone(), status, function)?;
    if settled.is_instance_of::<PyTuple>() {
        return Err(located(function, unanswerable(&answer)));
    }
    Ok(settled)
}

/// Reports an exception that no handler of its class has answered. One that stands for no status is logged, and the page about it, if
/// the client may see one, is the answer. A limit that content has passed is named in the log.
#[pyfunction]
pub(crate) fn _report<'py>(
    server: &Bound<'py, OutsideHttp>,
    request: &Bound<'py, Request>,
    error: Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = server.py();
    let state = server.get().server()?;
    let error = PyErr::from_value(error);
    if answer_of(py, &error).is_none() {
        log_failure(request, "the handler failed", &error);
        return Ok(state.shared.uncaught.page_object(request, &error));
    }
    if let Some(refusal) = refusal_of(py, &error) {
        state.log.complain_of(py, &refusal);
    }
    Ok(None)
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

/// Code and message of an exception that says itself how it is answered; `None` for any other. One that refuses the request is counted.
#[pyfunction]
pub(crate) fn _status_of(
    server: &Bound<'_, OutsideHttp>,
    error: Bound<'_, PyAny>,
) -> PyResult<Option<(u16, Option<String>)>> {
    let Some(answer) = answer_of(server.py(), &PyErr::from_value(error)) else { return Ok(None) };
    server.get().server()?.engine.meter().count_error(&answer);
    Ok(Some((answer.code(), answer.public_message().map(str::to_owned))))
}

/// Whether a function has asked for the content of this request, which its client was not asked for yet.
#[pyfunction]
pub(crate) fn _wants_content(request: &Bound<'_, Request>) -> bool {
    request.get().inner().wants_content()
}

/// Leaves this content empty, because the request is answered without it.
#[pyfunction]
pub(crate) fn _forgo_content(request: &Bound<'_, Request>) {
    request.get().inner().forgo_content();
}

/// Logs an exception as the server logs it.
#[pyfunction]
pub(crate) fn _log_failure(request: &Bound<'_, Request>, what: &str, error: Bound<'_, PyAny>) {
    log_failure(request, what, &PyErr::from_value(error));
}

fn log_failure(request: &Bound<'_, Request>, what: &str, error: &PyErr) {
    let inner = request.get().inner();
    log_exception(
        request.py(),
        None,
        &format!("{} {}: {what}", inner.method(), outside::log::shown_target(inner.target())),
        error,
    );
}

/// Runs a coroutine on the loop of `async def` handlers and puts its result into a `concurrent.futures.Future`; `False`
/// if there is no loop.
#[pyfunction]
pub(crate) fn _run_on_loop(coroutine: Py<PyAny>, future: Py<PyAny>) -> bool {
    EventLoop::run(coroutine, future)
}
