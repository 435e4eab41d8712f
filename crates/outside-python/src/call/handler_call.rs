//! From a handler's return value or exception to the engine's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::Error;
use outside::message::Body;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::call::context::{Finished, RequestContext, context_here};
use crate::call::plan::Plan;
use crate::call::shared::Shared;
use crate::forked::leave_if_forked;
use crate::logging::log_exception;
use crate::message::convert::{Returned, located, returned};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::waiting::wait_for;

/// A call of a handler, or of the functions before one, that has returned or raised.
pub(crate) struct HandlerCall<'a, 'py> {
    pub(crate) request: &'a Bound<'py, Request>,
    /// The function that was called, for the log; `None` for the functions before one.
    pub(crate) function: Option<&'a Bound<'py, PyAny>>,
    /// The context of the call, if it is known.
    pub(crate) context: Option<Bound<'py, PyAny>>,
    /// The scope of the callbacks around the handler, if any have been called.
    pub(crate) scope: Option<&'a Py<PyAny>>,
    pub(crate) shared: &'a Arc<Shared>,
}

impl<'py> HandlerCall<'_, 'py> {
    /// Makes the engine's answer of its return value or exception.
    pub(crate) fn answer(&self, result: PyResult<Bound<'py, PyAny>>) -> Result<outside::Response, Error> {
        let py = self.request.py();
        leave_if_forked(py, &result);
        let outcome = result.and_then(|value| self.awaited(value)).and_then(|value| {
            let (value, is_around) = match self.scope {
                Some(_) => finished(value)?,
                None => (value, false),
            };
            let mut outcome = returned(&value).map_err(|error| match self.function {
                Some(function) => located(function, error),
                None => error,
            })?;
            if let Returned::Response(response) = &mut outcome {
                let is_hooked = self.shared.hooked.load(Ordering::Relaxed);
                let is_whole = matches!(response.body(), Body::Bytes(_) | Body::Empty);
                if is_hooked && is_around && is_whole && !self.shared.calls_back.load(Ordering::Relaxed) {
                    *response.attachment_mut() = Some(Box::new(Finished));
                } else if is_hooked || matches!(response.body(), Body::Stream(_)) {
                    self.travels()?.accompany(response, value.cast::<Response>().ok(), is_around);
                }
            }
            Ok(outcome)
        });
        let (error, failed) = match outcome {
            Ok(Returned::Response(response)) => return Ok(response),
            Ok(Returned::Code(code, message)) => (Error::status(code, message.as_deref()), None),
            Err(error) => (Error::status(500, None), Some(error)),
        };
        let travels = match self.travels() {
            Ok(travels) => travels,
            Err(without) => {
                log_exception(py, None, "a request has no context", &without);
                return Err(error);
            }
        };
        match failed {
            None => Err(travels.travel_with(error)),
            Some(raised) => match travels.failed(py, &raised, "the handler failed") {
                Ok(mut page) => {
                    travels.accompany(&mut page, None, false);
                    Ok(page)
                }
                Err(error) => Err(travels.travel_with(error)),
            },
        }
    }

    /// A plain function may return the coroutine of an `async def` function.
    fn awaited(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        static COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        match &self.context {
            Some(context) if value.get_type().is(COROUTINE.import(py, "types", "CoroutineType")?) => {
                wait_for(value, Some(context))
            }
            _ => Ok(value),
        }
    }

    /// The object and the context, for the hooks and the error handler, which are called later.
    pub(crate) fn travels(&self) -> PyResult<Arc<RequestContext>> {
        let context = match &self.context {
            Some(context) => context.clone(),
            None => context_here(self.request.py())?,
        };
        note_for_log(&context, self.request);
        Ok(RequestContext::new(self.request, context, self.scope, self.shared))
    }
}

/// Has the records of this context find the request. A context that this thread is in, of a task, has it already.
fn note_for_log(context: &Bound<'_, PyAny>, request: &Bound<'_, Request>) {
    static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = request.py();
    let set =
        SET.get_or_try_init(py, || py.import("outside._log")?.getattr("LOGGED")?.getattr("set").map(Bound::unbind));
    if let Ok(set) = set {
        let _is_noted = context.call_method1(intern!(py, "run"), (set, request));
    }
}

/// The return value of a function of `outside/_handlers/around.py`, and whether the functions after the request have
/// been called: not for a stream, which has yet to begin.
fn finished(value: Bound<'_, PyAny>) -> PyResult<(Bound<'_, PyAny>, bool)> {
    static UNFINISHED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    if value.get_type().is(UNFINISHED.import(py, "outside._handlers.around", "Unfinished")?) {
        return Ok((value.getattr(intern!(py, "response"))?, false));
    }
    Ok((value, true))
}

/// The arguments of the functions of `outside/_handlers/around.py`: the context, the scope of the callbacks around a
/// handler, the handler, its arguments, and the number of functions before it that were called already.
pub(crate) fn around<'py>(
    context: Option<&Bound<'py, PyAny>>,
    function: &Bound<'py, PyAny>,
    plan: Option<&Plan>,
    request: &Bound<'py, Request>,
    done: Option<usize>,
    shared: &Shared,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = request.py();
    let (by_place, by_name) = match plan {
        Some(plan) => plan.arguments(request)?,
        None => (PyTuple::new(py, [request])?, None),
    };
    let scope = scope_of(plan, shared);
    match done {
        None => (context, scope, function, request, by_place, by_name).into_pyobject(py),
        Some(done) => (context, scope, function, request, by_place, by_name, done).into_pyobject(py),
    }
}

/// The scope of the callbacks around a handler.
pub(crate) fn scope_of<'a>(plan: Option<&'a Plan>, shared: &'a Shared) -> Option<&'a Py<PyAny>> {
    plan.map(|plan| &plan.scope).or_else(|| shared.scope.get())
}

/// The error of a call for which Python has no memory.
pub(super) fn out_of_memory(error: PyErr) -> Error {
    Error::new(error.to_string())
}
