//! Return values of handlers as responses of the engine. Exact types come first: most handlers return one of them.

use bytes::Bytes;
use outside::Headers;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::errors::value_error;
use crate::message::answerable::{is_whole, unanswerable};
use crate::message::cookie::ResponseCookie;
use crate::message::file_path::FilePath;
use crate::message::json::encoded;
use crate::message::known_fields::{add_known, keep};
use crate::message::media_type::{BYTES, JSON, TEXT, is_model};
use crate::message::response::{Response, ResponseFields};
use crate::message::response_headers::ResponseHeaders;
use crate::message::stream::stream_of;
use crate::message::tuple_answer::{TupleAnswer, tuple_answer};
use crate::message::uncopied::{bytes_of, text_of};
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
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return match tuple_answer(tuple)? {
            TupleAnswer::Code(code, message) => Ok(Returned::Code(code, message)),
            TupleAnswer::Body { body, code, headers } => made_of(&body, code, headers.as_ref()).map(Returned::Response),
        };
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

/// The answer for `(body, code)`, perhaps with header fields.
fn made_of(body: &Bound<'_, PyAny>, code: u16, headers: Option<&Bound<'_, PyDict>>) -> PyResult<outside::Response> {
    let given = body.cast::<Response>().ok();
    let mut made = match given {
        Some(response) => response_of(body.py(), response.get())?.with_status(code),
        None => outside::Response::new(code),
    };
    for (name, value) in headers.into_iter().flatten() {
        set_header(made.headers_mut(), &name, &value)?;
    }
    if given.is_some() { Ok(made) } else { fill(made, body) }
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
    if let Ok(response) = value.cast::<Response>() {
        if status != 200 {
            take_status(response, status)?;
        }
        return Ok(Settled::Response(value));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        let (body, code, headers) = match tuple_answer(tuple)? {
            TupleAnswer::Code(code, message) => return Ok(Settled::Code(code, message)),
            TupleAnswer::Body { body, code, headers } => (body, code, headers),
        };
        let made = match body.cast::<Response>() {
            Ok(response) => response.get().with_status_and_headers(py, code, headers.as_ref())?,
            Err(_) => {
                let headers = headers.as_ref().map(|headers| ResponseHeaders::copy_of(py, Some(headers)));
                let content = (!body.is_none()).then(|| body.unbind());
                Response::given(code, headers.transpose()?.map(Bound::unbind), content)
            }
        };
        return Ok(Settled::Response(Bound::new(py, made)?.into_any()));
    }
    let response = if value.is_none() {
        Response::given(if status == 200 { 204 } else { status }, None, None)
    } else if is_whole(&value) {
        Response::given(status, None, Some(value.unbind()))
    } else {
        return Err(unanswerable(&value));
    };
    Ok(Settled::Response(Bound::new(py, response)?.into_any()))
}

/// Gives a response whose status the program has left open, such as a page of a template, the status of an error.
pub(crate) fn take_status(response: &Bound<'_, Response>, status: u16) -> PyResult<()> {
    let py = response.py();
    if !response.get_type().is(py.get_type::<Response>())
        && response.getattr_opt(intern!(py, "_status_is_open"))?.is_some_and(|open| open.is_truthy().unwrap_or(false))
    {
        response.setattr(intern!(py, "status_code"), status)?;
    }
    Ok(())
}

/// The error for the log about an answer that cannot be sent: with file and line of the function that gave it.
pub(crate) fn located(function: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = function.py();
    let module = py.import("outside._handlers.mistakes");
    let made = module.and_then(|module| module.call_method1("located", (function, error.value(py))));
    made.map_or_else(|another| another, PyErr::from_value)
}

/// The engine's response of a `Response` as it is now.
pub(crate) fn response_of(py: Python<'_>, response: &Response) -> PyResult<outside::Response> {
    let (made, content) = head_of(py, response)?;
    match content {
        Some(content) => fill(made, &content),
        None => Ok(made),
    }
}

/// The same without its content, and the content.
pub(crate) fn head_of<'py>(
    py: Python<'py>,
    response: &Response,
) -> PyResult<(outside::Response, Option<Bound<'py, PyAny>>)> {
    let ResponseFields { status_code, headers, content, cookies } = response.fields(py);
    let mut made = outside::Response::new(status_code);
    if let Some(headers) = headers {
        for (name, value) in headers.into_bound(py).iter() {
            set_header(made.headers_mut(), &name, &value)?;
        }
    }
    if let Some(cookies) = cookies {
        for (name, cookie) in cookies.into_bound(py).iter() {
            set_cookie(made.headers_mut(), &name, &cookie)?;
        }
    }
    Ok((made, content.map(|content| content.into_bound(py))))
}

fn set_header(headers: &mut Headers, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(name_object) = name.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("a header name is a str, not {}", kind(name))));
    };
    let text = value.cast::<PyString>().ok();
    if headers.is_empty() && text.is_some_and(|text| add_known(headers, name_object, text)) {
        return Ok(());
    }
    let name = name_object.to_str()?;
    // A dictionary of the program may have the same name in several spellings: the last one counts.
    if !headers.is_empty() && headers.contains(name) && !name.eq_ignore_ascii_case("Set-Cookie") {
        headers.remove(name);
    }
    if let Some(text) = text {
        headers.append(name, text.to_str()?).map_err(value_error)?;
        keep(headers, name_object, text);
        return Ok(());
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
        outside::message::ResponseCookie::new(value).to_field(name)
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
        (outside::message::Body::Bytes(text_of(text)?), TEXT)
    } else if let Ok(bytes) = content.cast::<PyBytes>() {
        (outside::message::Body::Bytes(bytes_of(bytes)), BYTES)
    } else if content.is_instance_of::<PyDict>() || content.is_instance_of::<PyList>() {
        (outside::message::Body::Bytes(encoded(content)?), JSON)
    } else if let Ok(file) = content.cast::<FilePath>() {
        // The media type of a file is found by its name when it is sent.
        *response.body_mut() = outside::message::Body::File(file.get().slice());
        return Ok(response);
    } else if let Ok(bytes) = content.cast::<PyByteArray>() {
        (outside::message::Body::Bytes(Bytes::from(bytes.to_vec())), BYTES)
    } else if let Ok(view) = content.cast::<PyMemoryView>() {
        let bytes = view.call_method0(intern!(content.py(), "tobytes"))?;
        (outside::message::Body::Bytes(bytes_of(bytes.cast::<PyBytes>()?)), BYTES)
    } else if content.is_none() {
        return Ok(response);
    } else if is_model(content) {
        (outside::message::Body::Bytes(encoded(content)?), JSON)
    } else {
        // The media type of a stream is that of its first piece.
        *response.body_mut() = outside::message::Body::Stream(stream_of(content)?);
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
        outside::message::Body::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Some(PyString::new(py, text).into_any().unbind()),
            Err(_) => Some(PyBytes::new(py, bytes).into_any().unbind()),
        },
        outside::message::Body::File(slice) => Some(Py::new(py, FilePath::of(slice))?.into_any()),
        outside::message::Body::Empty | outside::message::Body::Stream(_) => None,
    };
    let status_code = response.status();
    Py::new(
        py,
        Response::from_fields(ResponseFields { status_code, headers: Some(headers.unbind()), content, cookies: None }),
    )
}
