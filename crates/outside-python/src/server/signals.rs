//! Signals while a server runs on the main thread.

use std::os::fd::AsRawFd as _;

use outside::ServerRun;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The signal handlers that were there before, if this is the main thread.
pub(crate) struct SignalHandlers {
    handlers: Vec<(i32, Py<PyAny>)>,
    wakeup: Option<i32>,
}

impl SignalHandlers {
    /// Has this thread woken by signals; takes SIGINT and SIGTERM over where they have their default handlers, if asked,
    /// to have `terminate` called with their number, and SIGHUP for `hang_up`. Those that are left to the program are named in
    /// the log.
    pub(crate) fn take(
        terminate: &Bound<'_, PyAny>,
        hang_up: &Bound<'_, PyAny>,
        server_run: &ServerRun,
        takes_over: bool,
    ) -> PyResult<Self> {
        let py = terminate.py();
        let threading = py.import("threading")?;
        if !threading.call_method0("current_thread")?.is(threading.call_method0("main_thread")?) {
            return Ok(Self { handlers: Vec::new(), wakeup: None });
        }
        let signal = py.import("signal")?;
        let mut taken = Self { handlers: Vec::new(), wakeup: None };
        if takes_over {
            py.import("outside._process.signals")?.call_method1("warn_of_others", (terminate,))?;
        }
        let wanted = [
            ("SIGINT", "default_int_handler", terminate),
            ("SIGTERM", "SIG_DFL", terminate),
            ("SIGHUP", "SIG_DFL", hang_up),
        ];
        for (name, default, handler) in wanted {
            let number: i32 = signal.getattr(name)?.extract()?;
            let before = signal.call_method1("getsignal", (number,))?;
            if takes_over && before.eq(signal.getattr(default)?)? {
                signal.call_method1("signal", (number, handler))?;
                taken.handlers.push((number, before.unbind()));
            }
        }
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        let button = server_run.wake_pipe().as_raw_fd();
        taken.wakeup = Some(signal.call_method("set_wakeup_fd", (button,), Some(&options))?.extract()?);
        Ok(taken)
    }

    /// Gives all back but SIGHUP, while the run ends: a terminal that closes sends SIGHUP more than once.
    pub(crate) fn give_back_ends(&mut self, py: Python<'_>) -> PyResult<()> {
        let signal = py.import("signal")?;
        if let Some(descriptor) = self.wakeup.take() {
            signal.call_method1("set_wakeup_fd", (descriptor,))?;
        }
        let hangup: i32 = signal.getattr("SIGHUP")?.extract()?;
        for (number, handler) in self.handlers.extract_if(.., |(number, _)| *number != hangup) {
            signal.call_method1("signal", (number, handler))?;
        }
        Ok(())
    }

    pub(crate) fn give_back(mut self, py: Python<'_>) -> PyResult<()> {
        self.give_back_ends(py)?;
        let signal = py.import("signal")?;
        for (number, handler) in self.handlers {
            signal.call_method1("signal", (number, handler))?;
        }
        Ok(())
    }
}
