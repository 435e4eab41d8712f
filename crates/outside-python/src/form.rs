//! `FormFile`: one uploaded file of a form; `FormError`: a form that cannot be read.

use outside::Refusal;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pyo3::create_exception!(outside, FormError, PyValueError, "A form that cannot be read: it is the client's fault.");

/// The exception for a form that is refused; if no handler catches it, the client gets its status.
pub(crate) fn form_error(refusal: &Refusal) -> PyErr {
    FormError::new_err((refusal.reason, refusal.status))
}

/// Status and reason of such an exception.
pub(crate) fn refusal_of(py: Python<'_>, error: &PyErr) -> Option<(u16, String)> {
    if !error.is_instance_of::<FormError>(py) {
        return None;
    }
    let (reason, status): (String, u16) = error.value(py).getattr("args").ok()?.extract().ok()?;
    Some((status, reason))
}

/// One uploaded file.
#[pyclass(module = "outside", name = "FormFile", frozen, get_all)]
pub(crate) struct FormFile {
    /// The name the client gave it; never a path to write to.
    pub(crate) filename: String,
    /// The media type the client gave, empty if none.
    pub(crate) content_type: String,
    /// Its bytes.
    pub(crate) content: Py<PyBytes>,
}

#[pymethods]
impl FormFile {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!("FormFile({:?}, {} bytes)", self.filename, self.content.bind(py).as_any().len().unwrap_or(0))
    }
}
