//! `OutsideHTTP`: the server that Python programs hold.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use outside::{BindError, Config, Handler, KEYS, Value};
use pyo3::exceptions::{PyKeyError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple};

use crate::call::Shared;
use crate::call::asynchronous::{AsyncFunction, Coroutine, EventLoop};
use crate::call::sync::{ErrorFunction, Function};
use crate::embedding::PythonHost;
use crate::file_path::{FilePath, kind};
use crate::hooks::PythonHooks;
use crate::logging::{PythonLog, log_exception};
use crate::request::Request;

/// An HTTP server with routes, error handlers and a configuration. Nothing is bound before `run()`.
#[pyclass(module = "outside", name = "OutsideHTTP", subclass, frozen, dict, weakref)]
pub(crate) struct OutsideHttp(OnceLock<Server>);

/// What a server consists of once it is initialised.
struct Server {
    engine: outside::OutsideHttp,
    log: Arc<PythonLog>,
    shared: Arc<Shared>,
    config: Mutex<Py<PyDict>>,
    routes: Mutex<BTreeMap<String, Py<PyAny>>>,
    error_routes: Mutex<BTreeMap<u16, Py<PyAny>>>,
}

/// Servers that run in this process: the last one ends the event loop of async handlers.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `run` may end with.
enum RunError {
    Python(PyErr),
    Engine(outside::Error),
}

impl From<outside::Error> for RunError {
    fn from(error: outside::Error) -> Self {
        Self::Engine(error)
    }
}

impl OutsideHttp {
    fn server(&self) -> PyResult<&Server> {
        self.0.get().ok_or_else(|| PyRuntimeError::new_err("call super().__init__(host) first"))
    }

    /// A server that redirects: the same, with the engine's redirect on every path.
    pub(crate) fn redirecting(&self, py: Python<'_>, host: &Bound<'_, PyAny>, destination: &str) -> PyResult<()> {
        let (ip, port) = check_host(host)?;
        let redirect = outside::OutsideHttpRedirect::new((ip.as_str(), port), destination).map_err(value_error)?;
        self.initialise(py, ip, port, redirect.server)
    }

    pub(crate) fn empty() -> Self {
        Self(OnceLock::new())
    }

    fn initialise(&self, py: Python<'_>, ip: String, port: u16, engine: outside::OutsideHttp) -> PyResult<()> {
        let config = PyDict::new(py);
        config.set_item("host", (ip, port))?;
        for key in KEYS.iter().filter(|key| key.name != "host") {
            match &key.default {
                Value::Bool(value) => config.set_item(key.name, value)?,
                Value::Integer(value) => config.set_item(key.name, value)?,
                Value::Float(value) => config.set_item(key.name, value)?,
                Value::Text(value) => config.set_item(key.name, value)?,
                _ => config.set_item(key.name, py.None())?,
            }
        }
        let log = Arc::new(PythonLog::default());
        let server = Server {
            engine: engine.embedded(Arc::new(PythonHost), Arc::clone(&log) as Arc<dyn outside::LogSink>),
            log,
            shared: Arc::default(),
            config: Mutex::new(config.unbind()),
            routes: Mutex::default(),
            error_routes: Mutex::default(),
        };
        self.0.set(server).map_err(|_| PyRuntimeError::new_err("a server is initialised once"))
    }
}

/// An address as `(ip, port)`.
fn check_host(host: &Bound<'_, PyAny>) -> PyResult<(String, u16)> {
    let wrong = || PyTypeError::new_err(format!("host is (ip, port), a str and an int, not {}", shown(host)));
    let pair = host.cast::<PyTuple>().map_err(|_| wrong())?;
    let (ip, port): (String, i64) = pair.extract().map_err(|_| wrong())?;
    if pair.get_item(1)?.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    let port = u16::try_from(port)
        .map_err(|_| PyValueError::new_err(format!("a port is a number from 0 to 65535, not {port}")))?;
    let found = (ip.as_str(), port).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
    match found {
        true => Ok((ip, port)),
        false => Err(PyValueError::new_err(format!("{ip:?} is no address of this machine; for example \"127.0.0.1\""))),
    }
}

fn shown(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| kind(object), |text| text.to_string())
}

fn value_error(error: outside::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn value_of(value: &Bound<'_, PyAny>) -> Value {
    if value.is_none() {
        Value::None
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if value.is_instance_of::<PyInt>() {
        value.extract().map_or_else(|_| Value::Other(shown(value)), Value::Integer)
    } else if value.is_instance_of::<PyFloat>() {
        value.extract().map_or_else(|_| Value::Other(shown(value)), Value::Float)
    } else if let Ok(text) = value.cast::<PyString>() {
        Value::Owned(text.to_string_lossy().into_owned())
    } else if let Ok(pair) = value.cast::<PyTuple>() {
        pair.extract().map_or_else(|_| Value::Other(shown(value)), |(ip, port)| Value::Address(ip, port))
    } else if value.is_callable() {
        Value::Callable
    } else {
        Value::Other(shown(value))
    }
}

#[pymethods]
impl OutsideHttp {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(host)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // So that a subclass may have an __init__ of its own; what is given is looked at there.
        Self::empty()
    }

    fn __init__(&self, py: Python<'_>, host: &Bound<'_, PyAny>) -> PyResult<()> {
        let (ip, port) = check_host(host)?;
        let engine = outside::OutsideHttp::new((ip.as_str(), port)).map_err(value_error)?;
        self.initialise(py, ip, port, engine)
    }

    /// Answers this path and everything below it. `handler` is a function, an `async def` function or a `FilePath`.
    /// `blocking` says whether the function waits: `True`, always on a thread of the pool; `False`, never; `None`, as
    /// its own timing says.
    #[pyo3(signature = (route, handler, blocking=None))]
    fn set_route(
        &self,
        py: Python<'_>,
        route: &str,
        handler: &Bound<'_, PyAny>,
        blocking: Option<bool>,
    ) -> PyResult<()> {
        let server = self.server()?;
        let shared = Arc::clone(&server.shared);
        let made = if let Ok(file) = handler.cast::<FilePath>() {
            Handler::File(file.get().fields_path().into())
        } else if !handler.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "a handler is a function, an async def function or a FilePath, not {}",
                kind(handler)
            )));
        } else if is_async(handler)? {
            if server.engine.address().is_some() {
                EventLoop::running(py)?;
            }
            Handler::Elsewhere(Arc::new(AsyncFunction(Arc::new(Coroutine {
                function: handler.clone().unbind(),
                shared,
            }))))
        } else {
            Handler::Inline(outside::Function::new(Function { function: handler.clone().unbind(), shared }, blocking))
        };
        server.engine.set_route(route, made).map_err(value_error)?;
        let mut routes = lock(&server.routes);
        let same = |other: &String| other.trim_end_matches('/') == route.trim_end_matches('/');
        let replaced = routes.keys().find(|other| same(other)).cloned().and_then(|other| routes.remove(&other));
        routes.insert(route.to_owned(), handler.clone().unbind());
        drop(routes);
        drop(replaced);
        Ok(())
    }

    /// Takes effect for the next request. An unknown route is a `KeyError` that names the known ones.
    fn remove_route(&self, route: &str) -> PyResult<()> {
        let server = self.server()?;
        server.engine.remove_route(route).map_err(|error| PyKeyError::new_err(error.to_string()))?;
        let mut routes = lock(&server.routes);
        let same = |other: &String| other.trim_end_matches('/') == route.trim_end_matches('/');
        let removed = routes.keys().find(|other| same(other)).cloned().and_then(|other| routes.remove(&other));
        drop(routes);
        drop(removed);
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
        let function = Arc::new(ErrorFunction(handler.clone().unbind()));
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

    /// Binds, prints the URL, serves until terminated, then returns.
    fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let server = slf.get().server()?;
        let entered = server.engine.enter().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let config = lock(&server.config).clone_ref(py).into_bound(py);
        let (address, settings, cleanup) = server.settings(&config)?;
        server.log.begin(py)?;
        let handlers = lock(&server.routes).values().map(|handler| handler.clone_ref(py)).collect::<Vec<_>>();
        if handlers.iter().any(|handler| matches!(is_async(handler.bind(py)), Ok(true))) {
            EventLoop::running(py)?;
        }
        let signals = Signals::take(slf)?;
        RUNNING.fetch_add(1, Ordering::SeqCst);
        let result = py.detach(|| {
            let started = |address: SocketAddr| {
                Python::attach(|py| {
                    let text = format!("outside is serving on http://{address} (Ctrl+C stops it)");
                    let options = PyDict::new(py);
                    let printed = options
                        .set_item("flush", true)
                        .and_then(|()| py.import("builtins")?.getattr("print")?.call((text,), Some(&options)));
                    // A closed standard output does not keep a server from serving.
                    drop(printed);
                });
            };
            let rung = || Python::attach(|py| py.check_signals()).map_err(RunError::Python);
            server.engine.run_with(entered, address, &settings, started, rung)
        });
        if RUNNING.fetch_sub(1, Ordering::SeqCst) == 1 {
            EventLoop::stop(py)?;
        }
        signals.give_back(py)?;
        if let Some(cleanup) = cleanup
            && let Err(error) = cleanup.bind(py).call0()
        {
            log_exception(py, "server_cleanup failed", &error);
        }
        result.map_err(|error| match error {
            RunError::Python(error) => error,
            RunError::Engine(error) => match error.source_as::<BindError>() {
                Some(bind) => match bind.error.raw_os_error() {
                    Some(number) => PyOSError::new_err((number, error.to_string())),
                    None => PyOSError::new_err(error.to_string()),
                },
                None => PyRuntimeError::new_err(error.to_string()),
            },
        })
    }

    /// Stops accepting, answers what is in flight, cuts what is left after `termination_timeout`. Usable as a signal
    /// handler; a second call with a `signum` cuts at once.
    #[pyo3(signature = (signum=None, stackframe=None))]
    fn terminate(&self, signum: Option<&Bound<'_, PyAny>>, stackframe: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let _ = stackframe;
        self.server()?.engine.terminate(signum.is_some());
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
        Ok(py.detach(|| server.engine.wait_until_ready(timeout)))
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

    /// Where the server listens, the chosen port included; `None` while it does not.
    #[getter]
    fn address(&self) -> PyResult<Option<(String, u16)>> {
        Ok(self.server()?.engine.address().map(|address| (address.ip().to_string(), address.port())))
    }

    #[getter]
    fn _terminate_process(&self) -> PyResult<bool> {
        Ok(self.server()?.engine.is_terminating())
    }

    #[getter]
    fn _active_requests(&self, py: Python<'_>) -> PyResult<Vec<Py<Request>>> {
        Ok(self.server()?.shared.active(py))
    }

    #[getter]
    fn _routes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let routes = PyDict::new(py);
        for (route, handler) in &*lock(&self.server()?.routes) {
            routes.set_item(route, handler)?;
        }
        Ok(routes)
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
        let routes = lock(&server.routes).len();
        let host = lock(&server.config).bind(py).get_item("host")?;
        let host = host.map_or_else(String::new, |host| shown(&host));
        Ok(format!("<OutsideHTTP {host}, {routes} routes>"))
    }
}

fn check_code(code: &Bound<'_, PyAny>) -> PyResult<u16> {
    let number: i64 =
        code.extract().map_err(|_| PyTypeError::new_err(format!("an error code is an int, not {}", shown(code))))?;
    match u16::try_from(number) {
        Ok(code) if (400..=599).contains(&code) => Ok(code),
        _ => Err(PyValueError::new_err(format!("an error code is one of 400 to 599, not {number}"))),
    }
}

/// Is it an `async def` function, or an object whose `__call__` is one?
fn is_async(handler: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = handler.py();
    let check = py.import("inspect")?.getattr("iscoroutinefunction")?;
    if check.call1((handler,))?.is_truthy()? {
        return Ok(true);
    }
    let called = handler.get_type().getattr(intern!(py, "__call__"))?;
    check.call1((called,))?.is_truthy()
}

impl Server {
    /// What the configuration means: address, settings, and the callback at the end. Sets the hooks.
    fn settings(&self, config: &Bound<'_, PyDict>) -> PyResult<(SocketAddr, Config, Option<Py<PyAny>>)> {
        let mut names = Vec::with_capacity(config.len());
        for (name, value) in config.iter() {
            names.push((name.str()?.to_string(), value_of(&value)));
        }
        let values = names.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let settings = Config::from_values(values).map_err(value_error)?;
        let host = config.get_item("host")?.ok_or_else(|| PyValueError::new_err("config[\"host\"] is missing"))?;
        let (ip, port) = check_host(&host)?;
        let address = (ip.as_str(), port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| PyValueError::new_err(format!("{ip:?} has no address")))?;
        let callback =
            |name| config.get_item(name).map(|value| value.filter(|value| !value.is_none()).map(Bound::unbind));
        let (pre_send, post_callback) = (callback("pre_send")?, callback("post_callback")?);
        let hooked = pre_send.is_some() || post_callback.is_some();
        self.shared.hooked.store(hooked, Ordering::Relaxed);
        self.engine.set_hooks(if hooked { Some(Arc::new(PythonHooks { pre_send, post_callback })) } else { None });
        Ok((address, settings, callback("server_cleanup")?))
    }
}

/// The signal handlers that were there before, if this is the main thread.
struct Signals {
    handlers: Vec<(i32, Py<PyAny>)>,
    wakeup: Option<i32>,
}

impl Signals {
    /// Takes SIGINT and SIGTERM over where they have their default handlers.
    fn take(server: &Bound<'_, OutsideHttp>) -> PyResult<Self> {
        let py = server.py();
        let threading = py.import("threading")?;
        if !threading.call_method0("current_thread")?.is(threading.call_method0("main_thread")?) {
            return Ok(Self { handlers: Vec::new(), wakeup: None });
        }
        let signal = py.import("signal")?;
        let mut taken = Self { handlers: Vec::new(), wakeup: None };
        for (name, default) in [("SIGINT", "default_int_handler"), ("SIGTERM", "SIG_DFL")] {
            let number: i32 = signal.getattr(name)?.extract()?;
            let before = signal.call_method1("getsignal", (number,))?;
            if before.eq(signal.getattr(default)?)? {
                signal.call_method1("signal", (number, server.getattr("terminate")?))?;
                taken.handlers.push((number, before.unbind()));
            }
        }
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        let button = server.get().server()?.engine.doorbell().as_raw_fd();
        taken.wakeup = Some(signal.call_method("set_wakeup_fd", (button,), Some(&options))?.extract()?);
        Ok(taken)
    }

    fn give_back(self, py: Python<'_>) -> PyResult<()> {
        let signal = py.import("signal")?;
        if let Some(descriptor) = self.wakeup {
            signal.call_method1("set_wakeup_fd", (descriptor,))?;
        }
        for (number, handler) in self.handlers {
            signal.call_method1("signal", (number, handler))?;
        }
        Ok(())
    }
}
