//! `OutsideHTTP_Redirect`: a server that sends every request elsewhere.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::server::outside_http::OutsideHttp;

/// Redirects every request to the destination, joined with its path and query.
#[pyclass(module = "outside", name = "OutsideHTTP_Redirect", subclass, frozen, dict, weakref)]
pub(crate) struct OutsideHttpRedirect {
    server: Py<OutsideHttp>,
    destination: OnceLock<String>,
}

#[pymethods]
impl OutsideHttpRedirect {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(host, destination)")]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self { server: Py::new(py, OutsideHttp::empty())?, destination: OnceLock::new() })
    }

    fn __init__(&self, py: Python<'_>, host: &Bound<'_, PyAny>, destination: &str) -> PyResult<()> {
        self.server.get().redirecting(py, host, destination)?;
        // A second call has failed above.
        self.destination.get_or_init(|| destination.to_owned());
        Ok(())
    }

    /// Binds, prints the URL, redirects until terminated, then returns.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.server.bind(py).call_method0("run").map(drop)
    }

    /// Stops accepting, answers the requests in flight, then ends `run()`.
    #[pyo3(signature = (signum=None, stackframe=None))]
    fn terminate(
        &self,
        py: Python<'_>,
        signum: Option<Bound<'_, PyAny>>,
        stackframe: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.server.bind(py).call_method1("terminate", (signum, stackframe)).map(drop)
    }

    /// Waits until the server listens; `False` if that takes longer than `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn wait_until_ready<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.server.bind(py).call_method1("wait_until_ready", (timeout,))
    }

    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.server.bind(py).getattr("config")
    }

    /// Where the server listens; `None` while it does not.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.server.bind(py).getattr("address")
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let host = self.config(py)?.get_item("host")?;
        let destination = self.destination.get().map_or("", String::as_str);
        Ok(format!("<OutsideHTTP_Redirect {} to {destination}>", host.repr()?))
    }
}
