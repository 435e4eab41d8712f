//! One connection as others see it: its deadline, orders to end, and how soon it gives way where places run out.
//!
//! A deadline costs one store; a ticker looks at all of them several times a second ([`registry`](super::registry)) and wakes
//! those whose time is up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use crate::budget::Taker;

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing of the kind.
    None,
    /// Another server takes over: clients that can begin anew with it do.
    Retire,
    /// The server ends: finish what is in flight, then close.
    Drain,
    /// Room is needed: close if idle.
    Shed,
    /// The deadline has passed.
    TimedOut,
    /// Close at once.
    Cut,
}

/// Why a conversation ends without another word.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client is gone, or its socket failed.
    Gone,
    /// The client has closed its side, and may be there or not.
    Closed,
    /// The answer cannot be finished, through no fault of the client.
    Failed,
    /// A deadline passed.
    TimedOut,
    /// The server has asked for it.
    Ordered,
}

/// What a connection is waiting for: it decides which orders matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The next request; any order ends the wait.
    Idle,
    /// The rest of a head: read while the server drains, given up where room is needed.
    Head,
    /// The first request, of a client that came then, in milliseconds of the clock: while the server drains, it may be on its way still.
    First(u64),
    /// The rest of a request, or the socket taking the answer.
    Transfer,
    /// The answer of a handler: it is waited for while the server drains.
    Handler,
}

/// One connection as others see it.
#[derive(Debug)]
pub(crate) struct ConnectionControl {
    /// In milliseconds of the clock; `NEVER` if there is none.
    pub(super) deadline: AtomicU64,
    pub(super) order: AtomicU8,
    /// Since when it gives way where room is needed, in milliseconds, and whether it has sent a request before (`RESTING`):
    /// the smallest number gives way first. `NEVER` while it is busy.
    pub(super) yields_since: AtomicU64,
    /// Answers in flight while it is busy.
    pub(super) answers: AtomicUsize,
    waker: OnceLock<Waker>,
}

pub(super) const NEVER: u64 = u64::MAX;
/// Added to the time of a connection that rests between two requests: those that have not sent a complete head come before it.
pub(super) const RESTING: u64 = 1 << 62;
/// Added to the time of a connection that is being closed: it comes behind those without a complete head, whose clients have
/// never been answered, and before those that rest, whose clients are going to ask again.
pub(super) const CLOSING: u64 = 1 << 61;
/// It is a WebSocket.
pub(super) const SESSION: u64 = u64::MAX - 2;
/// Within so long after it came, a client sends its first request, in milliseconds: some times around the world.
const FIRST_REQUEST: u64 = 1000;

impl ConnectionControl {
    pub(super) fn new() -> Self {
        let never = || AtomicU64::new(NEVER);
        let answers = AtomicUsize::new(1);
        Self { deadline: never(), order: AtomicU8::new(0), yields_since: never(), answers, waker: OnceLock::new() }
    }

    /// Whether there is an order that ends this wait.
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

    /// The order in force. Remembers the task that is to be woken by the next one.
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

    /// Whether there is any order.
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

    /// A connection that was shed or timed out while a request was on its way goes on.
    pub(crate) fn clear_timeout(&self) {
        if self.order.load(Ordering::Relaxed) == Order::None as u8 {
            return;
        }
        for order in [Order::Shed, Order::TimedOut] {
            // If a stronger order has come meanwhile, it stays.
            let _other_order_stays = self.order.compare_exchange(order as u8, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_deadline(&self, at: u64) {
        self.deadline.store(at, Ordering::Relaxed);
    }

    pub(crate) fn clear_deadline(&self) {
        self.set_deadline(NEVER);
    }

    /// The connection waits for another request since then: it gives way where room is needed.
    pub(crate) fn set_idle(&self, since: u64) {
        self.yields_since.store(since | RESTING, Ordering::Relaxed);
    }

    /// The connection has not sent a complete head, or handshake, since then: it gives way before those that have.
    pub(crate) fn set_incomplete(&self, since: u64) {
        self.yields_since.store(since, Ordering::Relaxed);
    }

    /// Nothing more is answered: from this time on the connection gives way where room is needed.
    pub(crate) fn set_closing(&self, from: u64) {
        self.yields_since.store(from | CLOSING, Ordering::Relaxed);
    }

    /// Messages are exchanged from now on.
    pub(crate) fn set_session(&self) {
        self.yields_since.store(SESSION, Ordering::Relaxed);
    }

    /// So many answers are in flight while it is busy, besides those of streams, which have a control of their own.
    pub(crate) fn set_answers(&self, count: usize) {
        self.answers.store(count, Ordering::Relaxed);
    }

    /// The connection keeps its place.
    pub(crate) fn set_busy(&self) {
        self.yields_since.store(NEVER, Ordering::Relaxed);
    }
}

/// A connection of either version of HTTP ends without another word.
impl Taker for ConnectionControl {
    fn give_way(&self) {
        self.signal(Order::Cut);
    }
}
