//! Exceptions: `HTTPException` and `ContentError`, which have an answer of their own if no handler catches them, and
//! the exceptions for errors of the engine.

use std::sync::Mutex;

use outside::listen::BindError;
use outside::{Error, Refusal};
use pyo3::exceptions::{PyAttributeError, PyException, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::support::{kind, lock};

/// Ends a handler with the error page, or the error handler, of this code; see `abort`. An exception like any other: it can be
/// subclassed, with an `__init__` of its own, and its attributes can be changed.
#[pyclass(module = "outside", name = "HTTPException", extends = PyException, subclass, frozen)]
pub(crate) struct HttpException(Mutex<ExceptionFields>);

/// Code and message of the answer; no code until `__init__` has been called.
#[derive(Default)]
struct ExceptionFields {
    code: Option<u16>,
    message: Option<String>,
}

fn check_code(code: &Bound<'_, PyAny>) -> PyResult<u16> {
    let number: i64 =
        code.extract().map_err(|_| PyTypeError::new_err(format!("an error code is an int, not {}", kind(code))))?;
    match u16::try_from(number) {
        Ok(code) if (400..=599).contains(&code) => Ok(code),
        _ => Err(PyValueError::new_err(format!("an error code is one of 400 to 599, not {number}"))),
    }
}

#[pymethods]
impl HttpException {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(code, message=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self(Mutex::default())
    }

    #[pyo3(signature = (code, message=None))]
    fn __init__(slf: &Bound<'_, Self>, code: &Bound<'_, PyAny>, message: Option<String>) -> PyResult<()> {
        // As `BaseException.__init__` does it; copies and pickles are built from these arguments.
        let arguments = match &message {
            Some(message) => (code, message).into_pyobject(slf.py())?,
            None => (code,).into_pyobject(slf.py())?,
        };
        *lock(&slf.get().0) = ExceptionFields { code: Some(check_code(code)?), message };
        slf.setattr(intern!(slf.py(), "args"), arguments)
    }

    #[getter]
    fn code(&self) -> PyResult<u16> {
        lock(&self.0).code.ok_or_else(|| PyAttributeError::new_err("call super().__init__(code, message) first"))
    }

    #[setter]
    fn set_code(&self, code: &Bound<'_, PyAny>) -> PyResult<()> {
        let code = check_code(code)?;
        lock(&self.0).code = Some(code);
        Ok(())
    }

    #[getter]
    fn message(&self) -> Option<String> {
        lock(&self.0).message.clone()
    }

    #[setter]
    fn set_message(&self, message: Option<String>) {
        lock(&self.0).message = message;
    }

    fn __str__(&self) -> String {
        let asked = lock(&self.0);
        match (asked.code, &asked.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_string(),
            (None, _) => "it has no code: its __init__ has not called super().__init__(code, message)".to_owned(),
        }
    }
}

/// The engine's error for the attributes, which a subclass may define itself; `None` without a usable code.
fn asked_for(exception: &Bound<'_, PyAny>) -> Option<Error> {
    let py = exception.py();
    let code = check_code(&exception.getattr(intern!(py, "code")).ok()?).ok()?;
    let message: Option<String> = exception.getattr(intern!(py, "message")).ok()?.extract().ok()?;
    let error = Error::status(code, message.as_deref());
    // A limit of the program (`_handlers/limits.py`) names itself for the metrics.
    let limit = exception.getattr_opt(intern!(py, "_limit")).ok().flatten();
    let limit = limit.and_then(|limit| limit.extract::<String>().ok());
    Some(match limit {
        Some(limit) => error.with_limit(&limit),
        None => error,
    })
}

/// Raises `HTTPException`: the handler ends, and the client gets the error page, or the answer of the error handler of this code.
#[pyfunction]
#[pyo3(signature = (code, message=None))]
pub(crate) fn abort(py: Python<'_>, code: &Bound<'_, PyAny>, message: Option<String>) -> PyResult<()> {
    let made = py.get_type::<HttpException>().call1((code, message))?;
    Err(PyErr::from_value(made))
}

/// The content of a request cannot be taken as it is, by the client's fault: a malformed form, one past the limits,
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

/// The refusal behind a `ContentError`.
pub(crate) fn refusal_of(py: Python<'_>, error: &PyErr) -> Option<Refusal> {
    error.value(py).cast::<ContentError>().ok().map(|refused| refused.get().0)
}

/// The engine's error for such an exception; `None` for all others.
pub(crate) fn answer_of(py: Python<'_>, error: &PyErr) -> Option<Error> {
    let value = error.value(py);
    if value.is_instance_of::<HttpException>() {
        return asked_for(value);
    }
    value.cast::<ContentError>().ok().map(|refused| refused.get().0.into())
}

/// The exception for a value that the engine refuses.
pub(crate) fn value_error(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The error that has ended a run.
pub(crate) enum RunError {
    Python(PyErr),
    Engine(Error),
}

impl From<PyErr> for RunError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// The exception for a file that cannot be opened. Python chooses FileNotFoundError and its siblings by the number.
pub(crate) fn os_error(error: Error) -> PyErr {
    match error.source_as::<std::io::Error>() {
        Some(system) => system_error(system, &error),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// The exception for an error that has ended `run()`.
pub(crate) fn run_error(error: Error) -> PyErr {
    match error.source_as::<BindError>() {
        Some(bind) => system_error(&bind.error, &error),
        None => PyRuntimeError::new_err(error.to_string()),
    }
}

/// The exception for an error of the system, with the sentence of the engine.
pub(crate) fn system_error(system: &std::io::Error, error: &Error) -> PyErr {
    match system.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
