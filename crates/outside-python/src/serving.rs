//! Serving on listeners, from the first signal handler set to the last callback called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outside::{BindError, Doors, Endpoint, Entered};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use crate::call::Callbacks;
use crate::call::asynchronous::EventLoop;
use crate::call::interrupt::prepare as prepare_interrupts;
use crate::contention;
use crate::debug_token::{Entrance, announce as announce_token};
use crate::forked;
use crate::hooks::install;
use crate::logging::log_exception;
use crate::routes::is_async;
use crate::server::{OutsideHttp, lock};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::websocket::WebSocket;

/// Serves on listeners, or on none, until terminated.
pub(crate) fn serve_on(
    slf: &Bound<'_, OutsideHttp>,
    doors: Doors,
    takes_signals: bool,
    started: impl FnOnce(&[Endpoint]) + Send,
) -> PyResult<()> {
    let py = slf.py();
    let server = slf.get().server()?;
    let entered = server.engine.enter().map_err(run_error)?;
    let _known = Known::begin(slf, &entered);
    let this = slf.clone().unbind();
    let started = move |endpoints: &[Endpoint]| {
        forked::listen(&this, endpoints);
        started(endpoints);
    };
    let Settings { config, pre_send, post_callback, server_cleanup, .. } = server.settings(py)?;
    *lock(&server.shared.callbacks) =
        Callbacks { pre_send: pre_send.map(Arc::new), post_callback: post_callback.map(Arc::new) };
    install(server, py);
    server.shared.failure.begin(config.debug);
    server.log.begin(py)?;
    prepare_interrupts(py)?;
    let handlers = server.routes.handlers(py);
    let running = RunningServer::count();
    let entrance = (config.debug && !matches!(doors, Doors::Memory(_))).then(|| Entrance::open(&server.engine));
    let entrance = entrance.transpose().map_err(run_error)?;
    let tells_token = takes_signals && entrance.is_some();
    // A WebSocket's handlers may still be set, and be `async def` functions.
    let may_need_loop =
        |handler: &Bound<'_, PyAny>| handler.cast::<WebSocket>().is_ok() || is_async(handler).unwrap_or(true);
    let needs_loop = server.shared.needs_loop.load(Ordering::Relaxed);
    if needs_loop || handlers.iter().any(|handler| may_need_loop(handler.bind(py))) {
        EventLoop::running(py)?;
    }
    if let Err(error) = call_hook(slf, "_run_startup") {
        end_loop(py, running, config.termination_timeout)?;
        return Err(error);
    }
    let mut signals = Signals::take(&slf.getattr("terminate")?, &slf.getattr("_hang_up")?, &entered, takes_signals)?;
    let result = py.detach(|| {
        let rung = || Python::attach(|py| py.check_signals()).map_err(RunError::Python);
        let started = |endpoints: &[Endpoint]| {
            started(endpoints);
            if tells_token {
                drop(Python::attach(|py| announce_token(py, endpoints)));
            }
        };
        server.engine.run_with(entered, doors, &config, started, rung)
    });
    drop(entrance);
    signals.give_back_ends(py)?;
    if let Err(error) = call_hook(slf, "_run_shutdown") {
        log_exception(py, None, "on_shutdown failed", &error);
    }
    let has_ended_loop = end_loop(py, running, config.termination_timeout);
    if let Some(cleanup) = server_cleanup
        && let Err(error) = cleanup.bind(py).call0()
    {
        log_exception(py, None, "server_cleanup failed", &error);
    }
    signals.give_back(py)?;
    has_ended_loop?;
    result.map_err(|error| match error {
        RunError::Python(error) => error,
        RunError::Engine(error) => run_error(error),
    })
}

/// Calls what the Python half of the class does at this moment.
fn call_hook(slf: &Bound<'_, OutsideHttp>, name: &str) -> PyResult<()> {
    match slf.as_any().getattr_opt(name)? {
        Some(hook) => hook.call0().map(drop),
        None => Ok(()),
    }
}

/// A server does not run any more; the last one ends the loop of `async def` handlers.
fn end_loop(py: Python<'_>, running: RunningServer, patience: Duration) -> PyResult<()> {
    if running.end() {
        EventLoop::stop(py, patience)?;
        contention::end(py)?;
    }
    Ok(())
}

/// A server that forks have to know of.
struct Known<'a, 'py>(&'a Bound<'py, OutsideHttp>);

impl<'a, 'py> Known<'a, 'py> {
    fn begin(server: &'a Bound<'py, OutsideHttp>, entered: &Entered) -> Self {
        forked::begin(server, entered);
        Self(server)
    }
}

impl Drop for Known<'_, '_> {
    fn drop(&mut self) {
        forked::end(self.0);
    }
}

/// Servers that run in this process: the last one ends the event loop of async handlers.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of them.
pub(crate) struct RunningServer(());

impl RunningServer {
    /// Is there any?
    pub(crate) fn any() -> bool {
        RUNNING.load(Ordering::SeqCst) > 0
    }

    /// This process is a child of the one in which they run.
    pub(crate) fn forget_all() {
        RUNNING.store(0, Ordering::SeqCst);
    }

    fn count() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }

    /// Ends it; was it the last one?
    fn end(self) -> bool {
        std::mem::forget(self);
        RUNNING.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What `run` may end with.
pub(crate) enum RunError {
    Python(PyErr),
    Engine(outside::Error),
}

impl From<PyErr> for RunError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<outside::Error> for RunError {
    fn from(error: outside::Error) -> Self {
        Self::Engine(error)
    }
}

/// The exception for what `run` may end with.
/// A file that cannot be had: Python chooses FileNotFoundError and its siblings by the number.
pub(crate) fn os_error(error: outside::Error) -> PyErr {
    match error.source_as::<std::io::Error>() {
        Some(system) => system_error(system, &error),
        None => PyOSError::new_err(error.to_string()),
    }
}

pub(crate) fn run_error(error: outside::Error) -> PyErr {
    match error.source_as::<BindError>() {
        Some(bind) => system_error(&bind.error, &error),
        None => PyRuntimeError::new_err(error.to_string()),
    }
}

pub(crate) fn system_error(system: &std::io::Error, error: &outside::Error) -> PyErr {
    match system.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
