//! How Python is attached around the life and the work of the engine's threads.

use outside::Host;
use pyo3::prelude::*;

/// One outer attach for a thread's whole life, so that re-attaching creates and destroys no thread state.
#[derive(Debug)]
pub(crate) struct PythonHost;

impl Host for PythonHost {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(life));
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        Python::attach(|_| batch());
    }
}
