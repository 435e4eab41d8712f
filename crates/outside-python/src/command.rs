//! The command `outside`, for the script that is installed with the package and for `python -m outside`.
//!
//! Folders and redirects are served without Python: no lock is held, and `logging` is not used. Only signals are
//! watched in Python's way, because their handlers are Python's, and are put back afterwards.

use std::cell::Cell;
use std::ffi::{CStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outside::{Endpoint, OutsideHttp};
use outside_cli::{Action, Program};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::errors::RunError;
use crate::server::signals::SignalHandlers;

/// Runs the command of these arguments, the first of which is the program's own name; returns the exit status.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, argv: Vec<OsString>) -> PyResult<u8> {
    let (status, raised) = py.detach(|| {
        let failed = Cell::new(None);
        let run = |server: &OutsideHttp, started: &(dyn Fn(&[Endpoint]) + Sync)| match serve(server, started) {
            Err(RunError::Python(error)) => {
                failed.set(Some(error));
                Ok(())
            }
            Err(RunError::Engine(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        let status = outside_cli::run_by(argv, run, |asked| {
            Python::attach(|py| program(py, asked)).unwrap_or_else(|error| {
                failed.set(Some(error));
                outside_cli::NOT_STARTED
            })
        });
        (status, failed.into_inner())
    });
    raised.map_or(Ok(status), Err)
}

/// Runs or lists the server of a program, in Python: `outside/_dev/command.py`.
fn program(py: Python<'_>, asked: &Program) -> PyResult<u8> {
    let options = PyDict::new(py);
    options.set_item("host", asked.host.as_deref())?;
    options.set_item("port", asked.port)?;
    options.set_item("allowed_hosts", &asked.allowed_hosts)?;
    options.set_item("access_log", asked.log.as_deref())?;
    options.set_item("workers", asked.options.workers.as_deref())?;
    options.set_item("debug", asked.options.debug)?;
    options.set_item("others", &asked.options.others)?;
    options.set_item("certfile", asked.tls.as_ref().map(|files| &files.certfile))?;
    options.set_item("keyfile", asked.tls.as_ref().map(|files| &files.keyfile))?;
    let name = match asked.action {
        Action::Run if asked.options.reload => "run_reloading",
        Action::Run => "run",
        Action::Routes => "print_routes",
    };
    py.import("outside._dev.command")?.call_method1(name, (&asked.target, options))?.extract()
}

fn serve(server: &OutsideHttp, started: &(dyn Fn(&[Endpoint]) + Sync)) -> Result<(), RunError> {
    let server_run = server.enter()?;
    let (came, has_hung_up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let signals = Python::attach(|py| {
        let terminate = noting(py, c"terminate", &came)?;
        let hang_up = noting(py, c"hang_up", &has_hung_up)?;
        SignalHandlers::take(terminate.as_any(), hang_up.as_any(), &server_run, true)
    })?;
    let result: Result<(), RunError> = server.run_entered(server_run, started, || {
        Python::attach(|py| py.check_signals())?;
        if came.swap(false, Ordering::SeqCst) {
            server.terminate(true);
        }
        if has_hung_up.swap(false, Ordering::SeqCst) {
            server.hang_up();
        }
        Ok(())
    });
    Python::attach(|py| signals.give_back(py))?;
    result
}

/// A signal handler that sets a flag.
fn noting<'py>(py: Python<'py>, name: &'static CStr, came: &Arc<AtomicBool>) -> PyResult<Bound<'py, PyCFunction>> {
    let came = Arc::clone(came);
    let note = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| came.store(true, Ordering::SeqCst);
    PyCFunction::new_closure(py, Some(name), None, note)
}
