//! What is called for every answer: `after_request` of the server itself, `pre_send` and `post_callback`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outside::{Error, Hooks};
use pyo3::prelude::*;

use crate::call::{Shared, lock, object_of};
use crate::convert::{head_of, response_of, shown};
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;
use crate::server::Server;

/// The Python objects behind an answer, for the hooks that come later.
pub(crate) struct Attachment {
    pub(crate) request: Option<Py<Request>>,
    pub(crate) response: Option<Py<Response>>,
    /// Have the callbacks around its handler been called, `after_request` among them?
    pub(crate) is_around: bool,
}

/// The hooks of a server.
struct PythonHooks {
    pre_send: Option<Arc<Py<PyAny>>>,
    post_callback: Option<Arc<Py<PyAny>>>,
    /// Whose `after_request` is called.
    after: Option<Arc<Shared>>,
}

/// Sets the hooks that there are now.
pub(crate) fn install(server: &Server, py: Python<'_>) {
    let shared = &server.shared;
    let (pre_send, post_callback) = {
        let callbacks = lock(&shared.callbacks);
        (callbacks.pre_send.clone(), callbacks.post_callback.clone())
    };
    let after = shared.has_after.load(Ordering::Relaxed).then(|| Arc::clone(shared));
    let hooked = pre_send.is_some() || post_callback.is_some() || after.is_some();
    shared.hooked.store(hooked, Ordering::Relaxed);
    let hooks: Option<Arc<dyn Hooks>> = match hooked {
        true => Some(Arc::new(PythonHooks { pre_send, post_callback, after })),
        false => None,
    };
    // Whoever changes the site may be waiting for Python's lock.
    py.detach(|| server.engine.set_hooks(hooks));
}

impl PythonHooks {
    /// The response after `after_request`, which a handler with callbacks around itself has had already.
    fn finished(
        &self,
        py: Python<'_>,
        request: Option<&Py<Request>>,
        response: Py<Response>,
        is_around: bool,
    ) -> PyResult<Py<Response>> {
        match (&self.after, request) {
            (Some(shared), Some(request)) if !is_around => {
                let finished =
                    py.import("outside._around")?.getattr("finish")?.call1((shared.scope.get(), request, response))?;
                Ok(finished.cast_into::<Response>()?.unbind())
            }
            _ => Ok(response),
        }
    }
}

/// The objects behind an answer: those of its handler, or new ones; and whether there were callbacks around it.
fn objects(
    py: Python<'_>,
    request: Option<&Arc<outside::Request>>,
    response: &mut outside::Response,
) -> PyResult<(Option<Py<Request>>, Py<Response>, bool)> {
    let attached = response.attachment_mut().take().and_then(|attached| attached.downcast::<Attachment>().ok());
    let is_around = attached.as_ref().is_some_and(|attached| attached.is_around);
    let (known, answer) = attached.map_or((None, None), |attached| (attached.request, attached.response));
    let request = match (known, request) {
        (Some(known), _) => Some(known),
        (None, Some(request)) => Some(object_of(py, request)?),
        (None, None) => None,
    };
    let answer = answer.map_or_else(|| shown(py, response), Ok)?;
    Ok((request, answer, is_around))
}

impl Hooks for PythonHooks {
    fn before_send(
        &self,
        request: Option<&Arc<outside::Request>>,
        response: &mut outside::Response,
    ) -> Result<(), Error> {
        if self.pre_send.is_none() && self.after.is_none() {
            return Ok(());
        }
        Python::attach(|py| {
            let changed = objects(py, request, response).and_then(|(request, object, is_around)| {
                let content_before = object.get().fields(py).content;
                let object = self.finished(py, request.as_ref(), object, is_around)?;
                if let Some(pre_send) = &self.pre_send {
                    object.get().show_type();
                    pre_send.bind(py).call1((&object,))?;
                }
                let (head, content) = head_of(py, object.get())?;
                let is_same = match (&content_before, &content) {
                    (Some(before), Some(now)) => before.is(now),
                    (before, now) => before.is_none() && now.is_none(),
                };
                let mut changed = match response.body() {
                    // A stream begins once: what goes on with it keeps it.
                    outside::Body::Stream(_) if is_same => {
                        let mut head = head;
                        *head.body_mut() = std::mem::take(response.body_mut());
                        head
                    }
                    _ => response_of(py, object.get())?,
                };
                *changed.attachment_mut() = Some(Box::new(Attachment { request, response: Some(object), is_around }));
                Ok(changed)
            });
            match changed {
                Ok(changed) => {
                    *response = changed;
                    Ok(())
                }
                Err(error) => {
                    log_exception(py, "a callback before an answer was sent failed", &error);
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
            let called = objects(py, request, &mut response).and_then(|(request, response, _)| {
                response.get().show_type();
                post_callback.bind(py).call1((request, response)).map(drop)
            });
            if let Err(error) = called {
                log_exception(py, "post_callback failed", &error);
            }
        });
    }
}
