//! Hooks of every answer: `after_request` of the server itself, `pre_send` and `post_callback`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::Error;
use outside::site::Hooks;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::call::context::{Attachment, Finished, RequestContext};
use crate::call::shared::Shared;
use crate::logging::log_exception;
use crate::message::convert::{head_of, response_of, shown};
use crate::message::response::Response;
use crate::support::lock;

/// The hooks of a server.
struct PythonHooks {
    pre_send: Option<Arc<Py<PyAny>>>,
    post_callback: Option<Arc<Py<PyAny>>>,
    /// Whether there are functions of `after_request`.
    has_after: bool,
    /// Whether the application layer finishes answers in which a function of the program took part.
    finishes: bool,
    shared: Arc<Shared>,
}

/// Sets the engine's hooks to the present functions.
pub(crate) fn install(engine: &outside::OutsideHttp, shared: &Arc<Shared>, py: Python<'_>) {
    let (pre_send, post_callback) = {
        let callbacks = lock(&shared.callbacks);
        (callbacks.pre_send.clone(), callbacks.post_callback.clone())
    };
    let has_after = shared.has_after.load(Ordering::Relaxed);
    let finishes = shared.finishes.load(Ordering::Relaxed);
    let hooked = pre_send.is_some() || post_callback.is_some() || has_after || finishes;
    shared.hooked.store(hooked, Ordering::Relaxed);
    shared.calls_back.store(pre_send.is_some() || post_callback.is_some(), Ordering::Relaxed);
    let hooks = PythonHooks { pre_send, post_callback, has_after, finishes, shared: Arc::clone(shared) };
    let hooks = hooked.then(|| Arc::new(hooks) as Arc<dyn Hooks>);
    // A thread that changes the site may hold its lock and wait for Python's.
    py.detach(|| engine.set_hooks(hooks));
}

impl PythonHooks {
    /// The response after `after_request`, which a handler with callbacks around itself has had already.
    fn finished(
        &self,
        py: Python<'_>,
        context: Option<&Arc<RequestContext>>,
        response: Py<Response>,
        is_around: bool,
    ) -> PyResult<Py<Response>> {
        match context {
            Some(context) if (self.has_after || self.finishes) && !is_around => {
                let scope = context.scope(py).or_else(|| self.shared.scope.get().map(|scope| scope.bind(py)));
                let finish = py.import("outside._handlers.around")?.getattr("finish")?;
                let finished = finish.call1((context.enterable(py)?, scope, context.request(py), response))?;
                Ok(finished.cast_into::<Response>()?.unbind())
            }
            _ => Ok(response),
        }
    }

    /// The objects behind an answer: those of its handler, or new ones; and whether callbacks were called around it.
    fn objects(
        &self,
        py: Python<'_>,
        request: Option<&Arc<outside::Request>>,
        response: &mut outside::Response,
    ) -> PyResult<(Option<Arc<RequestContext>>, Py<Response>, bool)> {
        let attached = response.attachment_mut().take();
        let is_finished = attached.as_ref().is_some_and(|attached| attached.is::<Finished>());
        let attached = attached.and_then(|attached| attached.downcast::<Attachment>().ok());
        let is_around = is_finished || attached.as_ref().is_some_and(|attached| attached.is_around);
        let (known, answer) = attached.map_or((None, None), |attached| (attached.context, attached.response));
        let context = match (known, request) {
            (Some(known), _) => Some(known),
            (None, Some(request)) => Some(RequestContext::found(py, request, &self.shared)?),
            (None, None) => None,
        };
        let answer = answer.map_or_else(|| shown(py, response), Ok)?;
        Ok((context, answer, is_around))
    }
}

/// Calls a hook with these, in the context of its request if there is one.
fn call<'py>(
    py: Python<'py>,
    context: Option<&Arc<RequestContext>>,
    hook: &Py<PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = arguments.into_pyobject(py)?;
    match context {
        Some(context) => {
            let call = PyTuple::new(py, [hook.bind(py)])?.as_sequence().concat(arguments.as_sequence())?;
            context.run(py, &call.to_tuple()?)
        }
        None => hook.bind(py).call1(arguments),
    }
}

impl Hooks for PythonHooks {
    fn before_send(
        &self,
        request: Option<&Arc<outside::Request>>,
        response: &mut outside::Response,
    ) -> Result<(), Error> {
        let attached = response.attachment_mut().as_ref();
        if attached.is_some_and(|attached| attached.is::<Finished>()) && self.pre_send.is_none() {
            // If `post_callback` has been set since then, it makes its objects anew.
            return Ok(());
        }
        let attached = attached.and_then(|attached| attached.downcast_ref::<Attachment>());
        let is_around = attached.is_some_and(|attached| attached.is_around);
        let has_context = attached.is_some_and(|attached| attached.context.is_some());
        // The functions after a handler's own answer were called with it. A file, or a page of the engine, has no session
        // to finish.
        let is_finished = is_around || !(self.has_after || self.finishes && has_context);
        if self.pre_send.is_none() && is_finished {
            if self.post_callback.is_none() && attached.is_some() {
                // Dropped where Python is entered: the request, and a file with its content, would wait for the next call.
                Python::attach(|_| drop(response.attachment_mut().take()));
            }
            return Ok(());
        }
        Python::attach(|py| {
            let changed = self.objects(py, request, response).and_then(|(context, object, is_around)| {
                let content_before = object.get().fields(py).content;
                let object = self.finished(py, context.as_ref(), object, is_around)?;
                if let Some(pre_send) = &self.pre_send {
                    object.get().show_type();
                    call(py, context.as_ref(), pre_send, (&object,))?;
                }
                let (head, content) = head_of(py, object.get())?;
                let is_same = match (&content_before, &content) {
                    (Some(before), Some(now)) => before.is(now),
                    (before, now) => before.is_none() && now.is_none(),
                };
                let mut changed = match response.body() {
                    // A stream begins once: the new head keeps the body of the old one.
                    outside::message::Body::Stream(_) if is_same => {
                        let mut head = head;
                        *head.body_mut() = std::mem::take(response.body_mut());
                        head
                    }
                    _ => {
                        let mut changed = response_of(py, object.get())?;
                        if let Some(context) = &context {
                            context.accompany(&mut changed, None, true);
                        }
                        changed
                    }
                };
                if self.post_callback.is_some() {
                    *changed.attachment_mut() =
                        Some(Box::new(Attachment { context, response: Some(object), is_around }));
                }
                Ok(changed)
            });
            match changed {
                Ok(changed) => {
                    *response = changed;
                    Ok(())
                }
                Err(error) => {
                    log_exception(py, None, &named(request, "a callback before an answer was sent failed"), &error);
                    Err(Error::status(500, None))
                }
            }
        })
    }

    fn wants_after(&self) -> bool {
        self.post_callback.is_some()
    }

    fn after(&self, request: Option<&Arc<outside::Request>>, mut response: outside::Response) {
        let Some(post_callback) = &self.post_callback else { return };
        Python::attach(|py| {
            let called = self.objects(py, request, &mut response).and_then(|(context, response, _)| {
                response.get().show_type();
                let request = context.as_ref().map(|context| context.request(py).clone());
                call(py, context.as_ref(), post_callback, (request, response)).map(drop)
            });
            if let Err(error) = called {
                log_exception(py, None, &named(request, "post_callback failed"), &error);
            }
        });
    }
}

fn named(request: Option<&Arc<outside::Request>>, what: &str) -> String {
    request.map_or_else(
        || what.to_owned(),
        |request| format!("{} {}: {what}", request.method(), outside::log::shown_target(request.target())),
    )
}
