//! `async def` handlers: one asyncio event loop in a thread of its own, fed in batches.
//!
//! Connections put work into a queue and, if the loop has not been told yet, ring its bell: one wake for a batch. The
//! loop's side is `outside/_handlers/loop.py`.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use outside::{Elsewhere, Error, Pull, Reply, Sizes, Ticket};
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use super::plan::Plan;
use super::session::{Handlers, for_loop};
use super::stream::{Slot, piece};
use super::taken::Call;
use super::{Shared, around, lock};
use crate::logging::{log_exception, log_warning};
use crate::request::Request;

/// The event loop as the rest of the binding sees it.
pub(crate) struct EventLoop {
    queue: Mutex<VecDeque<Work>>,
    waiting: Mutex<HashMap<Ticket, Waiting>>,
    told: AtomicBool,
    /// Since when it has not taken notice of what it was told; `None` too if that was logged.
    unheard: Mutex<Option<Instant>>,
    /// How often it has taken work.
    heard: AtomicU64,
    button: UnixStream,
    bell: UnixStream,
}

/// What the loop is to do.
enum Work {
    Call(Ticket, Arc<Coroutine>, Arc<outside::Request>, Reply),
    Cancel(Ticket),
    Session(Ticket, Arc<Handlers>, outside::WebSocketConnection),
    Woken(Ticket),
    Next(Ticket, Arc<Py<PyAny>>, Arc<Slot>),
    Close(Arc<Py<PyAny>>),
    /// A coroutine, and the `concurrent.futures.Future` that somebody waits for.
    Run(Py<PyAny>, Py<PyAny>),
    Stop,
}

/// Who waits for what the loop does.
enum Waiting {
    Piece(Arc<Slot>),
    Exit(Arc<Handlers>, outside::WebSocketConnection),
}

/// An `async def` function.
pub(crate) struct Coroutine {
    pub(crate) function: Py<PyAny>,
    pub(crate) shared: Arc<Shared>,
    /// How it is called, if not with the request alone.
    pub(crate) plan: Option<Plan>,
}

impl Coroutine {
    /// Has the loop await it.
    fn call(
        &self,
        list: &Bound<'_, PyList>,
        ticket: Ticket,
        call: &Bound<'_, Call>,
        request: &Bound<'_, Request>,
        is_around: bool,
    ) -> PyResult<()> {
        let function = self.function.bind(request.py());
        match &self.plan {
            plan if is_around => {
                static CALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                let py = request.py();
                let around_it = CALL.import(py, "outside._handlers.around", "call_async")?;
                let arguments = (around(None, function, plan.as_ref(), request, &self.shared)?, py.None());
                list.append(("apply", ticket, around_it, arguments, call))
            }
            Some(plan) if !plan.is_plain() => list.append(("apply", ticket, function, plan.arguments(request)?, call)),
            _ => list.append(("call", ticket, function, request, call)),
        }
    }
}

/// An `async def` function on a route.
pub(crate) struct AsyncFunction {
    pub(crate) coroutine: Arc<Coroutine>,
    /// Does it take content while it comes in?
    pub(crate) streaming: bool,
    pub(crate) sizes: Sizes,
}

/// Numbers what the loop is asked to do.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Rings for one ticket.
struct Bell(Ticket);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        if let Some(source) = current {
            source.push(Work::Woken(self.0));
        }
    }
}

/// The loop answers within this time, or a handler blocks it.
const BLOCKED: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(50);

/// The loop of this process and its thread, while there is one.
static CURRENT: Mutex<Option<(Arc<EventLoop>, Arc<Thread>)>> = Mutex::new(None);

/// The thread, once it is started.
type Thread = Mutex<Option<Py<PyAny>>>;

impl EventLoop {
    /// The loop of this process; started if there is none.
    pub(crate) fn running(py: Python<'_>) -> PyResult<Arc<Self>> {
        // No Python is called while the lock is held: whoever puts the loop there starts its thread afterwards.
        let (made, thread) = {
            let mut current = lock(&CURRENT);
            if let Some((source, _)) = &*current {
                return Ok(Arc::clone(source));
            }
            let (button, bell) = UnixStream::pair()?;
            button.set_nonblocking(true)?;
            bell.set_nonblocking(true)?;
            let made = Arc::new(Self {
                queue: Mutex::default(),
                waiting: Mutex::default(),
                told: AtomicBool::new(false),
                unheard: Mutex::default(),
                heard: AtomicU64::new(0),
                button,
                bell,
            });
            let thread = Arc::new(Mutex::new(None));
            *current = Some((Arc::clone(&made), Arc::clone(&thread)));
            (made, thread)
        };
        let options = PyDict::new(py);
        options.set_item("target", py.import("outside._handlers.loop")?.getattr("serve")?)?;
        options.set_item("args", (Py::new(py, LoopSource(Arc::clone(&made)))?,))?;
        options.set_item("name", "outside-asyncio")?;
        options.set_item("daemon", true)?;
        let started = py.import("threading")?.getattr("Thread")?.call((), Some(&options))?;
        started.call_method0("start")?;
        *lock(&thread) = Some(started.unbind());
        Ok(made)
    }

    /// Cancels what it still does, waits for that, and ends the loop, if there is one.
    pub(crate) fn stop(py: Python<'_>, patience: Duration) -> PyResult<()> {
        let Some((source, thread)) = lock(&CURRENT).take() else { return Ok(()) };
        source.push(Work::Stop);
        let thread = lock(&thread).take();
        let Some(thread) = thread else { return Ok(()) };
        thread.bind(py).call_method1("join", (patience.as_secs_f64(),))?;
        if thread.bind(py).call_method0("is_alive")?.is_truthy()? {
            log_warning(py, "tasks of async handlers had not ended and were left behind");
        }
        Ok(())
    }

    /// Looks whether a handler keeps the loop from going on while something waits, and has it logged where that is.
    pub(crate) fn look_after() {
        let Some((source, thread)) = lock(&CURRENT).as_ref().map(|(source, thread)| (source.clone(), thread.clone()))
        else {
            return;
        };
        if lock(&source.unheard).take_if(|since| since.elapsed() >= BLOCKED).is_none() {
            return;
        }
        let heard = source.heard.load(Ordering::SeqCst);
        // On a thread of its own: it waits for Python's lock.
        let told = std::thread::Builder::new().name("outside-stack".into()).spawn(move || {
            Python::attach(|py| {
                // Another thread may have kept the lock all the while: then the loop goes on now.
                py.detach(|| std::thread::sleep(GRACE));
                if source.heard.load(Ordering::SeqCst) != heard {
                    return;
                }
                let Some(thread) = lock(&thread).as_ref().map(|thread| thread.clone_ref(py)) else { return };
                let logged = thread
                    .getattr(py, "ident")
                    .and_then(|ident| py.import("outside._handlers.stuck")?.call_method1("log_blocked_loop", (ident,)));
                if let Err(error) = logged {
                    log_exception(py, None, "where the event loop is could not be found", &error);
                }
            });
        });
        // Without a thread there is no word of it.
        drop(told);
    }

    /// Runs a coroutine and tells the future what came of it; `false` if there is no loop.
    pub(crate) fn run(coroutine: Py<PyAny>, future: Py<PyAny>) -> bool {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        let is_there = current.is_some();
        if let Some(source) = current {
            source.push(Work::Run(coroutine, future));
        }
        is_there
    }

    /// Asks an asynchronous iterator for its next piece.
    pub(crate) fn next(&self, iterator: Arc<Py<PyAny>>, slot: Arc<Slot>) {
        let ticket = self.ticket(Waiting::Piece(Arc::clone(&slot)));
        self.push(Work::Next(ticket, iterator, slot));
    }

    /// Closes an asynchronous iterator that will not be asked again.
    pub(crate) fn close_iterator(&self, iterator: Arc<Py<PyAny>>) {
        self.push(Work::Close(iterator));
    }

    /// Hands a WebSocket connection to the loop.
    pub(crate) fn open_session(handlers: Arc<Handlers>, connection: outside::WebSocketConnection) -> Result<(), Error> {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        let source = current.ok_or_else(|| Error::new("the event loop of async handlers has ended"))?;
        let ticket = source.ticket(Waiting::Exit(Arc::clone(&handlers), connection.clone()));
        let listener = Arc::downgrade(&source);
        connection.set_listener(move || {
            if let Some(source) = listener.upgrade() {
                source.push(Work::Woken(ticket));
            }
        });
        handlers.begin(&connection);
        source.push(Work::Session(ticket, handlers, connection));
        Ok(())
    }

    /// The descriptors of its bell, if there is a loop.
    pub(crate) fn descriptors() -> Vec<RawFd> {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        current.map_or_else(Vec::new, |source| vec![source.button.as_raw_fd(), source.bell.as_raw_fd()])
    }

    /// There is none in this process, which is a child of the one that has it: nothing of it is dropped.
    pub(crate) fn forget() {
        // A thread that is not here may have held the lock.
        if let Ok(mut current) = CURRENT.try_lock() {
            std::mem::forget(current.take());
        }
    }

    /// A ticket of which the loop's side can be told.
    pub(crate) fn number() -> Ticket {
        NEXT_TICKET.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the loop of this ticket, if there is a loop.
    pub(crate) fn waker(ticket: Ticket) -> Waker {
        Waker::from(Arc::new(Bell(ticket)))
    }

    fn ticket(&self, waiting: Waiting) -> Ticket {
        let ticket = Self::number();
        lock(&self.waiting).insert(ticket, waiting);
        ticket
    }

    fn push(&self, work: Work) {
        lock(&self.queue).push_back(work);
        if !self.told.swap(true, Ordering::SeqCst) {
            *lock(&self.unheard) = Some(Instant::now());
            // A full socket means that the bell rings already.
            drop((&self.button).write(&[0]));
        }
    }

    fn take_waiting(&self, ticket: Ticket) -> Option<Waiting> {
        lock(&self.waiting).remove(&ticket)
    }
}

impl Elsewhere for AsyncFunction {
    fn submit(&self, request: Arc<outside::Request>, reply: Reply) -> Ticket {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        let Some(source) = current else {
            reply.send(Err(Error::new("the event loop of async handlers has ended")));
            return Ticket::MAX;
        };
        let ticket = EventLoop::number();
        source.push(Work::Call(ticket, Arc::clone(&self.coroutine), request, reply));
        ticket
    }

    fn takes_pieces(&self) -> bool {
        self.streaming
    }

    fn sizes(&self) -> Option<&Sizes> {
        Some(&self.sizes)
    }

    fn cancel(&self, ticket: Ticket) {
        let current = lock(&CURRENT).as_ref().map(|(source, _)| Arc::clone(source));
        if let Some(source) = current {
            source.push(Work::Cancel(ticket));
        }
    }
}

/// The loop's own view of its work.
#[pyclass(module = "outside", name = "_LoopSource", frozen)]
pub(crate) struct LoopSource(Arc<EventLoop>);

#[pymethods]
impl LoopSource {
    /// The descriptor that becomes readable when there is work.
    fn fileno(&self) -> i32 {
        self.0.bell.as_raw_fd()
    }

    /// All work there is, as `(kind, ticket, function or iterator, request)`, with the `_Call` to be answered behind them if it is a
    /// request; a ticket alone is of somebody who waits, and is to look.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut rings = [0; 64];
        drop((&self.0.bell).read(&mut rings));
        *lock(&self.0.unheard) = None;
        self.0.heard.fetch_add(1, Ordering::SeqCst);
        self.0.told.store(false, Ordering::SeqCst);
        let taken = std::mem::take(&mut *lock(&self.0.queue));
        let list = PyList::empty(py);
        for work in taken {
            match work {
                Work::Call(ticket, coroutine, request, reply) => {
                    let request = Bound::new(py, Request::view(request))?;
                    let call = Bound::new(py, Call::begin(&coroutine, &request, reply))?;
                    if let Err(error) = coroutine.call(&list, ticket, &call, &request, call.get().is_around()) {
                        call.get().settle(py, Err(error));
                    }
                }
                Work::Cancel(ticket) => list.append(("cancel", ticket, py.None(), py.None()))?,
                Work::Session(ticket, handlers, connection) => {
                    let (object, context) = for_loop(py, &connection)?;
                    list.append(("session", ticket, (handlers.for_loop(py)?, context), object))?;
                }
                Work::Woken(ticket) => list.append(ticket)?,
                Work::Next(ticket, iterator, slot) => {
                    let context = slot.context.as_ref().filter(|_| slot.is_first).map(|context| context.lend(py));
                    list.append(("next", ticket, iterator.bind(py), context))?;
                }
                Work::Close(iterator) => list.append(("close", 0, iterator.bind(py), py.None()))?,
                Work::Run(coroutine, future) => list.append(("run", 0, coroutine, future))?,
                Work::Stop => list.append(("stop", 0, py.None(), py.None()))?,
            }
        }
        Ok(list)
    }

    /// An iterator raised. Gives what is to be called for it, if there are functions around its handler and nothing was sent yet:
    /// whose they are, and the request.
    fn fail<'py>(&self, error: Bound<'py, PyAny>, ticket: Ticket) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = error.py();
        if error.is_instance_of::<PyException>()
            && let Some(Waiting::Piece(slot)) = lock(&self.0.waiting).get(&ticket)
            && slot.is_first
            && let Some(context) = &slot.context
            && let Some(scope) = context.rescuers(py)
        {
            return Some((scope.clone(), context.request(py).clone().into_any()));
        }
        self.settle(py, ticket, Err(PyErr::from_value(error)));
        None
    }

    /// What they have made of it.
    fn instead(&self, response: Bound<'_, PyAny>, ticket: Ticket) {
        let py = response.py();
        let Some(Waiting::Piece(slot)) = self.0.take_waiting(ticket) else { return };
        let Some(context) = &slot.context else { return };
        match context.rescued(py, &response) {
            Ok(answer) => slot.put(Pull::Instead(Box::new(answer))),
            Err(error) => slot.fail(py, &error),
        }
    }

    /// Nobody waits for this any more.
    fn forget(&self, ticket: Ticket) {
        drop(self.0.take_waiting(ticket));
    }

    /// The handler of a WebSocket has ended: what it raised, if anything, has been logged.
    fn exit(&self, ticket: Ticket, code: u16) -> PyResult<()> {
        let Some(Waiting::Exit(handlers, connection)) = self.0.take_waiting(ticket) else { return Ok(()) };
        handlers.end(&connection);
        connection.exit(code, "").map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// An iterator gave its next piece.
    fn piece(&self, value: Bound<'_, PyAny>, ticket: Ticket) {
        self.settle(value.py(), ticket, Ok(value));
    }

    /// An iterator has ended.
    fn end(&self, ticket: Ticket) {
        if let Some(Waiting::Piece(slot)) = self.0.take_waiting(ticket) {
            slot.put(Pull::End);
        }
    }
}

impl LoopSource {
    fn settle(&self, py: Python<'_>, ticket: Ticket, result: PyResult<Bound<'_, PyAny>>) {
        match self.0.take_waiting(ticket) {
            Some(Waiting::Piece(slot)) => {
                match result.inspect(|value| slot.kind.note(value)).and_then(|value| piece(&value)) {
                    Ok(piece) => slot.put(Pull::Piece(piece)),
                    Err(error) => slot.fail(py, &error),
                }
            }
            Some(Waiting::Exit(..)) | None => {}
        }
    }
}
