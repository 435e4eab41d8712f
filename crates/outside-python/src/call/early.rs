//! The functions before a handler, called before the content of a request has come in: its client waits for 100 Continue,
//! and a refusal spares it the upload (`crates/outside/src/exchange/early.rs`).
//!
//! When the content is there, the handler gets the same request object and context, and the number of functions that have
//! let the request pass. The attachment of the exchange keeps them; [`EarlyCalls`](super::early_calls) finds them.

use std::sync::{Arc, Weak};

use outside::{Error, Response};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::context::{Attachment, RequestContext, copy_context};
use super::handler_call::{HandlerCall, out_of_memory};
use super::interrupt::thread_ident;
use super::shared::Shared;
use crate::forked::leave_if_forked;
use crate::message::request::Request;

/// The context of this request, and the number of functions that have let it pass, if functions were called for it before
/// its content came.
pub(super) fn early_context(
    py: Python<'_>,
    request: &Arc<outside::Request>,
    shared: &Shared,
) -> Option<(Arc<RequestContext>, usize)> {
    let (context, done) = shared.early.take(py, request)?;
    Some((context.downcast().ok()?, done))
}

/// The place of the functions that are called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before a request that no function answers.
    Gate,
    /// Before a plain function.
    Plain,
    /// Before an `async def` function: they run on its loop.
    Async,
}

/// Calls the functions before a handler. `scope` is the scope of the callbacks around it.
pub(super) fn admit(
    request: &Arc<outside::Request>,
    scope: Option<&Py<PyAny>>,
    place: Place,
    shared: &Arc<Shared>,
) -> Result<Response, Error> {
    Python::attach(|py| {
        let object = Bound::new(py, Request::view(Arc::clone(request))).map_err(out_of_memory)?;
        let context = copy_context(py).map_err(out_of_memory)?;
        shared.begin(&object, Some(&context), thread_ident(py).ok());
        let module = py.import("outside._handlers.around");
        let is_gate = place == Place::Gate;
        let arguments = (&context, scope, &object, is_gate, place == Place::Async);
        let result = module.and_then(|module| module.getattr("admit_early")?.call1(arguments));
        shared.end(&object);
        leave_if_forked(py, &result);
        let scope = if is_gate { None } else { scope };
        let called = HandlerCall { request: &object, function: None, context: Some(context), scope, shared };
        match result {
            Ok(value) if value.is_instance_of::<PyTuple>() => {
                let (done, is_all): (usize, bool) = value.extract().map_err(out_of_memory)?;
                let context = called.travels().map_err(out_of_memory)?;
                let weak: Weak<RequestContext> = Arc::downgrade(&context);
                shared.early.note(py, request, weak, done);
                let mut pass = if is_all { Response::pass() } else { Response::content_first() };
                let attachment = Attachment { context: Some(context), response: None, is_around: false };
                *pass.attachment_mut() = Some(Box::new(attachment));
                Ok(pass)
            }
            result => {
                request.forgo_content();
                called.answer(result)
            }
        }
    })
}
