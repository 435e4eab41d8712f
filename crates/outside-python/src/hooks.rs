//! `pre_send` and `post_callback`.

use std::sync::Arc;

use outside::{Error, Hooks};
use pyo3::prelude::*;

use crate::call::object_of;
use crate::convert::{head_of, response_of, shown};
use crate::logging::log_exception;
use crate::request::Request;
use crate::response::Response;

/// The Python objects behind an answer, for the hooks that come later.
pub(crate) struct Attachment {
    pub(crate) request: Option<Py<Request>>,
    pub(crate) response: Option<Py<Response>>,
}

/// The hooks of a server.
pub(crate) struct PythonHooks {
    pub(crate) pre_send: Option<Py<PyAny>>,
    pub(crate) post_callback: Option<Py<PyAny>>,
}

/// The objects behind an answer: those of its handler, or new ones.
fn objects(
    py: Python<'_>,
    request: Option<&Arc<outside::Request>>,
    response: &mut outside::Response,
) -> PyResult<(Option<Py<Request>>, Py<Response>)> {
    let attached = response.attachment_mut().take().and_then(|attached| attached.downcast::<Attachment>().ok());
    let (known, answer) = attached.map_or((None, None), |attached| (attached.request, attached.response));
    let request = match (known, request) {
        (Some(known), _) => Some(known),
        (None, Some(request)) => Some(object_of(py, request)?),
        (None, None) => None,
    };
    let answer = answer.map_or_else(|| shown(py, response), Ok)?;
    Ok((request, answer))
}

impl Hooks for PythonHooks {
    fn before_send(
        &self,
        request: Option<&Arc<outside::Request>>,
        response: &mut outside::Response,
    ) -> Result<(), Error> {
        let Some(pre_send) = &self.pre_send else { return Ok(()) };
        Python::attach(|py| {
            let changed = objects(py, request, response).and_then(|(request, object)| {
                let content_before = object.get().fields(py).content;
                pre_send.bind(py).call1((&object,))?;
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
                *changed.attachment_mut() = Some(Box::new(Attachment { request, response: Some(object) }));
                Ok(changed)
            });
            match changed {
                Ok(changed) => {
                    *response = changed;
                    Ok(())
                }
                Err(error) => {
                    log_exception(py, "pre_send failed", &error);
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
            let called = objects(py, request, &mut response)
                .and_then(|(request, response)| post_callback.bind(py).call1((request, response)).map(drop));
            if let Err(error) = called {
                log_exception(py, "post_callback failed", &error);
            }
        });
    }
}
