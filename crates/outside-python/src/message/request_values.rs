//! The parts of a request as values of Python.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

/// A dictionary of the first value of each name that has all of them.
pub(super) fn multi_dict<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    pairs: impl IntoIterator<Item = (String, T)>,
) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let list = PyList::empty(py);
    pairs.into_iter().try_for_each(|pair| list.append(pair))?;
    CLASS.import(py, "outside._handlers.multi_dict", "MultiDict")?.call1((list,)).map(Bound::unbind)
}

/// An empty dictionary of values of a request, in which a missing name is the client's fault.
pub(super) fn values(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(CLASS.import(py, "outside._handlers.multi_dict", "Values")?.call0()?.cast_into()?)
}

pub(super) fn set_first<'py>(dict: &Bound<'py, PyDict>, name: &str, value: impl IntoPyObject<'py>) -> PyResult<()> {
    if dict.contains(name)? { Ok(()) } else { dict.set_item(name, value) }
}

/// Header values and cookies as text: UTF-8, otherwise Latin-1 as in RFC 9110 section 5.5.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// The address for Python: empty for a client of a Unix socket, or one whose proxy does not know its address.
pub(super) fn pair(address: SocketAddr) -> (String, u16) {
    if address.port() == 0 && address.ip().is_unspecified() {
        (String::new(), 0)
    } else {
        (address.ip().to_canonical().to_string(), address.port())
    }
}
