//! `FormFile`: one uploaded file of a form.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

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
