//! Status, fields and pieces of content as an application gives them. A str holds bytes as latin-1.

use outside::{Headers, Response};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::errors::value_error;
use crate::support::kind;

/// Status code and reason phrase of `"200 OK"`.
pub(super) fn status_of(status: &Bound<'_, PyAny>) -> PyResult<(u16, Vec<u8>)> {
    let wrong = || {
        let shown = crate::support::shown(status);
        PyValueError::new_err(format!("a status is a str such as '200 OK', not {shown}"))
    };
    let text = status.cast::<PyString>().map_err(|_| wrong())?;
    let text = latin_1_bytes(text)?;
    let code = text.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit)).ok_or_else(wrong)?;
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match &text[3..] {
        [] => Ok((code, Vec::new())),
        [b' ', reason @ ..] => Ok((code, reason.to_vec())),
        _ => Err(wrong()),
    }
}

/// The fields of a list, for an answer of their own.
pub(super) fn fields_of(headers: &Bound<'_, PyAny>) -> PyResult<Headers> {
    let mut response = Response::new(200);
    add_fields(&mut response, headers)?;
    Ok(std::mem::take(response.headers_mut()))
}

/// Adds the fields of the list to the response; returns the length that they declare.
pub(super) fn add_fields(response: &mut Response, headers: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    let Ok(list) = headers.cast::<PyList>() else {
        return Err(PyTypeError::new_err(format!("headers are a list of (name, value), not {}", kind(headers))));
    };
    let mut declared = None;
    for field in list.iter() {
        let wrong = || {
            PyTypeError::new_err(format!("a header is (name, value), two str, not {}", crate::support::shown(&field)))
        };
        let pair = field.cast::<PyTuple>().map_err(|_| wrong())?;
        let (Ok(name), Ok(value)) = (pair.get_borrowed_item(0), pair.get_borrowed_item(1)) else { return Err(wrong()) };
        let (name, value) =
            (name.cast::<PyString>().map_err(|_| wrong())?, value.cast::<PyString>().map_err(|_| wrong())?);
        let (name, text) = (name.to_str()?, value.to_str()?);
        if name.eq_ignore_ascii_case("content-length") {
            let length = text
                .trim()
                .parse()
                .map_err(|_| PyValueError::new_err(format!("Content-Length is a number of bytes, not {text:?}")))?;
            declared = Some(length);
        }
        let added = match text.is_ascii() {
            true => response.headers_mut().append(name, text),
            false => response.headers_mut().append(name, latin_1_bytes(&value)?),
        };
        added.map_err(value_error)?;
    }
    Ok(declared)
}

/// The bytes of a string of which each character is one.
fn latin_1_bytes(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    let text = text.to_str()?;
    let bytes = text.chars().map(|character| {
        u8::try_from(u32::from(character)).map_err(|_| {
            PyValueError::new_err(format!("{text:?}: a str of WSGI holds bytes as latin-1, so it has no {character:?}"))
        })
    });
    bytes.collect()
}
