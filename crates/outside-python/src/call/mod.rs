//! Calling Python: plain functions on the engine's threads, `async def` functions and asynchronous iterators on an
//! event loop of their own. Whether a function is one or the other is decided once, when it is set.

pub(crate) mod asynchronous;
pub(crate) mod interrupt;
pub(crate) mod plan;
pub(crate) mod session;
pub(crate) mod stream;
pub(crate) mod sync;
mod taken;

use std::cell::RefCell;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use outside::Error;
use pyo3::prelude::*;
use pyo3::sync::MutexExt as _;
use pyo3::types::PyTuple;

use crate::aftermath::Aftermath;
use crate::convert::{Returned, located, returned};
use crate::failure::answer_of;
use crate::hooks::Attachment;
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;
use plan::Plan;

/// What the handlers of one server share.
#[derive(Default)]
pub(crate) struct Shared {
    active: Mutex<Vec<Active>>,
    /// Are there hooks, so that answers must remember their Python objects?
    pub(crate) hooked: AtomicBool,
    /// `pre_send` and `post_callback` while the server runs.
    pub(crate) callbacks: Mutex<Callbacks>,
    /// The callbacks that Python keeps, as the handlers of plain routes have them around themselves; see `outside/_around.py`.
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
    /// The thread of its handler, for a plain function.
    thread: Option<u64>,
    interrupted: bool,
}

impl Shared {
    /// The requests that are being handled now.
    pub(crate) fn active(&self, py: Python<'_>) -> Vec<Py<Request>> {
        self.lock(py).iter().map(|active| active.request.clone_ref(py)).collect()
    }

    pub(crate) fn begin(&self, request: &Bound<'_, Request>, thread: Option<u64>) {
        let active = Active { request: request.clone().unbind(), thread, interrupted: false };
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

/// The request object that a handler was given belongs to the error handler and the hooks as well: they see the
/// attributes that were set on it.
struct LastRequest(Py<Request>);

thread_local! {
    static LAST: RefCell<Option<LastRequest>> = const { RefCell::new(None) };
}

/// The object that stands for this request on this thread, or a new one.
pub(crate) fn object_of(py: Python<'_>, request: &Arc<outside::Request>) -> PyResult<Py<Request>> {
    let last = LAST.with_borrow_mut(Option::take);
    match last {
        Some(LastRequest(object)) if Arc::ptr_eq(object.get().inner(), request) => Ok(object),
        _ => Py::new(py, Request::view(Arc::clone(request))),
    }
}

/// Makes the engine's answer of what a handler returned or raised. `runs_here`: an error handler will be called next on
/// this thread; `is_around`: the callbacks around the handler have been called.
pub(crate) fn answer(
    request: &Bound<'_, Request>,
    function: Option<&Bound<'_, PyAny>>,
    result: PyResult<Bound<'_, PyAny>>,
    shared: &Shared,
    runs_here: bool,
    is_around: bool,
) -> Result<outside::Response, Error> {
    let py = request.py();
    let outcome = result.and_then(|value| {
        let mut outcome = returned(&value).map_err(|error| match function {
            Some(function) => located(function, error),
            None => error,
        })?;
        if let Returned::Response(response) = &mut outcome
            && shared.hooked.load(Ordering::Relaxed)
        {
            let object = value.cast_into::<Response>().ok().map(Bound::unbind);
            let request = Some(request.clone().unbind());
            *response.attachment_mut() = Some(Box::new(Attachment { request, response: object, is_around }));
        }
        Ok(outcome)
    });
    let error = match outcome {
        Ok(Returned::Response(response)) => return Ok(response),
        Ok(Returned::Code(code, message)) => Error::status(code, message.as_deref()),
        Err(error) if let Some(answer) = answer_of(py, &error) => answer,
        Err(error) => {
            let inner = request.get().inner();
            log_exception(py, &format!("{} {}: the handler failed", inner.method(), inner.target()), &error);
            if let Some(page) = shared.failure.page(request, &error) {
                return Ok(page);
            }
            Error::status(500, None)
        }
    };
    if runs_here {
        LAST.set(Some(LastRequest(request.clone().unbind())));
    }
    Err(error)
}

/// What the functions of `outside/_around.py` are called with: a handler, how it is called, and whose callbacks stand around
/// it.
pub(crate) fn around<'py>(
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
    let scope = plan.map(|plan| &plan.scope).or_else(|| shared.scope.get());
    (scope, function, request, by_place, by_name).into_pyobject(py)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
