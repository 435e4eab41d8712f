//! One call of a WSGI application: `start_response`, `write`, and the content on its way to the client.
//!
//! Everything happens on one thread, in one context. Content that is complete before any of it had to leave is one
//! answer with its length; otherwise the answer is sent while the call goes on.

use std::fs::File;
use std::ops::Range;
use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use outside::content::{BodyFeed, fed_body};
use outside::handler::Answering;
use outside::{Error, Request, Response};
use pyo3::exceptions::{PyAssertionError, PyConnectionError, PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::wsgi_fields::{add_fields, fields_of, status_of};
use super::wsgi_file::FileWrapper;
use crate::errors::value_error;
use crate::logging::{log_exception, log_warning};
use crate::message::uncopied::{bytes_of, first_bytes_of};
use crate::support::{kind, lock};

/// The object that an application is given as `start_response`, and gets back as `write`.
#[pyclass(module = "outside", name = "WSGIStartResponse", frozen, freelist = 64)]
pub(crate) struct WsgiCall {
    request: Arc<Request>,
    state: Mutex<CallState>,
}

struct CallState {
    /// Status and fields, once `start_response` was called and until they are sent.
    head: Option<Response>,
    /// The length that the fields declare.
    declared: Option<u64>,
    /// Whether no content is sent, because the request or the status has none: content of the application is dropped.
    is_bodiless: bool,
    /// Bytes of content so far.
    count: u64,
    /// Content that waits: all of it, by its declared length.
    whole: Bytes,
    answering: Option<Answering>,
    /// The way of content to the client, once the answer was sent.
    feed: Option<BodyFeed>,
    /// The file that is the content, from its current position on.
    file: Option<(File, Range<u64>)>,
    /// Whether no more content is taken: the client has left, the stream has ended, or the application answers by a
    /// socket of its own.
    is_over: bool,
    /// Whether the log was told that there is more content than declared.
    was_cut: bool,
}

impl WsgiCall {
    pub(super) fn new(request: &Arc<Request>, answering: Answering) -> Self {
        let state = CallState {
            head: None,
            declared: None,
            is_bodiless: request.method() == "HEAD",
            count: 0,
            whole: Bytes::new(),
            answering: Some(answering),
            feed: None,
            file: None,
            is_over: false,
            was_cut: false,
        };
        Self { request: Arc::clone(request), state: Mutex::new(state) }
    }

    /// The state; never locked while Python runs.
    fn lock(&self) -> MutexGuard<'_, CallState> {
        lock(&self.state)
    }

    fn name(&self) -> String {
        format!("{} {}", self.request.method(), outside::log::shown_target(self.request.target()))
    }

    fn start(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let exc_info = exc_info.filter(|exc_info| !exc_info.is_none());
        {
            let state = self.lock();
            let is_sent = state.feed.is_some();
            let has_begun = is_sent || state.head.is_some();
            drop(state);
            match exc_info {
                Some(exc_info) if is_sent => return Err(PyErr::from_value(exc_info.get_item(1)?)),
                None if has_begun => {
                    return Err(PyAssertionError::new_err(
                        "start_response was called before; a second call needs exc_info (PEP 3333)",
                    ));
                }
                _ => {}
            }
        }
        let (code, reason) = status_of(status)?;
        let mut response = Response::unchanged(code, &reason).map_err(value_error)?;
        let declared = add_fields(&mut response, headers)?;
        let mut state = self.lock();
        state.is_bodiless = self.request.method() == "HEAD" || matches!(code, 204 | 304);
        (state.head, state.declared) = (Some(response), declared);
        (state.count, state.whole) = (0, Bytes::new());
        Ok(())
    }

    /// Takes a piece of content. `now`: it leaves at once, even if it is all there is. Returns whether the application
    /// need go on.
    fn take(&self, value: &Bound<'_, PyAny>, now: bool) -> PyResult<bool> {
        let py = value.py();
        let Ok(piece) = value.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(format!("a piece of a WSGI answer is bytes, not {}", kind(value))));
        };
        let length = piece.as_bytes().len();
        if length == 0 {
            return Ok(true);
        }
        let mut state = self.lock();
        if state.head.is_none() && state.feed.is_none() {
            return Err(PyAssertionError::new_err("start_response was not called before the first piece of content"));
        }
        if state.is_over {
            return Ok(false);
        }
        if state.is_bodiless {
            return Ok(false);
        }
        let left = state.declared.map_or(u64::MAX, |declared| declared - state.count);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        let is_cut = room < length && !std::mem::replace(&mut state.was_cut, true);
        if room > 0 {
            state.count += room as u64;
            let bytes = first_bytes_of(piece, room);
            if state.feed.is_none() && !now && state.declared == Some(state.count) {
                // All there is: it leaves with its head when the application has ended its work.
                state.whole = bytes;
            } else {
                state.send(bytes);
            }
        }
        let is_full = state.is_full();
        drop(state);
        if is_cut {
            self.warn(py, "the application gives more content than its Content-Length says; the rest is left out");
        }
        match is_full {
            Some(true) => Ok(self.wait(py)),
            Some(false) => Ok(true),
            None => Ok(false),
        }
    }

    /// Waits, while other threads run Python, until the client has taken content. `false` if the client has left.
    fn wait(&self, py: Python<'_>) -> bool {
        let Some(feed) = self.lock().feed.take() else { return false };
        let (feed, waited) = py.detach(move || {
            let waited = feed.wait();
            (feed, waited)
        });
        let mut state = self.lock();
        (state.feed, state.is_over) = (Some(feed), waited.is_err());
        waited.is_ok()
    }

    fn warn(&self, py: Python<'_>, text: &str) {
        log_warning(py, &format!("{}: {text}", self.name()));
    }

    /// Takes the pieces of the iterable that the application has returned.
    fn consume(&self, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
        if iterable.is_instance_of::<PyBytes>() || iterable.is_instance_of::<PyString>() || iterable.is_none() {
            let text =
                format!("a WSGI application returns an iterable of bytes such as [b\"…\"], not {}", kind(iterable));
            return Err(PyTypeError::new_err(text));
        }
        for value in iterable.try_iter()? {
            if !self.take(&value?, false)? {
                break;
            }
        }
        Ok(())
    }

    /// Content that is a list, all of it known.
    pub(super) fn take_list(&self, pieces: &Bound<'_, PyList>) -> PyResult<()> {
        let py = pieces.py();
        let mut all = Vec::new();
        let mut only = None;
        let count = pieces.len();
        for value in pieces.iter() {
            let Ok(piece) = value.cast_into::<PyBytes>() else {
                let error = PyTypeError::new_err("a piece of a WSGI answer is bytes; the list has something else");
                return Err(error);
            };
            match count {
                1 => only = Some(bytes_of(&piece)),
                _ => all.extend_from_slice(piece.as_bytes()),
            }
        }
        let mut whole = only.unwrap_or_else(|| Bytes::from(all));
        let mut state = self.lock();
        if state.head.is_none() && state.feed.is_none() {
            return Err(PyAssertionError::new_err("the application has returned and never called start_response"));
        }
        let left = state.declared.map_or(u64::MAX, |declared| declared - state.count);
        let is_cut = whole.len() as u64 > left && !state.is_bodiless;
        if is_cut {
            whole.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        state.count += whole.len() as u64;
        if state.feed.is_some() {
            state.send(whole);
        } else {
            state.whole = whole;
        }
        drop(state);
        if is_cut {
            self.warn(py, "the application gives more content than its Content-Length says; the rest is left out");
        }
        Ok(())
    }

    /// Has the kernel send the rest of a file. `false` if the content has to be read from the wrapper instead.
    fn take_file(&self, wrapper: &Bound<'_, FileWrapper>) -> PyResult<bool> {
        let state = self.lock();
        let (is_first, declared) = (state.head.is_some() && state.feed.is_none() && !state.is_bodiless, state.declared);
        drop(state);
        let Some((file, start, end)) = wrapper.get().rest(wrapper.py())?.filter(|_| is_first) else { return Ok(false) };
        let end = declared.map_or(end, |declared| end.min(start.saturating_add(declared)));
        let mut state = self.lock();
        state.count = end - start;
        state.file = Some((file, start..end));
        Ok(true)
    }

    /// Ends a stream: all of its content has been made.
    fn end_stream(&self, py: Python<'_>) {
        let mut state = self.lock();
        let Some(feed) = state.feed.take() else { return };
        let missing = state.declared.map_or(0, |declared| declared - state.count);
        let is_over = state.is_over;
        drop(state);
        if missing == 0 {
            feed.finish();
        } else if !is_over {
            self.warn(py, &format!("the application's content ends {missing} bytes before its Content-Length"));
        }
        self.lock().is_over = true;
    }

    /// The answer of a call that has ended.
    pub(super) fn answer(&self, py: Python<'_>) -> Result<Response, Error> {
        self.end_stream(py);
        let mut state = self.lock();
        if state.answering.is_none() {
            return Ok(Response::sent());
        }
        let (Some(response), whole) = (state.head.take(), std::mem::take(&mut state.whole)) else {
            drop(state);
            self.warn(py, "the application has ended and never called start_response");
            return Err(Error::status(500, None));
        };
        let missing = state.declared.map_or(0, |declared| declared.saturating_sub(state.count));
        if state.is_bodiless {
            // The head states the length that the application declares, or the one of the content that it gave.
            let content = if state.declared.is_some() { Bytes::new() } else { whole };
            return Ok(response.with_content(content));
        }
        if missing > 0 {
            drop(state);
            self.warn(py, &format!("the application's content ends {missing} bytes before its Content-Length"));
            return Err(Error::status(500, None));
        }
        match state.file.take() {
            Some((file, range)) => Ok(response.with_open_file(file, range)),
            None => Ok(response.with_content(whole)),
        }
    }

    /// The answer of a call that has raised: 500, or the end of the stream that was sent before.
    pub(super) fn fail(&self, py: Python<'_>, context: &Bound<'_, PyAny>, error: &PyErr) -> Result<Response, Error> {
        let has_socket = {
            let state = self.lock();
            state.answering.is_none() && state.feed.is_none()
        };
        // So applications end a call after they have answered by the socket.
        if !(has_socket && error.is_instance_of::<PyStopIteration>(py)) {
            log_exception(py, Some(context), &format!("{}: the application failed", self.name()), error);
        }
        let mut state = self.lock();
        // A feed that is dropped cuts the content.
        drop(state.feed.take());
        if state.answering.is_none() { Ok(Response::sent()) } else { Err(Error::status(500, None)) }
    }
}

impl CallState {
    /// Sends a piece; the head before it, if it has not left yet.
    fn send(&mut self, bytes: Bytes) {
        if let (None, Some(head), Some(answering)) = (&self.feed, self.head.take(), self.answering.take()) {
            let (feed, stream) = fed_body();
            self.is_over = feed.push(bytes).is_err();
            self.feed = Some(feed);
            answering.send(head.with_stream(stream));
        } else if let Some(feed) = &self.feed {
            self.is_over |= feed.push(bytes).is_err();
        }
    }

    /// Whether the client has to take content before there is more; `None` if it has left.
    fn is_full(&self) -> Option<bool> {
        match &self.feed {
            _ if self.is_over => None,
            Some(feed) => Some(feed.is_full()),
            None => Some(false),
        }
    }
}

#[pymethods]
impl WsgiCall {
    /// `start_response(status, headers, exc_info=None)`; its return value is this object again, as `write(data)`.
    #[pyo3(signature = (status, headers=None, exc_info=None, /))]
    fn __call__<'py>(
        slf: Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: Option<&Bound<'py, PyAny>>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, Self>>> {
        match headers {
            Some(headers) => {
                slf.get().start(status, headers, exc_info)?;
                Ok(Some(slf))
            }
            None if status.is_instance_of::<PyString>() => Err(PyTypeError::new_err(
                "start_response takes (status, headers, exc_info=None); the headers are missing",
            )),
            None => slf.get().take(status, true).map(|_| None),
        }
    }

    /// `wsgi.early_hints(headers)`: sends fields before the answer, with the status 103. After the answer has begun they are
    /// of no use, and left out.
    fn early_hints(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let fields = fields_of(headers)?;
        if let Some(answering) = &self.lock().answering {
            answering.hint(fields);
        }
        Ok(())
    }

    /// Takes the connection over for an application that answers an upgrade itself: the descriptor of a socket.
    fn upgrade(&self) -> PyResult<i32> {
        let (own, other) = UnixStream::pair()?;
        let mut state = self.lock();
        let Some(answering) = state.answering.take() else {
            return Err(PyConnectionError::new_err(
                "the request has its answer: the connection is not to be had any more",
            ));
        };
        state.is_over = true;
        drop(state);
        answering.send(Response::tunnel(other));
        Ok(own.into_raw_fd())
    }

    /// Takes all pieces of an iterable, and closes it.
    fn take_all(&self, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = iterable.py();
        let as_file = iterable.cast::<FileWrapper>().ok().map(|wrapper| self.take_file(wrapper));
        let consumed = match as_file {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(error),
            _ => self.consume(iterable),
        };
        if consumed.is_ok() {
            self.end_stream(py);
        }
        if let Some(close) = iterable.getattr_opt(intern!(py, "close"))?
            && let Err(error) = close.call0()
        {
            log_exception(py, None, &format!("{}: close() failed", self.name()), &error);
        }
        consumed
    }
}
