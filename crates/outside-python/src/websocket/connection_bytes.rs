//! `_ConnectionBytes`: the bytes of a WebSocket connection that was made by hand, for the threads that move them.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::support::lock;

/// The methods that a socket's two threads call.
#[pyclass(module = "outside", name = "_ConnectionBytes", frozen)]
pub(crate) struct ConnectionBytes {
    receiver: Mutex<outside::websocket::WebSocketDriver>,
    connection: outside::WebSocketConnection,
}

impl ConnectionBytes {
    pub(crate) fn new(connection: outside::WebSocketConnection, driver: outside::websocket::WebSocketDriver) -> Self {
        Self { receiver: Mutex::new(driver), connection }
    }
}

#[pymethods]
impl ConnectionBytes {
    /// Bytes of the client; `false`: no more are wanted. Waits while too many messages wait to be taken.
    fn receive(&self, py: Python<'_>, data: &[u8]) -> bool {
        let goes_on = lock(&self.receiver).receive(data);
        if goes_on {
            py.detach(|| outside::websocket::WebSocketDriver::wait_for_room(&self.connection));
        }
        goes_on
    }

    /// Waits for bytes for the client; none: there will be none.
    fn outgoing<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = py.detach(|| outside::websocket::WebSocketDriver::outgoing(&self.connection));
        PyBytes::new(py, &bytes)
    }

    /// The socket has ended.
    fn end(&self) {
        outside::websocket::WebSocketDriver::end(&self.connection);
    }
}
