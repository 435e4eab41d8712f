//! The awaitables that ASGI applications get from `receive` and `send`: they do not suspend when the result is there.
//!
//! They have the methods of a coroutine, so that `asyncio.create_task(receive())` works. One that has to wait makes a
//! future of the running loop: cancellation, anyio and two tasks that wait at once behave as with asyncio's own. The
//! result is taken when the task goes on, so that a task which is cancelled before that leaves it to the next one.

use std::sync::Arc;

use outside::{Error, Request, Response};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// The result that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The next event of `receive`.
    Event,
    /// Room for what `send` has taken.
    Room,
}

/// A call of an application, as its awaitables see it. All methods are called on the thread of the loop.
pub(crate) trait Awaitable: Send + Sync {
    /// The result, if it is there; an error is raised in the task.
    fn poll<'py>(&self, py: Python<'py>, awaited: Awaited) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// Adds a future that is to be completed at the next change.
    fn add_waiter(&self, future: &Bound<'_, PyAny>, awaited: Awaited);
}

/// A call of either protocol, until its task has ended.
pub(crate) trait Call: Send + Sync {
    /// Notes that the client has left, on the thread of the loop.
    fn leave(&self, py: Python<'_>);

    /// The first step of the application has ended.
    fn end_first_step(self: Arc<Self>);

    /// The application has returned; `Err` if it owes an answer.
    fn returned(&self) -> Result<(), &'static str>;

    /// The application has failed: ends the answer. The page is for one that has not begun.
    fn fail(&self, page: &mut dyn FnMut() -> Result<Response, Error>);

    /// Whether the client has its whole answer.
    fn is_complete(&self) -> bool;

    /// Whether the client left before that.
    fn is_gone(&self) -> bool;

    fn request(&self) -> &Arc<Request>;
}

/// The result of a `send` that does not wait: always the same object.
#[pyclass(module = "outside", name = "_Sent", frozen)]
pub(crate) struct Sent;

impl Sent {
    pub(crate) fn object(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static SENT: PyOnceLock<Py<Sent>> = PyOnceLock::new();
        let sent = SENT.get_or_try_init(py, || Py::new(py, Self))?;
        Ok(sent.bind(py).clone().into_any())
    }
}

#[pymethods]
impl Sent {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }

    fn send(&self, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        drop(value);
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*exception))]
    fn throw(&self, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        Err(thrown(exception))
    }

    fn close(&self) {}
}

/// A result that is there.
#[pyclass(module = "outside", name = "_Received")]
pub(crate) struct Received(pub(crate) Option<Py<PyAny>>);

#[pymethods]
impl Received {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<Option<Py<PyAny>>> {
        Err(self.result())
    }

    fn send(&mut self, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        drop(value);
        Err(self.result())
    }

    #[pyo3(signature = (*exception))]
    fn throw(&mut self, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        Err(thrown(exception))
    }

    fn close(&mut self) {}
}

impl Received {
    fn result(&mut self) -> PyErr {
        match self.0.take() {
            Some(value) => PyStopIteration::new_err((value,)),
            None => PyRuntimeError::new_err("cannot reuse already awaited coroutine"),
        }
    }
}

/// A result that may have to be waited for.
#[pyclass(module = "outside", name = "_Waiting")]
pub(crate) struct Waiting {
    call: Arc<dyn Awaitable>,
    awaited: Awaited,
    /// The iterator of the future that the task waits for now.
    future: Option<Py<PyAny>>,
}

impl Waiting {
    pub(crate) fn new(call: Arc<dyn Awaitable>, awaited: Awaited) -> Self {
        Self { call, awaited, future: None }
    }

    fn step<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(future) = &self.future {
            match future.bind(py).call_method0(intern!(py, "__next__")) {
                Ok(suspended) => return Ok(suspended),
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => self.future = None,
                Err(error) => return Err(error),
            }
        }
        if let Some(value) = self.call.poll(py, self.awaited)? {
            return Err(PyStopIteration::new_err((value.unbind(),)));
        }
        static LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let running = LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let future = running.call_method0(intern!(py, "create_future"))?;
        self.call.add_waiter(&future, self.awaited);
        let iterator = future.call_method0(intern!(py, "__await__"))?;
        let suspended = iterator.call_method0(intern!(py, "__next__"))?;
        self.future = Some(iterator.unbind());
        Ok(suspended)
    }
}

#[pymethods]
impl Waiting {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    fn send<'py>(&mut self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(value.py())
    }

    #[pyo3(signature = (*exception))]
    fn throw(&mut self, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.future = None;
        Err(thrown(exception))
    }

    fn close(&mut self) {
        self.future = None;
    }
}

/// The exception of `throw(exception)` or `throw(type, value, traceback)`.
fn thrown(given: &Bound<'_, PyTuple>) -> PyErr {
    let value = given.get_item(1).ok().filter(|value| !value.is_none());
    match value.map_or_else(|| given.get_item(0), Ok) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Completes the futures of tasks that wait.
pub(crate) fn wake_all(py: Python<'_>, waiters: Vec<Py<PyAny>>) {
    for waiter in waiters {
        let waiter = waiter.bind(py);
        let woken = waiter.call_method0(intern!(py, "done")).and_then(|done| match done.is_truthy()? {
            true => Ok(()),
            false => waiter.call_method1(intern!(py, "set_result"), (py.None(),)).map(drop),
        });
        if let Err(error) = woken {
            error.write_unraisable(py, None);
        }
    }
}
