//! Iterators and asynchronous iterators as the content of a response.

use std::any::Any;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outside::Error;
use outside::message::{BodyStream, KeepAlive, Pull};
use pyo3::exceptions::{PyException, PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString, PyTuple};

use crate::event_loop::{Described, EventLoop, LoopJob, LoopReport, Rescuers};
use crate::logging::log_exception;
use crate::message::media_type::TEXT;
use crate::message::uncopied::{bytes_of, text_of};
use crate::support::{kind, lock};

/// The request that a stream answers. `call/context.rs`, which stands above this file, has it.
pub(crate) trait StreamedRequest: Send + Sync {
    /// Calls the first element of `call` with the others, in the context of the request.
    fn run<'py>(&self, py: Python<'py>, call: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>>;

    /// The context for a task of the asyncio loop.
    fn lend<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny>;

    /// Logs an exception in the context of the request.
    fn log(&self, py: Python<'_>, what: &str, error: &PyErr);

    /// The answer in place of a stream that has failed before its first piece.
    fn instead(self: Arc<Self>, py: Python<'_>, error: &PyErr) -> Pull;

    /// The functions around the handler, which the asyncio loop calls for that answer.
    fn rescuers<'py>(&self, py: Python<'py>) -> Option<Rescuers<'py>>;

    /// The answer of these functions.
    fn rescued(&self, py: Python<'_>, response: &Bound<'_, PyAny>) -> PyResult<outside::Response>;
}

/// The request of a stream, attached to the body of the answer.
pub(crate) struct StreamContext(pub(crate) Arc<dyn StreamedRequest>);

/// The body of a response whose content is an iterator of either kind.
pub(crate) fn stream_of(content: &Bound<'_, PyAny>) -> PyResult<Box<dyn BodyStream>> {
    let py = content.py();
    let keep_alive = keep_alive_of(content)?;
    if content.hasattr(intern!(py, "__aiter__"))? {
        let iterator = content.call_method0(intern!(py, "__aiter__"))?;
        let event_loop = EventLoop::running(py)?;
        let (iterator, kind) = (Arc::new(iterator.unbind()), Arc::default());
        return Ok(Box::new(AsyncPieces { iterator, event_loop, begun: false, kind, keep_alive, context: None }));
    }
    let iterator = content.try_iter().map_err(|_| {
        PyTypeError::new_err(format!(
            "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
            kind(content)
        ))
    })?;
    let (next, kind) = (iterator.getattr(intern!(py, "__next__"))?.unbind(), PieceKind::default());
    let iterator = Some(iterator.into_any().unbind());
    Ok(Box::new(SyncPieces { iterator, next, begun: false, kind, keep_alive, context: None }))
}

/// The keep-alive of a stream of events, which says how long the stream may be silent.
fn keep_alive_of(content: &Bound<'_, PyAny>) -> PyResult<Option<KeepAlive>> {
    let seconds: Option<f64> = match content.getattr_opt(intern!(content.py(), "_keep_alive"))? {
        Some(seconds) => seconds.extract()?,
        None => None,
    };
    let every = seconds.map(Duration::try_from_secs_f64).transpose();
    let every = every.map_err(|error| PyValueError::new_err(format!("keep_alive: {error}")))?;
    Ok(every.map(|every| KeepAlive { every, ..KeepAlive::EVENTS }))
}

/// One piece of a streamed body.
fn piece(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(text) = value.cast::<PyString>() {
        return text_of(text);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes_of(bytes));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(Bytes::from(bytes.to_vec()));
    }
    Err(PyTypeError::new_err(format!("a streamed piece is str or bytes, not {}", kind(value))))
}

/// Whether the first piece was text: it decides the media type if the program sets none.
#[derive(Default)]
struct PieceKind(OnceLock<bool>);

impl PieceKind {
    /// Notes a piece that has been made.
    fn note(&self, value: &Bound<'_, PyAny>) {
        self.0.get_or_init(|| value.is_instance_of::<PyString>());
    }

    fn media_type(&self) -> Option<&'static str> {
        self.0.get().filter(|is_text| **is_text).map(|_| TEXT)
    }
}

/// A plain iterator, whose pieces are pulled in the executor, where it is dropped too.
struct SyncPieces {
    /// The iterator, until it is closed.
    iterator: Option<Py<PyAny>>,
    /// Its `__next__`.
    next: Py<PyAny>,
    begun: bool,
    kind: PieceKind,
    keep_alive: Option<KeepAlive>,
    context: Option<Arc<StreamContext>>,
}

impl BodyStream for SyncPieces {
    fn pull(&mut self) -> Pull {
        let is_first = !std::mem::replace(&mut self.begun, true);
        Python::attach(|py| {
            let value = match &self.context {
                Some(context) => PyTuple::new(py, [self.next.bind(py)]).and_then(|call| context.0.run(py, &call)),
                None => self.next.bind(py).call0(),
            };
            match value.inspect(|value| self.kind.note(value)).and_then(|value| piece(&value)) {
                Ok(piece) => Pull::Piece(piece),
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => Pull::End,
                Err(error) => failed(py, &error, is_first, self.context.as_ref()),
            }
        })
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.keep_alive
    }

    fn accompany(&mut self, attachment: Arc<dyn Any + Send + Sync>) {
        self.context = attachment.downcast().ok();
    }

    fn media_type(&self) -> Option<&'static str> {
        self.kind.media_type()
    }
}

impl Drop for SyncPieces {
    fn drop(&mut self) {
        // Python would close the generator in this thread's context; this closes it in the context in which it ran.
        let Some((context, iterator)) = self.context.take().zip(self.iterator.take()).filter(|_| self.begun) else {
            return;
        };
        Python::attach(|py| {
            let closed = iterator.bind(py).getattr_opt(intern!(py, "close")).and_then(|close| {
                let Some(close) = close else { return Ok(()) };
                context.0.run(py, &PyTuple::new(py, [close])?).map(drop)
            });
            if let Err(error) = closed {
                context.0.log(py, "closing a streamed response failed", &error);
            }
        });
    }
}

/// The outcome of a stream that has raised. Before its first piece the exception is answered like one of the handler.
fn failed(py: Python<'_>, error: &PyErr, is_first: bool, context: Option<&Arc<StreamContext>>) -> Pull {
    match context {
        Some(context) if is_first => Arc::clone(&context.0).instead(py, error),
        Some(context) => {
            context.0.log(py, "a streamed response failed", error);
            Pull::Failed(Error::status(500, None))
        }
        None => {
            log_exception(py, None, "a streamed response failed", error);
            Pull::Failed(Error::status(500, None))
        }
    }
}

/// An asynchronous iterator, whose pieces are pulled on the event loop of `async def` handlers.
struct AsyncPieces {
    iterator: Arc<Py<PyAny>>,
    event_loop: Arc<EventLoop>,
    begun: bool,
    kind: Arc<PieceKind>,
    keep_alive: Option<KeepAlive>,
    context: Option<Arc<StreamContext>>,
}

/// The place for the next piece of an asynchronous iterator.
struct NextPiece {
    iterator: Arc<Py<PyAny>>,
    kind: Arc<PieceKind>,
    arrived: Mutex<(Option<Pull>, Option<Waker>)>,
    is_first: bool,
    context: Option<Arc<StreamContext>>,
}

impl NextPiece {
    fn put(&self, pull: Pull) {
        let mut arrived = lock(&self.arrived);
        arrived.0 = Some(pull);
        if let Some(waker) = arrived.1.take() {
            waker.wake();
        }
    }

    fn fail(&self, py: Python<'_>, error: &PyErr) {
        self.put(failed(py, error, self.is_first, self.context.as_ref()));
    }
}

impl LoopJob for NextPiece {
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Described<'py>> {
        let context = self.context.as_ref().filter(|_| self.is_first).map(|context| context.0.lend(py));
        Ok(("next", self.iterator.bind(py).clone(), context.unwrap_or_else(|| py.None().into_bound(py))))
    }

    fn rescuers<'py>(&self, py: Python<'py>, error: &PyErr) -> Option<Rescuers<'py>> {
        let context = self.context.as_ref().filter(|_| self.is_first && error.is_instance_of::<PyException>(py))?;
        context.0.rescuers(py)
    }

    fn report(&self, py: Python<'_>, report: LoopReport<'_>) -> PyResult<()> {
        match report {
            LoopReport::Piece(value) => {
                self.kind.note(&value);
                match piece(&value) {
                    Ok(piece) => self.put(Pull::Piece(piece)),
                    Err(error) => self.fail(py, &error),
                }
            }
            LoopReport::End => self.put(Pull::End),
            LoopReport::Failed(error) => self.fail(py, &error),
            LoopReport::Instead(response) => {
                let Some(context) = &self.context else { return Ok(()) };
                match context.0.rescued(py, &response) {
                    Ok(answer) => self.put(Pull::Instead(Box::new(answer))),
                    Err(error) => self.fail(py, &error),
                }
            }
            LoopReport::Exit(_) => {}
        }
        Ok(())
    }
}

impl BodyStream for AsyncPieces {
    fn pull(&mut self) -> Pull {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let next = Arc::new(NextPiece {
            iterator: Arc::clone(&self.iterator),
            kind: Arc::clone(&self.kind),
            arrived: Mutex::default(),
            is_first,
            context: self.context.clone(),
        });
        let ticket = self.event_loop.register(Arc::clone(&next) as _);
        self.event_loop.begin(ticket, Arc::clone(&next) as _);
        Pull::Later(Box::pin(poll_fn(move |context| {
            let mut arrived = lock(&next.arrived);
            match arrived.0.take() {
                Some(pull) => Poll::Ready(pull),
                None => {
                    arrived.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })))
    }

    fn is_async(&self) -> bool {
        true
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.keep_alive
    }

    fn accompany(&mut self, attachment: Arc<dyn Any + Send + Sync>) {
        self.context = attachment.downcast().ok();
    }

    fn media_type(&self) -> Option<&'static str> {
        self.kind.media_type()
    }
}

impl Drop for AsyncPieces {
    fn drop(&mut self) {
        // An iterator of which no piece was pulled has nothing to clean up.
        if self.begun {
            self.event_loop.close_iterator(Arc::clone(&self.iterator));
        }
    }
}
