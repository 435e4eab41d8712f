//! `WebSocketConnection`: one connection, as plain functions hold it. The class for `async def` functions wraps it.

use std::sync::OnceLock;
use std::time::Duration;

use outside::websocket::{BorrowedMessage, Message};
use pyo3::exceptions::{PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyInt, PyMemoryView, PyString, PyTuple};

use crate::errors::value_error;
use crate::message::request::Request;
use crate::support::kind;
use crate::websocket::connection_bytes::ConnectionBytes;
use crate::websocket::message_id::message_id;

/// One WebSocket connection.
#[pyclass(module = "outside", name = "WebSocketConnection", subclass, frozen, dict, weakref)]
pub(crate) struct WebSocketConnection {
    inner: OnceLock<outside::WebSocketConnection>,
    request: PyOnceLock<Py<Request>>,
}

impl WebSocketConnection {
    /// `request` is the object that callbacks have seen, if any have.
    pub(crate) fn of(inner: outside::WebSocketConnection, request: Option<Py<Request>>, py: Python<'_>) -> Self {
        let made = Self { inner: OnceLock::from(inner), request: PyOnceLock::new() };
        if let Some(request) = request {
            made.request.get_or_init(py, || request);
        }
        made
    }

    pub(crate) fn inner(&self) -> PyResult<&outside::WebSocketConnection> {
        self.inner.get().ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("call super().__init__(…) first"))
    }
}

/// The Python exception of an end.
pub(crate) fn exit_error(py: Python<'_>, exit: &outside::websocket::WebSocketExit) -> PyErr {
    match exit_type(py).and_then(|exit_type| exit_type.call1((exit.code, &*exit.reason))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

pub(crate) fn exit_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    TYPE.import(py, "outside._handlers.websocket", "WebSocketExit")
}

fn text_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    TYPE.import(py, "outside._handlers.websocket", "TextMessage")
}

/// A message for Python: `bytes` that know whether they are a text.
pub(crate) fn to_python<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
    static BINARY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let kind = if message.is_text() {
        text_type(py)?
    } else {
        BINARY.import(py, "outside._handlers.websocket", "BinaryMessage")?
    };
    kind.call1((PyBytes::new(py, message.as_bytes()),))
}

/// A message that is to be sent: `str` and received texts as text, other bytes as binary.
pub(crate) fn from_python(data: &Bound<'_, PyAny>) -> PyResult<Message> {
    with_message(data, |message| message.into())
}

/// Uses such a message, which is copied only where Python may change it.
fn with_message<R>(data: &Bound<'_, PyAny>, uses: impl FnOnce(BorrowedMessage<'_>) -> R) -> PyResult<R> {
    if let Ok(text) = data.cast::<PyString>() {
        return Ok(uses(BorrowedMessage::from(text.to_str()?)));
    }
    if let Ok(bytes) = data.cast::<PyBytes>() {
        if !data.is_exact_instance_of::<PyBytes>()
            && data.is_instance(text_type(data.py())?)?
            && let Ok(text) = std::str::from_utf8(bytes.as_bytes())
        {
            return Ok(uses(BorrowedMessage::from(text)));
        }
        return Ok(uses(BorrowedMessage::from(bytes.as_bytes())));
    }
    if let Ok(bytes) = data.cast::<PyByteArray>() {
        return Ok(uses(BorrowedMessage::from(&bytes.to_vec()[..])));
    }
    if let Ok(view) = data.cast::<PyMemoryView>() {
        return with_message(&view.call_method0("tobytes")?, uses);
    }
    Err(PyTypeError::new_err(format!("a message is str (text) or bytes (binary), not {}", kind(data))))
}

fn text<'a>(name: &str, given: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match given.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => Err(PyTypeError::new_err(format!("{name} is a str, not {}", kind(given)))),
    }
}

/// The time from which a timeout counts as none: a hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn duration(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds >= 0.0 => {
            Ok(Duration::try_from_secs_f64(seconds).ok().filter(|given| *given < FOR_EVER))
        }
        Some(seconds) => {
            Err(PyValueError::new_err(format!("timeout is a number of seconds from 0 on, or None, not {seconds}")))
        }
    }
}

#[pymethods]
impl WebSocketConnection {
    /// On a connected socket whose handshake is done: for tests and embedding.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs),
           text_signature = "(request_class, http_socket, activity_queue, terminate_function)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, pyo3::types::PyDict>>) -> Self {
        Self { inner: OnceLock::new(), request: PyOnceLock::new() }
    }

    fn __init__(
        slf: &Bound<'_, Self>,
        request_class: &Bound<'_, Request>,
        http_socket: &Bound<'_, PyAny>,
        activity_queue: &Bound<'_, PyAny>,
        terminate_function: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let request = std::sync::Arc::clone(request_class.get().inner());
        let (connection, driver) = outside::websocket::WebSocketDriver::new(request);
        let bytes = Py::new(py, ConnectionBytes::new(connection.clone(), driver))?;
        let start = py.import("outside._handlers.websocket")?.getattr("drive")?;
        start.call1((bytes, http_socket, activity_queue, terminate_function))?;
        let this = slf.get();
        // A second call would be another connection.
        this.inner
            .set(connection)
            .map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("a connection is made once"))?;
        this.request.get_or_init(py, || request_class.clone().unbind());
        Ok(())
    }

    /// Waits for the next whole message: `TextMessage` or `BinaryMessage`, both `bytes`. `TimeoutError` after `timeout`
    /// seconds, `WebSocketExit` when the connection has ended.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let timeout = duration(timeout)?;
        let inner = self.inner()?;
        // A message that waits is had without giving the interpreter away.
        if let Some(message) = inner.try_recv().map_err(|exit| exit_error(py, &exit))? {
            return to_python(py, &message);
        }
        let received = py.detach(|| match timeout {
            None => inner.recv().map(Some),
            Some(timeout) => inner.recv_timeout(timeout),
        });
        match received.map_err(|exit| exit_error(py, &exit))? {
            Some(message) => to_python(py, &message),
            None => Err(PyTimeoutError::new_err("no message within the timeout")),
        }
    }

    /// Sends `str` as text, `bytes` as binary, and a message of `recv` in its own kind. Waits while the client reads too slowly.
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let inner = self.inner()?;
        let sent = match with_message(data, |message| inner.try_send(message))? {
            Ok(false) => {
                let message = from_python(data)?;
                py.detach(|| inner.send(message))
            }
            sent => sent.map(drop),
        };
        sent.map_err(|exit| exit_error(py, &exit))
    }

    /// Begins the closing handshake. On a connection that has ended nothing happens.
    #[pyo3(signature = (code=None, reason=None), text_signature = "($self, code=1000, reason='')")]
    fn exit(&self, code: Option<&Bound<'_, PyAny>>, reason: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let code = match code {
            None => 1000,
            Some(code) if code.is_instance_of::<PyInt>() => code.extract().map_err(|_| {
                PyValueError::new_err(format!(
                    "a close code is one of 1000 to 1003, 1007 to 1009, 1011 to 1014, or 3000 to 4999, not {code}"
                ))
            })?,
            Some(other) => return Err(PyTypeError::new_err(format!("code is an int, not {}", kind(other)))),
        };
        let reason = reason.map(|reason| text("reason", reason)).transpose()?.unwrap_or_default();
        self.inner()?.exit(code, reason).map_err(value_error)
    }

    /// Sends a ping with at most 125 bytes.
    #[pyo3(signature = (payload=None))]
    fn ping(&self, payload: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let wrong = |given| PyTypeError::new_err(format!("payload is bytes, not {}", kind(given)));
        let payload = payload.map(|given| given.cast::<PyBytes>().map_err(|_| wrong(given))).transpose()?;
        let ping = self.inner()?.ping(payload.map_or(b"", |payload| payload.as_bytes()));
        ping.map_err(value_error)
    }

    /// From now on it gets the messages that are published to this topic. `after`: the id of a message, after which those
    /// that the history still has come first. `ids`: each message comes behind its id and a space.
    #[pyo3(signature = (topic, *, after=None, ids=None))]
    fn subscribe(&self, topic: &Bound<'_, PyAny>, after: Option<&Bound<'_, PyAny>>, ids: Option<bool>) -> PyResult<()> {
        let (inner, topic) = (self.inner()?, text("topic", topic)?);
        match (after, ids.unwrap_or(after.is_some())) {
            (None, false) => inner.subscribe(topic),
            (after, ids) => inner.subscribe_after(topic, after.map(message_id).transpose()?, ids),
        }
        Ok(())
    }

    /// From now on it gets no more messages of this topic.
    fn unsubscribe(&self, topic: &Bound<'_, PyAny>) -> PyResult<()> {
        self.inner()?.unsubscribe(text("topic", topic)?);
        Ok(())
    }

    /// The request that opened it.
    #[getter]
    fn request(&self, py: Python<'_>) -> PyResult<Py<Request>> {
        let request = std::sync::Arc::clone(self.inner()?.request());
        self.request.get_or_try_init(py, || Py::new(py, Request::view(request))).map(|request| request.clone_ref(py))
    }

    /// The subprotocol that was agreed on.
    #[getter]
    fn subprotocol(&self) -> PyResult<Option<String>> {
        Ok(self.inner()?.subprotocol().map(str::to_owned))
    }

    /// The close code, once the connection has ended or begun to end: the client's, or the server's if it ended it.
    #[getter]
    fn close_code(&self) -> PyResult<Option<u16>> {
        Ok(self.inner()?.close_code())
    }

    /// The reason that came with it.
    #[getter]
    fn close_reason(&self) -> PyResult<Option<String>> {
        Ok(self.inner()?.close_reason())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next message; the iteration ends with the connection.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.recv(py, None) {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.is_instance(py, exit_type(py)?) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next message; `None` if there is none yet: the asyncio loop is told when there is.
    fn _receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let message = self.inner()?.recv_or_listen().map_err(|exit| exit_error(py, &exit))?;
        message.map(|message| to_python(py, &message)).transpose()
    }

    /// Sends, or says that the queue is full: for the asyncio loop.
    fn _try_send(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let inner = self.inner()?;
        with_message(data, |message| inner.try_send(message))?.map_err(|exit| exit_error(py, &exit))
    }

    /// Whether the queue is full. The loop is told when it no longer is.
    fn _listen_for_room(&self) -> PyResult<bool> {
        Ok(self.inner()?.listen_for_room())
    }

    fn __repr__(&self) -> PyResult<String> {
        let inner = self.inner()?;
        let state = inner.close_code().map_or("open".to_owned(), |code| format!("closed with {code}"));
        Ok(format!("WebSocketConnection({:?}, {state})", inner.request().url()))
    }
}
