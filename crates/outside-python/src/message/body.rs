//! `_Body`: the content of a request piece by piece, below `iter_body()` (`outside/_handlers/body.py`).

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use outside::content::Pieces;
use outside::{Error, Request};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::content_error;
use crate::event_loop::EventLoop;
use crate::support::lock;

/// The pieces that the handler has not taken yet.
#[pyclass(module = "outside", name = "_Body", frozen)]
pub(crate) struct BodyReader {
    request: Arc<Request>,
    /// Bytes that were handed on.
    at: Mutex<u64>,
}

impl BodyReader {
    pub(crate) fn of(request: &Arc<Request>) -> Self {
        Self { request: Arc::clone(request), at: Mutex::new(0) }
    }

    fn step<R>(&self, step: impl FnOnce(&mut Pieces<'_>) -> R) -> R {
        let mut pieces = Pieces::starting_at(&self.request, *lock(&self.at));
        let stepped = step(&mut pieces);
        *lock(&self.at) = pieces.position();
        stepped
    }
}

/// Ends the function that asks for content which has not come in: it is called again when the content is there.
pub(crate) fn refuse_outstanding(py: Python<'_>, request: &Request) -> PyResult<()> {
    if !request.is_outstanding() {
        return Ok(());
    }
    request.want_content();
    let wanted = py.import("outside._handlers.early")?.getattr("ContentWanted")?;
    Err(PyErr::from_value(wanted.call0()?))
}

#[pymethods]
impl BodyReader {
    /// The next piece; waits for it while other threads run Python. `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        refuse_outstanding(py, &self.request)?;
        let copy = |piece: &[u8]| Python::attach(|py| PyBytes::new(py, piece).unbind());
        let taken: Result<_, Error> = py.detach(|| self.step(|pieces| pieces.next_with(copy)));
        taken.map_err(|error| content_error(py, &error))
    }

    /// The same without waiting. `False`: there is none yet; the loop of `async def` handlers will be told of this ticket.
    fn poll(&self, py: Python<'_>, ticket: u64) -> PyResult<Py<PyAny>> {
        refuse_outstanding(py, &self.request)?;
        let waker = EventLoop::waker(ticket);
        let copy = |piece: &[u8]| PyBytes::new(py, piece).into_any().unbind();
        let polled = self.step(|pieces| pieces.poll_next_with(&Context::from_waker(&waker), copy));
        match polled {
            Poll::Pending => Ok(false.into_pyobject(py)?.to_owned().into_any().unbind()),
            Poll::Ready(taken) => {
                let taken = taken.map_err(|error| content_error(py, &error))?;
                Ok(taken.unwrap_or_else(|| py.None()))
            }
        }
    }

    /// A number of which that loop can be told.
    fn ticket(&self) -> u64 {
        EventLoop::number()
    }

    /// Whether the content comes in while it is taken.
    #[getter]
    fn is_streamed(&self) -> bool {
        self.request.is_streamed()
    }
}
