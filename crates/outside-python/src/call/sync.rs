//! Plain functions: called by the executor, on the thread of the leader or of the pool.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::handler::SyncHandler;
use outside::site::{ErrorHandler, error_page};
use outside::{Error, Response};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::context::{Attachment, RequestContext, copy_context};
use super::early::{Place, admit, early_context};
use super::handler_call::{HandlerCall, around, out_of_memory, scope_of};
use super::interrupt::thread_ident;
use super::plan::Plan;
use super::shared::Shared;
use crate::message::convert::{Returned, located, returned, take_status};
use crate::message::request::Request;

/// A plain function on a route.
pub(crate) struct SyncFunction {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
    /// The plan of the arguments, if they are not the request alone.
    pub(crate) plan: Option<Plan>,
}

impl SyncHandler for SyncFunction {
    fn call(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        Python::attach(|py| {
            let (function, plan, shared) = (self.function.bind(py), self.plan.as_ref(), &self.shared);
            if shared.is_around.load(Ordering::Relaxed) {
                return self.call_around(py, request);
            }
            let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
            // Without functions before or after it, a plain function on a plain route needs no context of its own.
            let wants_context = plan.is_some() || shared.hooked.load(Ordering::Relaxed);
            let context = wants_context.then(|| copy_context(py)).transpose().map_err(out_of_memory)?;
            shared.begin(&object, context.as_ref(), thread_ident(py).ok());
            let result = match (&context, plan) {
                (Some(context), Some(plan)) => plan.call(context, function, &object),
                (Some(context), None) => context.call_method1(intern!(py, "run"), (function, &object)),
                (None, _) => function.call1((&object,)),
            };
            shared.end(&object);
            HandlerCall { request: &object, function: Some(function), context, scope: None, shared }.answer(result)
        })
    }

    fn admit(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        admit(request, scope_of(self.plan.as_ref(), &self.shared), Place::Plain, &self.shared)
    }
}

impl SyncFunction {
    /// Calls the function with the callbacks around it.
    fn call_around(&self, py: Python<'_>, request: &Arc<outside::Request>) -> Result<Response, Error> {
        static CALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let (function, plan, shared) = (self.function.bind(py), self.plan.as_ref(), &self.shared);
        let early = early_context(py, request, shared);
        let (object, context, done) = match &early {
            None => {
                let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
                (object, copy_context(py).map_err(out_of_memory)?, None)
            }
            Some((known, done)) => {
                (known.request(py).clone(), known.enterable(py).map_err(out_of_memory)?, Some(*done))
            }
        };
        shared.begin(&object, Some(&context), thread_ident(py).ok());
        let arguments = around(Some(&context), function, plan, &object, done, shared);
        let result =
            arguments.and_then(|arguments| CALL.import(py, "outside._handlers.around", "call")?.call1(arguments));
        shared.end(&object);
        let scope = scope_of(plan, shared);
        let context = Some(context);
        HandlerCall { request: &object, function: Some(function), context, scope, shared }.answer(result)
    }
}

/// The callbacks before every request, for requests that no function answers.
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
}

impl SyncHandler for Gate {
    fn call(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        Python::attach(|py| {
            let early = early_context(py, request, &self.shared);
            let (object, context, done) = match &early {
                None => {
                    let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
                    (object, copy_context(py).map_err(out_of_memory)?, 0)
                }
                Some((known, done)) => (known.request(py).clone(), known.enterable(py).map_err(out_of_memory)?, *done),
            };
            self.shared.begin(&object, Some(&context), thread_ident(py).ok());
            let module = py.import("outside._handlers.around");
            let arguments = (&context, self.shared.scope.get(), &object, done);
            let result = module.and_then(|module| module.getattr("admit")?.call1(arguments));
            self.shared.end(&object);
            let called = HandlerCall {
                request: &object,
                function: None,
                context: Some(context),
                scope: None,
                shared: &self.shared,
            };
            match result {
                Ok(value) if value.is_none() => {
                    let mut pass = Response::pass();
                    let context = Some(called.travels().map_err(out_of_memory)?);
                    *pass.attachment_mut() = Some(Box::new(Attachment { context, response: None, is_around: false }));
                    Ok(pass)
                }
                result => called.answer(result),
            }
        })
    }

    fn admit(&self, request: &Arc<outside::Request>) -> Result<Response, Error> {
        admit(request, self.shared.scope.get(), Place::Gate, &self.shared)
    }
}

/// A function that makes the answer for a status code.
pub(crate) struct ErrorFunction {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
    /// Whether it answers every code, is handed it, and may leave the answer to the built-in page.
    pub(crate) takes_code: bool,
}

impl ErrorHandler for ErrorFunction {
    fn call(
        &self,
        request: Option<&Arc<outside::Request>>,
        code: u16,
        message: Option<&str>,
        attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        // The engine never calls this without a request.
        let Some(request) = request else { return Err(Error::status(code, message)) };
        Python::attach(|py| {
            let known =
                RequestContext::of(attachment).map_or_else(|| RequestContext::found(py, request, &self.shared), Ok);
            let context = known.map_err(out_of_memory)?;
            let call = match self.takes_code {
                true => (&self.function, context.request(py), code, message).into_pyobject(py),
                false => (&self.function, context.request(py), message).into_pyobject(py),
            };
            let result = call.and_then(|call| context.run(py, &call)).and_then(|value| context.awaited(value));
            let answer = result.and_then(|value| {
                let response = value.cast::<crate::message::response::Response>().ok();
                if self.takes_code && value.is_none() {
                    let mut page = error_page(Some(request), code, message);
                    context.accompany(&mut page, None, false);
                    return Ok(page);
                }
                if let Some(response) = response {
                    take_status(response, code)?;
                }
                let returned = returned(&value).map_err(|error| located(self.function.bind(py), error));
                let mut answer = match returned? {
                    // A value that is no Response has no status of its own.
                    Returned::Response(answer) if response.is_none() && !value.is_instance_of::<PyTuple>() => {
                        answer.with_status(code)
                    }
                    Returned::Response(answer) => answer,
                    // Another error handler would have no end.
                    Returned::Code(code, message) => error_page(Some(request), code, message.as_deref()),
                };
                context.accompany(&mut answer, response, false);
                Ok(answer)
            });
            answer.map_err(|error| {
                context.log(py, &format!("the error handler of {code} failed"), &error);
                context.travel_with(Error::status(500, None))
            })
        })
    }
}
