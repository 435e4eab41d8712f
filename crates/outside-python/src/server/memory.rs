//! A server without a port, for tests: connections are made within this process, everything else is as ever. The client
//! is `outside/testing.py`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::IntoRawFd as _;

use outside::listen::ConnectionSource;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::logging::log_exception;
use crate::server::outside_http::OutsideHttp;
use crate::server::serving::serve_on;

/// Connects to a server that was started by `_serve_in_memory`.
#[pyclass(module = "outside", name = "_Connector", frozen)]
pub(crate) struct Connector(outside::listen::Connector);

#[pymethods]
impl Connector {
    /// The descriptor of a new connection, which is the caller's. The server takes the client for the one at this address.
    fn connect(&self, ip: &str, port: u16) -> PyResult<i32> {
        let ip: IpAddr = ip.parse().map_err(|_| PyValueError::new_err(format!("{ip:?} is no IP address")))?;
        Ok(self.0.connect(SocketAddr::new(ip, port))?.into_raw_fd())
    }
}

/// `server.run()` without a port and without signal handlers: serves until terminated. `ready` is called with the
/// connector, `observer` with the request and the exception of each handler that raises one.
#[pyfunction]
#[pyo3(name = "_serve_in_memory")]
pub(crate) fn serve_in_memory(server: &Bound<'_, OutsideHttp>, ready: Py<PyAny>, observer: Py<PyAny>) -> PyResult<()> {
    let state = server.get().server()?;
    let uncaught = &state.shared.uncaught;
    uncaught.observe(Some(observer));
    let (connector, memory) = outside::listen::Connector::new();
    let result = serve_on(server, state, ConnectionSource::Memory(memory), false, |_| {
        Python::attach(|py| {
            let told = Py::new(py, Connector(connector)).and_then(|connector| ready.bind(py).call1((connector,)));
            if let Err(error) = told {
                log_exception(py, None, "telling that the server is ready failed", &error);
            }
        });
    });
    uncaught.observe(None);
    result
}
