//! ASGI applications (ASGI 3): a request becomes a task of the asyncio loop, begun at once where Python can.
//!
//! Nothing that an application has begun is cancelled because a client has left: its events say so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use outside::handler::{AsyncHandler, Handler, Reply, RunningCall, Ticket};
use outside::{Error, Request, WebSocket};
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::call::interrupt::thread_ident;
use crate::call::noted::are_noted;
use crate::call::shared::Shared;
use crate::current_request::LoggedRequest;
use crate::event_loop::{EventLoop, LoopFunction};
use crate::hosting::asgi_awaitable::Call;
use crate::hosting::asgi_call::{AsgiCall, HttpCall};
use crate::hosting::asgi_event::is_disconnected;
use crate::hosting::asgi_scope::{Protocol, Templates, asks_for_websocket};
use crate::hosting::asgi_socket::{AsgiSocket, Sessions, SocketCall};
use crate::logging::log_exception;
use crate::support::lock;

/// Bytes of the largest message, as other servers of ASGI have it.
const MAX_MESSAGE: usize = 16 << 20;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The options of the WebSockets of an application: it decides about origins itself.
fn websocket() -> Arc<WebSocket> {
    let made = WebSocket::with_handler(Arc::new(Sessions))
        .with_max_message(MAX_MESSAGE)
        .with_deflate(true)
        .with_ping(Some(PING_INTERVAL), PING_TIMEOUT);
    // The text is an origin.
    Arc::new(made.with_origins(&["*"]).unwrap_or_else(|_| WebSocket::with_handler(Arc::new(Sessions))))
}

/// An ASGI application on a route: `server.set_route("/", asgi(app))`.
#[pyclass(module = "outside", name = "ASGIApplication", frozen, dict, weakref)]
pub(crate) struct AsgiApplication {
    /// The application.
    #[pyo3(get)]
    app: Py<PyAny>,
    /// The path below which it is, if it is told; else that of its route.
    root_path: Mutex<String>,
    run: Arc<Run>,
}

/// The parts of an application that live as long as one run of its server.
#[derive(Default)]
struct Run {
    /// The state that its lifespan fills; each scope has a copy.
    state: Mutex<Option<Py<PyDict>>>,
    /// The context of its lifespan, of which each task has a copy.
    context: Mutex<Option<Py<PyAny>>>,
    /// The address where the server listens.
    server: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl AsgiApplication {
    /// Notes where the server listens: address and port, or the path of a Unix socket.
    pub(crate) fn note_server(&self, address: &Bound<'_, PyAny>) {
        let server = match address.extract::<String>() {
            Ok(path) => (path.trim_start_matches("unix:"), address.py().None()).into_pyobject(address.py()).ok(),
            Err(_) => address.cast::<PyTuple>().ok().cloned(),
        };
        let before = std::mem::replace(&mut *lock(&self.run.server), server.map(|it| it.into_any().unbind()));
        drop(before);
    }

    #[new]
    fn new(app: &Bound<'_, PyAny>, root_path: &str) -> Self {
        let root_path = Mutex::new(root_path.to_owned());
        Self { app: app.clone().unbind(), root_path, run: Arc::default() }
    }

    /// The path below which the application is mounted.
    #[getter]
    fn root_path(&self) -> String {
        lock(&self.root_path).clone()
    }

    #[setter]
    fn set_root_path(&self, root_path: &str) {
        root_path.clone_into(&mut lock(&self.root_path));
    }

    /// The tasks of its calls that have not ended, each with whether its answer is complete.
    fn _tasks(&self, py: Python<'_>) -> Vec<(Py<PyAny>, bool)> {
        let calls = lock(&CALLS);
        let own = calls.iter().flat_map(HashMap::values).filter(|running| Arc::ptr_eq(&running.run, &self.run));
        own.map(|running| (running.task.clone_ref(py), running.call.is_complete())).collect()
    }

    /// Begins a run, or ends it: the state and the context of the lifespan.
    fn _begin(&self, state: Option<Py<PyDict>>, context: Option<Py<PyAny>>) {
        let before = (
            std::mem::replace(&mut *lock(&self.run.state), state),
            std::mem::replace(&mut *lock(&self.run.context), context),
        );
        drop(before);
    }
}

impl AsgiApplication {
    /// The engine's handler.
    pub(crate) fn to_engine(&self, py: Python<'_>, route: &str, shared: &Arc<Shared>) -> PyResult<Handler> {
        let told = lock(&self.root_path).clone();
        let root_path = if told.is_empty() { route.trim_end_matches('/') } else { &told };
        let app = Arc::new(HostedApp {
            app: self.app.clone_ref(py),
            templates: Templates::new(py, root_path)?,
            run: Arc::clone(&self.run),
            shared: Arc::clone(shared),
            websocket: OnceLock::new(),
        });
        Ok(Handler::Async(Arc::new(AsgiHandler(app))))
    }
}

/// An application, as its calls have it.
pub(crate) struct HostedApp {
    app: Py<PyAny>,
    templates: Templates,
    run: Arc<Run>,
    shared: Arc<Shared>,
    websocket: OnceLock<Arc<WebSocket>>,
}

impl HostedApp {
    /// The options of its WebSockets.
    fn websocket(&self) -> Arc<WebSocket> {
        Arc::clone(self.websocket.get_or_init(websocket))
    }
}

struct AsgiHandler(Arc<HostedApp>);

impl AsyncHandler for AsgiHandler {
    fn submit(&self, request: Arc<Request>, reply: Reply) -> Ticket {
        EventLoop::call(Arc::clone(&self.0) as _, request, reply)
    }

    /// The client has left: the application is told, and goes on.
    fn cancel(&self, ticket: Ticket) {
        EventLoop::execute(move |py| {
            let call = lock(&CALLS).as_ref().and_then(|calls| calls.get(&ticket)).map(|it| Arc::clone(&it.call));
            if let Some(call) = call {
                call.leave(py);
            }
        });
    }

    fn cancel_on_disconnect(&self) -> Option<bool> {
        Some(true)
    }

    fn takes_pieces(&self) -> bool {
        true
    }

    fn is_hosted(&self) -> bool {
        true
    }
}

/// A call whose task has not ended, and the task, which asyncio alone would not keep.
struct Running {
    call: Arc<dyn Call>,
    task: Py<PyAny>,
    run: Arc<Run>,
}

/// Calls whose first step has ended and whose tasks have not.
static CALLS: Mutex<Option<HashMap<Ticket, Running>>> = Mutex::new(None);

/// The task that answers this request, if its first step has ended.
pub(crate) fn task_of(py: Python<'_>, request: &Arc<Request>) -> Option<Py<PyAny>> {
    let calls = lock(&CALLS);
    let mut running = calls.iter().flat_map(HashMap::values);
    running.find(|running| Arc::ptr_eq(running.call.request(), request)).map(|running| running.task.clone_ref(py))
}

/// The call whose first step runs now, on the thread of the loop; in servers with a status page.
static STARTING: Mutex<Option<RunningCall>> = Mutex::new(None);

/// The calls of applications that run now.
pub(crate) fn running_calls() -> Vec<RunningCall> {
    let waiting = |running: &Running| RunningCall {
        request: Arc::clone(running.call.request()),
        thread: None,
        is_websocket: asks_for_websocket(running.call.request()),
    };
    let mut found: Vec<RunningCall> = lock(&CALLS).iter().flat_map(HashMap::values).map(waiting).collect();
    found.extend(lock(&STARTING).clone());
    found
}

fn set_starting(py: Python<'_>, request: Option<&Arc<Request>>) {
    if are_noted() {
        let is_websocket = request.is_some_and(|request| asks_for_websocket(request));
        let call = |request: &Arc<Request>| RunningCall {
            request: Arc::clone(request),
            thread: thread_ident(py).ok(),
            is_websocket,
        };
        *lock(&STARTING) = request.map(call);
    }
}

impl LoopFunction for HostedApp {
    fn begin(
        self: Arc<Self>,
        list: &Bound<'_, PyList>,
        ticket: Ticket,
        request: Arc<Request>,
        reply: Reply,
    ) -> PyResult<()> {
        let py = list.py();
        if asks_for_websocket(&request) {
            let call = SocketCall::new(self.websocket(), Arc::clone(&request), reply);
            let object = Bound::new(py, AsgiSocket(Arc::clone(&call)))?.into_any();
            self.start(&object, ticket, Protocol::WebSocket, call);
        } else {
            let call = HttpCall::new(Arc::clone(&request), reply);
            let object = Bound::new(py, AsgiCall(Arc::clone(&call)))?.into_any();
            self.start(&object, ticket, Protocol::Http, call);
        }
        Ok(())
    }
}

impl HostedApp {
    /// Begins the task of a call, whose first step runs now.
    fn start(self: Arc<Self>, events: &Bound<'_, PyAny>, ticket: Ticket, protocol: Protocol, call: Arc<dyn Call>) {
        let py = events.py();
        set_starting(py, Some(call.request()));
        let begun = self.task(events, protocol, &call);
        set_starting(py, None);
        Arc::clone(&call).end_first_step();
        let result = begun.and_then(|task| match task.call_method0(intern!(py, "done"))?.is_truthy()? {
            true => Ok(Some(task)),
            false => {
                let ended = Ended { app: Arc::clone(&self), call: Arc::clone(&call), ticket };
                let ended = Bound::new(py, ended)?;
                task.call_method1(intern!(py, "add_done_callback"), (ended,))?;
                let task = task.unbind();
                lock(&CALLS)
                    .get_or_insert_default()
                    .insert(ticket, Running { call: Arc::clone(&call), task, run: Arc::clone(&self.run) });
                Ok(None)
            }
        });
        match result {
            Ok(Some(task)) => self.end(&*call, &task),
            Ok(None) => {}
            Err(error) => self.failed(py, &*call, &error),
        }
    }

    fn task<'py>(
        &self,
        events: &Bound<'py, PyAny>,
        protocol: Protocol,
        call: &Arc<dyn Call>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = events.py();
        let state = lock(&self.run.state).as_ref().map(|state| state.bind(py).clone());
        let server = lock(&self.run.server).as_ref().map(|server| server.bind(py).clone());
        let server = server.unwrap_or_else(|| py.None().into_bound(py));
        let scope = self.templates.scope(py, protocol, call.request(), state.as_ref(), &server)?;
        let receive = events.getattr(intern!(py, "receive"))?;
        let send = events.getattr(intern!(py, "send"))?;
        let context = lock(&self.run.context).as_ref().map(|context| context.bind(py).clone());
        let task = TASK.import(py, "outside._hosting.asgi", "task")?;
        let logged = Bound::new(py, LoggedRequest(Arc::clone(call.request())))?;
        task.call1((self.app.bind(py), scope, receive, send, context, logged))
    }

    /// The task has ended.
    fn end(&self, call: &dyn Call, task: &Bound<'_, PyAny>) {
        let py = task.py();
        let is_cancelled = task.call_method0(intern!(py, "cancelled")).and_then(|it| it.is_truthy()).unwrap_or(false);
        if is_cancelled {
            // The server ends. Work behind a complete answer is not its client's matter.
            if call.returned().is_err() {
                self.failed(py, call, &PyRuntimeError::new_err("the application was cancelled"));
            }
            return;
        }
        let error = match task.call_method0(intern!(py, "exception")) {
            Ok(error) if error.is_none() => match call.returned() {
                Ok(()) => return,
                Err(why) => PyRuntimeError::new_err(why),
            },
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        };
        self.failed(py, call, &error);
    }

    /// Logs the exception, and ends the answer of this call alone.
    fn failed(&self, py: Python<'_>, call: &dyn Call, error: &PyErr) {
        let request = call.request();
        let is_quiet = call.is_gone() && is_disconnected(py, error);
        if !is_quiet {
            let ends = if error.is_instance_of::<PySystemExit>(py) { "tried to end the process" } else { "failed" };
            let what = format!(
                "{} {}: the application {ends}",
                request.method(),
                outside::log::shown_target(request.target())
            );
            log_exception(py, None, &what, error);
        }
        let object = Bound::new(py, crate::message::request::Request::view(Arc::clone(request)));
        call.fail(&mut || {
            let page = object.as_ref().ok().and_then(|request| self.shared.uncaught.page(request, error));
            page.map_or_else(|| Err(Error::status(500, None)), Ok)
        });
    }
}

/// Called when the task of a call has ended.
#[pyclass(module = "outside", name = "_Ended", frozen)]
struct Ended {
    app: Arc<HostedApp>,
    call: Arc<dyn Call>,
    ticket: Ticket,
}

#[pymethods]
impl Ended {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        let running = lock(&CALLS).as_mut().and_then(|calls| calls.remove(&self.ticket));
        self.app.end(&*self.call, task);
        drop(running);
    }
}
