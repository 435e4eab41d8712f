//! Events of ASGI applications as Python's dictionaries: their parts are taken and checked, and the exceptions about wrong
//! ones are made.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use outside::message::{Body, reason_phrase};
use outside::websocket::Message;
use outside::{Headers, Response};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyString, PyTuple};

use crate::message::uncopied::bytes_of;
use crate::support::kind;

/// The answer with this head and content.
pub(crate) fn response(status: u16, headers: Headers, body: Body) -> Response {
    // The status was checked when the application began its answer.
    let usual = reason_phrase(status).as_bytes();
    let mut response = Response::unchanged(status, usual).unwrap_or_else(|_| Response::new(500));
    *response.headers_mut() = headers;
    *response.body_mut() = body;
    response
}

/// The exception of `send` when the client has left.
pub(crate) fn disconnected(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = CLASS.import(py, "outside._hosting.asgi", "ClientDisconnected").and_then(|class| class.call0());
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Whether this is that exception, or another one because of it.
pub(crate) fn is_disconnected(py: Python<'_>, error: &PyErr) -> bool {
    let module = py.import("outside._hosting.asgi");
    let asked = module.and_then(|module| module.call_method1("is_disconnect", (error.value(py),))?.is_truthy());
    asked.unwrap_or(false)
}

/// The event of a client that has left, or has its whole answer.
pub(crate) fn gone_event(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
    Ok(event.into_any())
}

/// The event as a dictionary; other mappings are copied.
pub(crate) fn event_of<'py>(event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    if let Ok(event) = event.cast::<PyDict>() {
        return Ok(event.clone());
    }
    let made = event.py().get_type::<PyDict>().call1((event,));
    let made = made.map_err(|_| PyTypeError::new_err(format!("an event is a dict, not {}", kind(event))))?;
    Ok(made.cast_into::<PyDict>()?)
}

/// The type of an event.
pub(crate) fn name_of<'py>(event: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyString>> {
    match event.get_item(intern!(event.py(), "type"))? {
        Some(name) => Ok(name.cast_into::<PyString>()?),
        None => Err(PyTypeError::new_err("an event has a \"type\"")),
    }
}

pub(crate) fn misplaced(event: &str, why: &str) -> PyErr {
    PyRuntimeError::new_err(format!("the event {event} is misplaced: {why}"))
}

pub(crate) fn unknown(event: &str, allowed: &str) -> PyErr {
    PyRuntimeError::new_err(format!("the event is {allowed}, not {event:?}"))
}

/// The header fields of an event: any iterable of pairs. Fields that the server owns are left out, but for the length.
pub(crate) fn headers_of(given: &Bound<'_, PyAny>) -> PyResult<Headers> {
    let mut headers = Headers::new();
    for pair in given.try_iter()? {
        let pair = pair?;
        let (name, value) = match pair.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, pair.get_item(1)?),
            _ => (pair.get_item(0)?, pair.get_item(1)?),
        };
        let (name, value) = (short_octets(&name)?, short_octets(&value)?);
        let name = std::str::from_utf8(&name)
            .map_err(|_| PyValueError::new_err("the name of a header field is a token of ASCII characters"))?;
        headers.append(name, &value).map_err(|error| PyValueError::new_err(error.to_string()))?;
    }
    Ok(headers)
}

/// The bytes of any buffer, for a moment.
fn short_octets<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
        Err(_) => Ok(Cow::Owned(octets(value)?.into())),
    }
}

/// The bytes of any buffer.
pub(crate) fn octets(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes_of(bytes));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(Bytes::from(bytes.to_vec()));
    }
    static VIEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let view = VIEW.import(value.py(), "builtins", "memoryview")?.call1((value,));
    let view = view.map_err(|_| PyTypeError::new_err(format!("bytes are expected, not {}", kind(value))))?;
    let bytes = view.call_method0(intern!(value.py(), "tobytes"))?;
    Ok(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes()))
}

/// All pieces, the last one behind the others.
pub(crate) fn join(pieces: Vec<Bytes>, last: Bytes) -> Bytes {
    if pieces.is_empty() {
        return last;
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum::<usize>() + last.len());
    pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
    joined.extend_from_slice(&last);
    joined.freeze()
}

/// A message as the application gets it.
pub(crate) fn message_event<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "websocket.receive"))?;
    match message.is_text() {
        true => {
            let text =
                std::str::from_utf8(message.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))?;
            event.set_item(intern!(py, "text"), text)?;
        }
        false => event.set_item(intern!(py, "bytes"), PyBytes::new(py, message.as_bytes()))?,
    }
    Ok(event.into_any())
}

/// The end of a WebSocket as the application gets it.
pub(crate) fn disconnect_event<'py>(py: Python<'py>, code: u16, reason: &str) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "websocket.disconnect"))?;
    event.set_item(intern!(py, "code"), code)?;
    event.set_item(intern!(py, "reason"), reason)?;
    Ok(event.into_any())
}
