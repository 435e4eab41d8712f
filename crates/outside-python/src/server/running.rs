//! The servers that run in this process: for children that a program forks meanwhile (`outside/_process/at_fork.py`),
//! and because the last one ends the asyncio loop.

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use outside::ServerRun;
use outside::listen::{Address, Endpoint};
use pyo3::prelude::*;

use crate::call::shared::Shared;
use crate::current_request::current_request;
use crate::event_loop::EventLoop;
use crate::forked;
use crate::message::request::Request;
use crate::server::listening::to_python;
use crate::support::lock;

/// A server that runs, held here until `run()` ends: a forked child, in which it never ends, drops no server.
struct RunEntry {
    server: Py<PyAny>,
    shared: Arc<Shared>,
    descriptors: Vec<RawFd>,
    addresses: Vec<Address>,
}

static ENTRIES: Mutex<Vec<RunEntry>> = Mutex::new(Vec::new());

/// Keeps the entry of a server until `run()` ends.
pub(crate) struct RunRecord<'a, 'py>(&'a Bound<'py, PyAny>);

impl<'a, 'py> RunRecord<'a, 'py> {
    pub(crate) fn begin(server: &'a Bound<'py, PyAny>, shared: &Arc<Shared>, server_run: &ServerRun) -> Self {
        let descriptors = server_run.descriptors().map(|descriptor| descriptor.as_raw_fd()).to_vec();
        let (server_object, shared) = (server.clone().unbind(), Arc::clone(shared));
        lock(&ENTRIES).push(RunEntry { server: server_object, shared, descriptors, addresses: Vec::new() });
        Self(server)
    }
}

impl Drop for RunRecord<'_, '_> {
    fn drop(&mut self) {
        let ended = {
            let mut entries = lock(&ENTRIES);
            let at = entries.iter().position(|entry| entry.server.is(self.0));
            at.map(|at| entries.swap_remove(at))
        };
        // Without the lock: the entry may be the server's last reference, and its end may run code of the program.
        drop(ended);
    }
}

/// Notes the endpoints of a server that listens.
pub(crate) fn note_endpoints(server: &Py<PyAny>, endpoints: &[Endpoint]) {
    if let Some(entry) = lock(&ENTRIES).iter_mut().find(|entry| entry.server.is(server)) {
        entry.addresses = endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();
    }
}

/// Descriptors that a child closes, addresses of listeners, and descriptors of files that it replaces.
type Belongings<'py> = (Vec<RawFd>, Vec<Bound<'py, PyAny>>, Vec<RawFd>);

/// The descriptors that are known by number, the addresses of all servers, and the files with content of requests that other
/// threads than this one handle: for a fork that is about to be made.
#[pyfunction]
pub(crate) fn _belongings(py: Python<'_>, thread: u64) -> PyResult<Belongings<'_>> {
    let (mut descriptors, addresses, all) = {
        let entries = lock(&ENTRIES);
        let descriptors: Vec<RawFd> = entries.iter().flat_map(|entry| entry.descriptors.iter().copied()).collect();
        let addresses: Vec<Address> = entries.iter().flat_map(|entry| entry.addresses.iter().cloned()).collect();
        let all: Vec<Arc<Shared>> = entries.iter().map(|entry| Arc::clone(&entry.shared)).collect();
        (descriptors, addresses, all)
    };
    descriptors.extend(EventLoop::descriptors());
    let contents = all.iter().flat_map(|shared| shared.contents_of_others(py, thread)).collect();
    let addresses = addresses.iter().map(|address| to_python(py, address));
    Ok((descriptors, addresses.collect::<PyResult<_>>()?, contents))
}

/// The open files of the engine, in a child that was just forked: no other thread opens or closes one.
#[pyfunction]
pub(crate) fn _own_descriptors() -> Vec<RawFd> {
    outside::own_descriptors()
}

/// The request for which this thread, which has Python's number `thread`, calls a plain function or an application.
#[pyfunction]
pub(crate) fn _request_of_thread(py: Python<'_>, thread: u64) -> Option<Py<Request>> {
    // A child that a program forks has copies of locks, which another thread may have held.
    if !RunningServer::any() {
        return None;
    }
    let all: Vec<Arc<Shared>> = lock(&ENTRIES).iter().map(|entry| Arc::clone(&entry.shared)).collect();
    let called = all.iter().find_map(|shared| shared.request_of(py, thread));
    called.or_else(|| Py::new(py, Request::view(current_request()?)).ok())
}

/// The servers that run in this process.
#[pyfunction]
pub(crate) fn _running_servers(py: Python<'_>) -> Vec<Py<PyAny>> {
    lock(&ENTRIES).iter().map(|entry| entry.server.clone_ref(py)).collect()
}

/// This is a child of a process that serves: of its servers it has copies in memory, and no threads.
#[pyfunction]
pub(crate) fn _forked() {
    forked::note(RunningServer::any());
    RunningServer::forget_all();
    EventLoop::forget();
}

/// The number of servers that run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Counts a server while it runs.
pub(crate) struct RunningServer(());

impl RunningServer {
    /// Whether a server runs.
    pub(crate) fn any() -> bool {
        RUNNING.load(Ordering::SeqCst) > 0
    }

    /// Forgets all servers, because this process is a child of the one in which they run.
    pub(crate) fn forget_all() {
        RUNNING.store(0, Ordering::SeqCst);
    }

    pub(crate) fn count() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }

    /// Notes the end of the server. Returns whether it was the last one.
    pub(crate) fn end(self) -> bool {
        std::mem::forget(self);
        RUNNING.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}
