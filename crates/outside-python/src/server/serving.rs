//! Serving on listeners, from the first signal handler set to the last callback called.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outside::config::AccessLog;
use outside::listen::{ConnectionSource, Endpoint};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::call::hooks::install;
use crate::call::interrupt::prepare as prepare_interrupts;
use crate::call::shared::Callbacks;
use crate::errors::{RunError, run_error};
use crate::event_loop::EventLoop;
use crate::logging::log_exception;
use crate::message::json::JsonDefault;
use crate::server::bus_in_use::BusInUse;
use crate::server::debug_token::{TokenRoute, announce as announce_token};
use crate::server::hosted::{Hosted, note_address};
use crate::server::running::{self, RunRecord, RunningServer};
use crate::server::settings::Settings;
use crate::server::signals::SignalHandlers;
use crate::server::state::ServerState;
use crate::server::terminations::Terminations;
use crate::server::{certificates, contention};
use crate::support::{is_async, lock};
use crate::websocket::route::WebSocket;

/// Serves on listeners, or on none, until terminated. `object` is the program's server, of a subclass perhaps.
pub(crate) fn serve_on(
    object: &Bound<'_, PyAny>,
    server: &ServerState,
    source: ConnectionSource,
    takes_signals: bool,
    started: impl FnOnce(&[Endpoint]) + Send,
) -> PyResult<()> {
    let py = object.py();
    let server_run = server.engine.enter().map_err(run_error)?;
    // Kept until the end of the run.
    let record = RunRecord::begin(object, &server.shared, &server_run);
    let this = object.clone().unbind();
    let started = move |endpoints: &[Endpoint]| {
        running::note_endpoints(&this, endpoints);
        started(endpoints);
    };
    let Settings { config, pre_send, post_callback, server_cleanup, acme_dns, on_certificate, json_default, .. } =
        server.settings(py)?;
    server.engine.set_certificate_hooks(certificates::hooks(acme_dns, on_certificate));
    *lock(&server.shared.callbacks) =
        Callbacks { pre_send: pre_send.map(Arc::new), post_callback: post_callback.map(Arc::new) };
    install(&server.engine, &server.shared, py);
    let json_default = json_default.map(|function| JsonDefault::begin(py, &function)).transpose()?;
    server.shared.uncaught.begin(config.debug);
    server.log.begin(py, config.access_log == AccessLog::Json)?;
    prepare_interrupts(py)?;
    let handlers = server.routes.handlers(py);
    let running = RunningServer::count();
    let token_route =
        (config.debug && !matches!(source, ConnectionSource::Memory(_))).then(|| TokenRoute::open(&server.engine));
    let token_route = token_route.transpose().map_err(run_error)?;
    let tells_token = takes_signals && token_route.is_some();
    // A WebSocket may still get handlers that are `async def` functions.
    let may_need_loop =
        |handler: &Bound<'_, PyAny>| handler.cast::<WebSocket>().is_ok() || is_async(handler).unwrap_or(true);
    let needs_loop = server.shared.needs_loop.load(Ordering::Relaxed);
    // The loop of hosted applications is the main thread's, where signals are handled.
    let hosted = Hosted::of(py, &handlers)?;
    let driver = match &hosted {
        Some(_) if is_main_thread(py)? => EventLoop::here(py)?,
        _ => None,
    };
    if needs_loop || handlers.iter().any(|handler| may_need_loop(handler.bind(py))) {
        EventLoop::running(py)?;
    }
    let begun = BusInUse::open(py, server, &config).and_then(|bus| {
        hosted.as_ref().map_or(Ok(()), |hosted| hosted.start(py))?;
        call_hook(object, "_run_startup")?;
        Ok(bus)
    });
    let bus = match begun {
        Ok(bus) => bus,
        Err(error) => {
            end_loop(py, running, config.termination_timeout)?;
            return Err(error);
        }
    };
    let mut signals =
        SignalHandlers::take(&object.getattr("terminate")?, &object.getattr("_hang_up")?, &server_run, takes_signals)?;
    let wakeup = server_run.wake_pipe().as_raw_fd();
    let terminations = Terminations::new(server, &server_run, py, driver.is_some());
    let serve = || {
        let on_wake = || terminations.on_wake();
        let started = |endpoints: &[Endpoint]| {
            if let Some(first) = endpoints.first() {
                drop(Python::attach(|py| note_address(py, &handlers, &first.address)));
            }
            started(endpoints);
            if tells_token {
                drop(Python::attach(|py| announce_token(py, endpoints)));
            }
        };
        server.engine.run_with(server_run, source, &config, started, on_wake)
    };
    let result = match &driver {
        None => py.detach(serve),
        Some(driver) => serve_beside(driver, wakeup, signals.wakeup_before(), serve)?,
    };
    drop(token_route);
    signals.give_back_ends(py)?;
    if let Some(hosted) = &hosted {
        hosted.end(py, terminations.patience(config.termination_timeout));
    }
    if let Err(error) = call_hook(object, "_run_shutdown") {
        log_exception(py, None, "on_shutdown failed", &error);
    }
    drop(bus);
    let has_ended_loop = end_loop(py, running, config.termination_timeout);
    if let Some(cleanup) = server_cleanup
        && let Err(error) = cleanup.bind(py).call0()
    {
        log_exception(py, None, "server_cleanup failed", &error);
    }
    signals.give_back(py)?;
    drop(json_default);
    drop(record);
    has_ended_loop?;
    result.map_err(|error| match error {
        RunError::Python(error) => error,
        RunError::Engine(error) => run_error(error),
    })
}

/// Serves on a thread of its own while this one, which is the main thread, drives the asyncio loop.
fn serve_beside<T: Send>(
    driver: &Bound<'_, PyAny>,
    wakeup: i32,
    wakeup_before: i32,
    serve: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let py = driver.py();
    std::thread::scope(|scope| {
        let serve = || {
            let result = serve();
            EventLoop::leave();
            result
        };
        let serving = std::thread::Builder::new().name("outside-end".into()).spawn_scoped(scope, serve)?;
        let driven = driver.call_method1("run", (wakeup, wakeup_before));
        let served = py.detach(|| serving.join());
        driven?;
        served.map_err(|_| PyRuntimeError::new_err("the server panicked"))
    })
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    Ok(threading.call_method0("current_thread")?.is(threading.call_method0("main_thread")?))
}

/// Calls a method of the Python half of the class, if it has it.
fn call_hook(object: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    match object.getattr_opt(name)? {
        Some(hook) => hook.call0().map(drop),
        None => Ok(()),
    }
}

/// Counts the end of a server; the last one ends the loop of `async def` handlers.
fn end_loop(py: Python<'_>, running: RunningServer, patience: Duration) -> PyResult<()> {
    if running.end() {
        EventLoop::stop(py, patience)?;
        contention::end(py)?;
    }
    Ok(())
}
