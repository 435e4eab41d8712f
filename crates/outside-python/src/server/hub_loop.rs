//! `HubLoop` and `SeatPair`: the hub of a machine in the process that was started, and the ends of its seats.
//!
//! A wait returns only for descriptors that Python has added to the same `epoll` instance, for signals and deadlines.
//! Messages of workers are moved meanwhile, without Python's lock. On systems without `epoll` there is no hub.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use outside::hub::HubShell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::run_error;
use crate::server::outside_http::OutsideHttp;
use crate::support::lock;

/// Waits for descriptors, and moves the messages of worker processes meanwhile.
#[pyclass(module = "outside._outside", name = "HubLoop", frozen)]
pub(crate) struct HubLoop(Mutex<Option<HubShell>>);

impl HubLoop {
    fn with<T>(&self, function: impl FnOnce(&mut HubShell) -> std::io::Result<T>) -> PyResult<T> {
        match &mut *lock(&self.0) {
            Some(shell) => Ok(function(shell)?),
            None => Err(PyRuntimeError::new_err("the hub belongs to another process")),
        }
    }
}

#[pymethods]
impl HubLoop {
    /// With a server, the hub goes on with the shared state that the server has in this process.
    #[new]
    #[pyo3(signature = (server=None))]
    fn new(server: Option<&OutsideHttp>) -> PyResult<Self> {
        let shell = match server {
            Some(server) => HubShell::with_memory(server.server()?.engine.shared_memory()),
            None => HubShell::new(),
        };
        Ok(Self(Mutex::new(Some(shell?))))
    }

    /// The descriptor of the `epoll` instance.
    fn fileno(&self) -> PyResult<RawFd> {
        self.with(|shell| Ok(shell.as_fd().as_raw_fd()))
    }

    /// Waits for this number of milliseconds, or for ever. Returns the descriptors that are ready, and texts for the log.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<(Vec<RawFd>, Vec<String>)> {
        let timeout = timeout.and_then(|timeout| Duration::try_from_secs_f64(timeout.max(0.0) / 1000.0).ok());
        py.detach(|| self.with(|shell| Ok((shell.wait(timeout)?, shell.take_complaints()))))
    }

    /// Takes one end of a pair as a seat.
    fn add_seat(&self, pair: &SeatPair) -> PyResult<()> {
        let near = lock(&pair.near).take().ok_or_else(|| PyRuntimeError::new_err("this seat is taken"))?;
        self.with(|shell| shell.add_seat(near))
    }

    /// One end of a channel for a generation, which sends ends of seats through it; the other end is here.
    fn open_channel(&self) -> PyResult<HubChannel> {
        self.with(|shell| Ok(HubChannel(Mutex::new(Some(shell.open_channel()?)))))
    }

    /// Closes everything, in a process that was forked: the hub stays in the other one.
    fn release(&self) {
        let shell = lock(&self.0).take();
        shell.into_iter().for_each(HubShell::release);
    }
}

/// A pair of sockets between the hub and a worker that is about to be forked.
#[pyclass(module = "outside._outside", name = "SeatPair", frozen)]
pub(crate) struct SeatPair {
    near: Mutex<Option<OwnedFd>>,
    far: Mutex<Option<OwnedFd>>,
}

#[pymethods]
impl SeatPair {
    #[new]
    fn new() -> PyResult<Self> {
        let (near, far) = UnixStream::pair()?;
        Ok(Self { near: Mutex::new(Some(near.into())), far: Mutex::new(Some(far.into())) })
    }

    /// The descriptors of the hub's end and of the worker's end; -1 for one that was taken.
    fn filenos(&self) -> (RawFd, RawFd) {
        let number = |end: &Mutex<Option<OwnedFd>>| lock(end).as_ref().map_or(-1, |end| end.as_raw_fd());
        (number(&self.near), number(&self.far))
    }

    /// Closes the hub's end in this process.
    fn close_near(&self) {
        drop(lock(&self.near).take());
    }

    /// Closes both ends in this process.
    fn close(&self) {
        drop((lock(&self.near).take(), lock(&self.far).take()));
    }
}

/// The end of a channel that a generation gets.
#[pyclass(module = "outside._outside", name = "HubChannel", frozen)]
pub(crate) struct HubChannel(Mutex<Option<OwnedFd>>);

#[pymethods]
impl HubChannel {
    /// Its descriptor; -1 once it is closed.
    fn fileno(&self) -> RawFd {
        lock(&self.0).as_ref().map_or(-1, |end| end.as_raw_fd())
    }

    /// Closes it in this process.
    fn close(&self) {
        drop(lock(&self.0).take());
    }
}

/// Takes the worker's end of a seat: the topics of its server go by the hub.
#[pyfunction]
pub(crate) fn _take_seat(server: &OutsideHttp, pair: &SeatPair) -> PyResult<()> {
    let far = lock(&pair.far).take().ok_or_else(|| PyRuntimeError::new_err("this seat is taken"))?;
    server.server()?.engine.take_seat(far).map_err(run_error)
}

/// The same for a process that serves alone: its shared state is the hub's, and nothing else.
#[pyfunction]
pub(crate) fn _take_state_seat(server: &OutsideHttp, pair: &SeatPair) -> PyResult<()> {
    let far = lock(&pair.far).take().ok_or_else(|| PyRuntimeError::new_err("this seat is taken"))?;
    server.server()?.engine.take_state_seat(far).map_err(run_error)
}
