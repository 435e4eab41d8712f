//! The values that a handler may return without a `Response`, and the error about the others.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::message::media_type::is_model;

/// Whether the value is content that a handler may return without a `Response`.
pub(super) fn is_whole(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || is_model(value)
}

/// The error about a value that no handler may return.
pub(crate) fn unanswerable(value: &Bound<'_, PyAny>) -> PyErr {
    let made =
        value.py().import("outside._handlers.mistakes").and_then(|module| module.call_method1("wrong", (value,)));
    made.map_or_else(|error| error, PyErr::from_value)
}
