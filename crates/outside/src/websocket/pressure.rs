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
    /// The callback that this thread is in.
    static CALLED: Cell<Callback> = const { Cell::new(Callback::NONE) };
    /// The connection on whose behalf this thread publishes, if it is in no callback.
    static PUBLISHER: RefCell<Option<WebSocketConnection>> = const { RefCell::new(None) };
}

/// One call of a callback.
#[derive(Clone, Copy)]
struct Callback {
    /// The connection, by its place in memory; 0: none.
    connection: usize,
    /// Whether the callback has published while much waits.
    has_overpublished: bool,
}

impl Callback {
    const NONE: Self = Self { connection: 0, has_overpublished: false };
}

/// A thread acts for one connection until this is dropped.
pub(crate) enum Acting {
    Callback,
    Publisher,
}

impl Drop for Acting {
    #[inline]
    fn drop(&mut self) {
        // Each message of a client passes here: only the publisher's variable has a destructor, which costs more to reach.
        match self {
            Self::Callback => CALLED.set(Callback::NONE),
            Self::Publisher => PUBLISHER.set(None),
        }
    }
}

/// Much of what was published waits: the connection on whose behalf this thread publishes more is read more slowly.
pub(super) fn slow_down_publisher() {
    if is_in_callback() {
        CALLED.set(Callback { has_overpublished: true, ..CALLED.get() });
    } else {
        PUBLISHER.with_borrow(|publisher| publisher.iter().for_each(WebSocketConnection::hold));
    }
}

/// Whether this thread is in a callback, where nothing waits.
pub(super) fn is_in_callback() -> bool {
    CALLED.get().connection != 0
}

impl WebSocketConnection {
    /// This thread is about to call callbacks of this connection.
    pub(crate) fn enter_callback(&self) -> Acting {
        CALLED.set(Callback { connection: self.id(), has_overpublished: false });
        Acting::Callback
    }

    /// This thread publishes on behalf of this connection.
    pub(crate) fn enter_publisher(&self) -> Acting {
        PUBLISHER.set(Some(self.clone()));
        Acting::Publisher
    }

    /// Whether a callback that has just come back is the last one for now.
    pub(crate) fn must_rest(&self) -> bool {
        let call = CALLED.get();
        if call.has_overpublished {
            CALLED.set(Callback { has_overpublished: false, ..call });
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
            && CALLED.get().connection == self.id()
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
