//! `Folder`: a folder whose files are served below a route, with its options.

use std::ffi::OsString;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{os_error, value_error};
use crate::message::file_path::path_of;

/// A folder on a route, with options.
#[pyclass(module = "outside", name = "Folder", subclass, frozen, dict, weakref, get_all)]
#[derive(Debug)]
pub(crate) struct Folder {
    /// Its path.
    path: OsString,
    /// Whether a folder without index has a page that lists its files.
    listing: bool,
    /// The page that answers every navigation to something that is not there.
    spa: Option<String>,
    /// The name of the file that stands for a folder.
    index: String,
    /// `Cache-Control` by patterns, the first that matches decides.
    cache_control: Py<PyDict>,
}

#[pymethods]
impl Folder {
    #[new]
    #[pyo3(signature = (path, *, listing=false, spa=None, index="index.html", cache_control=None))]
    fn new(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        listing: bool,
        spa: Option<String>,
        index: &str,
        cache_control: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let path = path_of(path, "Folder")?.into_os_string();
        let cache_control = cache_control.unwrap_or_else(|| PyDict::new(py));
        for (pattern, value) in &cache_control {
            if pattern.extract::<&str>().is_err() || value.extract::<&str>().is_err() {
                return Err(PyTypeError::new_err("cache_control maps patterns such as '*.css' to values, both str"));
            }
        }
        let folder = Self { path, listing, spa, index: index.to_owned(), cache_control: cache_control.unbind() };
        // A folder that is missing and a malformed header value are errors here, where the program wrote them.
        folder.to_engine(py)?;
        Ok(folder)
    }

    fn __repr__(&self) -> String {
        format!("Folder({:?})", self.path)
    }
}

impl Folder {
    pub(crate) fn to_engine(&self, py: Python<'_>) -> PyResult<outside::Folder> {
        let mut folder = outside::Folder::new(&self.path).map_err(os_error)?;
        folder = folder.with_listing(self.listing).with_index(&self.index);
        if let Some(page) = &self.spa {
            folder = folder.with_spa(page);
        }
        for (pattern, value) in self.cache_control.bind(py) {
            let (pattern, value): (String, String) = (pattern.extract()?, value.extract()?);
            outside::Headers::new().append("Cache-Control", &value).map_err(value_error)?;
            folder = folder.with_cache_control(pattern, value);
        }
        Ok(folder)
    }
}
