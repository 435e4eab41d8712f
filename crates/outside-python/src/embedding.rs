//! How Python is attached around the life and the work of the engine's threads.

use std::sync::Arc;

use outside::{Host, Request};
use pyo3::prelude::*;

use crate::call::Shared;

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
}
