//! `wsgi.file_wrapper`: an iterable over the blocks of a file.

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

/// A file that an application returns as its content; `filelike` has `read()`.
#[pyclass(module = "outside", name = "WSGIFileWrapper", subclass, dict, frozen)]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
    /// The `close` of the file, if it has one; an attribute of the same name counts before it.
    close: PyOnceLock<Option<Py<PyAny>>>,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize, close: PyOnceLock::new() }
    }

    /// Closes the file.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let close = self.close.get_or_try_init(py, || {
            let close = self.filelike.bind(py).getattr_opt(intern!(py, "close"))?;
            Ok::<_, PyErr>(close.map(Bound::unbind))
        })?;
        match close {
            Some(close) => close.bind(py).call0().map(drop),
            None => Ok(()),
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = self.filelike.bind(py).call_method1(intern!(py, "read"), (self.blksize,))?;
        match block.cast::<PyBytes>() {
            Ok(bytes) if bytes.as_bytes().is_empty() => Err(PyStopIteration::new_err(())),
            _ => Ok(block),
        }
    }
}
