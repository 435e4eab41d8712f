//! A server of one WebSocket, and journals in which its handlers record events.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use outside::websocket::{Message, WebSocketExit};
use outside::{WebSocket, WebSocketConnection};
use outside_test_support::server::Running;

use crate::client::DEADLINE;

/// One route, all else as it is by default.
pub(crate) fn serve(websocket: WebSocket) -> Running {
    let running = Running::start(|_| {});
    running.set_route("/", websocket);
    running
}

/// Recorded events in order. Clones are the same journal.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Journal {
    pub(crate) fn note(&self, entry: impl Into<String>) {
        self.0.0.lock().unwrap().push(entry.into());
        self.0.1.notify_all();
    }

    /// The entries so far.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until the journal has this many entries.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<String> {
        self.wait_until(|entries| entries.len() >= count)
    }

    /// Waits until this entry is there.
    pub(crate) fn wait_for_entry(&self, wanted: &str) {
        self.wait_until(|entries| entries.iter().any(|entry| entry == wanted));
    }

    fn wait_until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut entries = self.0.0.lock().unwrap();
        while !enough(&entries) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no more than {entries:?}");
            entries = self.0.1.wait_timeout(entries, left).unwrap().0;
        }
        entries.clone()
    }
}

/// Sends everything back.
pub(crate) fn echo() -> WebSocket {
    WebSocket::new().on_message(|connection: &WebSocketConnection, message: Message| connection.send(message))
}

/// The same with a thread.
pub(crate) fn blocking_echo() -> WebSocket {
    WebSocket::new().on_connection(|connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
        loop {
            connection.send(connection.recv()?)?;
        }
    })
}
