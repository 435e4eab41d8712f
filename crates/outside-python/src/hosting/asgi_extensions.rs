//! Events of HTTP that are extensions of ASGI: early hints, files by path and by descriptor.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use outside::Headers;
use outside::message::{Body, FileSlice};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::hosting::asgi_call::{HttpCall, Phase};
use crate::hosting::asgi_event::{disconnected, headers_of, misplaced, octets};
use crate::support::lock;

/// The names that scopes offer.
pub(super) const OFFERED: &[&str] =
    &["http.response.pathsend", "http.response.zerocopysend", "http.response.early_hint"];

/// A part of an open file, as an event names it.
struct FilePart {
    descriptor: i32,
    offset: Option<u64>,
    count: Option<u64>,
    more: bool,
}

impl FilePart {
    fn of(event: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = event.py();
        let file = event.get_item(intern!(py, "file"))?;
        let file = file.ok_or_else(|| PyTypeError::new_err("http.response.zerocopysend has no file"))?;
        let descriptor = match file.extract() {
            Ok(descriptor) => descriptor,
            Err(_) => file.call_method0(intern!(py, "fileno"))?.extract()?,
        };
        let number = |name| match event.get_item(name)? {
            Some(number) if !number.is_none() => number.extract().map(Some),
            _ => Ok::<Option<u64>, PyErr>(None),
        };
        let more = event.get_item(intern!(py, "more_body"))?;
        let more = more.map_or(Ok(false), |more| more.is_truthy())?;
        Ok(Self { descriptor, offset: number("offset")?, count: number("count")?, more })
    }

    /// A descriptor of its own for a regular file, and the range that is sent. Without an offset, it begins at the position
    /// of the descriptor.
    fn open(&self, py: Python<'_>) -> PyResult<Option<(File, std::ops::Range<u64>)>> {
        let start = match self.offset {
            Some(offset) => offset,
            None => {
                let position = py.import("os")?.call_method1("lseek", (self.descriptor, 0, 1));
                position.and_then(|position| position.extract()).unwrap_or(0)
            }
        };
        let Ok(file) = File::open(format!("/dev/fd/{}", self.descriptor)) else { return Ok(None) };
        match file.metadata() {
            Ok(about) if about.is_file() => {
                let end = self.count.map_or(about.len(), |count| about.len().min(start.saturating_add(count)));
                Ok(Some((file, start..end.max(start))))
            }
            _ => Ok(None),
        }
    }

    /// The coroutine that sends it by the `send` of this object.
    fn send_by<'py>(&self, call: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        static PIECES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = call.py();
        let send = call.getattr(intern!(py, "send"))?;
        let pieces = PIECES.import(py, "outside._hosting.asgi", "send_file")?;
        pieces.call1((send, self.descriptor, self.offset, self.count, self.more))
    }
}

/// A regular file and its length. It is opened here, on the loop's thread, because the threads of the engine would wait for
/// Python's lock before they open it; for what cannot be opened, they make the answer.
fn open_file(path: &Path) -> Option<(File, u64)> {
    // Opening a pipe would wait for its other end.
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let file = is_file.then(|| File::open(path).ok()).flatten()?;
    let length = file.metadata().ok()?.len();
    Some((file, length))
}

impl HttpCall {
    pub(super) fn path(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let path = event.get_item(intern!(event.py(), "path"))?;
        let path: std::path::PathBuf =
            path.ok_or_else(|| PyTypeError::new_err("http.response.pathsend has no path"))?.extract()?;
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Started if state.trailers.is_some() => {
                return Err(misplaced("http.response.pathsend", "no trailers can follow it"));
            }
            Phase::Started if state.waiting.is_empty() => {}
            _ => return Err(misplaced("http.response.pathsend", "it comes after http.response.start, alone")),
        }
        if self.outgoing.is_gone() {
            return Err(disconnected(event.py()));
        }
        state.phase = Phase::Complete;
        let open = open_file(&path).filter(|(_, length)| *length > 0 && state.declared.is_none_or(|it| it == *length));
        match open {
            Some((file, length)) => self.answer_with(&mut state, |response| response.with_open_file(file, 0..length)),
            None => self.answer(&mut state, Body::File(FileSlice::whole(path))),
        }
        drop(state);
        self.wake_waiters(event.py());
        Ok(())
    }

    /// A part of an open file: the kernel sends it if it is all of the content; beside other content it is read piece by
    /// piece, by the coroutine that is returned.
    pub(super) fn file<'py>(
        &self,
        event: &Bound<'py, PyDict>,
        call: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = event.py();
        let part = FilePart::of(event)?;
        let state = lock(&self.state);
        let is_alone =
            state.phase == Phase::Started && state.waiting.is_empty() && !part.more && state.trailers.is_none();
        let declared = state.declared;
        match state.phase {
            Phase::Started | Phase::Streaming => {}
            Phase::New => return Err(misplaced("http.response.zerocopysend", "it comes after http.response.start")),
            Phase::Trailers | Phase::Complete => {
                return Err(misplaced("http.response.zerocopysend", "the content is complete"));
            }
        }
        drop(state);
        if self.outgoing.is_gone() {
            return Err(disconnected(py));
        }
        let Some((file, range)) = part.open(py)?.filter(|_| is_alone) else {
            return part.send_by(call).map(Some);
        };
        let length = range.end - range.start;
        if let Some(declared) = declared.filter(|declared| *declared != length) {
            let text = format!("an answer of {length} bytes has a Content-Length of {declared}");
            return Err(PyRuntimeError::new_err(text));
        }
        let mut state = lock(&self.state);
        state.phase = Phase::Complete;
        match length {
            0 => self.answer(&mut state, Body::Bytes(Bytes::new())),
            _ => self.answer_with(&mut state, |head| head.with_open_file(file, range)),
        }
        drop(state);
        self.wake_waiters(py);
        Ok(None)
    }

    /// Fields behind the content.
    pub(super) fn trailers(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let more = event.get_item(intern!(py, "more_trailers"))?.map_or(Ok(false), |more| more.is_truthy())?;
        let given = match event.get_item(intern!(py, "headers"))? {
            Some(given) => headers_of(&given)?,
            None => Headers::new(),
        };
        let mut state = lock(&self.state);
        if state.phase != Phase::Trailers {
            let why = "they come after all content, if http.response.start has announced them";
            return Err(misplaced("http.response.trailers", why));
        }
        if self.outgoing.is_gone() {
            return Err(disconnected(py));
        }
        let trailers = state.trailers.get_or_insert_default();
        for (name, value) in given.iter() {
            trailers.append(name, value).map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        if more {
            return Ok(());
        }
        let trailers = state.trailers.take().unwrap_or_default();
        state.phase = Phase::Complete;
        drop(state);
        self.outgoing.finish_with(trailers);
        self.wake_waiters(py);
        Ok(())
    }

    /// Sends links before the answer, with the status 103.
    pub(super) fn hint(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let links = event.get_item(intern!(event.py(), "links"))?;
        let links = links.ok_or_else(|| PyTypeError::new_err("http.response.early_hint has no links"))?;
        let mut fields = Headers::new();
        for link in links.try_iter()? {
            let link = octets(&link?)?;
            fields.append("link", &link).map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        let mut state = lock(&self.state);
        match &mut state.reply {
            Some(reply) if !fields.is_empty() => {
                // Not held back: the application may compute for long.
                reply.hint(fields);
            }
            Some(_) => {}
            None => return Err(misplaced("http.response.early_hint", "the answer has been sent")),
        }
        Ok(())
    }
}
