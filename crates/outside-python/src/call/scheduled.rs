//! `ScheduledResponse`: a handler's answer without a server.

use std::sync::OnceLock;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::errors::answer_of;
use crate::logging::log_exception;
use crate::message::convert::{Returned, head_of, located, returned, shown};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::support::kind;
use crate::waiting::awaited;

/// Calls a route function outside the server and gives the finished `Response`.
#[pyclass(module = "outside", name = "ScheduledResponse", subclass, frozen, dict, weakref)]
pub(crate) struct ScheduledResponse(OnceLock<ScheduledParts>);

struct ScheduledParts {
    request: Py<Request>,
    route_function: Py<PyAny>,
    error_routes: Py<PyDict>,
}

#[pymethods]
impl ScheduledResponse {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(request, route_function, error_routes)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self(OnceLock::new())
    }

    fn __init__(
        &self,
        request: Py<Request>,
        route_function: &Bound<'_, PyAny>,
        error_routes: Py<PyDict>,
    ) -> PyResult<()> {
        if !route_function.is_callable() {
            return Err(PyTypeError::new_err(format!("route_function is a function, not {}", kind(route_function))));
        }
        let parts = ScheduledParts { request, route_function: route_function.clone().unbind(), error_routes };
        self.0.set(parts).map_err(|_| PyTypeError::new_err("a ScheduledResponse is initialised once"))
    }

    /// The response, the error handler's if the function failed, or `None` if that failed as well.
    fn run(&self, py: Python<'_>) -> PyResult<Option<Py<Response>>> {
        let parts = self.parts()?;
        let function = parts.route_function.bind(py);
        let called = function
            .call1((&parts.request,))
            .and_then(|value| finished(py, value).map_err(|error| located(function, error)));
        let (code, message) = match called {
            Ok(ScheduledOutcome::Response(response)) => return Ok(Some(response)),
            Ok(ScheduledOutcome::Code(code, message)) => (code, message),
            Err(error) if let Some(answer) = answer_of(py, &error) => {
                (answer.code(), answer.public_message().map(str::to_owned))
            }
            Err(error) => {
                log_exception(py, None, "a scheduled response failed", &error);
                (500, None)
            }
        };
        let Some(handler) = parts.error_routes.bind(py).get_item(code)? else { return Ok(None) };
        let called = handler.call1((&parts.request, message)).and_then(|value| {
            let is_response = value.is_instance_of::<Response>() || value.is_instance_of::<PyTuple>();
            let finished = finished(py, value)?;
            if let (ScheduledOutcome::Response(response), false) = (&finished, is_response) {
                // A value that is no Response has no status of its own.
                response.bind(py).setattr("status_code", code)?;
            }
            Ok(finished)
        });
        match called {
            Ok(ScheduledOutcome::Response(response)) => Ok(Some(response)),
            Ok(ScheduledOutcome::Code(..)) => Ok(None),
            Err(error) => {
                log_exception(py, None, &format!("the error handler of {code} failed"), &error);
                Ok(None)
            }
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<ScheduledResponse of {}>", self.parts()?.request.bind(py).repr()?))
    }
}

impl ScheduledResponse {
    fn parts(&self) -> PyResult<&ScheduledParts> {
        self.0.get().ok_or_else(|| {
            PyRuntimeError::new_err("call super().__init__(request, route_function, error_routes) first")
        })
    }
}

enum ScheduledOutcome {
    Response(Py<Response>),
    Code(u16, Option<String>),
}

fn finished<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<ScheduledOutcome> {
    let value = awaited(value, None)?;
    if let Ok(response) = value.cast::<Response>() {
        // A response that a server would refuse is refused here.
        head_of(py, response.get())?;
        return Ok(ScheduledOutcome::Response(response.clone().unbind()));
    }
    match returned(&value)? {
        Returned::Response(response) => shown(py, &response).map(ScheduledOutcome::Response),
        Returned::Code(code, message) => Ok(ScheduledOutcome::Code(code, message)),
    }
}
