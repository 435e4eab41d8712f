//! The times when a handler gets no messages. If its callbacks send more than its client takes, no thread waits for the
//! client: messages that were received and not handled are put back, and the session stops reading until the queue has
//! room. If a handler of any style has published more than can be handed out at once, it gets no message until that is
//! done.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::WhenFull;
use super::few::Few;
use super::memory::is_much;
use super::message::Message;
use super::shared::{WebSocketConnection, WebSocketState};

/// A callback has filled the queue.
const FULL: u8 = 1;
/// Messages were put back.
const LEFT: u8 = 2;
/// Too many published bytes wait, and the handler has published some of them.
const HELD: u8 = 4;

/// Bytes of memory by which one call of a callback may exceed the bound of the queue: a callback that sends without end
/// would otherwise take all memory.
const MOST_OF_ONE_CALL: usize = 128 << 20;

thread_local! {
    /// The callback that this thread runs.
    static CALLED: Cell<RunningCallback> = const { Cell::new(RunningCallback::NONE) };
    /// The connection on whose behalf this thread publishes, if it runs no callback.
    static PUBLISHER: RefCell<Option<WebSocketConnection>> = const { RefCell::new(None) };
}

/// One call of a callback.
#[derive(Clone, Copy)]
struct RunningCallback {
    /// The connection, by its address in memory; 0: none.
    connection: usize,
    /// Whether the callback has published while many bytes wait.
    has_overpublished: bool,
}

impl RunningCallback {
    const NONE: Self = Self { connection: 0, has_overpublished: false };
}

/// Marks that this thread acts for one connection, until it is dropped.
pub(crate) enum Acting {
    Callback,
    Publisher,
}

impl Drop for Acting {
    #[inline]
    fn drop(&mut self) {
        // Called for each message of a client: only the publisher's variable has a destructor, which makes it slower.
        match self {
            Self::Callback => CALLED.set(RunningCallback::NONE),
            Self::Publisher => PUBLISHER.set(None),
        }
    }
}

/// Holds the connection on whose behalf this thread publishes, because many published bytes wait.
pub(super) fn slow_down_publisher() {
    if is_in_callback() {
        CALLED.set(RunningCallback { has_overpublished: true, ..CALLED.get() });
    } else {
        PUBLISHER.with_borrow(|publisher| publisher.iter().for_each(WebSocketConnection::hold));
    }
}

/// Whether this thread runs a callback, in which sending never waits.
pub(super) fn is_in_callback() -> bool {
    CALLED.get().connection != 0
}

impl WebSocketConnection {
    /// Marks that this thread calls callbacks of this connection.
    pub(crate) fn enter_callback(&self) -> Acting {
        CALLED.set(RunningCallback { connection: self.id(), has_overpublished: false });
        Acting::Callback
    }

    /// Marks that this thread publishes on behalf of this connection.
    pub(crate) fn enter_publisher(&self) -> Acting {
        PUBLISHER.set(Some(self.clone()));
        Acting::Publisher
    }

    /// Whether no further callback is to be called after the one that has just returned.
    pub(crate) fn must_rest(&self) -> bool {
        let call = CALLED.get();
        if call.has_overpublished {
            CALLED.set(RunningCallback { has_overpublished: false, ..call });
            self.hold();
        }
        self.has(FULL | HELD)
    }

    /// Whether the handler gets no message for now.
    pub(super) fn is_held(&self) -> bool {
        self.has(HELD)
    }

    fn has(&self, reasons: u8) -> bool {
        self.0.pressure.load(Ordering::Relaxed) & reasons != 0
    }

    /// Gives the handler no message until fewer published bytes wait.
    fn hold(&self) {
        let before = self.0.pressure.fetch_or(HELD, Ordering::SeqCst);
        if before & HELD == 0 && !self.0.room.bounds().hold(Arc::downgrade(&self.0)) {
            self.0.pressure.fetch_and(!HELD, Ordering::SeqCst);
        }
    }

    /// Lets the handler go on.
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

    /// Whether callbacks are not called for now, or put-back messages are not handled yet.
    pub(crate) fn is_pressed(&self) -> bool {
        self.0.pressure.load(Ordering::Acquire) != 0 && !self.is_ending()
    }

    /// Keeps messages for which no callback was called.
    pub(crate) fn put_back(&self, mut messages: Few<Message>) {
        let mut state = self.lock();
        if !state.is_over && state.exit.is_none() {
            while let Some(message) = messages.pop() {
                state.inbox_cost += message.cost();
                state.inbox.push(message);
            }
            if is_much(state.inbox_cost) {
                self.count_memory(&mut state);
            }
            self.0.pressure.fetch_or(LEFT, Ordering::Release);
            state.calls_session = true;
        }
        self.unlock(state);
    }

    /// The messages that were put back, once callbacks may be called again.
    pub(crate) fn take_back(&self) -> Option<Few<Message>> {
        if self.has(FULL | HELD) {
            return None;
        }
        let mut state = self.lock();
        self.0.pressure.fetch_and(!LEFT, Ordering::Relaxed);
        state.inbox_cost = 0;
        self.count_memory(&mut state);
        Some(std::mem::take(&mut state.inbox))
    }

    /// Whether a message is queued although the queue is full, because a callback of this connection sends it.
    pub(super) fn may_exceed(&self, state: &WebSocketState) -> bool {
        let may = self.0.websocket.options.when_full == WhenFull::Wait
            && CALLED.get().connection == self.id()
            && state.queue.cost() < self.max_queue().saturating_add(MOST_OF_ONE_CALL);
        if may {
            self.0.pressure.fetch_or(FULL, Ordering::Relaxed);
        }
        may
    }

    /// Called when frames have left the queue: callbacks may be called again if it has room.
    pub(super) fn relieve(&self, state: &mut WebSocketState) {
        if self.has(FULL) && state.queue.cost() <= self.max_queue() / 2 {
            self.0.pressure.fetch_and(!FULL, Ordering::Relaxed);
            state.calls_session = true;
        }
    }
}
