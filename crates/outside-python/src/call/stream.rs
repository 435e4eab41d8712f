//! Iterators and asynchronous iterators as the content of a response.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outside::{BodyStream, Error, KeepAlive, Pull};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyString};

use super::asynchronous::EventLoop;
use super::lock;
use crate::file_path::kind;
use crate::logging::log_exception;

/// The body of a response whose content is an iterator of either kind.
pub(crate) fn stream_of(content: &Bound<'_, PyAny>) -> PyResult<Box<dyn BodyStream>> {
    let py = content.py();
    let keep_alive = keep_alive_of(content)?;
    if content.hasattr(intern!(py, "__aiter__"))? {
        let iterator = content.call_method0(intern!(py, "__aiter__"))?;
        let source = EventLoop::running(py)?;
        return Ok(Box::new(AsyncPieces { iterator: Arc::new(iterator.unbind()), source, begun: false, keep_alive }));
    }
    let iterator = content.try_iter().map_err(|_| {
        PyTypeError::new_err(format!(
            "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
            kind(content)
        ))
    })?;
    Ok(Box::new(Pieces { iterator: iterator.unbind(), keep_alive }))
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

/// Pulled in the executor, which drops it there too.
struct Pieces {
    iterator: Py<PyIterator>,
    keep_alive: Option<KeepAlive>,
}

impl BodyStream for Pieces {
    fn pull(&mut self) -> Pull {
        Python::attach(|py| match self.iterator.bind(py).clone().next() {
            None => Pull::End,
            Some(value) => match value.and_then(|value| piece(&value)) {
                Ok(piece) => Pull::Piece(piece),
                Err(error) => {
                    log_exception(py, "a streamed response failed", &error);
                    Pull::Failed(Error::new("its iterator raised"))
                }
            },
        })
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.keep_alive
    }
}

/// Pulled on the event loop of `async def` handlers.
struct AsyncPieces {
    iterator: Arc<Py<PyAny>>,
    source: Arc<EventLoop>,
    begun: bool,
    keep_alive: Option<KeepAlive>,
}

/// Where the next piece of an asynchronous iterator arrives.
#[derive(Default)]
pub(crate) struct Slot(Mutex<(Option<Pull>, Option<Waker>)>);

impl Slot {
    pub(crate) fn put(&self, pull: Pull) {
        let mut slot = lock(&self.0);
        slot.0 = Some(pull);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }
}

impl BodyStream for AsyncPieces {
    fn pull(&mut self) -> Pull {
        self.begun = true;
        let slot = Arc::new(Slot::default());
        self.source.next(Arc::clone(&self.iterator), Arc::clone(&slot));
        Pull::Later(Box::pin(poll_fn(move |context| {
            let mut slot = lock(&slot.0);
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
}

impl Drop for AsyncPieces {
    fn drop(&mut self) {
        // One that was never asked has nothing to clean up.
        if self.begun {
            self.source.close_iterator(Arc::clone(&self.iterator));
        }
    }
}
