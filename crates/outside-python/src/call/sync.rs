//! Plain functions: called by the executor, on whatever thread leads or is late.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::{Error, ErrorHandler, Inline, Response, error_page};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::interrupt::thread_ident;
use super::plan::Plan;
use super::{Shared, answer, around, object_of};
use crate::convert::{Returned, is_coroutine, located, returned};
use crate::logging::log_exception;
use crate::request::Request;

/// A plain function on a route.
pub(crate) struct Function {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
    /// How it is called, if not with the request alone.
    pub(crate) plan: Option<Plan>,
}

impl Inline for Function {
    fn call(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        Python::attach(|py| {
            let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
            self.shared.begin(&object, thread_ident(py).ok());
            let (function, is_around) = (self.function.bind(py), self.shared.is_around.load(Ordering::Relaxed));
            let result = match &self.plan {
                plan if is_around => around(function, plan.as_ref(), &object, &self.shared).and_then(|arguments| {
                    static CALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                    CALL.import(py, "outside._around", "call")?.call1(arguments)
                }),
                Some(plan) => plan.call(function, &object),
                None => function.call1((&object,)),
            };
            self.shared.end(&object);
            answer(&object, Some(function), result, &self.shared, true, is_around)
        })
    }
}

/// The callbacks before every request, for those that no function answers.
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
}

impl Inline for Gate {
    fn call(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        Python::attach(|py| {
            let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
            self.shared.begin(&object, thread_ident(py).ok());
            let module = py.import("outside._around");
            let result = module.and_then(|module| module.getattr("admit")?.call1((self.shared.scope.get(), &object)));
            self.shared.end(&object);
            match result {
                Ok(value) if value.is_none() => Ok(Response::pass()),
                result => answer(&object, None, result, &self.shared, true, false),
            }
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
            let function = self.0.bind(py);
            let result = function.call1((object, message)).and_then(|value| awaited(py, value));
            let answer = result.and_then(|value| {
                let answer = returned(&value).map_err(|error| located(function, error))?;
                Ok((answer, value.is_instance_of::<crate::response::Response>()))
            });
            match answer {
                Ok((Returned::Response(response), true)) => Ok(response),
                // What is not a Response has no status of its own.
                Ok((Returned::Response(response), false)) => Ok(response.with_status(code)),
                // Another error handler would have no end.
                Ok((Returned::Code(code, message), _)) => {
                    Ok(error_page(request.map(|request| &**request), code, message.as_deref()))
                }
                Err(error) => {
                    log_exception(py, &format!("the error handler of {code} failed"), &error);
                    Err(Error::status(500, None))
                }
            }
        })
    }
}

/// The value itself, or what it comes to if it is a coroutine: on the loop of `async def` handlers, or on one of its own if there
/// is none.
pub(crate) fn awaited<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if is_coroutine(&value)? { py.import("outside._loop")?.call_method1("wait_for", (value,)) } else { Ok(value) }
}

fn out_of_memory(error: PyErr) -> Error {
    Error::new(error.to_string())
}
