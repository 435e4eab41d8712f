//! The attributes of a `Request` that are derived from others, or made by the Python half when they are asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use outside::message::{RequestParts, Version};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::errors::value_error;
use crate::logging::log_exception;
use crate::support::kind;

/// The values that the application layer keeps with a request.
pub(crate) struct Layer {
    pub(crate) state: PyOnceLock<Py<PyAny>>,
    pub(crate) authorization: PyOnceLock<Py<PyAny>>,
    pub(crate) session: PyOnceLock<Py<PyAny>>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { state: PyOnceLock::new(), authorization: PyOnceLock::new(), session: PyOnceLock::new() }
    }
}

/// The engine's request of the arguments of `Request(...)`.
pub(crate) fn from_parts(
    method: &str,
    headers: &Bound<'_, PyDict>,
    content: &Bound<'_, PyAny>,
    version: &str,
    url: &str,
    address: &Bound<'_, PyAny>,
) -> PyResult<outside::Request> {
    let content: &[u8] = content
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("the content of a Request is bytes, not {}", kind(content))))?;
    let (ip, port): (String, u16) = address
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("the address of a Request is (ip, port), not {}", kind(address))))?;
    let ip = ip.parse().map_err(|_| PyValueError::new_err(format!("{ip:?} is no IP address")))?;
    let version = Version::parse(version).ok_or_else(|| {
        PyValueError::new_err(format!("the version is 'HTTP/1.0', 'HTTP/1.1' or 'HTTP/2', not {version:?}"))
    })?;
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        pairs.push((name.extract()?, value.str()?.to_str()?.as_bytes().to_vec()));
    }
    let pairs: Vec<(&str, &[u8])> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let parts =
        RequestParts { method, target: url, headers: &pairs, content, version, address: SocketAddr::new(ip, port) };
    outside::Request::from_parts(&parts).map_err(value_error)
}

/// The remembered value of an attribute, or the one that a function of the Python half makes.
pub(crate) fn made<'py>(
    py: Python<'py>,
    cell: &PyOnceLock<Py<PyAny>>,
    module: &str,
    name: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    if let Some(known) = cell.get(py) {
        return Ok(known.clone_ref(py));
    }
    let value = py.import(module)?.getattr(name)?.call1(arguments)?.unbind();
    Ok(cell.get_or_init(py, || value).clone_ref(py))
}

/// `Request[State]`, for annotations: type checkers read it, and nothing else.
pub(crate) fn generic(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let alias = py.import("types")?.getattr("GenericAlias")?;
    py.import("builtins")?.getattr("classmethod")?.call1((alias,)).map(Bound::unbind)
}

/// Whether a media type is JSON: `application/json`, or one that ends with `+json` (RFC 6839 section 3.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// The path of a target as it was received; an absolute target, and `*`, have other beginnings.
pub(crate) fn path_of_target(target: &str) -> &str {
    if target.starts_with('/') {
        return target;
    }
    target.find("://").and_then(|at| target[at + 3..].find('/').map(|slash| &target[at + 3 + slash..])).unwrap_or("")
}

/// Has a function called when the answer to this request is out: in the pool of background functions.
pub(crate) fn call_after(
    request: &Bound<'_, PyAny>,
    inner: &Arc<outside::Request>,
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
) -> PyResult<()> {
    let py = request.py();
    if !function.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "request.after() takes a function and its arguments, not {}",
            kind(function)
        )));
    }
    let module = py.import("outside._application.background")?;
    let task = module.getattr("prepared")?.call1((request, function, arguments))?.unbind();
    inner.call_after(move || {
        Python::attach(|py| {
            if let Err(error) = task.bind(py).call0() {
                log_exception(py, None, "a function after an answer could not be begun", &error);
            }
        });
    });
    Ok(())
}
