//! Turns of callbacks: the callbacks of one connection never run at the same time. Also the data that a handler keeps
//! between them.
//!
//! The session begins a turn, the thread that has called the callbacks ends it. The session hears of the end only if it
//! waits.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::WebSocket;
use super::shared::{SessionData, WebSocketConnection};

/// No callback is being called.
const NONE: u8 = 0;
const BEGUN: u8 = 1;
/// A callback is being called, and the session waits for its end.
const AWAITED: u8 = 2;

impl WebSocketConnection {
    /// The handler's data for this connection, for bindings; the engine does not use it.
    pub fn session_data(&self) -> MutexGuard<'_, SessionData> {
        self.0.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The WebSocket that this connection belongs to.
    pub(crate) fn websocket(&self) -> &WebSocket {
        &self.0.websocket
    }

    /// Notes that a callback is about to be called.
    pub(crate) fn begin_turn(&self) {
        self.0.turn.store(BEGUN, Ordering::Relaxed);
    }

    /// Whether a callback is being called. Then the session is woken when it has returned.
    pub(crate) fn awaits_turn(&self) -> bool {
        let turn = &self.0.turn;
        turn.load(Ordering::Acquire) != NONE
            && turn.compare_exchange(BEGUN, AWAITED, Ordering::AcqRel, Ordering::Acquire) != Err(NONE)
    }

    /// Notes that the callback has returned. Returns whether the session is to be woken, inside the event loop.
    pub(crate) fn end_turn(&self) -> bool {
        self.0.turn.swap(NONE, Ordering::AcqRel) == AWAITED
    }

    /// Wakes the session.
    pub(crate) fn call_session(&self) {
        if let Some(session) = &self.lock().session {
            session.wake_by_ref();
        }
    }
}
