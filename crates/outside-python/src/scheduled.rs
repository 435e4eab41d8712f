//! `ScheduledResponse`: a handler's answer without a server.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::sync::awaited;
use crate::convert::{Returned, response_of, returned, shown};
use crate::file_path::kind;
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;

/// Calls a route function outside the server and gives the finished `Response`.
#[pyclass(module = "outside", name = "ScheduledResponse", subclass, frozen, dict, weakref)]
pub(crate) struct ScheduledResponse {
    request: Py<Request>,
    route_function: Py<PyAny>,
    error_routes: Py<PyDict>,
}

#[pymethods]
impl ScheduledResponse {
    #[new]
    fn new(request: Py<Request>, route_function: &Bound<'_, PyAny>, error_routes: Py<PyDict>) -> PyResult<Self> {
        if !route_function.is_callable() {
            return Err(PyTypeError::new_err(format!("route_function is a function, not {}", kind(route_function))));
        }
        Ok(Self { request, route_function: route_function.clone().unbind(), error_routes })
    }

    /// The response, the error handler's if the function failed, or `None` if that failed as well.
    fn run(&self, py: Python<'_>) -> PyResult<Option<Py<Response>>> {
        let called = self.route_function.bind(py).call1((&self.request,)).and_then(|value| finished(py, value));
        let (code, message) = match called {
            Ok(Finished::Response(response)) => return Ok(Some(response)),
            Ok(Finished::Code(code, message)) => (code, message),
            Err(error) => {
                log_exception(py, "a scheduled response failed", &error);
                (500, None)
            }
        };
        let Some(handler) = self.error_routes.bind(py).get_item(code)? else { return Ok(None) };
        match handler.call1((&self.request, message)).and_then(|value| finished(py, value)) {
            Ok(Finished::Response(response)) => Ok(Some(response)),
            Ok(Finished::Code(..)) => Ok(None),
            Err(error) => {
                log_exception(py, &format!("the error handler of {code} failed"), &error);
                Ok(None)
            }
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<ScheduledResponse of {}>", self.request.bind(py).repr()?))
    }
}

enum Finished {
    Response(Py<Response>),
    Code(u16, Option<String>),
}

fn finished<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Finished> {
    let value = awaited(py, value)?;
    if let Ok(response) = value.cast::<Response>() {
        // Refuse here what a server would refuse.
        response_of(py, response.get())?;
        return Ok(Finished::Response(response.clone().unbind()));
    }
    match returned(&value)? {
        Returned::Response(response) => shown(py, &response).map(Finished::Response),
        Returned::Code(code, message) => Ok(Finished::Code(code, message)),
    }
}
