//! Handlers of WebSockets: plain functions that block or are called, `async def` functions on the asyncio loop.

use std::any::Any;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use outside::Error;
use outside::websocket::{Message, SessionHandler, Style};
use pyo3::prelude::*;

use crate::call::context::RequestContext;
use crate::current_request::CurrentRequest;
use crate::errors::value_error;
use crate::event_loop::{Described, EventLoop, LoopJob, LoopReport, Rescuers};
use crate::forked::leave_if_forked;
use crate::logging::log_exception;
use crate::support::{check_callable, is_async, lock};
use crate::waiting::awaited;
use crate::websocket::connection::{WebSocketConnection, exit_type, to_python};
use crate::websocket::gaps;
use crate::websocket::running::{RunningHandler, begin_on_loop as note_on_loop, end_on_loop as note_end};

/// The handlers of one `WebSocket`; they can be set at any time and count for connections that open afterwards.
#[derive(Default)]
pub(crate) struct SessionHandlers {
    functions: Mutex<SessionFunctions>,
    /// A `Style`, kept where it can be had without the interpreter.
    style: AtomicU8,
    /// Connections that are open, for `_active_requests`.
    open: Mutex<HashSet<OpenConnection>>,
}

/// An open connection, compared and hashed by its identity.
#[derive(PartialEq, Eq)]
struct OpenConnection(outside::WebSocketConnection);

impl Hash for OpenConnection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

#[derive(Clone, Default)]
struct SessionFunctions {
    connection: Option<Arc<Py<PyAny>>>,
    message: Option<Arc<Py<PyAny>>>,
    open: Option<Arc<Py<PyAny>>>,
    exit: Option<Arc<ExitFunction>>,
    gap: Option<Arc<Py<PyAny>>>,
}

/// A function for the end of a connection, which takes the connection or nothing.
pub(crate) struct ExitFunction {
    function: Py<PyAny>,
    takes_connection: bool,
}

impl ExitFunction {
    pub(crate) fn new(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        check_callable(function)?;
        let module = function.py().import("outside._handlers.websocket")?;
        let takes_connection = module.getattr("takes_connection")?.call1((function,))?.is_truthy()?;
        Ok(Self { function: function.clone().unbind(), takes_connection })
    }

    fn call<'py>(&self, py: Python<'py>, objects: &ConnectionObjects) -> PyResult<Bound<'py, PyAny>> {
        let function = self.function.bind(py);
        match (self.takes_connection, &objects.context) {
            (true, _) => objects.call(py, function, None),
            (false, Some(context)) => context.awaited(context.run(py, &(function,).into_pyobject(py)?)?),
            (false, None) => awaited(function.call0()?, None),
        }
    }
}

const CALLBACKS: u8 = 0;
const BLOCKING: u8 = 1;
const ASYNC: u8 = 2;

impl SessionHandlers {
    pub(crate) fn set_connection(&self, function: &Bound<'_, PyAny>) -> PyResult<()> {
        check_callable(function)?;
        let style = if is_async(function)? { ASYNC } else { BLOCKING };
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

    pub(crate) fn set_exit(&self, exit: ExitFunction) {
        let before = lock(&self.functions).exit.replace(Arc::new(exit));
        drop(before);
    }

    pub(crate) fn set_gap(&self, function: &Bound<'_, PyAny>) -> PyResult<()> {
        check_callable(function)?;
        let before = lock(&self.functions).gap.replace(Arc::new(function.clone().unbind()));
        drop(before);
        Ok(())
    }

    /// The style with a further function: one `async def` function among the callbacks puts all of them on the loop.
    fn style_with(&self, is_async: bool) -> u8 {
        let style = self.style.load(Ordering::Relaxed);
        if is_async && style == CALLBACKS { ASYNC } else { style }
    }

    fn change(&self, style: u8, change: impl FnOnce(&mut SessionFunctions) -> Option<Arc<Py<PyAny>>>) {
        let before = change(&mut lock(&self.functions));
        self.style.store(style, Ordering::Relaxed);
        // Without the lock: if this was the last reference to a function, code of the program may run.
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
        lock(&self.open).insert(OpenConnection(connection.clone()));
    }

    pub(crate) fn end(&self, connection: &outside::WebSocketConnection) {
        let ended = lock(&self.open).take(&OpenConnection(connection.clone()));
        drop(ended);
    }

    fn functions(&self) -> SessionFunctions {
        lock(&self.functions).clone()
    }

    /// For the loop: the functions for the connection, for each message, before and after.
    pub(crate) fn for_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let SessionFunctions { connection, message, open, exit, .. } = self.functions();
        let bound = |function: Option<Arc<Py<PyAny>>>| function.map(|function| function.clone_ref(py));
        let takes_connection = exit.as_ref().is_some_and(|exit| exit.takes_connection);
        let exit = exit.map(|exit| exit.function.clone_ref(py));
        let all = (bound(connection), bound(message), bound(open), exit, takes_connection);
        Ok(all.into_pyobject(py)?.into_any())
    }
}

/// The objects that the handlers of one connection are called with, from first to last.
struct ConnectionObjects {
    object: Py<WebSocketConnection>,
    /// The context of the request that opened the connection, if callbacks have seen that request.
    context: Option<Arc<RequestContext>>,
}

impl ConnectionObjects {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { object: self.object.clone_ref(py), context: self.context.clone() }
    }

    /// Calls a function with the connection and these; a coroutine is waited for.
    fn call<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        more: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.object.get().inner().ok();
        let _for_the_log = opened.map(|connection| CurrentRequest::begin(connection.request()));
        match (&self.context, more) {
            (None, None) => awaited(function.call1((&self.object,))?, None),
            (None, Some(more)) => awaited(function.call1((&self.object, more))?, None),
            (Some(context), None) => context.awaited(context.run(py, &(function, &self.object).into_pyobject(py)?)?),
            (Some(context), Some(more)) => {
                context.awaited(context.run(py, &(function, &self.object, more).into_pyobject(py)?)?)
            }
        }
    }
}

/// The connection as its handlers see it: the same object from first to last. Its request is the object that callbacks
/// before the opening have seen, and its context is a copy of theirs.
fn objects_of(py: Python<'_>, connection: &outside::WebSocketConnection) -> PyResult<ConnectionObjects> {
    let mut data = connection.session_data();
    if let Some(objects) = data.as_ref().and_then(|data| data.downcast_ref::<ConnectionObjects>()) {
        return Ok(objects.clone_ref(py));
    }
    let opened = data.take().and_then(|data| data.downcast::<Arc<RequestContext>>().ok());
    let context = opened.map(|opened| opened.for_session(py)).transpose()?;
    let request = context.as_ref().map(|context| context.request(py).clone().unbind());
    let object = Py::new(py, WebSocketConnection::of(connection.clone(), request, py))?;
    let objects = ConnectionObjects { object, context };
    *data = Some(Box::new(objects.clone_ref(py)));
    Ok(objects)
}

/// The handlers of one connection, as the asyncio loop runs them.
struct LoopSession {
    handlers: Arc<SessionHandlers>,
    connection: outside::WebSocketConnection,
}

impl LoopJob for LoopSession {
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Described<'py>> {
        let (object, context) = for_loop(py, &self.connection)?;
        let handlers = (self.handlers.for_loop(py)?, context).into_pyobject(py)?.into_any();
        Ok(("session", handlers, object.into_bound(py).into_any()))
    }

    fn rescuers<'py>(&self, _py: Python<'py>, _error: &PyErr) -> Option<Rescuers<'py>> {
        None
    }

    fn report(&self, _py: Python<'_>, report: LoopReport<'_>) -> PyResult<()> {
        let LoopReport::Exit(code) = report else { return Ok(()) };
        self.handlers.end(&self.connection);
        note_end(&self.connection);
        self.connection.exit(code, "").map_err(value_error)
    }
}

/// Hands a connection to the asyncio loop.
fn begin_on_loop(handlers: Arc<SessionHandlers>, connection: outside::WebSocketConnection) -> Result<(), Error> {
    let event_loop = EventLoop::current().ok_or_else(EventLoop::has_ended)?;
    let session = Arc::new(LoopSession { handlers, connection });
    let ticket = event_loop.register(Arc::clone(&session) as _);
    let waker = Arc::downgrade(&event_loop);
    session.connection.set_listener(move || {
        if let Some(event_loop) = waker.upgrade() {
            event_loop.wake(ticket);
        }
    });
    session.handlers.begin(&session.connection);
    note_on_loop(&session.connection);
    event_loop.begin(ticket, session);
    Ok(())
}

/// For the loop: the connection, and the context of its task if it has one.
fn for_loop<'py>(
    py: Python<'py>,
    connection: &outside::WebSocketConnection,
) -> PyResult<(Py<WebSocketConnection>, Option<Bound<'py, PyAny>>)> {
    let ConnectionObjects { object, context } = objects_of(py, connection)?;
    // The loop's side holds both from now on.
    drop(connection.session_data().take());
    Ok((object, context.map(|context| context.lend(py).clone())))
}

/// The outcome of a handler: an exception is logged, but for the end of the connection, which ends the handler quietly.
fn settle(
    py: Python<'_>,
    connection: &outside::WebSocketConnection,
    result: PyResult<Bound<'_, PyAny>>,
) -> Result<(), Error> {
    leave_if_forked(py, &result);
    match result {
        Ok(_) => Ok(()),
        Err(error) if exit_type(py).is_ok_and(|exit| error.is_instance(py, exit)) => Ok(()),
        Err(error) => {
            log(py, connection, "the handler failed", &error);
            // The exception has been logged.
            Err(Error::status(500, None))
        }
    }
}

/// Logs an exception. The target holds visible characters alone, so that a client cannot forge a line of the log.
fn log(py: Python<'_>, connection: &outside::WebSocketConnection, what: &str, error: &PyErr) {
    let context = objects_of(py, connection).ok().and_then(|objects| objects.context);
    let context = context.and_then(|context| context.enterable(py).ok());
    let target = outside::log::shown_target(connection.request().target());
    log_exception(py, context.as_ref(), &format!("WebSocket {target}: {what}"), error);
}

/// Logs an exception of an `async def` handler.
#[pyfunction]
pub(crate) fn _log_session_failure(
    connection: &Bound<'_, WebSocketConnection>,
    what: &str,
    error: Bound<'_, PyAny>,
) -> PyResult<()> {
    let (py, target) = (connection.py(), outside::log::shown_target(connection.get().inner()?.request().target()));
    log_exception(py, None, &format!("WebSocket {target}: {what}"), &PyErr::from_value(error));
    Ok(())
}

/// The handlers as the engine sees them.
pub(crate) struct PythonSession(pub(crate) Arc<SessionHandlers>);

impl SessionHandler for PythonSession {
    fn style(&self) -> Style {
        match self.0.style.load(Ordering::Relaxed) {
            CALLBACKS => Style::Callbacks,
            BLOCKING => Style::Blocking,
            _ => Style::Async,
        }
    }

    fn prepare(&self, connection: &outside::WebSocketConnection, attachment: Option<&(dyn Any + Send)>) {
        if let Some(context) = RequestContext::of(attachment) {
            *connection.session_data() = Some(Box::new(context));
        }
    }

    fn open(&self, connection: &outside::WebSocketConnection) -> Result<(), Error> {
        if self.style() == Style::Async {
            return begin_on_loop(Arc::clone(&self.0), connection.clone());
        }
        self.0.begin(connection);
        Python::attach(|py| {
            let _runs = RunningHandler::begin(py, connection);
            let functions = self.0.functions();
            let result = objects_of(py, connection).and_then(|objects| {
                for function in [&functions.open, &functions.connection].into_iter().flatten() {
                    objects.call(py, function.bind(py), None)?;
                }
                Ok(py.None().into_bound(py))
            });
            settle(py, connection, result)
        })
    }

    fn message(&self, connection: &outside::WebSocketConnection, message: Message) -> Result<(), Error> {
        let Some(function) = lock(&self.0.functions).message.clone() else { return Ok(()) };
        Python::attach(|py| {
            let _runs = RunningHandler::begin(py, connection);
            let result = objects_of(py, connection)
                .and_then(|objects| objects.call(py, function.bind(py), Some(to_python(py, &message)?)));
            settle(py, connection, result)
        })
    }

    fn gap(&self, connection: &outside::WebSocketConnection, topic: &str) {
        let function = lock(&self.0.functions).gap.clone();
        if let Some(function) = function {
            gaps::tell(function, connection, topic);
        }
    }

    fn exit(&self, connection: &outside::WebSocketConnection) {
        self.0.end(connection);
        Python::attach(|py| {
            if let Some(exit) = self.0.functions().exit {
                let result = objects_of(py, connection).and_then(|objects| exit.call(py, &objects));
                if let Err(error) = result {
                    log(py, connection, "on_exit failed", &error);
                }
            }
            if let Err(error) = call_own_exit(py, connection) {
                log(py, connection, "on_exit failed", &error);
            }
            // Dropped here, where the data may run Python code.
            let data = connection.session_data().take();
            drop(data);
        });
    }
}

/// Calls the function of nothing that a program of 1.5.8 has set on the connection itself, as `connection.on_exit`.
fn call_own_exit(py: Python<'_>, connection: &outside::WebSocketConnection) -> PyResult<()> {
    let data = connection.session_data();
    let found = data.as_ref().and_then(|data| data.downcast_ref::<ConnectionObjects>());
    let found = found.map(|objects| objects.clone_ref(py));
    drop(data);
    let Some(objects) = found else { return Ok(()) };
    if let Some(function) = objects.object.bind(py).getattr_opt("on_exit")?.filter(|function| !function.is_none()) {
        ExitFunction { function: function.unbind(), takes_connection: false }.call(py, &objects)?;
    }
    Ok(())
}
