//! `wsgi.file_wrapper`: an iterable over the blocks of a file.

use std::fs::File;

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

impl FileWrapper {
    /// The file itself, its position and its end, if it is a regular one that is read without a buffer of a program.
    pub(super) fn rest(&self, py: Python<'_>) -> PyResult<Option<(File, u64, u64)>> {
        const READERS: [&str; 3] = ["BufferedReader", "BufferedRandom", "FileIO"];
        let filelike = self.filelike.bind(py);
        let kind = filelike.get_type();
        if kind.module()? != "_io" || !READERS.iter().any(|reader| kind.name().is_ok_and(|name| name == *reader)) {
            return Ok(None);
        }
        let (descriptor, start): (i32, u64) = (
            filelike.call_method0(intern!(py, "fileno"))?.extract()?,
            filelike.call_method0(intern!(py, "tell"))?.extract()?,
        );
        // A file of its own: the program closes the other one.
        let Ok(file) = File::open(format!("/dev/fd/{descriptor}")) else { return Ok(None) };
        match file.metadata() {
            Ok(about) if about.is_file() => Ok(Some((file, start, about.len().max(start)))),
            _ => Ok(None),
        }
    }
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
