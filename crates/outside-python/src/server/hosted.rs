//! The hosted applications of a server: those of ASGI have lifespans, which begin before it serves and end after it.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::hosting::asgi::AsgiApplication;
use crate::hosting::wsgi::WsgiApplication;
use crate::logging::log_exception;
use crate::server::listening::to_python;

/// The lifespans of the applications, an object of `outside/_hosting/asgi_lifespan.py`.
pub(crate) struct Hosted(Py<PyAny>);

/// Tells the applications among these handlers where the server listens.
pub(crate) fn note_address(py: Python<'_>, handlers: &[Py<PyAny>], address: &outside::listen::Address) -> PyResult<()> {
    let address = to_python(py, address)?;
    for handler in handlers {
        let handler = handler.bind(py);
        if let Ok(application) = handler.cast::<AsgiApplication>() {
            application.get().note_server(&address);
        } else if let Ok(application) = handler.cast::<WsgiApplication>() {
            application.get().note_server(&address);
        }
    }
    Ok(())
}

impl Hosted {
    /// Those of the applications among these handlers, if there are any.
    pub(crate) fn of(py: Python<'_>, handlers: &[Py<PyAny>]) -> PyResult<Option<Self>> {
        let applications = handlers.iter().filter_map(|handler| handler.bind(py).cast::<AsgiApplication>().ok());
        let applications: Vec<_> = applications.cloned().collect();
        if applications.is_empty() {
            return Ok(None);
        }
        let class = py.import("outside._hosting.asgi_lifespan")?.getattr("Lifespans")?;
        let lifespans = class.call1((PyList::new(py, applications)?,))?;
        Ok(Some(Self(lifespans.unbind())))
    }

    /// Starts the applications; `SystemExit` if one cannot start.
    pub(crate) fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call_method0(py, "startup").map(drop)
    }

    /// Ends the applications within this time.
    pub(crate) fn end(&self, py: Python<'_>, patience: Duration) {
        if let Err(error) = self.0.call_method1(py, "shutdown", (patience.as_secs_f64(),)) {
            log_exception(py, None, "the applications could not be ended", &error);
        }
    }
}
