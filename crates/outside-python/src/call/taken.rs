//! A call of an `async def` function that the event loop has taken. It is answered once, by what came of it.
//!
//! Between the loop and the connection there is nothing to be looked up: the object that the loop holds has the reply.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use outside::Reply;
use pyo3::prelude::*;

use super::asynchronous::Coroutine;
use super::{answer, lock};
use crate::request::Request;

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
        coroutine.shared.begin(request, None);
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
            let shared = &self.coroutine.shared;
            let function = self.coroutine.function.bind(py);
            reply.send(answer(self.request.bind(py), Some(function), result, shared, false, self.is_around));
        }
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

    /// It was cancelled: nobody waits for it.
    fn forget(&self, py: Python<'_>) {
        drop(self.end(py));
    }
}
