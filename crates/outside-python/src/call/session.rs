//! Handlers of WebSockets: plain functions that block or are called, `async def` functions on the asyncio loop.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use outside::{Error, Message, SessionHandler, Style};
use pyo3::prelude::*;

use super::asynchronous::EventLoop;
use super::lock;
use super::sync::awaited;
use crate::logging::log_exception;
use crate::routes::is_async;
use crate::websocket::check_callable;
use crate::websocket_connection::{WebSocketConnection, exit_type, to_python};

/// The handlers of one `WebSocket`; they can be set at any time and count for connections that open afterwards.
#[derive(Default)]
pub(crate) struct Handlers {
    functions: Mutex<Functions>,
    /// A `Style`, kept where it can be had without the interpreter.
    style: AtomicU8,
    /// Connections that are open, for `_active_requests`.
    open: Mutex<HashSet<Open>>,
}

/// A connection among others.
#[derive(PartialEq, Eq)]
struct Open(outside::WebSocketConnection);

impl Hash for Open {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

#[derive(Clone, Default)]
struct Functions {
    connection: Option<Arc<Py<PyAny>>>,
    message: Option<Arc<Py<PyAny>>>,
    open: Option<Arc<Py<PyAny>>>,
    exit: Option<Arc<Exit>>,
}

/// A function for the end of a connection, which takes the connection or nothing.
pub(crate) struct Exit {
    function: Py<PyAny>,
    takes_connection: bool,
}

impl Exit {
    pub(crate) fn new(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        check_callable(function)?;
        let module = function.py().import("outside._websocket")?;
        let takes_connection = module.getattr("takes_connection")?.call1((function,))?.is_truthy()?;
        Ok(Self { function: function.clone().unbind(), takes_connection })
    }

    pub(crate) fn call<'py>(&self, connection: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let function = self.function.bind(connection.py());
        if self.takes_connection { function.call1((connection,)) } else { function.call0() }
    }
}

const CALLBACKS: u8 = 0;
const BLOCKING: u8 = 1;
const ELSEWHERE: u8 = 2;

impl Handlers {
    pub(crate) fn set_connection(&self, function: &Bound<'_, PyAny>) -> PyResult<()> {
        check_callable(function)?;
        let style = if is_async(function)? { ELSEWHERE } else { BLOCKING };
        self.change(style, |functions| functions.connection.replace(Arc::new(function.clone().unbind())));
        Ok(())
    }

    pub(crate) fn set_message(&self, function: &Bound<'_, PyAny>) -> PyResult<()> {
        check_callable(function)?;
        let style = self.style_with(is_async(function)?);
        self.change(style, |functions| functions.message.replace(Arc::new(function.clone().unbind())));
        Ok(())
    }

    pub(crate) fn set_open(&self, function: &Bound<'_, PyAny>) -> PyResult<()> {
        check_callable(function)?;
        let style = self.style_with(is_async(function)?);
        self.change(style, |functions| functions.open.replace(Arc::new(function.clone().unbind())));
        Ok(())
    }

    pub(crate) fn set_exit(&self, exit: Exit) {
        let before = lock(&self.functions).exit.replace(Arc::new(exit));
        drop(before);
    }

    /// One `async def` function among the callbacks puts all of them on the loop.
    fn style_with(&self, is_async: bool) -> u8 {
        let style = self.style.load(Ordering::Relaxed);
        if is_async && style == CALLBACKS { ELSEWHERE } else { style }
    }

    fn change(&self, style: u8, change: impl FnOnce(&mut Functions) -> Option<Arc<Py<PyAny>>>) {
        let before = change(&mut lock(&self.functions));
        self.style.store(style, Ordering::Relaxed);
        // What was there may be the last of its kind, and run code when it goes.
        drop(before);
    }

    pub(crate) fn connection(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.functions).connection.as_ref().map(|function| function.clone_ref(py))
    }

    /// The connections that are open now.
    pub(crate) fn active(&self) -> Vec<outside::WebSocketConnection> {
        lock(&self.open).iter().map(|open| open.0.clone()).collect()
    }

    pub(crate) fn begin(&self, connection: &outside::WebSocketConnection) {
        lock(&self.open).insert(Open(connection.clone()));
    }

    pub(crate) fn end(&self, connection: &outside::WebSocketConnection) {
        let ended = lock(&self.open).take(&Open(connection.clone()));
        drop(ended);
    }

    fn functions(&self) -> Functions {
        lock(&self.functions).clone()
    }

    /// For the loop: what is called with the connection, for each message, before and after.
    pub(crate) fn for_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Functions { connection, message, open, exit } = self.functions();
        let bound = |function: Option<Arc<Py<PyAny>>>| function.map(|function| function.clone_ref(py));
        let takes_connection = exit.as_ref().is_some_and(|exit| exit.takes_connection);
        let exit = exit.map(|exit| exit.function.clone_ref(py));
        let all = (bound(connection), bound(message), bound(open), exit, takes_connection);
        Ok(all.into_pyobject(py)?.into_any())
    }
}

/// The connection as its handlers see it: the same object from first to last.
fn object<'py>(py: Python<'py>, connection: &outside::WebSocketConnection) -> PyResult<Bound<'py, PyAny>> {
    let mut data = connection.session_data();
    if let Some(object) = data.as_ref().and_then(|data| data.downcast_ref::<Py<WebSocketConnection>>()) {
        return Ok(object.bind(py).clone().into_any());
    }
    let made = Py::new(py, WebSocketConnection::of(connection.clone()))?;
    let object = made.bind(py).clone().into_any();
    *data = Some(Box::new(made));
    Ok(object)
}

/// What a handler raised: the end of the connection unwinds it quietly, anything else is logged.
fn settle(py: Python<'_>, what: &str, result: PyResult<()>) -> Result<(), Error> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if exit_type(py).is_ok_and(|exit| error.is_instance(py, exit)) => Ok(()),
        Err(error) => {
            log_exception(py, &format!("WebSocket {what}: the handler failed"), &error);
            // It has been logged.
            Err(Error::status(500, None))
        }
    }
}

/// The same as the engine sees them.
pub(crate) struct PythonSession(pub(crate) Arc<Handlers>);

impl SessionHandler for PythonSession {
    fn style(&self) -> Style {
        match self.0.style.load(Ordering::Relaxed) {
            CALLBACKS => Style::Callbacks,
            BLOCKING => Style::Blocking,
            _ => Style::Elsewhere,
        }
    }

    fn open(&self, connection: &outside::WebSocketConnection) -> Result<(), Error> {
        if self.style() == Style::Elsewhere {
            return EventLoop::open_session(Arc::clone(&self.0), connection.clone());
        }
        self.0.begin(connection);
        Python::attach(|py| {
            let functions = self.0.functions();
            let result = object(py, connection).and_then(|object| {
                for function in [&functions.open, &functions.connection].into_iter().flatten() {
                    awaited(py, function.bind(py).call1((&object,))?)?;
                }
                Ok(())
            });
            settle(py, connection.request().url(), result)
        })
    }

    fn message(&self, connection: &outside::WebSocketConnection, message: Message) -> Result<(), Error> {
        let Some(function) = lock(&self.0.functions).message.clone() else { return Ok(()) };
        Python::attach(|py| {
            let result = object(py, connection)
                .and_then(|object| function.bind(py).call1((object, to_python(py, &message)?)))
                .and_then(|value| awaited(py, value).map(drop));
            settle(py, connection.request().url(), result)
        })
    }

    fn exit(&self, connection: &outside::WebSocketConnection) {
        self.0.end(connection);
        Python::attach(|py| {
            if let Some(exit) = self.0.functions().exit {
                let result = object(py, connection)
                    .and_then(|object| exit.call(&object))
                    .and_then(|value| awaited(py, value).map(drop));
                if let Err(error) = result {
                    log_exception(py, "on_exit of a WebSocket failed", &error);
                }
            }
            // Here, where it may run Python.
            let data = connection.session_data().take();
            drop(data);
        });
    }
}
