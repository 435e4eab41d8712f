//! `HTTPException` and `ContentError`: exceptions that are answered by themselves if no handler catches them.

use outside::{Error, Refusal};
use pyo3::exceptions::{PyException, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::file_path::kind;

/// Ends a handler with the error page, or the error handler, of this code; see `abort`.
#[pyclass(module = "outside", name = "HTTPException", extends = PyException, subclass, frozen)]
pub(crate) struct HttpException {
    #[pyo3(get)]
    code: u16,
    #[pyo3(get)]
    message: Option<String>,
}

#[pymethods]
impl HttpException {
    #[new]
    #[pyo3(signature = (code, message=None))]
    fn new(code: &Bound<'_, PyAny>, message: Option<String>) -> PyResult<Self> {
        let number: i64 =
            code.extract().map_err(|_| PyTypeError::new_err(format!("an error code is an int, not {}", kind(code))))?;
        match u16::try_from(number) {
            Ok(code) if (400..=599).contains(&code) => Ok(Self { code, message }),
            _ => Err(PyValueError::new_err(format!("an error code is one of 400 to 599, not {number}"))),
        }
    }

    fn __str__(&self) -> String {
        match &self.message {
            Some(message) => format!("{}: {message}", self.code),
            None => self.code.to_string(),
        }
    }
}

/// Raises `HTTPException`: the handler ends, and the client gets the error page, or what the error handler of this code
/// makes.
#[pyfunction]
#[pyo3(signature = (code, message=None))]
pub(crate) fn abort(py: Python<'_>, code: &Bound<'_, PyAny>, message: Option<String>) -> PyResult<()> {
    let made = py.get_type::<HttpException>().call1((code, message))?;
    Err(PyErr::from_value(made))
}

/// The content of a request cannot be taken as it is, and the client is to blame: a malformed form, one past the limits,
/// an upload that has stopped.
#[pyclass(module = "outside", name = "ContentError", extends = PyValueError, frozen)]
pub(crate) struct ContentError(Refusal);

#[pymethods]
impl ContentError {
    /// The status that the client gets if no handler catches it.
    #[getter]
    fn code(&self) -> u16 {
        self.0.status
    }

    /// The key of the configuration that sets the limit, if it is one of those.
    #[getter]
    fn limit(&self) -> Option<&str> {
        self.0.limit
    }

    fn __str__(&self) -> &str {
        self.0.reason
    }
}

/// The exception for content that cannot be taken.
pub(crate) fn content_error(py: Python<'_>, error: &Error) -> PyErr {
    let Some(refusal) = error.refusal() else { return PyOSError::new_err(error.to_string()) };
    match Bound::new(py, ContentError(*refusal)) {
        Ok(made) => PyErr::from_value(made.into_any()),
        Err(error) => error,
    }
}

/// What the engine makes of such exceptions; `None` for all others.
pub(crate) fn answer_of(py: Python<'_>, error: &PyErr) -> Option<Error> {
    let value = error.value(py);
    if let Ok(asked) = value.cast::<HttpException>() {
        let asked = asked.get();
        return Some(Error::status(asked.code, asked.message.as_deref()));
    }
    value.cast::<ContentError>().ok().map(|refused| refused.get().0.into())
}
