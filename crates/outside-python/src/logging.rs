//! The log of the Python face: stdlib `logging` under `outside` and `outside.access`.
//!
//! If neither `outside.access` nor the root logger is configured when the server starts, access lines go straight to
//! standard error, without Python.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outside::Refusal;
use outside::log::{Level, LogSink, StandardError};
use pyo3::exceptions::PyNameError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::support::lock;

/// The sink of the engine's log. Called on the log's own thread.
#[derive(Debug, Default)]
pub(crate) struct PythonLog {
    access_by_logging: AtomicBool,
    /// The time of the last complaint about each limit.
    complaints: Mutex<HashMap<&'static str, Instant>>,
}

/// Time in which a limit that clients pass again and again is named once, as in the engine.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

impl PythonLog {
    /// Checks at the start of a server whether `logging` is configured.
    pub(crate) fn begin(&self, py: Python<'_>) -> PyResult<()> {
        let configured = logger(py, "outside.access")?.call_method0(intern!(py, "hasHandlers"))?;
        self.access_by_logging.store(configured.extract()?, Ordering::Relaxed);
        Ok(())
    }

    /// Names the limit behind a refusal, if there is one. The engine does so for the refusals that it answers; those
    /// that the functions around a handler have answered do not reach it.
    pub(crate) fn complain_of(&self, py: Python<'_>, refusal: &Refusal) {
        // A fixed limit, which has no key, is named by the reason.
        let (key, text) = match refusal.limit {
            Some(key) => (key, format!("{}: refused; config[{key:?}] sets this limit", refusal.reason)),
            None if refusal.status == 413 => (refusal.reason, format!("{}: refused", refusal.reason)),
            None => return,
        };
        let now = Instant::now();
        {
            let mut complaints = lock(&self.complaints);
            if complaints.get(key).is_some_and(|&last| now - last < COMPLAIN_EVERY) {
                return;
            }
            complaints.insert(key, now);
        }
        // Without the lock: a handler of the log may run any code.
        log_warning(py, &text);
    }
}

impl LogSink for PythonLog {
    fn access(&self, lines: &[u8]) {
        if !self.access_by_logging.load(Ordering::Relaxed) {
            return StandardError.access(lines);
        }
        Python::attach(|py| {
            let told = logger(py, "outside.access").and_then(|logger| {
                let info = logger.getattr(intern!(py, "info"))?;
                String::from_utf8_lossy(lines)
                    .lines()
                    .try_for_each(|line| info.call1((intern!(py, "%s"), line)).map(drop))
            });
            report(py, told);
        });
    }

    fn event(&self, level: Level, text: &str) {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        Python::attach(|py| {
            let told = logger(py, "outside").and_then(|logger| logger.call_method1(level, ("%s", text)).map(drop));
            report(py, told);
        });
    }

    fn is_terminal(&self) -> bool {
        !self.access_by_logging.load(Ordering::Relaxed) && StandardError.is_terminal()
    }
}

/// Logs an exception with its traceback, and with a hint if a name of this package was not imported; inside the
/// context, if one is given.
pub(crate) fn log_exception(py: Python<'_>, context: Option<&Bound<'_, PyAny>>, what: &str, error: &PyErr) {
    let told = (|| {
        let options = PyDict::new(py);
        options.set_item("exc_info", error.value(py))?;
        let hint = match missing_name(py, error) {
            Some(name) => format!(" (is `from outside import {name}` missing?)"),
            None => String::new(),
        };
        let logger = logger(py, "outside")?;
        let (what, log) = (outside::log::one_line(what), logger.getattr(intern!(py, "error"))?);
        match context {
            Some(context) => context.call_method("run", (log, "%s%s", what, hint), Some(&options)).map(drop),
            None => log.call(("%s%s", what, hint), Some(&options)).map(drop),
        }
    })();
    report(py, told);
}

/// Logs a sentence.
pub(crate) fn log_warning(py: Python<'_>, text: &str) {
    let told = logger(py, "outside").and_then(|logger| logger.call_method1("warning", ("%s", text)).map(drop));
    report(py, told);
}

fn missing_name(py: Python<'_>, error: &PyErr) -> Option<String> {
    if !error.is_instance_of::<PyNameError>(py) {
        return None;
    }
    let name: String = error.value(py).getattr("name").ok()?.extract().ok()?;
    let names: Vec<String> = py.import("outside").ok()?.getattr("__all__").ok()?.extract().ok()?;
    names.contains(&name).then_some(name)
}

fn logger<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static GET_LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_LOGGER.import(py, "logging", "getLogger")?.call1((name,))
}

/// Prints the failure of a log to standard error, the only place left.
fn report(py: Python<'_>, told: PyResult<()>) {
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}
