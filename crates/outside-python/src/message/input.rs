//! Functions for `outside/_input`, which reads single fields of a request: no dictionary of all of them is made.

use outside::message::json_text;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::message::request::Request;
use crate::message::request_values::text;

/// The content of a request whose Content-Type is JSON, in UTF-8; `None` for any other.
#[pyfunction]
pub(crate) fn _json_content<'py>(request: &Bound<'py, Request>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let essence = essence(request.get().inner());
    let is_json = essence.eq_ignore_ascii_case(b"application/json")
        || essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json");
    if !is_json {
        return Ok(None);
    }
    let content = request.getattr(intern!(request.py(), "content"))?;
    // In another encoding of Unicode, or with a mark: models are read from UTF-8 alone.
    let translated = match content.extract::<&[u8]>()? {
        bytes if bytes.iter().take(4).any(|&byte| byte == 0 || byte >= 0xef) => json_text(bytes),
        _ => None,
    };
    Ok(Some(translated.map_or_else(|| content.clone(), |text| PyBytes::new(request.py(), text.as_bytes()).into_any())))
}

/// The media type of the content in lower case, without its parameters; empty if the client has not said any.
#[pyfunction]
pub(crate) fn _media_type(request: &Bound<'_, Request>) -> String {
    text(essence(request.get().inner())).to_lowercase()
}

/// The value of a header field, `None` without one. Repeated fields are joined.
#[pyfunction]
pub(crate) fn _field(request: &Bound<'_, Request>, name: &str) -> Option<String> {
    let mut values = request.get().inner().headers().get_all(name).map(text);
    let first = values.next()?;
    Some(values.fold(first, |joined, value| joined + ", " + &value))
}

fn essence(request: &outside::Request) -> &[u8] {
    let value = request.headers().get_bytes("Content-Type").unwrap_or_default();
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii()
}
