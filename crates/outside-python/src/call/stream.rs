//! Iterators and asynchronous iterators as the content of a response.

use std::any::Any;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outside::{BodyStream, Error, KeepAlive, Pull};
use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString, PyTuple};

use super::asynchronous::EventLoop;
use super::context::RequestContext;
use crate::logging::log_exception;
use crate::message::convert::TEXT;
use crate::support::{kind, lock};

/// The body of a response whose content is an iterator of either kind.
pub(crate) fn stream_of(content: &Bound<'_, PyAny>) -> PyResult<Box<dyn BodyStream>> {
    let py = content.py();
    let keep_alive = keep_alive_of(content)?;
    if content.hasattr(intern!(py, "__aiter__"))? {
        let iterator = content.call_method0(intern!(py, "__aiter__"))?;
        let source = EventLoop::running(py)?;
        let (iterator, kind) = (Arc::new(iterator.unbind()), Arc::default());
        return Ok(Box::new(AsyncPieces { iterator, source, begun: false, kind, keep_alive, context: None }));
    }
    let iterator = content.try_iter().map_err(|_| {
        PyTypeError::new_err(format!(
            "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
            kind(content)
        ))
    })?;
    let (next, kind) = (iterator.getattr(intern!(py, "__next__"))?.unbind(), Kind::default());
    let iterator = Some(iterator.into_any().unbind());
    Ok(Box::new(Pieces { iterator, next, begun: false, kind, keep_alive, context: None }))
}

/// Streams of events say how long they may be silent.
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
pub(crate) fn piece(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Bytes::copy_from_slice(text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(Bytes::from(bytes.to_vec()));
    }
    Err(PyTypeError::new_err(format!("a streamed piece is str or bytes, not {}", kind(value))))
}

/// Whether the first piece was text, which the media type tells if the program sets none.
#[derive(Default)]
pub(crate) struct Kind(OnceLock<bool>);

impl Kind {
    /// A piece has been made.
    pub(crate) fn note(&self, value: &Bound<'_, PyAny>) {
        self.0.get_or_init(|| value.is_instance_of::<PyString>());
    }

    fn media_type(&self) -> Option<&'static str> {
        self.0.get().filter(|is_text| **is_text).map(|_| TEXT)
    }
}

/// Pulled in the executor, which drops it there too.
struct Pieces {
    /// Until it is closed.
    iterator: Option<Py<PyAny>>,
    /// Its `__next__`.
    next: Py<PyAny>,
    begun: bool,
    kind: Kind,
    keep_alive: Option<KeepAlive>,
    context: Option<Arc<RequestContext>>,
}

impl BodyStream for Pieces {
    fn pull(&mut self) -> Pull {
        let is_first = !std::mem::replace(&mut self.begun, true);
        Python::attach(|py| {
            let value = match &self.context {
                Some(context) => PyTuple::new(py, [self.next.bind(py)]).and_then(|call| context.run(py, &call)),
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

impl Drop for Pieces {
    fn drop(&mut self) {
        // Where nothing refers to it any more a generator is closed: in the context in which it ran.
        let Some((context, iterator)) = self.context.take().zip(self.iterator.take()).filter(|_| self.begun) else {
            return;
        };
        Python::attach(|py| {
            let closed = iterator.bind(py).getattr_opt(intern!(py, "close")).and_then(|close| {
                let Some(close) = close else { return Ok(()) };
                context.run(py, &PyTuple::new(py, [close])?).map(drop)
            });
            if let Err(error) = closed {
                context.log(py, "closing a streamed response failed", &error);
            }
        });
    }
}

/// A stream has raised. Before its first piece that is what a handler might have raised.
fn failed(py: Python<'_>, error: &PyErr, is_first: bool, context: Option<&Arc<RequestContext>>) -> Pull {
    match context {
        Some(context) if is_first => context.instead(py, error),
        Some(context) => {
            context.log(py, "a streamed response failed", error);
            Pull::Failed(Error::status(500, None))
        }
        None => {
            log_exception(py, None, "a streamed response failed", error);
            Pull::Failed(Error::status(500, None))
        }
    }
}

/// Pulled on the event loop of `async def` handlers.
struct AsyncPieces {
    iterator: Arc<Py<PyAny>>,
    source: Arc<EventLoop>,
    begun: bool,
    kind: Arc<Kind>,
    keep_alive: Option<KeepAlive>,
    context: Option<Arc<RequestContext>>,
}

/// Where the next piece of an asynchronous iterator arrives.
pub(crate) struct Slot {
    pub(crate) kind: Arc<Kind>,
    arrived: Mutex<(Option<Pull>, Option<Waker>)>,
    pub(crate) is_first: bool,
    pub(crate) context: Option<Arc<RequestContext>>,
}

impl Slot {
    pub(crate) fn put(&self, pull: Pull) {
        let mut slot = lock(&self.arrived);
        slot.0 = Some(pull);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    /// The iterator has raised.
    pub(crate) fn fail(&self, py: Python<'_>, error: &PyErr) {
        self.put(failed(py, error, self.is_first, self.context.as_ref()));
    }
}

impl BodyStream for AsyncPieces {
    fn pull(&mut self) -> Pull {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let slot = Arc::new(Slot {
            kind: Arc::clone(&self.kind),
            arrived: Mutex::default(),
            is_first,
            context: self.context.clone(),
        });
        self.source.next(Arc::clone(&self.iterator), Arc::clone(&slot));
        Pull::Later(Box::pin(poll_fn(move |context| {
            let mut slot = lock(&slot.arrived);
            match slot.0.take() {
                Some(pull) => Poll::Ready(pull),
                None => {
                    slot.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })))
    }

    fn is_elsewhere(&self) -> bool {
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
        // One that was never asked has nothing to clean up.
        if self.begun {
            self.source.close_iterator(Arc::clone(&self.iterator));
        }
    }
}
