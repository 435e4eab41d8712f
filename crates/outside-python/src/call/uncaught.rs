//! Exceptions that no handler has caught, beside their lines in the log: a test client remembers them, and the client
//! gets a page about them while `debug` is on.

use std::sync::Mutex;

use pyo3::prelude::*;

use crate::logging::log_exception;
use crate::message::convert::{Returned, returned};
use crate::message::request::Request;
use crate::support::lock;

/// The observer and the page, read only after an exception.
#[derive(Default)]
pub(crate) struct UncaughtExceptions {
    debug: Mutex<bool>,
    /// Called with the request and the exception.
    observer: Mutex<Option<Py<PyAny>>>,
}

impl UncaughtExceptions {
    /// Prepares for a run that begins.
    pub(crate) fn begin(&self, debug: bool) {
        *lock(&self.debug) = debug;
    }

    /// Sets the observer, or takes it away.
    pub(crate) fn observe(&self, observer: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut *lock(&self.observer), observer);
        drop(before);
    }

    /// Tells the observer. Returns the page for the client, if the client may see one.
    pub(crate) fn page(&self, request: &Bound<'_, Request>, error: &PyErr) -> Option<outside::Response> {
        let py = request.py();
        let page = self.page_object(request, error)?;
        match returned(&page) {
            Ok(Returned::Response(page)) => Some(page),
            Ok(Returned::Code(..)) => None,
            Err(error) => {
                log_exception(py, None, NO_PAGE, &error);
                None
            }
        }
    }

    /// The same; the page as Python's object.
    pub(crate) fn page_object<'py>(&self, request: &Bound<'py, Request>, error: &PyErr) -> Option<Bound<'py, PyAny>> {
        let py = request.py();
        let observer = lock(&self.observer).as_ref().map(|observer| observer.clone_ref(py));
        if let Some(observer) = observer
            && let Err(error) = observer.bind(py).call1((request, error.value(py)))
        {
            log_exception(py, None, "the test client was not told of an exception", &error);
        }
        if !*lock(&self.debug) {
            return None;
        }
        let asks = lock(&self.observer).is_none();
        let page = py
            .import("outside._debug.page")
            .and_then(|module| module.call_method1("page", (request, error.value(py), asks)));
        match page {
            Ok(page) => (!page.is_none()).then_some(page),
            Err(error) => {
                log_exception(py, None, NO_PAGE, &error);
                None
            }
        }
    }
}

const NO_PAGE: &str = "the page about an exception could not be made";
