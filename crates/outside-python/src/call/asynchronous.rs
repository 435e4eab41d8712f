//! `async def` functions: called by the asyncio loop, which hands the answer over itself.
//!
//! The loop needs no look-up to answer: the call object that it holds has the reply.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use outside::handler::{AsyncHandler, Reply, ResponseSizes, Ticket};
use outside::{Error, Response};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use super::context::RequestContext;
use super::early::{Place, admit, early_context};
use super::handler_call::{HandlerCall, around, scope_of};
use super::plan::Plan;
use super::shared::Shared;
use crate::event_loop::{EventLoop, LoopFunction};
use crate::message::request::Request;
use crate::support::lock;

/// An `async def` function.
pub(crate) struct Coroutine {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
    /// The plan of the arguments, if they are not the request alone.
    pub(crate) plan: Option<Plan>,
}

impl Coroutine {
    /// Adds the call to the loop's list.
    fn append(
        &self,
        list: &Bound<'_, PyList>,
        ticket: Ticket,
        call: &Bound<'_, AsyncCall>,
        request: &Bound<'_, Request>,
        early: Option<(Arc<RequestContext>, usize)>,
    ) -> PyResult<()> {
        let py = request.py();
        let function = self.function.bind(py);
        match &self.plan {
            plan if call.get().is_around => {
                static CALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                let around_it = CALL.import(py, "outside._handlers.around", "call_async")?;
                let (known, done) = early.unzip();
                let arguments = around(None, function, plan.as_ref(), request, done, &self.shared)?;
                match known {
                    None => list.append((intern!(py, "apply"), ticket, around_it, (arguments, py.None()), call)),
                    Some(known) => list.append(("resume", ticket, around_it, (arguments, known.enterable(py)?), call)),
                }
            }
            Some(plan) if !plan.is_plain() => {
                list.append((intern!(py, "apply"), ticket, function, plan.arguments(request)?, call))
            }
            _ => list.append((intern!(py, "call"), ticket, function, request, call)),
        }
    }
}

impl LoopFunction for Coroutine {
    fn begin(
        self: Arc<Self>,
        list: &Bound<'_, PyList>,
        ticket: Ticket,
        request: Arc<outside::Request>,
        reply: Reply,
    ) -> PyResult<()> {
        let py = list.py();
        let early = early_context(py, &request, &self.shared);
        let request = match &early {
            None => Bound::new(py, Request::view(request))?,
            Some((known, _)) => known.request(py).clone(),
        };
        let call = Bound::new(py, AsyncCall::begin(self, &request, reply))?;
        let begun = call.get();
        if let Err(error) = begun.coroutine.append(list, ticket, &call, &request, early) {
            begun.settle(py, Err(error));
        }
        Ok(())
    }
}

/// An `async def` function on a route.
pub(crate) struct AsyncFunction {
    pub(crate) coroutine: Arc<Coroutine>,
    /// Whether the function takes content while it comes in.
    pub(crate) streaming: bool,
    pub(crate) sizes: ResponseSizes,
}

impl AsyncHandler for AsyncFunction {
    fn submit(&self, request: Arc<outside::Request>, reply: Reply) -> Ticket {
        EventLoop::call(Arc::clone(&self.coroutine) as _, request, reply)
    }

    fn admit(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        let Coroutine { plan, shared, .. } = &*self.coroutine;
        admit(request, scope_of(plan.as_ref(), shared), Place::Async, shared)
    }

    fn takes_pieces(&self) -> bool {
        self.streaming
    }

    fn sizes(&self) -> Option<&ResponseSizes> {
        Some(&self.sizes)
    }

    fn cancel(&self, ticket: Ticket) {
        EventLoop::cancel(ticket);
    }
}

/// A call that has not ended.
#[pyclass(module = "outside", name = "_Call", frozen)]
pub(crate) struct AsyncCall {
    coroutine: Arc<Coroutine>,
    request: Py<Request>,
    /// Whether callbacks are called around the function.
    is_around: bool,
    /// The reply, until the call is answered.
    reply: Mutex<Option<Reply>>,
}

impl AsyncCall {
    /// Notes that the request is being handled from now on.
    fn begin(coroutine: Arc<Coroutine>, request: &Bound<'_, Request>, reply: Reply) -> Self {
        coroutine.shared.begin(request, None, None);
        let is_around = coroutine.shared.is_around.load(Ordering::Relaxed);
        Self { coroutine, request: request.clone().unbind(), is_around, reply: Mutex::new(Some(reply)) }
    }

    fn settle(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        if let Some(reply) = self.end(py) {
            let answer = self.called(py).answer(result);
            EventLoop::coalesce();
            reply.send(answer);
        }
    }

    fn called<'py>(&self, py: Python<'py>) -> HandlerCall<'_, 'py> {
        let shared = &self.coroutine.shared;
        let scope = self.is_around.then(|| scope_of(self.coroutine.plan.as_ref(), shared)).flatten();
        let function = Some(self.coroutine.function.bind(py));
        HandlerCall { request: self.request.bind(py), function, context: None, scope, shared }
    }

    /// Ends the call. Returns the reply, if it was not sent before.
    fn end(&self, py: Python<'_>) -> Option<Reply> {
        let reply = lock(&self.reply).take()?;
        self.coroutine.shared.end(self.request.bind(py));
        Some(reply)
    }
}

#[pymethods]
impl AsyncCall {
    /// The request, for the log.
    #[getter]
    fn request(&self, py: Python<'_>) -> Py<Request> {
        self.request.clone_ref(py)
    }

    /// The handler returned.
    fn answer(&self, value: Bound<'_, PyAny>) {
        self.settle(value.py(), Ok(value));
    }

    /// The number of its request, as the status page has it.
    fn number(&self) -> usize {
        Arc::as_ptr(self.request.get().inner()) as usize
    }

    /// The handler raised.
    fn fail(&self, error: Bound<'_, PyAny>) {
        self.settle(error.py(), Err(PyErr::from_value(error)));
    }

    /// The call was cancelled: the error handler and the hooks, if there are any, get its request.
    fn forget(&self, py: Python<'_>) {
        if let Some(reply) = self.end(py) {
            let error = Error::status(500, None);
            reply.send(Err(match self.called(py).travels() {
                Ok(travels) => travels.travel_with(error),
                Err(_) => error,
            }));
            // Tracebacks of a cancelled call are circles, which keep its request until the garbage collector comes by.
            self.request.get().inner().make_calls_after();
        }
    }
}
