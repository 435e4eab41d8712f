//! The command `outside`, for the script that is installed with the package and for `python -m outside`.
//!
//! It runs without Python: no lock is held, nothing is logged through `logging`. Only signals are watched in Python's
//! way, because their handlers are Python's, and are put back afterwards.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outside::{Address, OutsideHttp};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::serving::RunError;
use crate::signals::Signals;

/// Does what the arguments say, the first of which is the program's own name; returns the exit status.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, argv: Vec<OsString>) -> PyResult<u8> {
    let mut raised = None;
    let status = py.detach(|| {
        outside_cli::run_by(argv, |server, started| match serve(server, started) {
            Err(RunError::Python(error)) => {
                raised = Some(error);
                Ok(())
            }
            Err(RunError::Engine(error)) => Err(error),
            Ok(()) => Ok(()),
        })
    });
    raised.map_or(Ok(status), Err)
}

fn serve(server: &OutsideHttp, started: &(dyn Fn(&Address) + Sync)) -> Result<(), RunError> {
    let entered = server.enter()?;
    let came = Arc::new(AtomicBool::new(false));
    let signals = Python::attach(|py| {
        let came = Arc::clone(&came);
        let note = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| came.store(true, Ordering::SeqCst);
        let handler = PyCFunction::new_closure(py, Some(c"terminate"), None, note)?;
        Signals::take(handler.as_any(), &entered, true)
    })?;
    let result: Result<(), RunError> = server.run_entered(entered, started, || {
        Python::attach(|py| py.check_signals())?;
        if came.swap(false, Ordering::SeqCst) {
            server.terminate(true);
        }
        Ok(())
    });
    Python::attach(|py| signals.give_back(py))?;
    result
}
