//! Routes as Python programs set them: the kind of handler of an object, and the objects of each route.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use outside::handler::{Handler, ResponseSizes};
use outside::message::HostPattern;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::asynchronous::{AsyncFunction, Coroutine};
use crate::call::plan::Plan;
use crate::call::shared::Shared;
use crate::call::sync::SyncFunction;
use crate::errors::{os_error, value_error};
use crate::event_loop::EventLoop;
use crate::message::file_path::FilePath;
use crate::server::folder::Folder;
use crate::server::running::RunningServer;
use crate::support::{is_async, kind, lock};
use crate::websocket::route::WebSocket;

/// The handlers that were set, by the name of their route; and the WebSockets of routes with a pattern.
#[derive(Default)]
pub(crate) struct Routes(Mutex<BTreeMap<String, Py<PyAny>>>, Mutex<Vec<Py<PyAny>>>);

impl Routes {
    /// Adds a handler, or replaces the one of this route.
    pub(crate) fn set(&self, name: String, handler: &Bound<'_, PyAny>) {
        let replaced = self.take(&name);
        lock(&self.0).insert(name, handler.clone().unbind());
        drop(replaced);
    }

    pub(crate) fn remove(&self, name: &str) {
        drop(self.take(name));
    }

    /// Takes a handler out; the caller drops it without the lock, since its end may run code of the program.
    fn take(&self, name: &str) -> Option<Py<PyAny>> {
        let mut routes = lock(&self.0);
        let same = |other: &&String| other.trim_end_matches('/') == name.trim_end_matches('/');
        let found = routes.keys().find(same).cloned();
        found.and_then(|found| routes.remove(&found))
    }

    /// Remembers the handler of a pattern if it is a WebSocket, which is asked for its connections later.
    pub(crate) fn add(&self, handler: &Bound<'_, PyAny>) {
        if handler.is_instance_of::<WebSocket>() {
            lock(&self.1).push(handler.clone().unbind());
        }
    }

    pub(crate) fn handlers(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let mut handlers: Vec<_> = lock(&self.0).values().map(|handler| handler.clone_ref(py)).collect();
        handlers.extend(lock(&self.1).iter().map(|handler| handler.clone_ref(py)));
        handlers
    }

    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let routes = PyDict::new(py);
        for (name, handler) in &*lock(&self.0) {
            routes.set_item(name, handler)?;
        }
        Ok(routes)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

/// A number of routes, in words.
pub(crate) fn counted(routes: usize) -> String {
    if routes == 1 { "1 route".to_owned() } else { format!("{routes} routes") }
}

/// The name of a route: its path, behind its host if it is one host's.
pub(crate) fn route_name(host: Option<&str>, route: &str) -> PyResult<String> {
    match host {
        None | Some("*") => Ok(route.to_owned()),
        Some(host) => Ok(format!("{}{route}", host.parse::<HostPattern>().map_err(value_error)?)),
    }
}

/// The engine's handler of an object on a route; `plan` has the arguments of a function, if not the request alone.
pub(crate) fn engine_handler(
    handler: &Bound<'_, PyAny>,
    blocking: Option<bool>,
    streaming: bool,
    cancel_on_disconnect: Option<bool>,
    shared: &Arc<Shared>,
    plan: Option<Plan>,
) -> PyResult<Handler> {
    let made = handler_of(handler, blocking, streaming, shared, plan)?;
    match cancel_on_disconnect {
        Some(cancel) => made.with_cancel_on_disconnect(cancel).map_err(value_error),
        None => Ok(made),
    }
}

fn handler_of(
    handler: &Bound<'_, PyAny>,
    blocking: Option<bool>,
    streaming: bool,
    shared: &Arc<Shared>,
    plan: Option<Plan>,
) -> PyResult<Handler> {
    let (py, shared) = (handler.py(), Arc::clone(shared));
    if streaming && (!handler.is_callable() || blocking == Some(false)) {
        return Err(PyValueError::new_err(
            "streaming=True is for functions, which then wait for their client: not beside blocking=False",
        ));
    }
    if let Ok(file) = handler.cast::<FilePath>() {
        let files = outside::files::Files::at(&*file.get().slice().path).map_err(os_error)?;
        return Ok(Handler::Files(Arc::new(files)));
    }
    if let Ok(websocket) = handler.cast::<WebSocket>() {
        need_loop(py, &shared)?;
        return Ok(Handler::WebSocket(Arc::new(websocket.get().to_engine()?)));
    }
    if let Ok(folder) = handler.cast::<Folder>() {
        return Ok(Handler::Files(Arc::new(outside::files::Files::folder(folder.get().to_engine(py)?))));
    }
    if !handler.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "a handler is a function, an async def function, a WebSocket, a FilePath or a Folder, not {}",
            kind(handler)
        )));
    }
    let function = handler.clone().unbind();
    if !is_async(handler)? {
        let function = SyncFunction { function, shared, plan };
        let function = if streaming {
            outside::handler::Function::streaming(function)
        } else {
            outside::handler::Function::new(function, blocking)
        };
        return Ok(Handler::Sync(function));
    }
    need_loop(py, &shared)?;
    let coroutine = Arc::new(Coroutine { function, shared, plan });
    Ok(Handler::Async(Arc::new(AsyncFunction { coroutine, streaming, sizes: ResponseSizes::default() })))
}

/// Notes that the server needs the asyncio loop, and starts it if the server runs.
pub(crate) fn need_loop(py: Python<'_>, shared: &Shared) -> PyResult<()> {
    shared.needs_loop.store(true, Ordering::Relaxed);
    if RunningServer::any() { EventLoop::running(py).map(drop) } else { Ok(()) }
}
