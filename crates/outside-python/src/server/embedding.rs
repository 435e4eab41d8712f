//! Attaches Python around the life and the work of the engine's threads.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outside::Request;
use outside::handler::{LanguageRuntime, RunningCall, StackSource};
use pyo3::prelude::*;

use crate::call::noted::stack_source;
use crate::call::shared::Shared;
use crate::event_loop::EventLoop;
use crate::hosting::asgi::{running_calls, task_of};
use crate::hosting::wsgi_running::{self, thread_of};
use crate::logging::{log_exception, log_warning};
use crate::message::request::Request as RequestObject;
use crate::server::contention;
use crate::support::lock;
use crate::turn;
use crate::websocket::running::running as sockets_running;

/// One outer attach for a thread's whole life, so that re-attaching creates and destroys no thread state.
pub(crate) struct PythonRuntime(pub(crate) Arc<Shared>);

impl LanguageRuntime for PythonRuntime {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(life));
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        let asked = Instant::now();
        Python::attach(|py| {
            let waited = asked.elapsed();
            contention::note(py, waited);
            WAITED.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(0), Ordering::Relaxed);
            batch();
        });
    }

    fn begin_turn(&self) {
        turn::begin();
    }

    fn end_turn(&self, is_waiting: bool) {
        if turn::end(is_waiting) {
            EventLoop::wake_thread();
        }
    }

    fn interrupt(&self, request: &Arc<Request>) {
        Python::attach(|py| self.0.interrupt(py, request));
    }

    fn give_up(&self, request: Option<&Arc<Request>>) {
        Python::attach(|py| {
            let thread = request.and_then(|request| self.0.thread_of(py, request));
            let told =
                py.import("outside._handlers.stuck").and_then(|stuck| stuck.call_method1("log_stack", (thread,)));
            if let Err(error) = told {
                log_exception(py, None, "where a handler is could not be found", &error);
            }
        });
    }

    fn release_memory(&self) {
        raw_memory::release_memory();
    }

    fn recycle(&self) {
        // Without a supervisor this process serves on.
        lock(&self.0.report).as_mut().into_iter().for_each(|report| drop(report.write_all(RECYCLED)));
    }

    fn recycle_for_memory(&self) {
        lock(&self.0.report).as_mut().into_iter().for_each(|report| drop(report.write_all(GROWN)));
    }

    fn name_running(&self) {
        const MOST: usize = 5;
        Python::attach(|py| {
            let active = self.0.active(py);
            let name = |request: &Py<RequestObject>| {
                let request = request.get().inner();
                format!("{} {}", request.method(), outside::log::shown_target(request.target()))
            };
            let mut names: Vec<String> = active.iter().take(MOST).map(name).collect();
            if active.len() > MOST {
                names.push(format!("{} more", active.len() - MOST));
            }
            if !names.is_empty() {
                log_warning(py, &outside::log::one_line(&format!("the end waits for {}", names.join(", "))));
            }
        });
    }

    fn note_hanging(&self, request: &Arc<Request>) {
        Python::attach(|py| {
            let name = format!("{} {}", request.method(), outside::log::shown_target(request.target()));
            let (thread, task) = (thread_of(request), task_of(py, request));
            let stuck = py.import("outside._handlers.stuck");
            let told = stuck.and_then(|stuck| stuck.call_method1("log_hanging", (name, thread, task)));
            if let Err(error) = told {
                log_exception(py, None, "where an application is could not be found", &error);
            }
        });
    }

    fn tick(&self) {
        EventLoop::look_after();
    }

    fn running(&self) -> Vec<RunningCall> {
        let mut running = self.0.running();
        running.extend(running_calls());
        running.extend(wsgi_running::running());
        running.extend(sockets_running());
        running
    }

    fn waited(&self) -> Option<Duration> {
        Some(Duration::from_nanos(WAITED.load(Ordering::Relaxed)))
    }

    fn stack_source(&self) -> Option<StackSource> {
        stack_source()
    }

    fn replace(&self) -> bool {
        // Without Python: the handler may hold its lock.
        let told = lock(&self.0.report).as_mut().is_some_and(|report| report.write_all(STUCK).is_ok());
        self.0.is_replaced.fetch_or(told, Ordering::SeqCst);
        told
    }
}

/// Nanoseconds for which threads have waited for Python's lock before a batch of calls.
static WAITED: AtomicU64 = AtomicU64::new(0);

/// The bytes that a worker process sends to its supervisor (`outside/_process/workers.py`) when a handler does not end, and
/// when it has had as many requests, or has as much memory, as it may.
const STUCK: &[u8] = b"s";
const RECYCLED: &[u8] = b"m";
const GROWN: &[u8] = b"g";
