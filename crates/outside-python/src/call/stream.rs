//! Iterators and asynchronous iterators as the content of a response.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;
use outside::{BodyStream, Error, Pull};
use pyo3::exceptions::PyTypeError;
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
    if content.hasattr(intern!(py, "__aiter__"))? {
        let iterator = content.call_method0(intern!(py, "__aiter__"))?;
        let source = EventLoop::running(py)?;
        return Ok(Box::new(AsyncPieces { iterator: Arc::new(iterator.unbind()), source, begun: false }));
    }
    let iterator = content.try_iter().map_err(|_| {
        PyTypeError::new_err(format!(
            "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
            kind(content)
        ))
    })?;
    Ok(Box::new(Pieces(iterator.unbind())))
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
struct Pieces(Py<PyIterator>);

impl BodyStream for Pieces {
    fn pull(&mut self) -> Pull {
        Python::attach(|py| match self.0.bind(py).clone().next() {
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
}

/// Pulled on the event loop of `async def` handlers.
struct AsyncPieces {
    iterator: Arc<Py<PyAny>>,
    source: Arc<EventLoop>,
    begun: bool,
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
}

impl Drop for AsyncPieces {
    fn drop(&mut self) {
        // One that was never asked has nothing to clean up.
        if self.begun {
            self.source.close_iterator(Arc::clone(&self.iterator));
        }
    }
}
