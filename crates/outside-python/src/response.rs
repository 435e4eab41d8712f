//! `Response`: what a handler returns. Attributes can be changed until it is sent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::file_path::{FilePath, kind};

/// An answer: status, headers, content and cookies.
#[pyclass(module = "outside", name = "Response", subclass, frozen, dict, weakref)]
pub(crate) struct Response(Mutex<Fields>);

/// The attributes; `None` is an empty dictionary or empty text that nobody has asked for yet.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) status_code: u16,
    pub(crate) headers: Option<Py<PyDict>>,
    pub(crate) content: Option<Py<PyAny>>,
    pub(crate) cookies: Option<Py<PyDict>>,
}

impl Response {
    pub(crate) fn from_fields(fields: Fields) -> Self {
        Self(Mutex::new(fields))
    }

    fn lock(&self) -> MutexGuard<'_, Fields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A dictionary among the attributes. A new one is made outside of the lock: making it may run a collection.
    fn dict(&self, py: Python<'_>, field: impl Fn(&mut Fields) -> &mut Option<Py<PyDict>>) -> Py<PyDict> {
        if let Some(dict) = field(&mut self.lock()) {
            return dict.clone_ref(py);
        }
        let fresh = PyDict::new(py).unbind();
        field(&mut self.lock()).get_or_insert(fresh).clone_ref(py)
    }

    /// The attributes as they are now.
    pub(crate) fn fields(&self, py: Python<'_>) -> Fields {
        let fields = self.lock();
        Fields {
            status_code: fields.status_code,
            headers: fields.headers.as_ref().map(|headers| headers.clone_ref(py)),
            content: fields.content.as_ref().map(|content| content.clone_ref(py)),
            cookies: fields.cookies.as_ref().map(|cookies| cookies.clone_ref(py)),
        }
    }
}

/// An argument as it was given, `None` included; without one, the default.
struct Given<'py>(Option<Bound<'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(object.to_owned())))
    }
}

fn check_status(status: &Bound<'_, PyAny>) -> PyResult<u16> {
    let code: i64 = status
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("status_code is a whole number, not {}", kind(status))))?;
    match u16::try_from(code) {
        Ok(code) if (200..=599).contains(&code) => Ok(code),
        _ => Err(PyValueError::new_err(format!("status_code is one of 200 to 599, not {code}"))),
    }
}

fn check_dict<'a, 'py>(name: &str, value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    value.cast().map_err(|_| PyTypeError::new_err(format!("{name} is a dict, not {}", kind(value))))
}

fn check_content(content: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = content.py();
    let fits = content.is_exact_instance_of::<PyString>()
        || content.is_exact_instance_of::<PyBytes>()
        || content.is_instance_of::<PyString>()
        || content.is_instance_of::<PyBytes>()
        || content.is_instance_of::<PyByteArray>()
        || content.is_instance_of::<PyDict>()
        || content.is_instance_of::<PyList>()
        || content.is_instance_of::<FilePath>()
        || content.is_none()
        || content.hasattr(intern!(py, "__iter__"))?
        || content.hasattr(intern!(py, "__aiter__"))?;
    if fits && !content.is_instance_of::<PyTuple>() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
        kind(content)
    )))
}

#[pymethods]
impl Response {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(status_code=200, headers=None, content='', cookies=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // So that a subclass may have an __init__ of its own; what is given is looked at there.
        Self::from_fields(Fields { status_code: 200, ..Fields::default() })
    }

    #[pyo3(signature = (status_code=Given(None), headers=None, content=None, cookies=None))]
    fn __init__(
        &self,
        status_code: Given<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        content: Option<&Bound<'_, PyAny>>,
        cookies: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let fields = Fields {
            status_code: status_code.0.as_ref().map_or(Ok(200), check_status)?,
            headers: headers.map(|value| check_dict("headers", value)).transpose()?.map(|dict| dict.clone().unbind()),
            content: content.map(|value| check_content(value).map(|()| value.clone().unbind())).transpose()?,
            cookies: cookies.map(|value| check_dict("cookies", value)).transpose()?.map(|dict| dict.clone().unbind()),
        };
        let before = std::mem::replace(&mut *self.lock(), fields);
        drop(before);
        Ok(())
    }

    #[getter]
    fn status_code(&self) -> u16 {
        self.lock().status_code
    }

    #[setter]
    fn set_status_code(&self, status_code: &Bound<'_, PyAny>) -> PyResult<()> {
        let status_code = check_status(status_code)?;
        self.lock().status_code = status_code;
        Ok(())
    }

    #[getter]
    fn headers(&self, py: Python<'_>) -> Py<PyDict> {
        self.dict(py, |fields| &mut fields.headers)
    }

    #[setter]
    fn set_headers(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let headers = check_dict("headers", headers)?.clone().unbind();
        let before = self.lock().headers.replace(headers);
        drop(before);
        Ok(())
    }

    #[getter]
    fn content(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.lock().content {
            Some(content) => content.clone_ref(py),
            None => intern!(py, "").clone().into_any().unbind(),
        }
    }

    #[setter]
    fn set_content(&self, content: &Bound<'_, PyAny>) -> PyResult<()> {
        check_content(content)?;
        let before = self.lock().content.replace(content.clone().unbind());
        drop(before);
        Ok(())
    }

    #[getter]
    fn cookies(&self, py: Python<'_>) -> Py<PyDict> {
        self.dict(py, |fields| &mut fields.cookies)
    }

    #[setter]
    fn set_cookies(&self, cookies: &Bound<'_, PyAny>) -> PyResult<()> {
        let cookies = check_dict("cookies", cookies)?.clone().unbind();
        let before = self.lock().cookies.replace(cookies);
        drop(before);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let fields = self.fields(py);
        let content = match &fields.content {
            Some(content) => content.bind(py).repr()?.to_string(),
            None => "''".to_owned(),
        };
        let shown: String = content.chars().take(60).collect();
        let more = if shown.len() < content.len() { "…" } else { "" };
        Ok(format!("<Response {} {shown}{more}>", fields.status_code))
    }
}
