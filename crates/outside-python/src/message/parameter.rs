//! Parameters of a path as Python has them.

use outside::message::Parameter;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// An `int`, a `float`, a `str` or a `uuid.UUID`.
pub(crate) fn value_of<'py>(py: Python<'py>, value: &Parameter) -> PyResult<Bound<'py, PyAny>> {
    static UUID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match value {
        Parameter::Int(value) => Ok(value.into_pyobject(py)?.into_any()),
        Parameter::Float(value) => Ok(value.into_pyobject(py)?.into_any()),
        Parameter::Text(text) => Ok(text.as_ref().into_pyobject(py)?.into_any()),
        Parameter::Uuid(value) => {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "int"), value)?;
            UUID.import(py, "uuid", "UUID")?.call((), Some(&options))
        }
    }
}
