//! The state that the handlers of one server share: the running requests, and the functions beside handlers.

use std::fs::File;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use outside::content::content_descriptor;
use outside::handler::RunningCall;
use pyo3::prelude::*;

use crate::call::early_calls::EarlyCalls;
use crate::call::interrupt;
use crate::call::uncaught::UncaughtExceptions;
use crate::message::request::Request;
use crate::support::{lock, lock_attached};

/// The state that the handlers of one server share.
#[derive(Default)]
pub(crate) struct Shared {
    active: Mutex<Vec<ActiveRequest>>,
    /// Whether there are hooks, so that answers must remember their Python objects.
    pub(crate) hooked: AtomicBool,
    /// Whether one of them is called with the objects behind an answer: `pre_send`, or `post_callback`.
    pub(crate) calls_back: AtomicBool,
    /// `pre_send` and `post_callback` while the server runs.
    pub(crate) callbacks: Mutex<Callbacks>,
    /// The scope of the callbacks around the handlers of plain routes; see `outside/_handlers/around.py`.
    pub(crate) scope: OnceLock<Py<PyAny>>,
    /// Whether any handler has callbacks around itself.
    pub(crate) is_around: AtomicBool,
    /// Whether there are callbacks after every answer.
    pub(crate) has_after: AtomicBool,
    /// Whether answers that functions of the program have made are finished by the application layer.
    pub(crate) finishes: AtomicBool,
    /// Whether there is an `async def` function, so that the asyncio loop is needed.
    pub(crate) needs_loop: AtomicBool,
    /// Requests whose handlers are called when their content is there.
    pub(crate) early: EarlyCalls,
    /// The page about an exception, and the test client that is told of it.
    pub(crate) uncaught: UncaughtExceptions,
    /// In a worker process: the pipe to its supervisor.
    pub(crate) report: Mutex<Option<File>>,
    /// Whether the supervisor has been asked to replace this worker process.
    pub(crate) is_replaced: AtomicBool,
}

/// Functions of the configuration.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) pre_send: Option<Arc<Py<PyAny>>>,
    pub(crate) post_callback: Option<Arc<Py<PyAny>>>,
}

/// A request that is being handled.
struct ActiveRequest {
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
        lock_attached(&self.active, py).iter().map(|active| active.request.clone_ref(py)).collect()
    }

    pub(crate) fn begin(&self, request: &Bound<'_, Request>, context: Option<&Bound<'_, PyAny>>, thread: Option<u64>) {
        let context = context.map(|context| context.clone().unbind());
        let active = ActiveRequest { request: request.clone().unbind(), context, thread, interrupted: false };
        lock_attached(&self.active, request.py()).push(active);
    }

    pub(crate) fn end(&self, request: &Bound<'_, Request>) {
        let py = request.py();
        let mut active = lock_attached(&self.active, py);
        let found = active.iter().rposition(|other| other.request.is(request)).map(|at| active.swap_remove(at));
        // The request is dropped without the lock, which another thread may wait for.
        drop(active);
        let Some(ActiveRequest { request, thread, interrupted, .. }) = found else { return };
        // An object that is bound is dropped without a look at whether this thread is attached to Python.
        drop(request.into_bound(py));
        if let Some(thread) = thread.filter(|_| interrupted) {
            // An exception that has not reached the handler must not reach the next one on this thread.
            interrupt::withdraw(py, thread);
        }
    }

    /// Raises `HandlerTimeout` in the thread that handles this request, if it still does. The lock is held meanwhile,
    /// so that it cannot hit the next request of that thread; raising runs no Python code.
    pub(crate) fn interrupt(&self, py: Python<'_>, request: &Arc<outside::Request>) {
        let mut active = lock_attached(&self.active, py);
        let found = active.iter_mut().find(|active| Arc::ptr_eq(active.request.get().inner(), request));
        if let Some(ActiveRequest { thread: Some(thread), interrupted, .. }) = found {
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
        let active = lock_attached(&self.active, py);
        let found = active.iter().find(|active| Arc::ptr_eq(active.request.get().inner(), request))?;
        Some((found.request.clone_ref(py), found.context.as_ref().map(|context| context.clone_ref(py))))
    }

    /// The calls that run now: asked without Python's lock, which one of them may hold.
    pub(crate) fn running(&self) -> Vec<RunningCall> {
        let call = |active: &ActiveRequest| RunningCall {
            request: Arc::clone(active.request.get().inner()),
            thread: active.thread,
            is_websocket: false,
        };
        lock(&self.active).iter().map(call).collect()
    }

    /// The files with content of the requests that other threads than this one handle; none if no plain function runs on
    /// this thread, since its requests are not known then.
    pub(crate) fn contents_of_others(&self, py: Python<'_>, thread: u64) -> Vec<RawFd> {
        let active = lock_attached(&self.active, py);
        if !active.iter().any(|active| active.thread == Some(thread)) {
            return Vec::new();
        }
        let others = active.iter().filter(|active| active.thread != Some(thread));
        others.filter_map(|active| content_descriptor(active.request.get().inner())).collect()
    }

    /// The request that a plain function handles on this thread.
    pub(crate) fn request_of(&self, py: Python<'_>, thread: u64) -> Option<Py<Request>> {
        let active = lock_attached(&self.active, py);
        // A function may ask its own server: the last call is the innermost one.
        let found = active.iter().rfind(|active| active.thread == Some(thread));
        found.map(|active| active.request.clone_ref(py))
    }

    /// Python's number of the thread that handles this request, if it is handled by a thread of its own.
    pub(crate) fn thread_of(&self, py: Python<'_>, request: &Arc<outside::Request>) -> Option<u64> {
        let active = lock_attached(&self.active, py);
        let found = active.iter().find(|active| Arc::ptr_eq(active.request.get().inner(), request));
        found.and_then(|active| active.thread)
    }
}
