//! Functions of the module about header fields, status codes and events.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::errors::value_error;

/// The value of a header, or `None`. The case of the name is ignored.
#[pyfunction]
pub(crate) fn get_insensitive_header<'py>(
    headers: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Some(value) = headers.as_any().cast::<PyDict>()?.get_item(name)? {
        return Ok(Some(value));
    }
    let wanted = name.to_str()?;
    for (key, value) in headers.iter() {
        if let Ok(key) = key.cast::<PyString>()
            && key.to_str()?.eq_ignore_ascii_case(wanted)
        {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The IANA reason phrase of a status code, `"Unknown"` for a code without one.
#[pyfunction]
pub(crate) fn get_description(code: i64) -> &'static str {
    u16::try_from(code).map_or("Unknown", outside::message::reason_phrase)
}

/// Every registered status code with its phrase.
#[pyfunction]
pub(crate) fn status_codes() -> Vec<(u16, &'static str)> {
    outside::message::statuses().collect()
}

/// The value of `Content-Disposition` (RFC 6266).
#[pyfunction]
pub(crate) fn _content_disposition(is_attachment: bool, name: Option<&str>) -> String {
    outside::message::content_disposition(is_attachment, name)
}

/// A server-sent event as it stands on the wire.
#[pyfunction]
pub(crate) fn _event<'py>(
    py: Python<'py>,
    data: String,
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = outside::message::Event { data, event, id, retry }.to_bytes();
    Ok(PyBytes::new(py, &bytes.map_err(value_error)?))
}
