//! `TopicReader`: published messages for a thread of Python, which hands them to event streams and to functions.

use std::sync::Arc;
use std::time::Duration;

use outside::websocket::TopicEvent;
use pyo3::prelude::*;

use crate::websocket::connection::to_python;

/// A bounded queue of messages from several topics.
#[pyclass(module = "outside._outside", name = "TopicReader", frozen)]
pub(crate) struct TopicReader(pub(crate) Arc<outside::websocket::TopicReader>);

#[pymethods]
impl TopicReader {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for news, at most this number of seconds; `None` after `end()`. Each is `(kind, topic, ticket, id, message)`: kind
    /// "message", "gap" or "joined", and for the last one `message` is whether something is missing.
    #[pyo3(signature = (timeout=None))]
    fn take<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(events) = py.detach(|| self.0.take(timeout)) else { return Ok(None) };
        let made = events.into_iter().map(|event| match event {
            TopicEvent::Message { topic, ticket, id, message } => {
                ("message", &*topic, ticket, id.to_string(), to_python(py, &message)?).into_pyobject(py)
            }
            TopicEvent::Gap(topic) => ("gap", &*topic, 0, "", py.None()).into_pyobject(py),
            TopicEvent::Joined { topic, ticket, has_gap } => ("joined", &*topic, ticket, "", has_gap).into_pyobject(py),
        });
        made.map(|made| made.map(Bound::into_any)).collect::<PyResult<_>>().map(Some)
    }

    /// Has `take()` return `None`.
    fn end(&self) {
        self.0.end();
    }
}
