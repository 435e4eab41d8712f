//! Plain functions: called by the executor, on whatever thread leads or is late.

use std::sync::Arc;

use outside::{Error, ErrorHandler, Inline, Response};
use pyo3::prelude::*;

use super::interrupt::thread_ident;
use super::{Shared, answer, object_of};
use crate::convert::{Returned, is_coroutine, returned};
use crate::logging::log_exception;
use crate::request::Request;

/// A plain function on a route.
pub(crate) struct Function {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
}

impl Inline for Function {
    fn call(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        Python::attach(|py| {
            let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
            self.shared.begin(&object, thread_ident(py).ok());
            let result = self.function.bind(py).call1((&object,));
            self.shared.end(&object);
            answer(&object, result, &self.shared, true)
        })
    }
}

/// A function that makes the answer for a status code.
pub(crate) struct ErrorFunction(pub(crate) Py<PyAny>);

impl ErrorHandler for ErrorFunction {
    fn call(
        &self,
        request: Option<&Arc<outside::Request>>,
        code: u16,
        message: Option<&str>,
    ) -> Result<Response, Error> {
        Python::attach(|py| {
            let object = request.map(|request| object_of(py, request)).transpose().map_err(out_of_memory)?;
            let result = self.0.bind(py).call1((object, message)).and_then(|value| awaited(py, value));
            match result.and_then(|value| Ok((returned(&value)?, value.is_instance_of::<crate::response::Response>())))
            {
                Ok((Returned::Response(response), true)) => Ok(response),
                // What is not a Response has no status of its own.
                Ok((Returned::Response(response), false)) => Ok(response.with_status(code)),
                Ok((Returned::Code(..), _)) => Err(Error::new("an error handler may not ask for another one")),
                Err(error) => {
                    log_exception(py, &format!("the error handler of {code} failed"), &error);
                    Err(Error::status(500, None))
                }
            }
        })
    }
}

/// The value itself, or what it comes to if it is a coroutine.
pub(crate) fn awaited<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_coroutine(&value)? { py.import("asyncio")?.call_method1("run", (value,)) } else { Ok(value) }
}

fn out_of_memory(error: PyErr) -> Error {
    Error::new(error.to_string())
}
