//! When a handler rests. Its client takes less than its callbacks send: no thread waits for that; what has come in and was
//! not handled is put back, and the session reads no more until the queue has room. Or it has published more than can be
//! handed out at once: then it gets no message until that is done, whatever its style.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::WhenFull;
use super::connection::{WebSocketConnection, WebSocketState};
use super::few::Few;
use super::message::Message;

/// A callback has filled the queue.
const FULL: u8 = 1;
/// Messages were put back.
const LEFT: u8 = 2;
/// Too much of what it and others have published waits.
const HELD: u8 = 4;

/// What one call of a callback sends beyond the bound of the queue is bounded too, in bytes of memory: a callback that
/// sends without end would need all there is.
const MOST_OF_ONE_CALL: usize = 128 << 20;

thread_local! {
    /// The connection whose callback this thread is in, by its place in memory; 0: none.
    static CALLED: Cell<usize> = const { Cell::new(0) };
    /// Whether that callback has published while much waits.
    static HAS_OVERPUBLISHED: Cell<bool> = const { Cell::new(false) };
    /// The connection on whose behalf this thread publishes, if it is in no callback.
    static PUBLISHER: RefCell<Option<WebSocketConnection>> = const { RefCell::new(None) };
}

/// A thread acts for one connection until this is dropped.
pub(crate) struct Acting(());

impl Drop for Acting {
    fn drop(&mut self) {
        CALLED.set(0);
        HAS_OVERPUBLISHED.set(false);
        PUBLISHER.set(None);
    }
}

/// Much of what was published waits: the connection on whose behalf this thread publishes more is read more slowly.
pub(super) fn slow_down_publisher() {
    match is_in_callback() {
        true => HAS_OVERPUBLISHED.set(true),
        false => PUBLISHER.with_borrow(|publisher| publisher.iter().for_each(WebSocketConnection::hold)),
    }
}

/// Whether this thread is in a callback, where nothing waits.
pub(super) fn is_in_callback() -> bool {
    CALLED.get() != 0
}

impl WebSocketConnection {
    /// This thread is about to call callbacks of this connection.
    pub(crate) fn enter_callback(&self) -> Acting {
        CALLED.set(self.id());
        Acting(())
    }

    /// This thread publishes on behalf of this connection.
    pub(crate) fn enter_publisher(&self) -> Acting {
        PUBLISHER.set(Some(self.clone()));
        Acting(())
    }

    /// Whether a callback that has just come back is the last one for now.
    pub(crate) fn must_rest(&self) -> bool {
        if HAS_OVERPUBLISHED.get() {
            HAS_OVERPUBLISHED.set(false);
            self.hold();
        }
        self.has(FULL | HELD)
    }

    /// Whether its handler gets no message for now.
    pub(super) fn is_held(&self) -> bool {
        self.has(HELD)
    }

    fn has(&self, reasons: u8) -> bool {
        self.0.pressure.load(Ordering::Relaxed) & reasons != 0
    }

    /// Gives its handler no message until less of what was published waits.
    fn hold(&self) {
        let before = self.0.pressure.fetch_or(HELD, Ordering::SeqCst);
        if before & HELD == 0 && !self.0.room.bounds().hold(Arc::downgrade(&self.0)) {
            self.0.pressure.fetch_and(!HELD, Ordering::SeqCst);
        }
    }

    /// Its handler may go on.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        self.0.pressure.fetch_and(!HELD, Ordering::SeqCst);
        state.calls_session = true;
        let tells = std::mem::take(&mut state.is_listening);
        self.0.received.notify_all();
        self.unlock(state);
        if tells {
            self.tell();
        }
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
        if self.has(FULL | HELD) {
            return None;
        }
        let mut state = self.lock();
        self.0.pressure.fetch_and(!LEFT, Ordering::Relaxed);
        state.inbox_cost = 0;
        Some(std::mem::take(&mut state.inbox))
    }

    /// Whether a message finds room though the queue is full: a callback of this connection sends it.
    pub(super) fn may_exceed(&self, state: &WebSocketState) -> bool {
        let may = self.0.websocket.options.when_full == WhenFull::Wait
            && CALLED.get() == self.id()
            && state.queue.cost() < self.max_queue().saturating_add(MOST_OF_ONE_CALL);
        if may {
            self.0.pressure.fetch_or(FULL, Ordering::Relaxed);
        }
        may
    }

    /// Frames have left the queue: callbacks that rest may go on when there is room for more.
    pub(super) fn relieve(&self, state: &mut WebSocketState) {
        if self.has(FULL) && state.queue.cost() <= self.max_queue() / 2 {
            self.0.pressure.fetch_and(!FULL, Ordering::Relaxed);
            state.calls_session = true;
        }
    }
}
