//! Return values of handlers as responses of the engine. Exact types come first: most handlers return one of them.

use bytes::Bytes;
use outside::Headers;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::errors::value_error;
use crate::message::cookie::ResponseCookie;
use crate::message::file_path::FilePath;
use crate::message::json::encoded;
use crate::message::media_type::{BYTES, JSON, TEXT};
use crate::message::response::{Response, ResponseFields};
use crate::message::response_headers::ResponseHeaders;
use crate::message::stream::stream_of;
use crate::support::{is_coroutine, kind};
use crate::waiting::wait_for;

/// A return value, as the engine takes it.
pub(crate) enum Returned {
    /// An answer.
    Response(outside::Response),
    /// `(code, message)`: to be answered by that code's error handler.
    Code(u16, Option<String>),
}

/// Makes an answer of a handler's return value.
pub(crate) fn returned(value: &Bound<'_, PyAny>) -> PyResult<Returned> {
    let py = value.py();
    if let Ok(response) = value.cast::<Response>() {
        return response_of(py, response.get()).map(Returned::Response);
    }
    if let Ok(pair) = value.cast::<PyTuple>() {
        return code_and_message(pair).map(|(code, message)| Returned::Code(code, message));
    }
    if value.is_none() {
        return Ok(Returned::Response(outside::Response::new(204)));
    }
    if is_whole(value) {
        return fill(outside::Response::new(200), value).map(Returned::Response);
    }
    if is_coroutine(value)? {
        // A plain function may return the coroutine of an async def function.
        return returned(&wait_for(value.clone(), None)?);
    }
    Err(unanswerable(value))
}

/// A return value as the functions around a handler see it.
pub(crate) enum Settled<'py> {
    /// A `Response`: the one that was returned, or a new one.
    Response(Bound<'py, PyAny>),
    /// `(code, message)`: to be answered by that code's error handler.
    Code(u16, Option<String>),
}

/// The `Response` that a return value means. A value that is no `Response` has this status.
pub(crate) fn settled(value: Bound<'_, PyAny>, status: u16) -> PyResult<Settled<'_>> {
    let py = value.py();
    if value.is_instance_of::<Response>() {
        return Ok(Settled::Response(value));
    }
    if let Ok(pair) = value.cast::<PyTuple>() {
        return code_and_message(pair).map(|(code, message)| Settled::Code(code, message));
    }
    let response = if value.is_none() {
        Response::given(if status == 200 { 204 } else { status }, None)
    } else if is_whole(&value) {
        Response::given(status, Some(value.unbind()))
    } else {
        return Err(unanswerable(&value));
    };
    Ok(Settled::Response(Bound::new(py, response)?.into_any()))
}

/// Whether the value is content that a handler may return without a `Response`.
fn is_whole(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
}

/// The error about a value that no handler may return.
pub(crate) fn unanswerable(value: &Bound<'_, PyAny>) -> PyErr {
    let made =
        value.py().import("outside._handlers.mistakes").and_then(|module| module.call_method1("wrong", (value,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The error for the log about an answer that cannot be sent: with file and line of the function that gave it.
pub(crate) fn located(function: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = function.py();
    let module = py.import("outside._handlers.mistakes");
    let made = module.and_then(|module| module.call_method1("located", (function, error.value(py))));
    made.map_or_else(|another| another, PyErr::from_value)
}

/// `(code, message)`, checked.
fn code_and_message(pair: &Bound<'_, PyTuple>) -> PyResult<(u16, Option<String>)> {
    let (code, message): (i64, Option<String>) = pair.extract().map_err(|_| unanswerable(pair))?;
    match u16::try_from(code) {
        Ok(code) if (400..=599).contains(&code) => Ok((code, message)),
        _ => Err(unanswerable(pair)),
    }
}

/// The engine's response of a `Response` as it is now.
pub(crate) fn response_of(py: Python<'_>, response: &Response) -> PyResult<outside::Response> {
    let (made, content) = head_of(py, response)?;
    match content {
        Some(content) => fill(made, content.bind(py)),
        None => Ok(made),
    }
}

/// The same without its content, and the content.
pub(crate) fn head_of(py: Python<'_>, response: &Response) -> PyResult<(outside::Response, Option<Py<PyAny>>)> {
    let ResponseFields { status_code, headers, content, cookies } = response.fields(py);
    let mut made = outside::Response::new(status_code);
    if let Some(headers) = headers {
        for (name, value) in headers.bind(py).iter() {
            set_header(made.headers_mut(), &name, &value)?;
        }
    }
    if let Some(cookies) = cookies {
        for (name, cookie) in cookies.bind(py).iter() {
            set_cookie(made.headers_mut(), &name, &cookie)?;
        }
    }
    Ok((made, content))
}

fn set_header(headers: &mut Headers, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(name) = name.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("a header name is a str, not {}", kind(name))));
    };
    let name = name.to_str()?;
    // A dictionary of the program may have the same name in several spellings: the last one counts.
    if !headers.is_empty() && headers.contains(name) && !name.eq_ignore_ascii_case("Set-Cookie") {
        headers.remove(name);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return headers.append(name, text.to_str()?).map_err(value_error);
    }
    if let Ok(values) = value.cast::<PyList>() {
        if values.len() > 1 && Headers::stands_once(name) {
            let text = format!("a response has one {name}, not {}", values.repr()?.to_str()?);
            return Err(PyValueError::new_err(text));
        }
        return values.iter().try_for_each(|value| match value.cast::<PyString>() {
            Ok(text) => headers.append(name, text.to_str()?).map_err(value_error),
            Err(_) => Err(wrong_header(name, &value)),
        });
    }
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    if is_number && !value.is_instance_of::<PyBool>() {
        return headers.append(name, value.str()?.to_str()?).map_err(value_error);
    }
    Err(wrong_header(name, value))
}

fn wrong_header(name: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!(
        "the value of header {name:?} is a str, a number or a list of str, not {}",
        kind(value)
    ))
}

fn set_cookie(headers: &mut Headers, name: &Bound<'_, PyAny>, cookie: &Bound<'_, PyAny>) -> PyResult<()> {
    let name: &str =
        name.extract().map_err(|_| PyTypeError::new_err(format!("a cookie name is a str, not {}", kind(name))))?;
    let field = if let Ok(cookie) = cookie.cast::<ResponseCookie>() {
        cookie.get().to_field(name)
    } else if let Ok(value) = cookie.extract::<String>() {
        outside::ResponseCookie::new(value).to_field(name)
    } else {
        return Err(PyTypeError::new_err(format!(
            "cookie {name:?} is a ResponseCookie or a str, not {}",
            kind(cookie)
        )));
    };
    headers.append("Set-Cookie", field.map_err(value_error)?).map_err(value_error)
}

/// Adds content, and its media type if the handler set none.
fn fill(mut response: outside::Response, content: &Bound<'_, PyAny>) -> PyResult<outside::Response> {
    let (body, media_type) = if let Ok(text) = content.cast::<PyString>() {
        (outside::Body::Bytes(Bytes::copy_from_slice(text.to_str()?.as_bytes())), TEXT)
    } else if let Ok(bytes) = content.cast::<PyBytes>() {
        (outside::Body::Bytes(Bytes::copy_from_slice(bytes.as_bytes())), BYTES)
    } else if content.is_instance_of::<PyDict>() || content.is_instance_of::<PyList>() {
        (outside::Body::Bytes(encoded(content)?), JSON)
    } else if let Ok(file) = content.cast::<FilePath>() {
        // The media type of a file is found by its name when it is sent.
        *response.body_mut() = outside::Body::File(file.get().slice());
        return Ok(response);
    } else if let Ok(bytes) = content.cast::<PyByteArray>() {
        (outside::Body::Bytes(Bytes::from(bytes.to_vec())), BYTES)
    } else if let Ok(view) = content.cast::<PyMemoryView>() {
        let bytes = view.call_method0(intern!(content.py(), "tobytes"))?;
        (outside::Body::Bytes(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes())), BYTES)
    } else if content.is_none() {
        return Ok(response);
    } else {
        // The media type of a stream is that of its first piece.
        *response.body_mut() = outside::Body::Stream(stream_of(content)?);
        return Ok(response);
    };
    *response.body_mut() = body;
    if !matches!(response.status(), 204 | 304) && !response.headers().contains("Content-Type") {
        response.headers_mut().append("Content-Type", media_type).map_err(value_error)?;
    }
    Ok(response)
}

/// A Python `Response` that shows an answer of the engine's own, for hooks.
pub(crate) fn shown(py: Python<'_>, response: &outside::Response) -> PyResult<Py<Response>> {
    let headers = ResponseHeaders::copy_of(py, None)?;
    for (name, value) in response.headers().iter() {
        ResponseHeaders::append(&headers, name, &String::from_utf8_lossy(value))?;
    }
    let content = match response.body() {
        outside::Body::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Some(PyString::new(py, text).into_any().unbind()),
            Err(_) => Some(PyBytes::new(py, bytes).into_any().unbind()),
        },
        outside::Body::File(slice) => Some(Py::new(py, FilePath::of(slice))?.into_any()),
        outside::Body::Empty | outside::Body::Stream(_) => None,
    };
    let status_code = response.status();
    Py::new(
        py,
        Response::from_fields(ResponseFields { status_code, headers: Some(headers.unbind()), content, cookies: None }),
    )
}
