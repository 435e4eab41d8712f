//! The asyncio event loop of `async def` functions: one for the process, in a thread of its own, fed in batches.
//!
//! Threads of the engine put commands into a queue and write a byte into a pipe, unless one is on its way already: one
//! wake-up for a batch. The other side of the queue is `outside/_handlers/loop.py`. This file is below the functions,
//! streams and WebSockets that the loop runs, and knows them as a `LoopFunction` or a `LoopJob`.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use outside::Error;
use outside::handler::{Reply, Ticket, hold_wakes, release_wakes};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::logging::{log_exception, log_warning};
pub(crate) use crate::loop_job::{Described, LoopFunction, LoopJob, LoopReport, Rescuers};
use crate::support::lock;
use crate::turn;

/// The event loop as the rest of the binding sees it.
pub(crate) struct EventLoop {
    queue: Mutex<VecDeque<LoopCommand>>,
    /// Jobs that have not been reported on.
    jobs: Mutex<HashMap<Ticket, Arc<dyn LoopJob>>>,
    /// Whether a byte is on its way through the pipe.
    is_woken: AtomicBool,
    /// The time since which the byte has waited to be read; `None` too once that has been logged.
    woken_at: Mutex<Option<Instant>>,
    /// The number of times that the loop has taken commands.
    batches: AtomicU64,
    wake_writer: UnixStream,
    wake_reader: UnixStream,
    /// The loop's own side, if the thread that serves drives it.
    driver: Mutex<Option<Py<PyAny>>>,
}

/// Commands to the loop.
enum LoopCommand {
    Call(Ticket, Arc<dyn LoopFunction>, Arc<outside::Request>, Reply),
    Cancel(Ticket),
    Begin(Ticket, Arc<dyn LoopJob>),
    Wake(Ticket),
    Close(Arc<Py<PyAny>>),
    /// A function that is called on the loop's thread.
    Execute(Box<dyn FnOnce(Python<'_>) + Send>),
    /// A coroutine, and the `concurrent.futures.Future` for its result.
    Run(Py<PyAny>, Py<PyAny>),
    Stop,
}

/// Numbers calls, jobs and readers of bodies.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Wakes the task that waits under one ticket on the loop's side.
struct LoopWaker(Ticket);

impl Wake for LoopWaker {
    fn wake(self: Arc<Self>) {
        if let Some(current) = EventLoop::current() {
            current.wake(self.0);
        }
    }
}

/// Time without taking commands after which the loop counts as blocked by a handler.
const BLOCKED_AFTER: Duration = Duration::from_secs(1);
/// Time within which the loop goes on after another thread has released the interpreter.
const GRACE: Duration = Duration::from_millis(50);

/// The loop of this process and its thread, while there is one.
static CURRENT: Mutex<Option<(Arc<EventLoop>, Arc<LoopThread>)>> = Mutex::new(None);

/// A loop that was there, or a new one and the place of its thread.
enum Made {
    Known(Arc<EventLoop>),
    New(Arc<EventLoop>, Arc<LoopThread>),
}

/// The thread, once it is started.
type LoopThread = Mutex<Option<Py<PyAny>>>;

impl EventLoop {
    /// The loop of this process, if there is one.
    pub(crate) fn current() -> Option<Arc<Self>> {
        lock(&CURRENT).as_ref().map(|(current, _)| Arc::clone(current))
    }

    /// The loop of this process; started if there is none.
    pub(crate) fn running(py: Python<'_>) -> PyResult<Arc<Self>> {
        // No Python is called under the lock: the thread that puts the loop there starts the loop's thread afterwards.
        let (made, thread) = match Self::make()? {
            Made::New(made, thread) => (made, thread),
            Made::Known(current) => return Ok(current),
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

    /// Begins a loop that this thread drives, by the method `run` of the object that this returns; `None` if the
    /// process has a loop. Commands wait until then.
    pub(crate) fn here(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
        let Made::New(made, thread) = Self::make()? else { return Ok(None) };
        *lock(&thread) = Some(py.import("threading")?.call_method0("current_thread")?.unbind());
        let source = Py::new(py, LoopSource(Arc::clone(&made)))?;
        let driver = py.import("outside._handlers.loop")?.call_method1("begin", (source,))?;
        *lock(&made.driver) = Some(driver.clone().unbind());
        Ok(Some(driver))
    }

    /// Has the thread that drives the loop run the handlers of these signals.
    pub(crate) fn hear(signals: Vec<u8>) {
        Self::execute(move |py| {
            let driver = Self::current().and_then(|current| lock(&current.driver).as_ref().map(|it| it.clone_ref(py)));
            if let Some(driver) = driver
                && let Err(error) = driver.call_method1(py, "hear", (PyBytes::new(py, &signals),))
            {
                log_exception(py, None, "a signal was not passed on", &error);
            }
        });
    }

    /// Ends the method `run` of a loop's driver.
    pub(crate) fn leave() {
        if let Some(current) = Self::current() {
            current.push(LoopCommand::Stop);
        }
    }

    /// The loop of this process, or a new one without a thread.
    fn make() -> PyResult<Made> {
        let mut current = lock(&CURRENT);
        if let Some((current, _)) = &*current {
            return Ok(Made::Known(Arc::clone(current)));
        }
        let (wake_writer, wake_reader) = UnixStream::pair()?;
        wake_writer.set_nonblocking(true)?;
        wake_reader.set_nonblocking(true)?;
        let made = Arc::new(Self {
            queue: Mutex::default(),
            jobs: Mutex::default(),
            is_woken: AtomicBool::new(false),
            woken_at: Mutex::default(),
            batches: AtomicU64::new(0),
            wake_writer,
            wake_reader,
            driver: Mutex::new(None),
        });
        let thread = Arc::new(Mutex::new(None));
        *current = Some((Arc::clone(&made), Arc::clone(&thread)));
        Ok(Made::New(made, thread))
    }

    /// Cancels the tasks of the loop, waits for their end, and ends the loop, if there is one.
    pub(crate) fn stop(py: Python<'_>, patience: Duration) -> PyResult<()> {
        let Some((current, thread)) = lock(&CURRENT).take() else { return Ok(()) };
        let driver = lock(&current.driver).take();
        if let Some(driver) = driver {
            return driver.call_method1(py, "close", (patience.as_secs_f64(),)).map(drop);
        }
        current.push(LoopCommand::Stop);
        let thread = lock(&thread).take();
        let Some(thread) = thread else { return Ok(()) };
        thread.bind(py).call_method1("join", (patience.as_secs_f64(),))?;
        if thread.bind(py).call_method0("is_alive")?.is_truthy()? {
            log_warning(py, "tasks of async handlers had not ended and were left behind");
        }
        Ok(())
    }

    /// Checks whether a handler keeps the loop from taking its commands, and has the handler's stack logged.
    pub(crate) fn look_after() {
        let Some((current, thread)) =
            lock(&CURRENT).as_ref().map(|(current, thread)| (Arc::clone(current), Arc::clone(thread)))
        else {
            return;
        };
        if lock(&current.woken_at).take_if(|since| since.elapsed() >= BLOCKED_AFTER).is_none() {
            return;
        }
        let batches = current.batches.load(Ordering::SeqCst);
        // On a thread of its own, because it waits for Python's lock.
        let started = std::thread::Builder::new().name("outside-stack".into()).spawn(move || {
            Python::attach(|py| {
                // Another thread may have kept the lock all the while: then the loop goes on now.
                py.detach(|| std::thread::sleep(GRACE));
                if current.batches.load(Ordering::SeqCst) != batches {
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
        // Without a thread the stack is not logged.
        drop(started);
    }

    /// Wakes the thread of the loop, for commands that were added without that.
    pub(crate) fn wake_thread() {
        if let Some(current) = Self::current() {
            current.write_byte();
        }
    }

    /// Calls an `async def` function; the ticket is for `cancel`.
    pub(crate) fn call(function: Arc<dyn LoopFunction>, request: Arc<outside::Request>, reply: Reply) -> Ticket {
        let Some(current) = Self::current() else {
            reply.send(Err(Self::has_ended()));
            return Ticket::MAX;
        };
        let ticket = Self::number();
        current.push(LoopCommand::Call(ticket, function, request, reply));
        ticket
    }

    /// Calls a function on the loop's thread.
    pub(crate) fn execute(function: impl FnOnce(Python<'_>) + Send + 'static) {
        if let Some(current) = Self::current() {
            current.push(LoopCommand::Execute(Box::new(function)));
        }
    }

    /// Holds back the wakes of this thread, which is the loop's, until the loop has gone round once more.
    pub(crate) fn coalesce() {
        if !hold_wakes() {
            return;
        }
        let scheduled = Python::attach(|py| {
            static LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let running = LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
            let release = py.import("outside._outside")?.getattr(intern!(py, "_release_wakes"))?;
            running.call_method1(intern!(py, "call_soon"), (release,)).map(drop)
        });
        if scheduled.is_err() {
            release_wakes();
        }
    }

    /// Cancels a call.
    pub(crate) fn cancel(ticket: Ticket) {
        if let Some(current) = Self::current() {
            current.push(LoopCommand::Cancel(ticket));
        }
    }

    /// The error of a call if there is no loop.
    pub(crate) fn has_ended() -> Error {
        Error::new("the event loop of async handlers has ended")
    }

    /// Runs a coroutine and hands its result to the future; `false` if there is no loop.
    pub(crate) fn run(coroutine: Py<PyAny>, future: Py<PyAny>) -> bool {
        let current = Self::current();
        let is_there = current.is_some();
        if let Some(current) = current {
            current.push(LoopCommand::Run(coroutine, future));
        }
        is_there
    }

    /// A ticket for a job, under which the loop reports.
    pub(crate) fn register(&self, job: Arc<dyn LoopJob>) -> Ticket {
        let ticket = Self::number();
        lock(&self.jobs).insert(ticket, job);
        ticket
    }

    /// Begins a registered job on the loop.
    pub(crate) fn begin(&self, ticket: Ticket, job: Arc<dyn LoopJob>) {
        self.push(LoopCommand::Begin(ticket, job));
    }

    /// Wakes a job that waits for messages or for room in a queue.
    pub(crate) fn wake(&self, ticket: Ticket) {
        self.push(LoopCommand::Wake(ticket));
    }

    /// Closes an asynchronous iterator of which no more pieces are wanted.
    pub(crate) fn close_iterator(&self, iterator: Arc<Py<PyAny>>) {
        self.push(LoopCommand::Close(iterator));
    }

    /// The descriptors of its pipe, if there is a loop.
    pub(crate) fn descriptors() -> Vec<RawFd> {
        Self::current()
            .map_or_else(Vec::new, |current| vec![current.wake_writer.as_raw_fd(), current.wake_reader.as_raw_fd()])
    }

    /// Forgets the loop, in a child of its process: the child has no loop, and drops no object of its parent's.
    pub(crate) fn forget() {
        // A thread that the child does not have may have held the lock.
        if let Ok(mut current) = CURRENT.try_lock() {
            std::mem::forget(current.take());
        }
    }

    /// A ticket under which the loop's side can be woken.
    pub(crate) fn number() -> Ticket {
        NEXT_TICKET.fetch_add(1, Ordering::Relaxed)
    }

    /// A waker for the task that waits under this ticket, if there is a loop.
    pub(crate) fn waker(ticket: Ticket) -> Waker {
        Waker::from(Arc::new(LoopWaker(ticket)))
    }

    fn push(&self, command: LoopCommand) {
        lock(&self.queue).push_back(command);
        let is_first = !self.is_woken.swap(true, Ordering::SeqCst);
        if is_first {
            *lock(&self.woken_at) = Some(Instant::now());
            turn::note_work(true);
        }
        if turn::is_to_wake(is_first) {
            self.write_byte();
        }
    }

    fn write_byte(&self) {
        // A full pipe holds bytes that wake the loop as well.
        drop((&self.wake_writer).write(&[0]));
    }

    fn report(&self, py: Python<'_>, ticket: Ticket, report: LoopReport<'_>) -> PyResult<()> {
        let job = lock(&self.jobs).remove(&ticket);
        job.map_or(Ok(()), |job| job.report(py, report))
    }
}

/// Wakes the reactors that have answers of the batch that has ended.
#[pyfunction]
pub(crate) fn _release_wakes() {
    release_wakes();
}

/// The loop's own view of its commands.
#[pyclass(module = "outside", name = "_LoopSource", frozen)]
pub(crate) struct LoopSource(Arc<EventLoop>);

#[pymethods]
impl LoopSource {
    /// The descriptor that becomes readable when there are commands.
    fn fileno(&self) -> i32 {
        self.0.wake_reader.as_raw_fd()
    }

    /// All commands there are, as `(kind, ticket, function or iterator, request)`, with the `_Call` to be answered behind them for a
    /// request. A ticket alone wakes the task that waits under it.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        // In this order: a command that is pushed after the queue was taken writes a byte of its own.
        drop((&self.0.wake_reader).read(&mut [0; 64]));
        *lock(&self.0.woken_at) = None;
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        self.0.is_woken.store(false, Ordering::SeqCst);
        let taken = std::mem::take(&mut *lock(&self.0.queue));
        let list = PyList::empty(py);
        // Released by the loop's side, when it has worked off the list.
        hold_wakes();
        for command in taken {
            match command {
                LoopCommand::Call(ticket, function, request, reply) => function.begin(&list, ticket, request, reply)?,
                LoopCommand::Cancel(ticket) => list.append(("cancel", ticket, py.None(), py.None()))?,
                LoopCommand::Begin(ticket, job) => {
                    let (kind, object, other) = job.describe(py)?;
                    list.append((kind, ticket, object, other))?;
                }
                LoopCommand::Wake(ticket) => list.append(ticket)?,
                LoopCommand::Close(iterator) => list.append(("close", 0, iterator.bind(py), py.None()))?,
                LoopCommand::Execute(function) => function(py),
                LoopCommand::Run(coroutine, future) => list.append(("run", 0, coroutine, future))?,
                LoopCommand::Stop => list.append(("stop", 0, py.None(), py.None()))?,
            }
        }
        Ok(list)
    }

    /// All commands that were taken have been worked off. Wakes the reactors that have answers of theirs.
    fn release(&self) {
        release_wakes();
        turn::note_work(self.0.is_woken.load(Ordering::Relaxed));
    }

    /// An iterator gave its next piece.
    fn piece(&self, value: Bound<'_, PyAny>, ticket: Ticket) -> PyResult<()> {
        self.0.report(value.py(), ticket, LoopReport::Piece(value))
    }

    /// An iterator has ended.
    fn end(&self, py: Python<'_>, ticket: Ticket) -> PyResult<()> {
        self.0.report(py, ticket, LoopReport::End)
    }

    /// An iterator raised. Gives the arguments of the rescue, if there are functions around its handler and nothing was sent yet:
    /// their scope, and the request.
    fn fail<'py>(&self, error: Bound<'py, PyAny>, ticket: Ticket) -> PyResult<Option<Rescuers<'py>>> {
        let py = error.py();
        let error = PyErr::from_value(error);
        let job = lock(&self.0.jobs).get(&ticket).cloned();
        match job.and_then(|job| job.rescuers(py, &error)) {
            Some(rescuers) => Ok(Some(rescuers)),
            None => self.0.report(py, ticket, LoopReport::Failed(error)).map(|()| None),
        }
    }

    /// The answer that these functions have made.
    fn instead(&self, response: Bound<'_, PyAny>, ticket: Ticket) -> PyResult<()> {
        self.0.report(response.py(), ticket, LoopReport::Instead(response))
    }

    /// The client has left: there is no connection any more to report to.
    fn forget(&self, ticket: Ticket) {
        let forgotten = lock(&self.0.jobs).remove(&ticket);
        drop(forgotten);
    }

    /// The handler of a WebSocket has ended; an exception that it raised has been logged.
    fn exit(&self, py: Python<'_>, ticket: Ticket, code: u16) -> PyResult<()> {
        self.0.report(py, ticket, LoopReport::Exit(code))
    }
}
