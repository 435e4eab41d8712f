//! The ids of the request that a call of an application answers, for the records of the log that are made meanwhile.

use std::sync::Arc;

use outside::Request;
use pyo3::prelude::*;

/// The base class of the calls of both protocols.
#[pyclass(module = "outside", name = "_LoggedCall", frozen, subclass)]
pub(crate) struct LoggedCall(Arc<Request>);

impl LoggedCall {
    pub(crate) fn of(request: &Arc<Request>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Self(Arc::clone(request)))
    }
}

#[pymethods]
impl LoggedCall {
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    #[getter]
    fn traceparent(&self) -> String {
        self.0.traceparent()
    }
}
