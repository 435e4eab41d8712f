//! The bytes of Python's `str` and `bytes` objects, which never change: those of a large one are not copied, its memory is the
//! object's own. The object is let go of when the last byte has left, at the latest when Python is entered the next time.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyString};

/// Bytes from which a copy costs more than to hold the object.
const LARGE: usize = 32 << 10;

/// The first bytes of an object, as many as `length` says.
pub(crate) fn first_bytes_of(bytes: &Bound<'_, PyBytes>, length: usize) -> Bytes {
    let content = bytes.as_bytes();
    if content.len() < LARGE {
        return Bytes::copy_from_slice(&content[..length]);
    }
    Bytes::from_owner(PyBackedBytes::from(bytes.clone())).slice(..length)
}

pub(crate) fn bytes_of(bytes: &Bound<'_, PyBytes>) -> Bytes {
    first_bytes_of(bytes, bytes.as_bytes().len())
}

/// A text in UTF-8.
///
/// # Errors
/// It has half a surrogate pair.
pub(crate) fn text_of(text: &Bound<'_, PyString>) -> PyResult<Bytes> {
    let content = text.to_str()?.as_bytes();
    if content.len() < LARGE {
        return Ok(Bytes::copy_from_slice(content));
    }
    Ok(Bytes::from_owner(PyBackedStr::try_from(text.clone())?))
}
