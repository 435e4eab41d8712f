//! Signals while a server runs on the main thread.

use std::os::fd::AsRawFd as _;

use outside::ServerRun;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The signal handlers that were there before, if this is the main thread.
pub(crate) struct SignalHandlers {
    handlers: Vec<TakenSignal>,
    wakeup: Option<i32>,
}

/// A signal that the server handles meanwhile.
struct TakenSignal {
    number: i32,
    before: Py<PyAny>,
    own: Py<PyAny>,
}

impl TakenSignal {
    /// Puts back the handler that was there before, unless the server's own one has been replaced meanwhile.
    fn give_back(self, signal: &Bound<'_, PyModule>) -> PyResult<()> {
        if signal.call_method1("getsignal", (self.number,))?.eq(&self.own)? {
            signal.call_method1("signal", (self.number, self.before))?;
        }
        Ok(())
    }
}

impl SignalHandlers {
    /// Has signals wake this thread. If asked, SIGINT and SIGTERM with their default handlers call `terminate` with
    /// their number from now on, and SIGHUP calls `hang_up`. The log names the signals that are left to the program.
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
                taken.handlers.push(TakenSignal { number, before: before.unbind(), own: handler.clone().unbind() });
            }
        }
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        let button = server_run.wake_pipe().as_raw_fd();
        taken.wakeup = Some(signal.call_method("set_wakeup_fd", (button,), Some(&options))?.extract()?);
        Ok(taken)
    }

    /// Gives all signals back but SIGHUP, while the run ends: a terminal that closes sends SIGHUP more than once.
    pub(crate) fn give_back_ends(&mut self, py: Python<'_>) -> PyResult<()> {
        let signal = py.import("signal")?;
        if let Some(descriptor) = self.wakeup.take() {
            signal.call_method1("set_wakeup_fd", (descriptor,))?;
        }
        let hangup: i32 = signal.getattr("SIGHUP")?.extract()?;
        self.handlers.extract_if(.., |taken| taken.number != hangup).try_for_each(|taken| taken.give_back(&signal))
    }

    /// The descriptor to which the handlers of signals wrote before; -1 for none.
    pub(crate) fn wakeup_before(&self) -> i32 {
        self.wakeup.unwrap_or(-1)
    }

    pub(crate) fn give_back(mut self, py: Python<'_>) -> PyResult<()> {
        self.give_back_ends(py)?;
        let signal = py.import("signal")?;
        self.handlers.into_iter().try_for_each(|taken| taken.give_back(&signal))
    }
}
