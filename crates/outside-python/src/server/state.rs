//! The parts of a server that is initialised.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use outside::config::{KEYS, Value};
use outside::listen::{Listeners, SocketFile};
use outside::tls::TicketKeys;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::shared::Shared;
use crate::logging::PythonLog;
use crate::server::embedding::PythonRuntime;
use crate::server::routes::Routes;
use crate::server::settings::{Settings, usual};
use crate::support::lock;

/// The parts of a server that is initialised.
pub(crate) struct ServerState {
    pub(crate) engine: outside::OutsideHttp,
    pub(crate) log: Arc<PythonLog>,
    pub(crate) shared: Arc<Shared>,
    pub(super) config: Mutex<Py<PyDict>>,
    pub(crate) routes: Routes,
    pub(super) error_routes: Mutex<BTreeMap<u16, Py<PyAny>>>,
    /// Listeners that were bound before `run()`: one for each worker, at each place.
    pub(super) listeners: Mutex<Listeners>,
    /// The files of Unix sockets that this generation or one before it has made.
    pub(super) socket_files: Mutex<Vec<SocketFile>>,
    /// Whether the end has begun for a signal whose handler in Python has not run yet.
    pub(super) has_stood_in: AtomicBool,
    /// The keys of session tickets, for all workers and the next generation.
    pub(super) ticket_keys: Mutex<TicketKeys>,
}

impl ServerState {
    /// A server around this engine, with the default of every key.
    pub(crate) fn new(py: Python<'_>, host: &Bound<'_, PyAny>, engine: outside::OutsideHttp) -> PyResult<Self> {
        let config = PyDict::new(py);
        config.set_item("host", host)?;
        for key in KEYS.iter().filter(|key| key.name != "host") {
            match &key.default {
                // Remembers whether it was set.
                Value::Integer(value) if matches!(key.name, "max_body_size_mb" | "reactors") => {
                    config.set_item(key.name, usual(py)?.call1((*value,))?)?;
                }
                Value::Bool(value) => config.set_item(key.name, value)?,
                Value::Integer(value) => config.set_item(key.name, value)?,
                Value::Float(value) => config.set_item(key.name, value)?,
                Value::Text(value) => config.set_item(key.name, value)?,
                // Each server has a list of its own, to add to.
                Value::Texts(texts) => config.set_item(key.name, texts.to_vec())?,
                _ => config.set_item(key.name, py.None())?,
            }
        }
        let log = Arc::new(PythonLog::default());
        let shared = Arc::<Shared>::default();
        Ok(Self {
            engine: engine.embedded(
                Arc::new(PythonRuntime(Arc::clone(&shared))),
                Arc::clone(&log) as Arc<dyn outside::log::LogSink>,
            ),
            log,
            shared,
            config: Mutex::new(config.unbind()),
            routes: Routes::default(),
            error_routes: Mutex::default(),
            listeners: Mutex::default(),
            socket_files: Mutex::default(),
            has_stood_in: AtomicBool::new(false),
            ticket_keys: Mutex::default(),
        })
    }

    /// The settings of the configuration as it is now.
    pub(crate) fn settings(&self, py: Python<'_>) -> PyResult<Settings> {
        let config = lock(&self.config).clone_ref(py);
        Settings::read(config.bind(py))
    }
}
