//! `WebSocket`: the object that is set on a route, with its handlers and options.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outside::websocket::{WhenFull, WhenGap};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::errors::value_error;
use crate::support::{kind, lock};
use crate::websocket::session::{ExitFunction, PythonSession, SessionHandlers};

/// A WebSocket on a route: `ws.on_connection(handler)`, then `server.set_route("/ws", ws)`.
#[pyclass(module = "outside", name = "WebSocket", subclass, frozen, dict, weakref)]
pub(crate) struct WebSocket {
    handlers: Arc<SessionHandlers>,
    options: Mutex<WebSocketOptions>,
}

/// The arguments of `__init__`; the defaults until it is called.
#[derive(Clone, Debug)]
struct WebSocketOptions {
    subprotocols: Vec<String>,
    origins: Option<Vec<String>>,
    max_message: usize,
    deflate: bool,
    ping_interval: Option<Duration>,
    ping_timeout: Duration,
    max_queue: usize,
    when_full: WhenFull,
    when_gap: WhenGap,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            origins: None,
            max_message: 1 << 20,
            deflate: false,
            ping_interval: Some(Duration::from_secs(25)),
            ping_timeout: Duration::from_secs(10),
            max_queue: 1 << 20,
            when_full: WhenFull::Wait,
            when_gap: WhenGap::Ignore,
        }
    }
}

/// The texts of an argument that is one `str` or a list of them.
fn texts(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = given.cast::<PyString>() {
        return Ok(vec![text.to_str()?.to_owned()]);
    }
    let given_type = || PyTypeError::new_err(format!("{name} is a str or a list of str, not {}", kind(given)));
    let each = given.try_iter().map_err(|_| given_type())?;
    each.map(|item| {
        let item = item?;
        let text = item.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("{name} is a str or a list of str; {} is among them", kind(&item)))
        })?;
        Ok(text.to_str()?.to_owned())
    })
    .collect()
}

fn is_token(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// The longest time of an option: ten years, which every clock can represent.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => {
            Err(PyValueError::new_err(format!("{name} is a number of seconds above 0, at most 10 years, not {value}")))
        }
    }
}

fn bytes(name: &str, value: i64) -> PyResult<usize> {
    match usize::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(PyValueError::new_err(format!("{name} is a number of bytes above 0, not {value}"))),
    }
}

#[pymethods]
impl WebSocket {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs),
           text_signature = "(*, subprotocols=None, origins=None, max_message=1048576, deflate=False, ping_interval=25.0, \
                             ping_timeout=10.0, max_queue=1048576, when_full='wait', when_gap='ignore')")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self { handlers: Arc::default(), options: Mutex::default() }
    }

    #[pyo3(signature = (*, subprotocols=None, origins=None, max_message=1_048_576, deflate=false, ping_interval=Some(25.0),
                        ping_timeout=10.0, max_queue=1_048_576, when_full="wait", when_gap="ignore"))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python class")]
    fn __init__(
        &self,
        subprotocols: Option<&Bound<'_, PyAny>>,
        origins: Option<&Bound<'_, PyAny>>,
        max_message: i64,
        deflate: bool,
        ping_interval: Option<f64>,
        ping_timeout: f64,
        max_queue: i64,
        when_full: &str,
        when_gap: &str,
    ) -> PyResult<()> {
        let when_full = match when_full {
            "wait" => WhenFull::Wait,
            "drop_oldest" => WhenFull::DropOldest,
            "close" => WhenFull::Close,
            other => {
                let text = format!("when_full is 'wait', 'drop_oldest' or 'close', not {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        let when_gap = match when_gap {
            "ignore" => WhenGap::Ignore,
            "close" => WhenGap::Close,
            other => return Err(PyValueError::new_err(format!("when_gap is 'ignore' or 'close', not {other:?}"))),
        };
        let subprotocols = subprotocols.map(|names| texts("subprotocols", names)).transpose()?.unwrap_or_default();
        if let Some(name) = subprotocols.iter().find(|name| !is_token(name)) {
            let text = format!("a subprotocol is a token (RFC 9110 section 5.6.2) such as 'chat.v2', not {name:?}");
            return Err(PyValueError::new_err(text));
        }
        let options = WebSocketOptions {
            subprotocols,
            origins: origins.map(|origins| texts("origins", origins)).transpose()?,
            max_message: bytes("max_message", max_message)?,
            deflate,
            ping_interval: ping_interval.map(|value| seconds("ping_interval", value)).transpose()?,
            ping_timeout: seconds("ping_timeout", ping_timeout)?,
            max_queue: bytes("max_queue", max_queue)?,
            when_full,
            when_gap,
        };
        // A malformed origin is an error here, where the program wrote it.
        self.engine_with(options.clone())?;
        *lock(&self.options) = options;
        Ok(())
    }

    /// Sets the function that has each connection for its whole life: a plain one on a thread of its own, an `async def` one
    /// on the asyncio loop. Works as a decorator too.
    fn on_connection<'py>(&self, handler: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.handlers.set_connection(&handler)?;
        Ok(handler)
    }

    /// Sets a function of (connection, message), called for each message; no thread and no task waits for it.
    fn on_message<'py>(&self, handler: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.handlers.set_message(&handler)?;
        Ok(handler)
    }

    /// Sets a function of (connection), called before the first message.
    fn on_open<'py>(&self, handler: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.handlers.set_open(&handler)?;
        Ok(handler)
    }

    /// Sets a function of (connection) or of nothing, called once when a connection has ended.
    fn on_exit<'py>(&self, handler: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.handlers.set_exit(ExitFunction::new(&handler)?);
        Ok(handler)
    }

    /// Sets a function of (connection, topic), called when messages of a topic of this connection were lost.
    fn on_gap<'py>(&self, handler: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.handlers.set_gap(&handler)?;
        Ok(handler)
    }

    /// The handler of `on_connection`, as in 1.5.8.
    #[getter]
    fn connection_handler(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.handlers.connection(py)
    }

    #[setter]
    fn set_connection_handler(&self, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        self.handlers.set_connection(handler)
    }

    fn __repr__(&self) -> String {
        let options = lock(&self.options);
        format!("WebSocket(max_message={}, deflate={})", options.max_message, python_bool(options.deflate))
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

impl WebSocket {
    pub(crate) fn handlers(&self) -> &SessionHandlers {
        &self.handlers
    }

    /// The engine's WebSocket with these handlers, as they are when a connection opens.
    pub(crate) fn to_engine(&self) -> PyResult<outside::WebSocket> {
        let options = lock(&self.options).clone();
        self.engine_with(options)
    }

    fn engine_with(&self, options: WebSocketOptions) -> PyResult<outside::WebSocket> {
        let mut made = outside::WebSocket::with_handler(Arc::new(PythonSession(Arc::clone(&self.handlers))))
            .with_subprotocols(options.subprotocols)
            .with_max_message(options.max_message)
            .with_deflate(options.deflate)
            .with_ping(options.ping_interval, options.ping_timeout)
            .with_queue(options.max_queue, options.when_full)
            .with_gaps(options.when_gap);
        if let Some(origins) = &options.origins {
            made = made.with_origins(origins).map_err(value_error)?;
        }
        Ok(made)
    }
}
