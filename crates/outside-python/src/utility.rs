//! Two small functions.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The value of a header whatever the case of its name, or `None`.
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
    u16::try_from(code).map_or("Unknown", outside::reason_phrase)
}

/// Every registered status code with its phrase.
#[pyfunction]
pub(crate) fn status_codes() -> Vec<(u16, &'static str)> {
    outside::statuses().collect()
}
