//! How Python is attached around the life and the work of the engine's threads.

use std::sync::Arc;

use outside::{Host, Request};
use pyo3::prelude::*;

use crate::call::Shared;
use crate::logging::log_exception;

/// One outer attach for a thread's whole life, so that re-attaching creates and destroys no thread state.
pub(crate) struct PythonHost(pub(crate) Arc<Shared>);

impl Host for PythonHost {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(life));
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        Python::attach(|_| batch());
    }

    fn interrupt(&self, request: &Arc<Request>) {
        Python::attach(|py| self.0.interrupt(py, request));
    }

    fn give_up(&self, request: Option<&Arc<Request>>) {
        Python::attach(|py| {
            let thread = request.and_then(|request| self.0.thread_of(py, request));
            let told = py.import("outside._stuck").and_then(|stuck| stuck.call_method1("give_up", (thread,)));
            if let Err(error) = told {
                log_exception(py, "a thread could not be given up in good order", &error);
            }
        });
    }
}
