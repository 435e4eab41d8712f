//! Functions of `on_gap`: called on a thread of their own, because the engine tells of gaps inside its event loop.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;

use crate::logging::log_exception;
use crate::waiting::awaited;
use crate::websocket::connection::WebSocketConnection;

/// A gap that a function is to be told of.
struct ToldGap {
    function: Arc<Py<PyAny>>,
    connection: outside::WebSocketConnection,
    topic: String,
}

static QUEUE: OnceLock<Sender<ToldGap>> = OnceLock::new();

/// Has the function called with the connection and the topic, soon. Gaps of one connection are bounded by its topics.
pub(crate) fn tell(function: Arc<Py<PyAny>>, connection: &outside::WebSocketConnection, topic: &str) {
    let queue = QUEUE.get_or_init(|| {
        let (sender, receiver) = channel::<ToldGap>();
        let calls = move || receiver.into_iter().for_each(|gap| Python::attach(|py| gap.call(py)));
        // Without a thread, messages to it are dropped.
        drop(std::thread::Builder::new().name("outside-gaps".into()).spawn(calls));
        sender
    });
    drop(queue.send(ToldGap { function, connection: connection.clone(), topic: topic.to_owned() }));
}

impl ToldGap {
    fn call(self, py: Python<'_>) {
        let target = outside::log::shown_target(self.connection.request().target()).into_owned();
        let called = Py::new(py, WebSocketConnection::of(self.connection, None, py)).and_then(|connection| {
            let tell = py.import("outside._handlers.websocket")?.getattr("tell_gap")?;
            awaited(tell.call1((&*self.function, connection, self.topic))?, None)
        });
        if let Err(error) = called {
            log_exception(py, None, &format!("WebSocket {target}: on_gap failed"), &error);
        }
    }
}
