//! `FilePath`: a file as the content of a response, or to be read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::support::{kind, lock};

/// A file as content: the server sends it without reading it into Python.
#[pyclass(module = "outside", name = "FilePath", subclass, frozen, dict, weakref)]
pub(crate) struct FilePath(Mutex<FileFields>);

type Remembered = (Option<(u64, u64)>, Py<PyBytes>);

#[derive(Default)]
struct FileFields {
    path: PathBuf,
    read_start: u64,
    read_end: u64,
    /// Whether the program has set `read_end`; otherwise it is the size that the file had.
    ends_early: bool,
    /// The range of the last read, and its bytes.
    remembered: Option<Remembered>,
}

impl FilePath {
    /// The part of the file that is to be sent.
    pub(crate) fn slice(&self) -> outside::message::FileSlice {
        let fields = lock(&self.0);
        let end = fields.ends_early.then_some(fields.read_end);
        outside::message::FileSlice { path: fields.path.as_path().into(), start: fields.read_start, end }
    }

    /// A `FilePath` that shows this part of a file.
    pub(crate) fn of(slice: &outside::message::FileSlice) -> Self {
        let path = slice.path.to_path_buf();
        let read_end = slice.end.unwrap_or_else(|| size_of(&path));
        let (read_start, ends_early) = (slice.start, slice.end.is_some());
        Self(Mutex::new(FileFields { path, read_start, read_end, ends_early, remembered: None }))
    }
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 })
}

fn read_range_of(path: &Path, range: Option<(u64, u64)>) -> std::io::Result<Vec<u8>> {
    let Some((start, end)) = range else { return std::fs::read(path) };
    let mut file = File::open(path)?;
    // Some files have no known size.
    let length = file.metadata()?.len().min(end).saturating_sub(start);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.seek(SeekFrom::Start(start))?;
    file.take(end.saturating_sub(start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[pymethods]
impl FilePath {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(path)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self(Mutex::default())
    }

    fn __init__(&self, path: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_path(path)
    }

    #[getter]
    fn path(&self) -> OsString {
        lock(&self.0).path.clone().into_os_string()
    }

    #[setter]
    fn set_path(&self, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let path = path_of(path, "FilePath")?;
        let read_end = size_of(&path);
        let before = std::mem::replace(&mut *lock(&self.0), FileFields { path, read_end, ..FileFields::default() });
        drop(before);
        Ok(())
    }

    #[getter]
    fn read_start(&self) -> u64 {
        lock(&self.0).read_start
    }

    #[setter]
    fn set_read_start(&self, read_start: u64) {
        lock(&self.0).read_start = read_start;
    }

    #[getter]
    fn read_end(&self) -> u64 {
        lock(&self.0).read_end
    }

    #[setter]
    fn set_read_end(&self, read_end: u64) {
        let mut fields = lock(&self.0);
        fields.read_end = read_end;
        fields.ends_early = true;
    }

    /// The bytes: all, or from `read_range[0]` up to and without `read_range[1]`. The bytes are remembered and
    /// given again unless `twice` is true or another range is asked for.
    #[pyo3(signature = (read_range=None, twice=false))]
    fn read(&self, py: Python<'_>, read_range: Option<(u64, u64)>, twice: bool) -> PyResult<Py<PyBytes>> {
        if let Some((start, end)) = read_range
            && start > end
        {
            return Err(PyValueError::new_err(format!("a range begins before it ends, not ({start}, {end})")));
        }
        let path = {
            let fields = lock(&self.0);
            match &fields.remembered {
                Some((range, bytes)) if *range == read_range && !twice => return Ok(bytes.clone_ref(py)),
                _ => fields.path.clone(),
            }
        };
        let bytes = py.detach(|| read_range_of(&path, read_range)).map_err(|error| {
            let number = error.raw_os_error();
            match number {
                // Python chooses FileNotFoundError and its siblings by the number.
                Some(number) => {
                    pyo3::exceptions::PyOSError::new_err((number, plain(&error), path.clone().into_os_string()))
                }
                None => error.into(),
            }
        })?;
        let bytes = PyBytes::new(py, &bytes).unbind();
        let before = lock(&self.0).remembered.replace((read_range, bytes.clone_ref(py)));
        drop(before);
        Ok(bytes)
    }

    fn __repr__(&self) -> String {
        format!("FilePath({:?})", lock(&self.0).path)
    }
}

/// The sentence of the system, without the number that Rust adds.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// A path as Python names it: bytes that are no UTF-8 are surrogates in a `str` (PEP 383).
pub(crate) fn path_of(path: &Bound<'_, PyAny>, class: &str) -> PyResult<PathBuf> {
    if let Ok(text) = path.cast::<PyString>()
        && let Ok(text) = text.to_str()
    {
        return Ok(text.into());
    }
    let wrong = || PyTypeError::new_err(format!("the path of a {class} is a str or a path object, not {}", kind(path)));
    let os = path.py().import(intern!(path.py(), "os"))?;
    let named = os.call_method1(intern!(path.py(), "fspath"), (path,)).map_err(|_| wrong())?;
    let named = named.cast::<PyString>().map_err(|_| wrong())?;
    let bytes = os.call_method1(intern!(path.py(), "fsencode"), (named,))?;
    Ok(OsString::from_vec(bytes.extract()?).into())
}
