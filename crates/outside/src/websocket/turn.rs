//! Callbacks of one connection are called one after the other: whether one is being called now, and what their handler keeps
//! between two calls.
//!
//! The session begins a turn, whoever has called the handler ends it. The session is told of that only if it has asked.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::WebSocket;
use super::connection::WebSocketConnection;

/// What a handler keeps for one connection, from its opening to its end.
pub type SessionData = Option<Box<dyn Any + Send>>;

/// No handler is being called.
const NONE: u8 = 0;
const BEGUN: u8 = 1;
/// One is, and the session waits for it.
const AWAITED: u8 = 2;

impl WebSocketConnection {
    /// What its handler keeps for it: for bindings. Nothing else looks at it.
    pub fn session_data(&self) -> MutexGuard<'_, SessionData> {
        self.0.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The WebSocket that it belongs to.
    pub(crate) fn websocket(&self) -> &WebSocket {
        &self.0.websocket
    }

    /// The handler is about to be called.
    pub(crate) fn begin_turn(&self) {
        self.0.turn.store(BEGUN, Ordering::Relaxed);
    }

    /// Is it being called? Then the session is to be called once it has come back.
    pub(crate) fn awaits_turn(&self) -> bool {
        let turn = &self.0.turn;
        turn.load(Ordering::Acquire) != NONE
            && turn.compare_exchange(BEGUN, AWAITED, Ordering::AcqRel, Ordering::Acquire) != Err(NONE)
    }

    /// It has come back. `true`: the session is to be called, inside the event loop.
    pub(crate) fn end_turn(&self) -> bool {
        self.0.turn.swap(NONE, Ordering::AcqRel) == AWAITED
    }

    /// Calls the session.
    pub(crate) fn call_session(&self) {
        if let Some(session) = &self.lock().session {
            session.wake_by_ref();
        }
    }
}
