//! Topics for Python: publishing, and readers for event streams and for functions that listen.

use std::time::Duration;

use outside::websocket::{BusError, Message};
use pyo3::exceptions::{PyConnectionError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

use crate::websocket::connection::{WebSocketConnection, from_python};

/// Sends to all connections that have subscribed to the topic.
pub(crate) fn publish(engine: &outside::OutsideHttp, topic: &str, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let message = from_python(data)?;
    check_size(engine, topic, &message)?;
    // The engine knows the connection of the thread that publishes, but not that of a task.
    match engine.has_much_published().then(|| publisher(data.py())).transpose()?.flatten() {
        Some(publisher) => engine.publish_for(&publisher, topic, message),
        None => engine.publish(topic, message),
    }
    Ok(())
}

/// The same, and waits for the id.
pub(crate) fn publish_and_wait(
    engine: &outside::OutsideHttp,
    topic: &str,
    data: &Bound<'_, PyAny>,
    timeout: f64,
) -> PyResult<String> {
    let message = from_python(data)?;
    check_size(engine, topic, &message)?;
    let timeout = seconds(timeout)?;
    let id = data.py().detach(|| engine.publish_and_wait(topic, message, timeout));
    id.map(|id| id.to_string()).map_err(bus_error)
}

/// An answer of the hub that did not come, as an exception.
fn bus_error(error: BusError) -> PyErr {
    match error {
        BusError::TimedOut => PyTimeoutError::new_err(error.to_string()),
        BusError::Ended => PyRuntimeError::new_err(error.to_string()),
        BusError::TooLarge => PyValueError::new_err(error.to_string()),
        BusError::Cut => PyConnectionError::new_err(error.to_string()),
        BusError::Full | BusError::Refused => PyRuntimeError::new_err(error.to_string()),
    }
}

fn check_size(engine: &outside::OutsideHttp, topic: &str, message: &Message) -> PyResult<()> {
    let Some((longest, largest)) = engine.max_published_sizes() else { return Ok(()) };
    let size = message.as_bytes().len();
    if topic.len() > longest {
        return Err(PyValueError::new_err(format!("a topic has at most {longest} bytes, not {}", topic.len())));
    }
    if size > largest {
        let text = format!("a published message has at most {largest} bytes, not {size}");
        return Err(PyValueError::new_err(text));
    }
    Ok(())
}

/// The connection whose handler the running task is, if it is one.
fn publisher(py: Python<'_>) -> PyResult<Option<outside::WebSocketConnection>> {
    let connection = py.import("outside._handlers.websocket")?.getattr("publisher")?.call_method0("get")?;
    let connection = connection.cast::<WebSocketConnection>().ok();
    connection.map(|connection| connection.get().inner().cloned()).transpose()
}

/// How many connections have subscribed to a topic.
pub(crate) fn listeners(engine: &outside::OutsideHttp, py: Python<'_>, topic: &str, timeout: f64) -> PyResult<usize> {
    let timeout = seconds(timeout)?;
    py.detach(|| engine.subscribers(topic, timeout)).map_err(bus_error)
}

fn seconds(timeout: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(timeout)
        .map_err(|_| PyValueError::new_err(format!("timeout is a number of seconds from 0 on, not {timeout}")))
}
