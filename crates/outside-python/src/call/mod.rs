//! Calling Python: plain functions on the engine's threads, `async def` functions and asynchronous iterators on an
//! event loop of their own. Whether a function is one or the other is decided once, when it is set.

pub(crate) mod asynchronous;
pub(crate) mod context;
pub(crate) mod interrupt;
pub(crate) mod plan;
pub(crate) mod session;
pub(crate) mod stream;
pub(crate) mod sync;
mod taken;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use outside::Error;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt as _, PyOnceLock};
use pyo3::types::PyTuple;

use crate::aftermath::Aftermath;
use crate::convert::{Returned, located, returned};
use crate::forked::leave_if_forked;
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;
use context::{RequestContext, context_here};
use plan::Plan;

/// What the handlers of one server share.
#[derive(Default)]
pub(crate) struct Shared {
    active: Mutex<Vec<Active>>,
    /// Are there hooks, so that answers must remember their Python objects?
    pub(crate) hooked: AtomicBool,
    /// `pre_send` and `post_callback` while the server runs.
    pub(crate) callbacks: Mutex<Callbacks>,
    /// The callbacks that Python keeps, as the handlers of plain routes have them around themselves; see `outside/_handlers/around.py`.
    pub(crate) scope: OnceLock<Py<PyAny>>,
    /// Does any handler have callbacks around itself?
    pub(crate) is_around: AtomicBool,
    /// Are there callbacks after every answer?
    pub(crate) has_after: AtomicBool,
    /// Is there an `async def` function, so that the asyncio loop is wanted?
    pub(crate) needs_loop: AtomicBool,
    /// What else is done about an exception.
    pub(crate) failure: Aftermath,
    /// In a worker process: where its supervisor listens.
    pub(crate) report: Mutex<Option<File>>,
    /// Has the supervisor been asked for another worker in this one's place?
    pub(crate) is_replaced: AtomicBool,
}

/// Functions of the configuration.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) pre_send: Option<Arc<Py<PyAny>>>,
    pub(crate) post_callback: Option<Arc<Py<PyAny>>>,
}

/// A request that is being handled.
struct Active {
    request: Py<Request>,
    /// The context of its handler, for a plain function that has one of its own.
    context: Option<Py<PyAny>>,
    /// The thread of its handler, for a plain function.
    thread: Option<u64>,
    interrupted: bool,
}

impl Shared {
    /// The requests that are being handled now.
    pub(crate) fn active(&self, py: Python<'_>) -> Vec<Py<Request>> {
        self.lock(py).iter().map(|active| active.request.clone_ref(py)).collect()
    }

    pub(crate) fn begin(&self, request: &Bound<'_, Request>, context: Option<&Bound<'_, PyAny>>, thread: Option<u64>) {
        let context = context.map(|context| context.clone().unbind());
        let active = Active { request: request.clone().unbind(), context, thread, interrupted: false };
        self.lock(request.py()).push(active);
    }

    pub(crate) fn end(&self, request: &Bound<'_, Request>) {
        let py = request.py();
        let mut active = self.lock(py);
        let found = active.iter().rposition(|other| other.request.is(request)).map(|at| active.swap_remove(at));
        // Let go of the request only when nobody is kept waiting.
        drop(active);
        if let Some(Active { thread: Some(thread), interrupted: true, .. }) = found {
            // What has not reached the handler must not reach the next one on this thread.
            interrupt::withdraw(py, thread);
        }
    }

    /// Raises `HandlerTimeout` in the thread that handles this request, if it still does. The lock is held meanwhile, so
    /// that it cannot hit the next request of that thread; raising runs no Python code.
    pub(crate) fn interrupt(&self, py: Python<'_>, request: &Arc<outside::Request>) {
        let mut active = self.lock(py);
        let found = active.iter_mut().find(|active| Arc::ptr_eq(active.request.get().inner(), request));
        if let Some(Active { thread: Some(thread), interrupted, .. }) = found {
            *interrupted = true;
            interrupt::raise_in(py, *thread);
        }
    }

    /// The object and the context of a request that is being handled.
    pub(crate) fn late(
        &self,
        py: Python<'_>,
        request: &Arc<outside::Request>,
    ) -> Option<(Py<Request>, Option<Py<PyAny>>)> {
        let active = self.lock(py);
        let found = active.iter().find(|active| Arc::ptr_eq(active.request.get().inner(), request))?;
        Some((found.request.clone_ref(py), found.context.as_ref().map(|context| context.clone_ref(py))))
    }

    /// Python's number of the thread that handles this request, if it is handled by a thread of its own.
    pub(crate) fn thread_of(&self, py: Python<'_>, request: &Arc<outside::Request>) -> Option<u64> {
        let active = self.lock(py);
        let found = active.iter().find(|active| Arc::ptr_eq(active.request.get().inner(), request));
        found.and_then(|active| active.thread)
    }

    /// Waits for the lock without holding the interpreter: its holder may need it.
    fn lock<'a>(&'a self, py: Python<'_>) -> MutexGuard<'a, Vec<Active>> {
        self.active.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of a handler, or of what stands before one, of which something has come.
pub(crate) struct Called<'a, 'py> {
    pub(crate) request: &'a Bound<'py, Request>,
    /// The function that was called, for the log; `None` for what stands before one.
    pub(crate) function: Option<&'a Bound<'py, PyAny>>,
    /// In which it was called, if it is known.
    pub(crate) context: Option<Bound<'py, PyAny>>,
    /// Whose callbacks stand around it, if any have been called.
    pub(crate) scope: Option<&'a Py<PyAny>>,
    pub(crate) shared: &'a Arc<Shared>,
}

impl<'py> Called<'_, 'py> {
    /// Makes the engine's answer of what it returned or raised.
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
            if let Returned::Response(response) = &mut outcome
                && (self.shared.hooked.load(Ordering::Relaxed) || matches!(response.body(), outside::Body::Stream(_)))
            {
                self.travels()?.accompany(response, value.cast::<Response>().ok(), is_around);
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

    /// A plain function may hand on what an `async def` function gave it.
    fn awaited(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        static COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        match &self.context {
            Some(context) if value.get_type().is(COROUTINE.import(py, "types", "CoroutineType")?) => {
                py.import("outside._handlers.loop")?.call_method1("wait_for", (value, context))
            }
            _ => Ok(value),
        }
    }

    /// The object and the context, for whatever is called later.
    pub(crate) fn travels(&self) -> PyResult<Arc<RequestContext>> {
        let context = match &self.context {
            Some(context) => context.clone(),
            None => context_here(self.request.py())?,
        };
        Ok(RequestContext::new(self.request, context, self.scope, self.shared))
    }
}

/// What the functions of `outside/_handlers/around.py` gave, and whether those after the request have been called: not for a stream, which
/// has yet to begin.
fn finished(value: Bound<'_, PyAny>) -> PyResult<(Bound<'_, PyAny>, bool)> {
    static UNFINISHED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    if value.get_type().is(UNFINISHED.import(py, "outside._handlers.around", "Unfinished")?) {
        return Ok((value.getattr(intern!(py, "response"))?, false));
    }
    Ok((value, true))
}

/// What the functions of `outside/_handlers/around.py` are called with: the context, whose callbacks stand around a handler, the handler,
/// and how it is called.
pub(crate) fn around<'py>(
    context: Option<&Bound<'py, PyAny>>,
    function: &Bound<'py, PyAny>,
    plan: Option<&Plan>,
    request: &Bound<'py, Request>,
    shared: &Shared,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = request.py();
    let (by_place, by_name) = match plan {
        Some(plan) => plan.arguments(request)?,
        None => (PyTuple::new(py, [request])?, None),
    };
    (context, scope_of(plan, shared), function, request, by_place, by_name).into_pyobject(py)
}

/// Whose callbacks stand around a handler.
pub(crate) fn scope_of<'a>(plan: Option<&'a Plan>, shared: &'a Shared) -> Option<&'a Py<PyAny>> {
    plan.map(|plan| &plan.scope).or_else(|| shared.scope.get())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
