//! A request on its way through Python: one `Request` object and one `contextvars.Context`, from the first function
//! that is called for it to the last.
//!
//! Both travel with values of the engine (answers, errors, streams, connections of WebSockets), never inside of Python
//! objects: a context often holds its request, and the garbage collector would not find such a circle here.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outside::Error;
use outside::message::Pull;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::shared::Shared;
use crate::errors::answer_of;
use crate::event_loop::Rescuers;
use crate::logging::log_exception;
use crate::message::convert::{Returned, returned};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::stream::{StreamContext, StreamedRequest};
use crate::support::is_coroutine;
use crate::waiting::wait_for;

/// The Python objects behind an answer, for the hooks that come later.
pub(crate) struct Attachment {
    /// `None` if the head of the request could not be read.
    pub(crate) context: Option<Arc<RequestContext>>,
    pub(crate) response: Option<Py<Response>>,
    /// Whether the callbacks around its handler have been called, `after_request` among them.
    pub(crate) is_around: bool,
}

/// In place of an [`Attachment`] where no hook asks for the objects: the functions around the handler have been called, and
/// the answer is as they left it.
pub(crate) struct Finished;

/// The object and the context of one request.
pub(crate) struct RequestContext {
    request: Py<Request>,
    context: Py<PyAny>,
    /// The scope of the callbacks around the handler, if there are any.
    scope: Option<Py<PyAny>>,
    /// Whether a task of the asyncio loop runs in the context: if a thread entered it, the task could not go on.
    is_lent: AtomicBool,
    /// Whether this goes with an answer in place of a stream that failed: the same functions are not called again.
    is_rescued: bool,
    shared: Arc<Shared>,
}

impl RequestContext {
    pub(crate) fn new(
        request: &Bound<'_, Request>,
        context: Bound<'_, PyAny>,
        scope: Option<&Py<PyAny>>,
        shared: &Arc<Shared>,
    ) -> Arc<Self> {
        let scope = scope.map(|scope| scope.clone_ref(request.py()));
        let (request, context) = (request.clone().unbind(), context.unbind());
        let (is_lent, shared) = (AtomicBool::new(false), Arc::clone(shared));
        Arc::new(Self { request, context, scope, is_lent, is_rescued: false, shared })
    }

    /// The context of a request for which no function was called yet, or a copy of a late handler's.
    pub(crate) fn found(py: Python<'_>, request: &Arc<outside::Request>, shared: &Arc<Shared>) -> PyResult<Arc<Self>> {
        match shared.late(py, request) {
            // The late handler is inside of its context.
            Some((object, context)) => {
                let context = match context {
                    Some(context) => context.bind(py).call_method0(intern!(py, "copy"))?,
                    None => copy_context(py)?,
                };
                Ok(Self::new(object.bind(py), context, None, shared))
            }
            None => {
                let object = Bound::new(py, Request::view(Arc::clone(request)))?;
                let context = copy_context(py)?;
                if shared.is_around.load(Ordering::Relaxed) {
                    let begin = py.import("outside._handlers.around")?.getattr("begin")?;
                    context.call_method1(intern!(py, "run"), (begin, shared.scope.get(), &object))?;
                }
                Ok(Self::new(&object, context, None, shared))
            }
        }
    }

    /// The context in an attachment, if it is one of this binding.
    pub(crate) fn of(attachment: Option<&(dyn Any + Send)>) -> Option<Arc<Self>> {
        let attachment = attachment?.downcast_ref::<Attachment>()?;
        attachment.context.clone()
    }

    pub(crate) fn request<'py>(&self, py: Python<'py>) -> &Bound<'py, Request> {
        self.request.bind(py)
    }

    pub(crate) fn scope<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.scope.as_ref().map(|scope| scope.bind(py))
    }

    /// The scope of the functions that answer in place of a stream that has failed.
    fn rescuing_scope<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.scope(py).filter(|_| !self.is_rescued)
    }

    /// The answer of those functions.
    fn answer_instead(&self, py: Python<'_>, response: &Bound<'_, PyAny>) -> PyResult<outside::Response> {
        let rescued = Self {
            request: self.request.clone_ref(py),
            context: self.context.clone_ref(py),
            scope: self.scope.as_ref().map(|scope| scope.clone_ref(py)),
            is_lent: AtomicBool::new(self.is_lent.load(Ordering::Relaxed)),
            is_rescued: true,
            shared: Arc::clone(&self.shared),
        };
        Arc::new(rescued).answer(py, response)
    }

    /// The context itself for a task of the asyncio loop.
    pub(crate) fn lend<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.is_lent.store(true, Ordering::Relaxed);
        self.context.bind(py)
    }

    /// The context of the WebSocket connection that this request has opened: a copy, with all variables of this one.
    pub(crate) fn for_session(&self, py: Python<'_>) -> PyResult<Arc<Self>> {
        Ok(Self::new(self.request(py), self.copy(py)?, None, &self.shared))
    }

    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.context.bind(py).call_method0(intern!(py, "copy"))
    }

    /// The context, or a copy of it while a late handler, or a stream that is being closed, is inside of it.
    pub(crate) fn enterable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let nothing = py.None().into_bound(py).get_type();
        match self.is_lent.load(Ordering::Relaxed) {
            false if self.context.bind(py).call_method1(intern!(py, "run"), (nothing,)).is_ok() => {
                Ok(self.context.bind(py).clone())
            }
            _ => self.copy(py),
        }
    }

    /// Calls the first element of `call` with the others, inside the context.
    pub(crate) fn run<'py>(&self, py: Python<'py>, call: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        if !self.is_lent.load(Ordering::Relaxed) {
            match self.context.bind(py).call_method1(intern!(py, "run"), call.clone()) {
                Err(error) if is_refusal_to_enter(py, &error) => {}
                result => return result,
            }
        }
        self.copy(py)?.call_method1(intern!(py, "run"), call.clone())
    }

    /// The value itself, or the result of a coroutine, which runs in the context.
    pub(crate) fn awaited<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if !is_coroutine(&value)? {
            return Ok(value);
        }
        let context = self.enterable(value.py())?;
        wait_for(value, Some(&context))
    }

    /// Logs an exception of this request, so that filters of the log find the request's own values.
    pub(crate) fn log(&self, py: Python<'_>, what: &str, error: &PyErr) {
        let inner = self.request.get().inner();
        let what = format!("{} {}: {what}", inner.method(), outside::log::shown_target(inner.target()));
        // While the context is lent, its task is the caller, and runs inside of it.
        let is_lent = self.is_lent.load(Ordering::Relaxed);
        let context = if is_lent { None } else { self.enterable(py).ok() };
        log_exception(py, context.as_ref(), &what, error);
    }

    /// The answer in place of a stream that has failed before its first piece.
    fn instead_of_stream(self: &Arc<Self>, py: Python<'_>, error: &PyErr) -> Pull {
        let answered = match self.rescuing_scope(py) {
            Some(scope) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                let rescued = self.enterable(py).and_then(|context| {
                    let rescue = py.import("outside._handlers.around")?.getattr("rescue")?;
                    rescue.call1((context, scope, self.request(py), error.value(py)))
                });
                rescued.and_then(|response| self.answer_instead(py, &response)).map_err(|failed| {
                    self.log(py, "the answer to a stream that failed could not be made", &failed);
                    Error::status(500, None)
                })
            }
            _ => self.failed(py, error, "the stream failed before its first piece"),
        };
        match answered {
            Ok(answer) => Pull::Instead(Box::new(answer)),
            Err(error) => Pull::Failed(self.travel_with(error)),
        }
    }

    /// The engine's answer of the response that the functions around a handler have made for an exception.
    fn answer(self: &Arc<Self>, py: Python<'_>, response: &Bound<'_, PyAny>) -> PyResult<outside::Response> {
        match returned(response)? {
            Returned::Response(mut answer) => {
                self.accompany(&mut answer, response.cast::<Response>().ok(), false);
                Ok(answer)
            }
            Returned::Code(code, message) => {
                Ok(outside::site::error_page(Some(self.request(py).get().inner()), code, message.as_deref()))
            }
        }
    }

    /// Attaches this to an answer: to its stream, and for the hooks if there are any. `object` is the `Response` behind
    /// the answer; `is_around` says whether the callbacks after it have been called.
    pub(crate) fn accompany(
        self: &Arc<Self>,
        answer: &mut outside::Response,
        object: Option<&Bound<'_, Response>>,
        is_around: bool,
    ) {
        if let outside::message::Body::Stream(stream) = answer.body_mut() {
            stream.accompany(Arc::new(StreamContext(Arc::clone(self) as _)));
        }
        if self.shared.hooked.load(Ordering::Relaxed) {
            let response = object.map(|object| object.clone().unbind());
            let context = Some(Arc::clone(self));
            *answer.attachment_mut() = Some(Box::new(Attachment { context, response, is_around }));
        }
    }

    /// Attaches this to an error, for its error handler and the hooks.
    pub(crate) fn travel_with(self: &Arc<Self>, error: Error) -> Error {
        let context = Some(Arc::clone(self));
        error.with_attachment(Box::new(Attachment { context, response: None, is_around: false }))
    }

    /// The answer to an exception that no function has caught: its own status, the page about it, or 500. It is logged.
    pub(crate) fn failed(&self, py: Python<'_>, error: &PyErr, what: &str) -> Result<outside::Response, Error> {
        if let Some(answer) = answer_of(py, error) {
            return Err(with_own_answer(py, error, answer));
        }
        self.log(py, what, error);
        self.shared.uncaught.page(self.request(py), error).ok_or_else(|| Error::status(500, None))
    }
}

impl StreamedRequest for RequestContext {
    fn run<'py>(&self, py: Python<'py>, call: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, call)
    }

    fn lend<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.lend(py).clone()
    }

    fn log(&self, py: Python<'_>, what: &str, error: &PyErr) {
        self.log(py, what, error);
    }

    fn instead(self: Arc<Self>, py: Python<'_>, error: &PyErr) -> Pull {
        self.instead_of_stream(py, error)
    }

    fn rescuers<'py>(&self, py: Python<'py>) -> Option<Rescuers<'py>> {
        Some((self.rescuing_scope(py)?.clone(), self.request(py).clone().into_any()))
    }

    fn rescued(&self, py: Python<'_>, response: &Bound<'_, PyAny>) -> PyResult<outside::Response> {
        self.answer_instead(py, response)
    }
}

/// The error with the answer that the exception makes itself, if it is one of `outside/_input/errors.py`.
fn with_own_answer(py: Python<'_>, raised: &PyErr, error: Error) -> Error {
    let Ok(Some(make)) = raised.value(py).getattr_opt(intern!(py, "_response")) else { return error };
    match make.call0().and_then(|made| returned(&made)) {
        Ok(Returned::Response(answer)) => error.with_answer(answer),
        _ => error,
    }
}

/// Whether Python has refused to enter a context that another thread is in; such an error has no traceback.
fn is_refusal_to_enter(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyRuntimeError>(py)
        && error.traceback(py).is_none()
        && error.value(py).str().is_ok_and(|text| text.to_string_lossy().starts_with("cannot enter context"))
}

/// A copy of the context of this thread.
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static COPY_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    COPY_CONTEXT.import(py, "contextvars", "copy_context")?.call0()
}

/// The context of the task that runs on this thread, otherwise a copy of the thread's.
pub(crate) fn context_here(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CONTEXT_HERE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CONTEXT_HERE.import(py, "outside._handlers.loop", "context_here")?.call0()
}
