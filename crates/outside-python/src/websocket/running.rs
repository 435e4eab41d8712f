//! The WebSockets whose handlers run now, for the status page; nothing is noted in servers without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use outside::handler::RunningCall;
use pyo3::prelude::*;

use crate::call::interrupt::thread_ident;
use crate::call::noted::are_noted;
use crate::support::lock;

/// The calls by their connection.
static RUNNING: Mutex<Option<HashMap<usize, RunningCall>>> = Mutex::new(None);

/// The handlers that run.
pub(crate) fn running() -> Vec<RunningCall> {
    lock(&RUNNING).iter().flat_map(HashMap::values).cloned().collect()
}

/// Notes that the asyncio loop has a connection.
pub(super) fn begin_on_loop(connection: &outside::WebSocketConnection) {
    note(connection, None);
}

/// The opposite.
pub(super) fn end_on_loop(connection: &outside::WebSocketConnection) {
    if are_noted() {
        let ended = lock(&RUNNING).as_mut().and_then(|running| running.remove(&connection.id()));
        drop(ended);
    }
}

fn note(connection: &outside::WebSocketConnection, thread: Option<u64>) {
    if are_noted() {
        let call = RunningCall { request: Arc::clone(connection.request()), thread, is_websocket: true };
        lock(&RUNNING).get_or_insert_default().insert(connection.id(), call);
    }
}

/// A function that runs on this thread, until this is dropped.
pub(super) struct RunningHandler<'a>(&'a outside::WebSocketConnection);

impl<'a> RunningHandler<'a> {
    pub(super) fn begin(py: Python<'_>, connection: &'a outside::WebSocketConnection) -> Self {
        if are_noted() {
            note(connection, thread_ident(py).ok());
        }
        Self(connection)
    }
}

impl Drop for RunningHandler<'_> {
    fn drop(&mut self) {
        end_on_loop(self.0);
    }
}
