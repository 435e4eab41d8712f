//! The state of one connection for the rest of the server: its deadline, its orders, and its rank where places run out.
//!
//! A deadline costs one store; the ticker ([`registry`](super::registry)) wakes the connection when it has passed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use crate::budget::Taker;
use crate::metrics::RequestKind;

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// No order.
    None,
    /// Another server takes over: clients that can begin anew with it do.
    Retire,
    /// The server ends: the connection finishes its requests in flight, then closes.
    Drain,
    /// Another connection needs the place: an idle connection closes.
    Shed,
    /// The deadline has passed.
    TimedOut,
    /// The connection closes at once.
    Cut,
}

/// Why a conversation, or a wait within it, is broken off.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client is gone, or its socket failed.
    Gone,
    /// The client has closed its side, and may be there or not.
    Closed,
    /// The answer cannot be finished, through no fault of the client.
    Failed,
    /// A deadline has passed.
    TimedOut,
    /// The server has ordered the end.
    Ordered,
}

/// The event that a connection waits for: it decides which orders end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The next request; any order ends the wait.
    Idle,
    /// The rest of a head: the wait goes on while the server drains, and ends where places run out.
    Head,
    /// The first request of a client that came at this time, in milliseconds: a draining server still waits for it.
    First(u64),
    /// The rest of a request, or the moment when the socket takes the answer.
    Transfer,
    /// The answer of a handler: the wait goes on while the server drains.
    Handler,
}

/// The state of one connection for the rest of the server.
#[derive(Debug)]
pub(crate) struct ConnectionControl {
    /// When the connection is woken, in milliseconds of the clock; `NEVER` if it has no deadline.
    pub(super) deadline: AtomicU64,
    pub(super) order: AtomicU8,
    /// Since when the connection may give way to another, in milliseconds, plus a mark of its kind (`CLOSING`,
    /// `RESTING`): the smallest number gives way first. `NEVER` while the connection is busy.
    pub(super) yields_since: AtomicU64,
    /// The number of answers in flight while the connection is busy.
    pub(super) answers: AtomicUsize,
    /// Method and scheme of the last request ([`RequestKind`]), where requests are counted; 0: none has come.
    kind: AtomicU8,
    waker: OnceLock<Waker>,
}

/// The time of a deadline that is not set, and the rank of a connection that keeps its place, in milliseconds.
pub(super) const NEVER: u64 = u64::MAX;
/// Added to the time of a connection that is idle between two requests: those without a complete head give way before.
pub(super) const RESTING: u64 = 1 << 62;
/// Added to the time of a connection that is being closed: connections without a complete head, whose clients were
/// never answered, give way before it; idle connections, whose clients are going to ask again, give way behind it.
pub(super) const CLOSING: u64 = 1 << 61;
/// The rank of a WebSocket, which does not give way.
pub(super) const SESSION: u64 = u64::MAX - 2;
/// Milliseconds in which a client sends its first request after it came: several round trips around the world.
const FIRST_REQUEST: u64 = 1000;

impl ConnectionControl {
    pub(super) fn new() -> Self {
        let never = || AtomicU64::new(NEVER);
        Self {
            deadline: never(),
            order: AtomicU8::new(0),
            yields_since: never(),
            answers: AtomicUsize::new(1),
            kind: AtomicU8::new(0),
            waker: OnceLock::new(),
        }
    }

    /// The reason to end this wait, if an order ends it.
    pub(crate) fn stop(&self, context: &Context<'_>, waiting: Waiting) -> Option<Stop> {
        match (self.order(context), waiting) {
            (Order::None, _) => None,
            (Order::Cut, _) => Some(Stop::Ordered),
            (Order::TimedOut, _) => Some(Stop::TimedOut),
            (Order::Drain | Order::Shed, Waiting::Idle) | (Order::Shed, Waiting::First(_) | Waiting::Head) => {
                Some(Stop::Ordered)
            }
            (Order::Drain, Waiting::First(since)) => {
                self.deadline.fetch_min(since.saturating_add(FIRST_REQUEST), Ordering::Relaxed);
                None
            }
            _ => None,
        }
    }

    /// The order in force. The task of `context` is woken by the next order.
    pub(crate) fn order(&self, context: &Context<'_>) -> Order {
        if self.waker.get().is_none() {
            // The waker of a task stays the same for its whole life.
            self.waker.get_or_init(|| context.waker().clone());
        }
        match self.order.load(Ordering::Relaxed) {
            0 => Order::None,
            1 => Order::Retire,
            2 => Order::Drain,
            3 => Order::Shed,
            4 => Order::TimedOut,
            _ => Order::Cut,
        }
    }

    /// Whether the connection has an order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.order.load(Ordering::Relaxed) != Order::None as u8
    }

    /// Gives an order; a weaker one never replaces a stronger one.
    pub(crate) fn signal(&self, order: Order) {
        if self.order.fetch_max(order as u8, Ordering::Relaxed) < order as u8
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    /// Takes back the orders that end a wait: a connection that was shed or timed out during a request goes on.
    pub(crate) fn clear_timeout(&self) {
        if self.order.load(Ordering::Relaxed) == Order::None as u8 {
            return;
        }
        for order in [Order::Shed, Order::TimedOut] {
            // A stronger order that has come meanwhile stays.
            let _other_order_stays = self.order.compare_exchange(order as u8, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_deadline(&self, at: u64) {
        self.deadline.store(at, Ordering::Relaxed);
    }

    pub(crate) fn clear_deadline(&self) {
        self.set_deadline(NEVER);
    }

    /// Marks the connection as idle since then: it may give way to another.
    pub(crate) fn set_idle(&self, since: u64) {
        self.yields_since.store(since | RESTING, Ordering::Relaxed);
    }

    /// Marks the connection as without a complete head, or handshake, since then: it gives way before others.
    pub(crate) fn set_incomplete(&self, since: u64) {
        self.yields_since.store(since, Ordering::Relaxed);
    }

    /// Marks the connection as closing, without further answers: from this time on it may give way to another.
    pub(crate) fn set_closing(&self, from: u64) {
        self.yields_since.store(from | CLOSING, Ordering::Relaxed);
    }

    /// Marks the connection as a WebSocket.
    pub(crate) fn set_session(&self) {
        self.yields_since.store(SESSION, Ordering::Relaxed);
    }

    /// Sets the number of answers in flight, without those of streams, which have a control of their own.
    pub(crate) fn set_answers(&self, count: usize) {
        self.answers.store(count, Ordering::Relaxed);
    }

    /// Notes method and scheme of the request that is answered.
    pub(super) fn set_kind(&self, kind: RequestKind) {
        self.kind.store(kind.0, Ordering::Relaxed);
    }

    /// Method and scheme of the last request.
    pub(super) fn kind(&self) -> Option<RequestKind> {
        Some(RequestKind(self.kind.load(Ordering::Relaxed))).filter(|kind| kind.0 > 0)
    }

    /// Marks the connection as busy: it keeps its place.
    pub(crate) fn set_busy(&self) {
        self.yields_since.store(NEVER, Ordering::Relaxed);
    }
}

/// A connection that has to give memory back is cut, in any version of HTTP.
impl Taker for ConnectionControl {
    fn give_way(&self) {
        self.signal(Order::Cut);
    }
}
