//! When callbacks rest: their client takes less than they send. No thread waits for that: what has come in and was not
//! handled is put back, and the session reads no more until the queue has room.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::WhenFull;
use super::connection::{State, WebSocketConnection};
use super::few::Few;
use super::message::Message;

/// A callback has filled the queue.
const FULL: u8 = 1;
/// Messages were put back.
const LEFT: u8 = 2;

/// What one call of a callback sends beyond the bound of the queue is bounded too, in bytes of memory: a callback that
/// sends without end would need all there is.
const MOST_OF_ONE_CALL: usize = 128 << 20;

thread_local! {
    /// The connection whose callback this thread is in, by its place in memory; 0: none.
    static CALLED: Cell<usize> = const { Cell::new(0) };
}

/// A thread is in a callback until this is dropped.
pub(crate) struct InCallback(());

impl Drop for InCallback {
    fn drop(&mut self) {
        CALLED.set(0);
    }
}

/// Whether this thread is in a callback, where nothing waits.
pub(super) fn is_in_callback() -> bool {
    CALLED.get() != 0
}

impl WebSocketConnection {
    /// This thread is about to call callbacks of this connection.
    pub(crate) fn enter_callback(&self) -> InCallback {
        CALLED.set(self.id());
        InCallback(())
    }

    /// Whether no callback is to be called before the client has taken something.
    pub(crate) fn must_rest(&self) -> bool {
        self.0.pressure.load(Ordering::Relaxed) & FULL != 0
    }

    /// Whether its callbacks rest, or have rested and not done what was left.
    pub(crate) fn is_pressed(&self) -> bool {
        self.0.pressure.load(Ordering::Acquire) != 0 && !self.is_ending()
    }

    /// Keeps what its callbacks have not been called for.
    pub(crate) fn put_back(&self, mut messages: Few<Message>) {
        let mut state = self.lock();
        if !state.is_over && state.exit.is_none() {
            while let Some(message) = messages.pop() {
                state.inbox_cost += message.cost();
                state.inbox.push(message);
            }
            self.0.pressure.fetch_or(LEFT, Ordering::Release);
            state.calls_session = true;
        }
        self.unlock(state);
    }

    /// What was put back, once callbacks may be called again.
    pub(crate) fn take_back(&self) -> Option<Few<Message>> {
        if self.must_rest() {
            return None;
        }
        let mut state = self.lock();
        self.0.pressure.fetch_and(!LEFT, Ordering::Relaxed);
        state.inbox_cost = 0;
        Some(std::mem::take(&mut state.inbox))
    }

    /// Whether a message finds room though the queue is full: a callback of this connection sends it.
    pub(super) fn may_exceed(&self, state: &State) -> bool {
        let may = self.0.websocket.options.when_full == WhenFull::Wait
            && CALLED.get() == self.id()
            && state.queue.cost() < self.max_queue().saturating_add(MOST_OF_ONE_CALL);
        if may {
            self.0.pressure.fetch_or(FULL, Ordering::Relaxed);
        }
        may
    }

    /// Frames have left the queue: callbacks that rest may go on when there is room for more.
    pub(super) fn relieve(&self, state: &mut State) {
        if self.must_rest() && state.queue.cost() <= self.max_queue() / 2 {
            self.0.pressure.fetch_and(!FULL, Ordering::Relaxed);
            state.calls_session = true;
        }
    }
}
