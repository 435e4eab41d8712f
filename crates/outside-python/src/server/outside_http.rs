//! `OutsideHTTP`: the server that Python programs hold.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use outside::listen::{Endpoint, SocketFile};
use outside::tls::TicketKeys;
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::sync::ErrorFunction;
use crate::errors::{run_error, value_error};
use crate::hosting::asgi::AsgiApplication;
use crate::hosting::wsgi::WsgiApplication;
use crate::logging::log_exception;
use crate::message::request::Request;
use crate::server::listening::{announce, listen, metrics_place, security, to_python};
use crate::server::routes::{counted, engine_handler, need_loop, route_name};
use crate::server::serving::serve_on;
use crate::server::settings::{check_code, check_host, is_alone, read_cors};
use crate::server::state::ServerState;
use crate::support::{kind, lock, shown};
use crate::websocket::route::WebSocket;
use crate::websocket::topics::{listeners, publish, publish_and_wait};

/// An HTTP server with routes, error handlers and a configuration. Nothing is bound before `run()`.
#[pyclass(module = "outside", name = "OutsideHTTP", subclass, frozen, dict, weakref)]
pub(crate) struct OutsideHttp(OnceLock<ServerState>);

/// A wait looks for signals this often.
const SLICE: Duration = Duration::from_millis(100);

impl OutsideHttp {
    pub(crate) fn server(&self) -> PyResult<&ServerState> {
        self.0.get().ok_or_else(|| PyRuntimeError::new_err("call super().__init__(host) first"))
    }

    /// A server that redirects: the same, with the engine's redirect on every path.
    pub(crate) fn redirecting(&self, py: Python<'_>, host: &Bound<'_, PyAny>, destination: &str) -> PyResult<()> {
        let address = check_host(host)?;
        let redirect = outside::OutsideHttpRedirect::at(address, destination).map_err(value_error)?;
        self.initialise(py, host, redirect.server)
    }

    pub(crate) fn empty() -> Self {
        Self(OnceLock::new())
    }

    fn initialise(&self, py: Python<'_>, host: &Bound<'_, PyAny>, engine: outside::OutsideHttp) -> PyResult<()> {
        let state = ServerState::new(py, host, engine)?;
        self.0.set(state).map_err(|_| PyRuntimeError::new_err("a server is initialised once"))
    }
}

#[pymethods]
impl OutsideHttp {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(host)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self::empty()
    }

    fn __init__(&self, py: Python<'_>, host: &Bound<'_, PyAny>) -> PyResult<()> {
        let engine = outside::OutsideHttp::at(check_host(host)?);
        self.initialise(py, host, engine)
    }

    /// Answers this path and everything below it. `handler` is a function, an `async def` function, a `WebSocket`, a
    /// `FilePath` or a `Folder`. `blocking` says whether the function waits: always on a thread of the pool, never, or `None`,
    /// as its own timing says. `host` is the name, or `*.name`, of the only host it answers. `streaming`: it begins with the
    /// head and takes the content by `iter_body()`. `cancel_on_disconnect` says whether an `async def` one is cancelled when its client leaves.
    #[pyo3(signature = (route, handler, blocking=None, host=None, streaming=false, cancel_on_disconnect=None))]
    fn set_route(
        &self,
        route: &str,
        handler: &Bound<'_, PyAny>,
        blocking: Option<bool>,
        host: Option<&str>,
        streaming: bool,
        cancel_on_disconnect: Option<bool>,
    ) -> PyResult<()> {
        let server = self.server()?;
        let name = route_name(host, route)?;
        let made = match (handler.cast::<WsgiApplication>(), handler.cast::<AsgiApplication>()) {
            (Ok(app), _) => app.get().to_engine(handler.py(), route, lock(&server.config).clone_ref(handler.py())),
            (_, Ok(app)) => {
                need_loop(handler.py(), &server.shared)?;
                app.get().to_engine(handler.py(), route, &server.shared)?
            }
            _ => engine_handler(handler, blocking, streaming, cancel_on_disconnect, &server.shared, None)?,
        };
        let set = match host {
            Some(host) => server.engine.set_route_for(host, route, made),
            None => server.engine.set_route(route, made),
        };
        set.map_err(value_error)?;
        server.routes.set(name, handler);
        Ok(())
    }

    /// Says which pages of other origins may read answers below this path: as `config["cors"]`, which it replaces there.
    fn set_cors(&self, route: &str, cors: &Bound<'_, PyAny>) -> PyResult<()> {
        self.server()?.engine.set_cors(route, read_cors(cors)?);
        Ok(())
    }

    /// Takes effect for the next request. An unknown route is a `KeyError` that names the known ones.
    #[pyo3(signature = (route, host=None))]
    fn remove_route(&self, route: &str, host: Option<&str>) -> PyResult<()> {
        let server = self.server()?;
        let name = route_name(host, route)?;
        let removed = match host {
            Some(host) => server.engine.remove_route_for(host, route),
            None => server.engine.remove_route(route),
        };
        removed.map_err(|error| PyKeyError::new_err(error.to_string()))?;
        server.routes.remove(&name);
        Ok(())
    }

    /// `handler(request, message=None)` makes every answer with this code that the server would make itself.
    #[pyo3(signature = (errorcode, handler))]
    fn set_errorhandler(&self, errorcode: &Bound<'_, PyAny>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        let server = self.server()?;
        let code = check_code(errorcode)?;
        if !handler.is_callable() {
            return Err(PyTypeError::new_err(format!("an error handler is a function, not {}", kind(handler))));
        }
        let (function, shared) = (handler.clone().unbind(), Arc::clone(&server.shared));
        let function = Arc::new(ErrorFunction { function, shared, takes_code: false });
        server.engine.set_foreign_errorhandler(code, function).map_err(value_error)?;
        let replaced = lock(&server.error_routes).insert(code, handler.clone().unbind());
        drop(replaced);
        Ok(())
    }

    /// Back to the built-in page; nothing happens if no handler was set.
    fn remove_errorhandler(&self, errorcode: &Bound<'_, PyAny>) -> PyResult<()> {
        let server = self.server()?;
        let code = check_code(errorcode)?;
        server.engine.remove_errorhandler(code);
        let removed = lock(&server.error_routes).remove(&code);
        drop(removed);
        Ok(())
    }

    /// Binds, prints the URL, serves until terminated, then returns. With several `processes` this one supervises.
    fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let server = slf.get().server()?;
        let config = lock(&server.config).clone_ref(py);
        let settings = server.settings(py)?;
        let reactors = is_alone(config.bind(py))?.then_some(settings.config.reactors);
        let recycles = settings.config.max_requests.is_some() || settings.config.max_worker_memory.is_some();
        py.import("outside._process.run")?.call_method1("run", (slf, reactors, recycles)).map(drop)
    }

    /// Serves a single process: on all listeners until terminated, and takes SIGINT, SIGTERM and SIGHUP; prints where it
    /// listens, then calls `ready`.
    fn _serve_alone(slf: &Bound<'_, Self>, ready: Py<PyAny>) -> PyResult<()> {
        let server = slf.get().server()?;
        // Taken, not cloned: the port is closed as soon as the drain begins.
        let listeners = std::mem::take(&mut *lock(&server.listeners));
        let metrics = listeners.metrics();
        serve_on(slf, server, listeners.into(), true, |endpoints| {
            Python::attach(|py| {
                // A closed standard output does not keep a server from serving.
                drop(announce(py, endpoints, metrics.as_ref()));
                if let Err(error) = ready.bind(py).call0() {
                    log_exception(py, None, "telling that the server is ready failed", &error);
                }
            });
        })
    }

    /// Binds one listener for each worker slot or reactor, or adopts those that the environment hands down.
    fn _listen(slf: &Bound<'_, Self>, slots: usize) -> PyResult<()> {
        let server = slf.get().server()?;
        let settings = server.settings(slf.py())?;
        // Cloned, because a handler of the log may run any code, and must not find it locked.
        let keys = lock(&server.ticket_keys).clone();
        let listeners = listen(&server.engine, &settings, &keys, slots)?;
        *lock(&server.socket_files) = listeners.files();
        *lock(&server.listeners) = listeners;
        Ok(())
    }

    /// How many slots for workers there are.
    fn _slots(&self) -> PyResult<usize> {
        Ok(lock(&self.server()?.listeners).slots())
    }

    /// The descriptors of all listeners, each with its slot and a text for the next generation.
    fn _descriptors(&self) -> PyResult<Vec<(i32, usize, String)>> {
        let listeners = lock(&self.server()?.listeners);
        Ok(listeners.descriptors().map(|(slot, descriptor, legacy)| (descriptor.as_raw_fd(), slot, legacy)).collect())
    }

    /// The files of Unix sockets are another process's to remove.
    fn _disown_files(&self) -> PyResult<()> {
        lock(&self.server()?.socket_files).clear();
        Ok(())
    }

    /// Where the listeners listen, as it is printed.
    fn _listening_on(&self) -> PyResult<Vec<String>> {
        Ok(lock(&self.server()?.listeners).endpoints().iter().map(Endpoint::to_string).collect())
    }

    /// Where the server tells its numbers, as it is printed.
    fn _metrics_on(&self) -> PyResult<Option<String>> {
        Ok(lock(&self.server()?.listeners).metrics().as_ref().map(metrics_place))
    }

    /// Whether a listener speaks TLS.
    fn _speaks_tls(&self, py: Python<'_>) -> PyResult<bool> {
        let server = self.server()?;
        Ok(server.engine.speaks_tls(&server.settings(py)?.config))
    }

    /// SIGHUP: a certificate that could not be obtained is tried again, by the process that leads.
    fn _retry_certificates(&self, py: Python<'_>) -> PyResult<()> {
        let server = self.server()?;
        // A configuration that has become invalid is refused by the next generation.
        if let Ok(settings) = server.settings(py) {
            server.engine.retry_certificates(&settings.config);
        }
        Ok(())
    }

    /// The secret behind the session tickets, for the next generation; the keys of times gone by are forgotten.
    fn _ticket_secret(&self) -> PyResult<Vec<u8>> {
        Ok(lock(&self.server()?.ticket_keys).to_bytes())
    }

    /// Takes over the secret of the generation before, if it is one.
    fn _adopt_ticket_secret(&self, secret: Vec<u8>) -> PyResult<()> {
        if let Some(keys) = TicketKeys::from_bytes(&secret) {
            *lock(&self.server()?.ticket_keys) = keys;
        }
        Ok(())
    }

    /// SIGHUP where the program is not started again: certificates are read again.
    #[pyo3(signature = (signum=None, stackframe=None))]
    fn _hang_up(&self, signum: Option<&Bound<'_, PyAny>>, stackframe: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        // Arguments of a signal handler: only SIGHUP calls it, and the frame does not matter.
        let _ = (signum, stackframe);
        self.server()?.engine.hang_up();
        Ok(())
    }

    /// Serves on one listener until terminated, in a worker process; calls `ready` once it is listening. Signal handlers are
    /// the caller's. `report` is the descriptor of the pipe to the supervisor. `False` if another worker took its place.
    #[pyo3(signature = (slot, ready, report))]
    fn _serve(slf: &Bound<'_, Self>, slot: usize, ready: Py<PyAny>, report: i32) -> PyResult<bool> {
        let server = slf.get().server()?;
        let listeners = lock(&server.listeners).slot(slot).map_err(run_error)?;
        *lock(&server.shared.report) = Some(File::options().write(true).open(format!("/dev/fd/{report}"))?);
        serve_on(slf, server, listeners.into(), false, |_| {
            Python::attach(|py| {
                if let Err(error) = ready.bind(py).call0() {
                    log_exception(py, None, "telling that a worker is ready failed", &error);
                }
            });
        })?;
        Ok(!server.shared.is_replaced.load(Ordering::SeqCst))
    }

    /// Ends this server after another one has taken its listeners over: idle connections may send one more request.
    fn _retire(&self) -> PyResult<()> {
        self.server()?.engine.retire();
        Ok(())
    }

    /// Closes the listeners of `_listen`, and removes the file of a Unix socket.
    fn _close_listeners(slf: &Bound<'_, Self>) -> PyResult<()> {
        let server = slf.get().server()?;
        drop(std::mem::take(&mut *lock(&server.listeners)));
        std::mem::take(&mut *lock(&server.socket_files)).into_iter().for_each(SocketFile::remove);
        Ok(())
    }

    /// Stops accepting, answers the requests in flight, and cuts connections that are left after `termination_timeout`. Usable as a signal
    /// handler; a second call with a `signum` cuts at once.
    #[pyo3(signature = (signum=None, stackframe=None))]
    fn terminate(&self, signum: Option<&Bound<'_, PyAny>>, stackframe: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        // Only the number tells a signal from a call.
        drop(stackframe);
        let server = self.server()?;
        if signum.is_some() && server.has_stood_in.swap(false, Ordering::SeqCst) {
            // The end has begun for this signal already.
            return Ok(());
        }
        server.engine.terminate(signum.is_some());
        Ok(())
    }

    /// Waits until the server listens; `False` if that takes longer than `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn wait_until_ready(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let server = self.server()?;
        let timeout = match timeout.map(Duration::try_from_secs_f64) {
            Some(Ok(timeout)) => Some(timeout),
            Some(Err(_)) => return Err(PyValueError::new_err("timeout is a number of seconds from 0 on, or None")),
            None => None,
        };
        // In slices, so that Ctrl+C ends the wait.
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()).min(SLICE));
            if py.detach(|| server.engine.wait_until_ready(Some(left))) {
                return Ok(true);
            }
            py.check_signals()?;
            if left < SLICE {
                return Ok(false);
            }
        }
    }

    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        Ok(lock(&self.server()?.config).clone_ref(py))
    }

    #[setter]
    fn set_config(&self, config: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(config) = config.cast::<PyDict>() else {
            return Err(PyTypeError::new_err(format!("config is a dict, not {}", kind(config))));
        };
        let replaced = std::mem::replace(&mut *lock(&self.server()?.config), config.clone().unbind());
        drop(replaced);
        Ok(())
    }

    /// Where the server listens, the chosen port included (`"unix:PATH"` for a Unix socket); `None` while it does not.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.server()?.engine.address().map(|address| to_python(py, &address)).transpose()
    }

    /// All places where it listens, as `address` tells the first one: the constructor's, those of `listen()`, and that of
    /// `https_redirect`. Empty while it does not.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let endpoints = self.server()?.engine.endpoints();
        endpoints.iter().map(|endpoint| to_python(py, &endpoint.address)).collect()
    }

    /// Listens here too, from the next `run()` on. `tls` says whether TLS is spoken there: `True`, with the certificates of
    /// the configuration, or a dictionary (or a list of them) with `certfile` and `keyfile`.
    #[pyo3(signature = (host, tls=None))]
    fn listen(&self, host: &Bound<'_, PyAny>, tls: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let server = self.server()?;
        if server.engine.address().is_some() {
            return Err(PyRuntimeError::new_err(
                "a server that runs cannot listen elsewhere; call listen() before run()",
            ));
        }
        server.engine.listen_at(check_host(host)?, security(tls)?);
        Ok(())
    }

    #[getter]
    fn _terminate_process(&self) -> PyResult<bool> {
        Ok(self.server()?.engine.is_terminating())
    }

    #[getter]
    fn _active_requests(&self, py: Python<'_>) -> PyResult<Vec<Py<Request>>> {
        let server = self.server()?;
        let mut active = server.shared.active(py);
        for handler in server.routes.handlers(py) {
            if let Ok(websocket) = handler.bind(py).cast::<WebSocket>() {
                for connection in websocket.get().handlers().active() {
                    active.push(Py::new(py, Request::view(Arc::clone(connection.request())))?);
                }
            }
        }
        Ok(active)
    }

    /// Sends `str` as text and `bytes` as binary to all WebSocket connections and event streams that have subscribed to the
    /// topic, in all processes of this server. Waits for none of them.
    fn publish(&self, topic: &str, data: &Bound<'_, PyAny>) -> PyResult<()> {
        publish(&self.server()?.engine, topic, data)
    }

    /// The same, and waits for the id of the message, as `epoch-number`. `TimeoutError`: it may have been sent or not.
    #[pyo3(signature = (topic, data, timeout=1.0))]
    fn publish_and_wait(&self, topic: &str, data: &Bound<'_, PyAny>, timeout: f64) -> PyResult<String> {
        publish_and_wait(&self.server()?.engine, topic, data, timeout)
    }

    /// How many connections have subscribed to the topic, in all processes of this server.
    #[pyo3(signature = (topic, timeout=1.0))]
    fn listeners(&self, py: Python<'_>, topic: &str, timeout: f64) -> PyResult<usize> {
        listeners(&self.server()?.engine, py, topic, timeout)
    }

    #[getter]
    fn _routes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.server()?.routes.to_dict(py)
    }

    #[getter]
    fn _error_routes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let routes = PyDict::new(py);
        for (code, handler) in &*lock(&self.server()?.error_routes) {
            routes.set_item(code, handler)?;
        }
        Ok(routes)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let server = self.server()?;
        let routes = counted(server.routes.len() + server.engine.patterns().len());
        let host = lock(&server.config).bind(py).get_item("host")?;
        let host = host.map_or_else(String::new, |host| shown(&host));
        Ok(format!("<OutsideHTTP {host}, {routes}>"))
    }
}
