//! The log of the Python face: stdlib `logging` under `outside` and `outside.access`.
//!
//! If neither `outside.access` nor the root logger is configured when the server starts, access lines go straight to
//! standard error, without Python. Records are made by `outside/_log.py`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outside::Refusal;
use outside::log::{AccessRecord, EventRequest, FieldValue, Level, LogSink, StandardError};
use pyo3::exceptions::PyNameError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple};

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
    /// Checks at the start of a server whether `logging` is configured. `is_json`: events become lines of JSON unless it is.
    pub(crate) fn begin(&self, py: Python<'_>, is_json: bool) -> PyResult<()> {
        let configured = half(py, "begin")?.call1((is_json,))?;
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
        // Also the events, where they are lines of JSON.
        StandardError.access(lines);
    }

    fn event(&self, level: Level, text: &str) {
        self.tell(level, text, None);
    }

    fn event_of(&self, level: Level, text: &str, request: &EventRequest) {
        self.tell(level, text, Some(request));
    }

    fn wants_records(&self) -> bool {
        self.access_by_logging.load(Ordering::Relaxed)
    }

    fn records(&self, names: &[String], records: Vec<AccessRecord>) {
        Python::attach(|py| {
            let told = (|| {
                let batch = PyList::empty(py);
                for AccessRecord { line, values } in records {
                    let values: PyResult<Vec<_>> = values.into_iter().map(|value| object_of(py, value)).collect();
                    batch.append((line, PyTuple::new(py, values?)?))?;
                }
                half(py, "access")?.call1((names, batch)).map(drop)
            })();
            report(py, told);
        });
    }

    fn is_terminal(&self) -> bool {
        !self.access_by_logging.load(Ordering::Relaxed) && StandardError.is_terminal()
    }
}

impl PythonLog {
    fn tell(&self, level: Level, text: &str, request: Option<&EventRequest>) {
        Python::attach(|py| {
            let ids = request.map(|ids| (&*ids.id, &*ids.trace_id, &*ids.span_id));
            let told = half(py, "event").and_then(|event| event.call1((number(level), text, ids)).map(drop));
            report(py, told);
        });
    }
}

fn object_of(py: Python<'_>, value: Option<FieldValue>) -> PyResult<Bound<'_, PyAny>> {
    Ok(match value {
        Some(FieldValue::Text(text)) => PyString::new(py, &text).into_any(),
        Some(FieldValue::Number(number)) => number.into_pyobject(py)?.into_any(),
        None => py.None().into_bound(py),
    })
}

/// The number of a level in `logging`.
fn number(level: Level) -> u8 {
    match level {
        Level::Debug => 10,
        Level::Info => 20,
        Level::Warning => 30,
        Level::Error => 40,
    }
}

/// Logs an exception with its traceback, and with a hint if a name of this package was not imported; inside the
/// context, if one is given.
pub(crate) fn log_exception(py: Python<'_>, context: Option<&Bound<'_, PyAny>>, what: &str, error: &PyErr) {
    let told = (|| {
        let hint = match missing_name(py, error) {
            Some(name) => format!(" (is `from outside import {name}` missing?)"),
            None => String::new(),
        };
        let (what, event) = (outside::log::one_line(what), half(py, "event")?);
        let text = format!("{what}{hint}");
        let arguments = (number(Level::Error), text, py.None(), error.value(py));
        match context {
            Some(context) => {
                let (level, text, ids, error) = arguments;
                context.call_method1("run", (event, level, text, ids, error)).map(drop)
            }
            None => event.call1(arguments).map(drop),
        }
    })();
    report(py, told);
}

/// Logs a sentence.
pub(crate) fn log_warning(py: Python<'_>, text: &str) {
    let told = half(py, "event").and_then(|event| event.call1((number(Level::Warning), text)).map(drop));
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

/// A function of the Python half, `outside/_log.py`.
fn half<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("outside._log").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// Prints the failure of a log to standard error, the only place left.
fn report(py: Python<'_>, told: PyResult<()>) {
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}
