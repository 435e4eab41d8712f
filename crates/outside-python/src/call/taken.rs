//! A call of an `async def` function that the event loop has taken. It is answered once, by what came of it.
//!
//! Between the loop and the connection there is nothing to be looked up: the object that the loop holds has the reply.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use outside::{Error, Reply};
use pyo3::prelude::*;

use super::asynchronous::Coroutine;
use super::{Called, scope_of};
use crate::message::request::Request;
use crate::support::lock;

/// A call that waits for its end.
#[pyclass(module = "outside", name = "_Call", frozen)]
pub(crate) struct Call {
    coroutine: Arc<Coroutine>,
    request: Py<Request>,
    /// With callbacks around it.
    is_around: bool,
    /// Until it is answered.
    reply: Mutex<Option<Reply>>,
}

impl Call {
    /// The request is being handled from now on.
    pub(super) fn begin(coroutine: &Arc<Coroutine>, request: &Bound<'_, Request>, reply: Reply) -> Self {
        coroutine.shared.begin(request, None, None);
        Self {
            coroutine: Arc::clone(coroutine),
            request: request.clone().unbind(),
            is_around: coroutine.shared.is_around.load(Ordering::Relaxed),
            reply: Mutex::new(Some(reply)),
        }
    }

    pub(super) fn is_around(&self) -> bool {
        self.is_around
    }

    pub(super) fn settle(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        if let Some(reply) = self.end(py) {
            reply.send(self.called(py).answer(result));
        }
    }

    fn called<'py>(&self, py: Python<'py>) -> Called<'_, 'py> {
        let shared = &self.coroutine.shared;
        let scope = self.is_around.then(|| scope_of(self.coroutine.plan.as_ref(), shared)).flatten();
        let function = Some(self.coroutine.function.bind(py));
        Called { request: self.request.bind(py), function, context: None, scope, shared }
    }

    /// It is over; whom to tell, if that was not known.
    fn end(&self, py: Python<'_>) -> Option<Reply> {
        let reply = lock(&self.reply).take()?;
        self.coroutine.shared.end(self.request.bind(py));
        Some(reply)
    }
}

#[pymethods]
impl Call {
    /// The handler returned.
    fn answer(&self, value: Bound<'_, PyAny>) {
        self.settle(value.py(), Ok(value));
    }

    /// It raised.
    fn fail(&self, error: Bound<'_, PyAny>) {
        self.settle(error.py(), Err(PyErr::from_value(error)));
    }

    /// It was cancelled: the error handler and the hooks, if there will be any, get its request.
    fn forget(&self, py: Python<'_>) {
        if let Some(reply) = self.end(py) {
            let error = Error::status(500, None);
            reply.send(Err(match self.called(py).travels() {
                Ok(travels) => travels.travel_with(error),
                Err(_) => error,
            }));
        }
    }
}
