//! What belongs to servers of this process, for children that a program forks meanwhile (`outside/_process/at_fork.py`), and how such a
//! child ends that comes back from a handler.

use std::cell::Cell;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Mutex, PoisonError};

use outside::{Address, Endpoint, Entered};
use pyo3::prelude::*;

use crate::call::asynchronous::EventLoop;
use crate::listening::to_python;
use crate::server::OutsideHttp;
use crate::serving::RunningServer;

/// A server that runs. It is held here until `run()` ends, which it never does in a child: so nothing of it is dropped there.
struct Running {
    server: Py<OutsideHttp>,
    descriptors: Vec<RawFd>,
    addresses: Vec<Address>,
}

static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

thread_local! {
    /// Was this process forked by this thread, in a handler?
    static IS_FORKED: Cell<bool> = const { Cell::new(false) };
}

fn running<R>(change: impl FnOnce(&mut Vec<Running>) -> R) -> R {
    change(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A server begins to run.
pub(crate) fn begin(server: &Bound<'_, OutsideHttp>, entered: &Entered) {
    let descriptors = entered.descriptors().map(|descriptor| descriptor.as_raw_fd()).to_vec();
    let entry = Running { server: server.clone().unbind(), descriptors, addresses: Vec::new() };
    running(|running| running.push(entry));
}

/// It listens.
pub(crate) fn listen(server: &Py<OutsideHttp>, endpoints: &[Endpoint]) {
    running(|running| {
        if let Some(entry) = running.iter_mut().find(|entry| entry.server.is(server)) {
            entry.addresses = endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();
        }
    });
}

/// It has ended.
pub(crate) fn end(server: &Bound<'_, OutsideHttp>) {
    let ended = running(|running| {
        let at = running.iter().position(|entry| entry.server.is(server))?;
        Some(running.swap_remove(at))
    });
    drop(ended);
}

/// Ends this process if it is a child that was forked in the call which has now come back.
pub(crate) fn leave_if_forked<T>(py: Python<'_>, result: &PyResult<T>) {
    if !IS_FORKED.get() {
        return;
    }
    let error = result.as_ref().err().map(|error| error.value(py));
    let left = py.import("outside._process.at_fork").and_then(|module| module.call_method1("leave", (error,)));
    if let Err(error) = left {
        error.write_unraisable(py, None);
    }
    std::process::abort();
}

/// The descriptors that are known by number, and where servers listen: for a fork that is about to be made.
#[pyfunction]
pub(crate) fn _belongings(py: Python<'_>) -> PyResult<(Vec<RawFd>, Vec<Bound<'_, PyAny>>)> {
    let (mut descriptors, addresses) = running(|running| {
        let descriptors: Vec<RawFd> = running.iter().flat_map(|entry| entry.descriptors.iter().copied()).collect();
        let addresses: Vec<Address> = running.iter().flat_map(|entry| entry.addresses.iter().cloned()).collect();
        (descriptors, addresses)
    });
    descriptors.extend(EventLoop::descriptors());
    let addresses = addresses.iter().map(|address| to_python(py, address));
    Ok((descriptors, addresses.collect::<PyResult<_>>()?))
}

/// This is a child of a process that serves: nothing of the servers is here but what the fork has copied.
#[pyfunction]
pub(crate) fn _forked() {
    IS_FORKED.set(RunningServer::any());
    RunningServer::forget_all();
    EventLoop::forget();
}
