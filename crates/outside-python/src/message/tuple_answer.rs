//! Tuples as return values: `(code, message)`, `(body, code)` and `(body, code, headers)`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString, PyTuple};

use crate::message::answerable::{is_whole, unanswerable};
use crate::message::response::Response;
use crate::message::response_headers::ResponseHeaders;

/// The meaning of a tuple that a handler has returned.
pub(super) enum TupleAnswer<'py> {
    /// `(code, message)`: to be answered by that code's error handler.
    Code(u16, Option<String>),
    /// A body with its status, and perhaps header fields.
    Body { body: Bound<'py, PyAny>, code: u16, headers: Option<Bound<'py, PyDict>> },
}

/// Reads a tuple. Only one of exact type `tuple` is an answer: a row of a database is none.
pub(super) fn tuple_answer<'py>(tuple: &Bound<'py, PyTuple>) -> PyResult<TupleAnswer<'py>> {
    if !tuple.is_exact_instance_of::<PyTuple>() || !matches!(tuple.len(), 2 | 3) {
        return Err(unanswerable(tuple));
    }
    let (first, second) = (tuple.get_item(0)?, tuple.get_item(1)?);
    match (code_of(&first), code_of(&second)) {
        (Some(code), None) if tuple.len() == 2 => code_first(tuple, code, second),
        (None, Some(code)) => {
            if !(first.is_none() || first.is_instance_of::<Response>() || is_whole(&first)) {
                return Err(unanswerable(tuple));
            }
            let headers = if tuple.len() == 3 { headers_of(tuple, &tuple.get_item(2)?)? } else { None };
            if code < 200 {
                return Err(PyValueError::new_err(format!("the status of an answer is one of 200 to 599, not {code}")));
            }
            Ok(TupleAnswer::Body { body: first, code, headers })
        }
        _ => Err(unanswerable(tuple)),
    }
}

fn code_first<'py>(tuple: &Bound<'py, PyTuple>, code: u16, second: Bound<'py, PyAny>) -> PyResult<TupleAnswer<'py>> {
    let message: Option<String> = match second.extract() {
        Ok(message) => message,
        Err(_) if code >= 200 && is_whole(&second) && !second.is_instance_of::<pyo3::types::PyBytes>() => {
            return Ok(TupleAnswer::Body { body: second, code, headers: None });
        }
        Err(_) => return Err(unanswerable(tuple)),
    };
    // Below 400 there are no error handlers.
    if code >= 400 { Ok(TupleAnswer::Code(code, message)) } else { Err(unanswerable(tuple)) }
}

/// The status that an `int` stands for.
fn code_of(value: &Bound<'_, PyAny>) -> Option<u16> {
    let number: u16 = value.cast::<PyInt>().ok().filter(|value| !value.is_instance_of::<PyBool>())?.extract().ok()?;
    (100..=599).contains(&number).then_some(number)
}

/// Header fields: a dictionary, or a list of names and values.
fn headers_of<'py>(tuple: &Bound<'py, PyTuple>, given: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    if given.is_none() {
        return Ok(None);
    }
    if let Ok(dict) = given.cast::<PyDict>() {
        return Ok(Some(dict.clone()));
    }
    let Ok(list) = given.cast::<PyList>() else { return Err(unanswerable(tuple)) };
    let made = ResponseHeaders::copy_of(given.py(), None)?;
    for pair in list.iter() {
        let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) =
            pair.extract().map_err(|_| unanswerable(tuple))?;
        ResponseHeaders::append(&made, name.to_str()?, value.to_str()?)?;
    }
    Ok(Some(made))
}
