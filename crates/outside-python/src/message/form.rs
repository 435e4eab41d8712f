//! `FormFile`: one uploaded file of a form. It is read when the handler asks for its content.
//!
//! The class is a binary file of Python too: what has a position goes through `io.BufferedReader`
//! (`outside/_handlers/form_file.py`), which is made when it is first needed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outside::Request;
use outside::content::ContentRange;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use crate::message::request_values::text;

/// One uploaded file.
#[pyclass(module = "outside", name = "FormFile", frozen, weakref)]
pub(crate) struct FormFile {
    bytes: FormContent,
    filename: String,
    name: String,
    content_type: String,
    headers: Vec<(String, String)>,
    content: PyOnceLock<Py<PyBytes>>,
    /// The same as a file with a position.
    file: PyOnceLock<Py<PyAny>>,
    /// Whether all was read before there was such a file.
    is_read: AtomicBool,
}

/// The bytes of an uploaded file, for the file that Python reads. It does not name the `FormFile`, so that they are no circle.
#[pyclass(module = "outside", name = "_FormContent", frozen)]
#[derive(Clone)]
pub(crate) struct FormContent {
    request: Arc<Request>,
    range: Range<u64>,
}

impl FormContent {
    fn range(&self) -> ContentRange<'_> {
        self.request.content_range(self.range.clone())
    }
}

#[pymethods]
impl FormContent {
    /// Its length in bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Bytes from `start` on, `count` of them or as many as there are.
    fn read<'py>(&self, py: Python<'py>, start: u64, count: u64) -> PyResult<Bound<'py, PyBytes>> {
        let length = usize::try_from(count.min(self.size().saturating_sub(start)))?;
        // Read while other threads run Python: a large one lies on a disk. A small one is copied at once.
        if length <= SMALL {
            return PyBytes::new_with(py, length, |buffer| Ok(self.range().read_into(buffer, start)?));
        }
        let bytes = py.detach(|| {
            let begin = self.range.start + start;
            self.request.content_range(begin..begin + length as u64).read().map(std::borrow::Cow::into_owned)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes all of it to this path.
    fn save(&self, py: Python<'_>, path: std::path::PathBuf) -> PyResult<u64> {
        py.detach(|| self.range().save(&path)).map_err(|error| {
            let number = error.raw_os_error().unwrap_or(0);
            pyo3::exceptions::PyOSError::new_err((number, error.to_string(), path))
        })
    }
}

impl FormFile {
    pub(crate) fn of(request: &Arc<Request>, file: outside::content::FormFile<'_>) -> Self {
        Self {
            bytes: FormContent { request: Arc::clone(request), range: file.content.range() },
            name: file.name().to_owned(),
            headers: file.headers().map(|(name, value)| (name.to_owned(), text(value))).collect(),
            filename: file.filename,
            content_type: file.content_type,
            content: PyOnceLock::new(),
            file: PyOnceLock::new(),
            is_read: AtomicBool::new(false),
        }
    }

    fn opened<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let file = self.file.get_or_try_init(py, || {
            let opened = py.import("outside._handlers.form_file")?.getattr("opened")?;
            opened.call1((self.bytes.clone(), self.is_read.load(Ordering::Relaxed))).map(Bound::unbind)
        })?;
        Ok(file.bind(py))
    }
}

#[pymethods]
impl FormFile {
    /// The last segment of the client's file name: it leads into no other folder, and is empty if there is none.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The name as the client wrote it; never a path to write to.
    #[getter]
    fn filename(&self) -> &str {
        &self.filename
    }

    /// The media type the client gave, empty if none.
    #[getter(r#type)]
    fn media_type(&self) -> &str {
        &self.content_type
    }

    /// The same as `type`.
    #[getter]
    fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The header fields of its part of the form.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("outside._handlers.headers")?.getattr("Headers")?.call1((self.headers.clone(),))
    }

    /// Its length in bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    /// Its bytes, read once and remembered, wherever the position is.
    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let made = self.content.get_or_try_init(py, || self.bytes.read(py, 0, self.bytes.size()).map(Bound::unbind))?;
        Ok(made.clone_ref(py))
    }

    /// The file for libraries that check for a class of `io`; it has the same position.
    #[getter]
    fn file<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py).cloned()
    }

    /// Bytes from the position on: `size` of them, or all.
    #[pyo3(signature = (size=-1), text_signature = "($self, size=-1)")]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let wants_all = size.is_none_or(|size| size < 0);
        if wants_all && self.file.get(py).is_none() && !self.is_read.swap(true, Ordering::Relaxed) {
            // Nearly every handler reads a file once and as a whole.
            return self.bytes.read(py, 0, self.bytes.size()).map(Bound::into_any);
        }
        self.opened(py)?.call_method1(intern!(py, "read"), (size,))
    }

    /// The same with one look at the source at most.
    #[pyo3(signature = (size=-1), text_signature = "($self, size=-1)")]
    fn read1<'py>(&self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("read1", (size,))
    }

    /// Fills a buffer from the position on, and gives the number of bytes.
    fn readinto<'py>(&self, py: Python<'py>, buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("readinto", (buffer,))
    }

    /// The next line, with its end; empty at the end of the file.
    #[pyo3(signature = (size=-1), text_signature = "($self, size=-1)")]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("readline", (size,))
    }

    /// The lines that are left.
    #[pyo3(signature = (hint=-1), text_signature = "($self, hint=-1)")]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("readlines", (hint,))
    }

    /// Moves the position, as in any file, and gives the new one.
    #[pyo3(signature = (offset, whence=0))]
    fn seek<'py>(&self, py: Python<'py>, offset: i64, whence: i64) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("seek", (offset, whence))
    }

    /// The position.
    fn tell<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method0("tell")
    }

    fn readable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    fn isatty(&self) -> bool {
        false
    }

    /// Does nothing: nothing is written.
    fn flush(&self) {}

    /// `io.UnsupportedOperation`, as are the other two: files that are read have these methods.
    fn write<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("write", (data,))
    }

    #[pyo3(signature = (size=None))]
    fn truncate<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method1("truncate", (size,))
    }

    fn fileno<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.call_method0("fileno")
    }

    /// Ends reading with a position; `content` and `save` go on working.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.opened(py)?.call_method0("close").map(drop)
    }

    #[getter]
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.getattr("closed")
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().opened(slf.py())?.call_method0("__enter__")?;
        Ok(slf)
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    /// Line by line.
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let line = self.opened(py)?.call_method0("readline")?;
        Ok(line.is_truthy()?.then_some(line))
    }

    /// Writes all of it to this path, without reading it into memory, or into an open binary file. A file that is there
    /// already is replaced.
    fn save<'py>(&self, py: Python<'py>, destination: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if destination.hasattr("write")? {
            let copied = py.import("outside._handlers.form_file")?.getattr("copied")?;
            return copied.call1((self.bytes.clone(), destination));
        }
        Ok(self.bytes.save(py, destination.extract()?)?.into_pyobject(py)?.into_any())
    }

    fn __bool__(&self) -> bool {
        // A form in which no file was chosen sends a file without a name.
        !self.filename.is_empty() || self.size() > 0
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.size())?)
    }

    fn __repr__(&self) -> String {
        let unit = if self.size() == 1 { "byte" } else { "bytes" };
        format!("<FormFile {:?}, {} {unit}>", self.filename, self.size())
    }
}

/// Bytes up to which content is copied without releasing the interpreter.
const SMALL: usize = 64 << 10;
