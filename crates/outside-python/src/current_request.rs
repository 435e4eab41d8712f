//! The request for which this thread calls Python, where no context tells it: of WSGI applications and of the blocking
//! handlers of WebSockets. For the log.

use std::cell::RefCell;
use std::sync::Arc;

use outside::Request;
use pyo3::prelude::*;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
}

/// Makes a request the current one of this thread, until this is dropped.
pub(crate) struct CurrentRequest {
    before: Option<Arc<Request>>,
}

impl CurrentRequest {
    pub(crate) fn begin(request: &Arc<Request>) -> Self {
        Self { before: CURRENT.replace(Some(Arc::clone(request))) }
    }
}

impl Drop for CurrentRequest {
    fn drop(&mut self) {
        let before = self.before.take();
        let current = CURRENT.try_with(|current| current.replace(before));
        drop(current);
    }
}

/// The current request of this thread.
pub(crate) fn current_request() -> Option<Arc<Request>> {
    CURRENT.with_borrow(Clone::clone)
}

/// A request as the context of an application holds it: its ids alone.
#[pyclass(module = "outside", name = "_LoggedRequest", frozen)]
pub(crate) struct LoggedRequest(pub(crate) Arc<Request>);

#[pymethods]
impl LoggedRequest {
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    #[getter]
    fn traceparent(&self) -> String {
        self.0.traceparent()
    }
}
