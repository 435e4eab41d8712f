//! `wsgi.input`: the content of a request as a binary file that is read once, from its beginning to its end.

use std::sync::{Arc, Mutex, MutexGuard};

use outside::content::Pieces;
use outside::{Error, Request};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList};

use crate::errors::content_error;
use crate::support::lock_attached;

/// The content of one request.
#[pyclass(module = "outside", name = "WSGIInput", frozen, freelist = 64)]
pub(crate) struct Input {
    request: Option<Arc<Request>>,
    state: Mutex<InputState>,
}

/// The part of the content that was handed over by the engine and is not read yet.
#[derive(Default)]
struct InputState {
    /// Bytes that the engine has handed over.
    taken: u64,
    held: Vec<u8>,
    /// The start of the unread bytes in `held`.
    at: usize,
    is_over: bool,
}

impl InputState {
    fn unread(&self) -> &[u8] {
        &self.held[self.at..]
    }

    /// Takes the next piece behind the unread bytes. Returns whether there was one.
    fn fill(&mut self, request: &Request) -> Result<bool, Error> {
        if self.is_over {
            return Ok(false);
        }
        self.held.drain(..self.at);
        self.at = 0;
        let mut pieces = Pieces::starting_at(request, self.taken);
        let held = &mut self.held;
        let more = pieces.next_with(|piece| held.extend_from_slice(piece))?.is_some();
        self.taken = pieces.position();
        self.is_over = !more;
        Ok(more)
    }

    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        let bytes = PyBytes::new(py, &self.held[self.at..self.at + count]);
        self.at += count;
        bytes
    }
}

/// The input of all requests that have no content.
pub(super) fn no_input(py: Python<'_>) -> PyResult<&Bound<'_, Input>> {
    static NO_INPUT: PyOnceLock<Py<Input>> = PyOnceLock::new();
    let made = NO_INPUT.get_or_try_init(py, || Py::new(py, Input { request: None, state: Mutex::default() }))?;
    Ok(made.bind(py))
}

impl Input {
    pub(super) fn of(request: &Arc<Request>) -> Self {
        Self { request: Some(Arc::clone(request)), state: Mutex::default() }
    }

    /// Takes more content in until `is_enough` is true of the unread bytes, or there is no more.
    fn fill_until(&self, py: Python<'_>, is_enough: impl Fn(&[u8]) -> bool) -> PyResult<MutexGuard<'_, InputState>> {
        let mut state = lock_attached(&self.state, py);
        let Some(request) = &self.request else { return Ok(state) };
        while !state.is_over && !is_enough(state.unread()) {
            // Other threads run Python while the content comes in.
            let filled = match request.is_streamed() || request.is_spooled() {
                true => {
                    let inner = &mut *state;
                    py.detach(move || inner.fill(request))
                }
                false => state.fill(request),
            };
            filled.map_err(|error| content_error(py, &error))?;
        }
        Ok(state)
    }

    fn line<'py>(&self, py: Python<'py>, limit: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
        let end_of = |unread: &[u8]| unread.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let is_enough = |unread: &[u8]| end_of(unread).is_some() || limit.is_some_and(|limit| unread.len() >= limit);
        let mut state = self.fill_until(py, is_enough)?;
        let end = end_of(state.unread()).unwrap_or(state.unread().len());
        let count = limit.map_or(end, |limit| end.min(limit));
        Ok(state.take(py, count))
    }
}

/// A number of bytes as Python's files take it: negative and `None` stand for all.
fn limit_of(size: Option<i64>) -> Option<usize> {
    size.and_then(|size| usize::try_from(size).ok())
}

#[pymethods]
impl Input {
    /// At most this number of bytes, or all that are left; waits for the client.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit_of(size);
        let mut state = self.fill_until(py, |unread| limit.is_some_and(|limit| unread.len() >= limit))?;
        let there = state.unread().len();
        Ok(state.take(py, limit.map_or(there, |limit| limit.min(there))))
    }

    /// The next line with its end, at most this number of bytes.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.line(py, limit_of(size))
    }

    /// Lines, as long as those before have fewer bytes than `hint`.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let hint = limit_of(hint).filter(|&hint| hint > 0);
        let (lines, mut total) = (PyList::empty(py), 0);
        loop {
            let line = self.line(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                return Ok(lines);
            }
            lines.append(line)?;
            total += length;
            if hint.is_some_and(|hint| total >= hint) {
                return Ok(lines);
            }
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let line = self.line(py, None)?;
        if line.as_bytes().is_empty() { Err(PyStopIteration::new_err(())) } else { Ok(line) }
    }

    /// Nothing: the content belongs to the server.
    fn close(&self) {}

    fn readable(&self) -> bool {
        true
    }
}
