//! `FormFile`: one uploaded file of a form. It is read when the handler asks for its content.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use outside::Request;
use outside::content::ContentRange;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

/// One uploaded file.
#[pyclass(module = "outside", name = "FormFile", frozen, weakref)]
pub(crate) struct FormFile {
    request: Arc<Request>,
    range: Range<u64>,
    filename: String,
    name: String,
    content_type: String,
    content: PyOnceLock<Py<PyBytes>>,
}

impl FormFile {
    pub(crate) fn of(request: &Arc<Request>, file: outside::content::FormFile<'_>) -> Self {
        Self {
            request: Arc::clone(request),
            range: file.content.range(),
            name: file.name().to_owned(),
            filename: file.filename,
            content_type: file.content_type,
            content: PyOnceLock::new(),
        }
    }

    fn range(&self) -> ContentRange<'_> {
        self.request.content_range(self.range.clone())
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

    /// Its length in bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Its bytes, read once and remembered.
    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let made = self.content.get_or_try_init(py, || self.read(py).map(Bound::unbind))?;
        Ok(made.clone_ref(py))
    }

    /// Its bytes; not remembered.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let length = usize::try_from(self.size())?;
        // Read while other threads run Python: a large one lies on a disk. A small one is copied at once.
        if length <= SMALL {
            return PyBytes::new_with(py, length, |buffer| Ok(self.range().read_into(buffer, 0)?));
        }
        let bytes = py.detach(|| self.range().read().map(std::borrow::Cow::into_owned))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes it to this path, without reading it into memory. A file that is there already is replaced.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        py.detach(|| self.range().save(&path)).map_err(|error| {
            let number = error.raw_os_error().unwrap_or(0);
            pyo3::exceptions::PyOSError::new_err((number, error.to_string(), path))
        })
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
