//! The broker of a server that begins: there before the functions of `on_startup`, and until those of `on_shutdown` have returned.

use std::sync::Arc;

use outside::{Config, OpenBus};
use pyo3::prelude::*;

use crate::errors::run_error;
use crate::server::state::ServerState;

/// The broker, if the configuration has one. Without Python's lock it is opened and closed, since its log may want it.
pub(crate) struct BusInUse(Option<Arc<OpenBus>>);

impl BusInUse {
    /// Opens it.
    pub(crate) fn open(py: Python<'_>, server: &ServerState, config: &Config) -> PyResult<Self> {
        if config.bus.is_none() {
            return Ok(Self(None));
        }
        py.detach(|| server.engine.open_bus(config)).map(Self).map_err(run_error)
    }
}

impl Drop for BusInUse {
    fn drop(&mut self) {
        if let Some(bus) = self.0.take() {
            Python::attach(|py| py.detach(|| drop(bus)));
        }
    }
}
