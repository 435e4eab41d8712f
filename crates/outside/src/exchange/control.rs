//! What others may know of a connection and tell it: its deadline, and orders to end.
//!
//! A deadline costs one store; a ticker looks at all of them several times a second and wakes those whose time is up.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::budget::Taker;

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing of the kind.
    None,
    /// Another server takes over: who can begin anew with it does.
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
    deadline: AtomicU64,
    order: AtomicU8,
    /// Since when it gives way where room is needed, in milliseconds, and whether it has sent a request before (`RESTING`):
    /// the smallest number gives way first. `NEVER` while it is busy.
    yields_since: AtomicU64,
    /// Answers in flight while it is busy.
    answers: AtomicUsize,
    waker: OnceLock<Waker>,
}

/// What connections are at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) answers: usize,
    pub(crate) websockets: usize,
}

const NEVER: u64 = u64::MAX;
/// Added to the time of a connection that rests between two requests: those that have not sent a complete head come before it.
const RESTING: u64 = 1 << 62;
/// Added to the time of a connection that is being closed: it comes behind those without a complete head, whose clients have
/// never been answered, and before those that rest, whose clients are going to ask again.
const CLOSING: u64 = 1 << 61;
/// It is a WebSocket.
const SESSION: u64 = u64::MAX - 2;
/// In milliseconds.
const JUST_NOW: u64 = 100;
/// Within so long after it came, a client sends its first request, in milliseconds: some times around the world.
const FIRST_REQUEST: u64 = 1000;

impl ConnectionControl {
    fn new() -> Self {
        let never = || AtomicU64::new(NEVER);
        let answers = AtomicUsize::new(1);
        Self { deadline: never(), order: AtomicU8::new(0), yields_since: never(), answers, waker: OnceLock::new() }
    }

    /// Is there an order that ends this wait?
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

    /// The order in force. Remembers who is to be woken by the next one.
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

    /// Is there any order?
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

    /// So many answers are in flight while it is busy, beside those that have a control of their own.
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

/// Milliseconds since the server started, as of the last tick: exact enough for deadlines, and one load.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    now: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), now: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The time so much later; never sooner than asked for.
    pub(crate) fn after(&self, duration: Duration) -> u64 {
        self.now() + millis(duration)
    }

    fn tick(&self) -> u64 {
        let now = millis(self.started.elapsed());
        self.now.store(now, Ordering::Relaxed);
        now
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

/// How soon a connection gives way where room is needed: those without a complete head first, by age; then those that
/// are being closed; then those that rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u64);

impl Rank {
    /// Whether the connection rests between two requests.
    pub(crate) fn is_resting(self) -> bool {
        self.0 >= RESTING
    }
}

/// All connections of a reactor.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRegistry(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Option<Arc<ConnectionControl>>>,
    free: Vec<u32>,
}

impl ConnectionRegistry {
    /// A control for a new connection, and its number.
    pub(crate) fn add(&self) -> (u32, Arc<ConnectionControl>) {
        let control = Arc::new(ConnectionControl::new());
        let mut table = self.lock();
        let number = table.free.pop().unwrap_or_else(|| {
            table.slots.push(None);
            // There are never so many descriptors.
            u32::try_from(table.slots.len() - 1).unwrap_or(u32::MAX)
        });
        table.slots[number as usize] = Some(Arc::clone(&control));
        (number, control)
    }

    /// Another control for the same connection, which goes on as another task.
    pub(crate) fn renew(&self, number: u32) -> Arc<ConnectionControl> {
        let control = Arc::new(ConnectionControl::new());
        let mut table = self.lock();
        if let Some(before) = table.slots[number as usize].replace(Arc::clone(&control)) {
            control.order.store(before.order.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        control
    }

    pub(crate) fn remove(&self, number: u32) {
        let mut table = self.lock();
        table.slots[number as usize] = None;
        table.free.push(number);
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        let table = self.lock();
        table.slots.len() - table.free.len()
    }

    /// What its connections are at.
    pub(crate) fn in_flight(&self) -> InFlight {
        let mut found = InFlight::default();
        for control in self.lock().slots.iter().flatten() {
            match control.yields_since.load(Ordering::Relaxed) {
                NEVER => found.answers += control.answers.load(Ordering::Relaxed),
                SESSION => found.websockets += 1,
                _ => {}
            }
        }
        found
    }

    /// Gives an order to all.
    pub(crate) fn signal_all(&self, order: Order) {
        self.lock().slots.iter().flatten().for_each(|control| control.signal(order));
    }

    /// The connections that may be asked to give way, by their number; the smallest rank is asked first. One that has only just
    /// come, or has only just been answered, is about to say something.
    pub(crate) fn yielding(&self, clock: &Clock) -> Vec<(Rank, u32)> {
        let long_ago = clock.now().saturating_sub(JUST_NOW);
        let table = self.lock();
        let handles = (0u32..).zip(&table.slots).filter_map(|(number, slot)| Some((number, slot.as_ref()?)));
        let unordered = handles.filter(|(_, control)| control.order.load(Ordering::Relaxed) == 0);
        let ranks = unordered.map(|(number, control)| (Rank(control.yields_since.load(Ordering::Relaxed)), number));
        ranks.filter(|(rank, _)| rank.0 != NEVER && rank.0 & !(RESTING | CLOSING) < long_ago).collect()
    }

    /// Asks a connection to give way, unless it has become busy meanwhile.
    pub(crate) fn shed(&self, rank: Rank, number: u32) {
        let table = self.lock();
        if let Some(Some(control)) = table.slots.get(number as usize)
            && control.yields_since.load(Ordering::Relaxed) == rank.0
        {
            control.signal(Order::Shed);
        }
    }

    /// Moves the clock on and wakes those whose deadline has passed.
    pub(crate) fn tick(&self, clock: &Clock) {
        let now = clock.tick();
        for control in self.lock().slots.iter().flatten() {
            if control.deadline.load(Ordering::Relaxed) < now {
                control.clear_deadline();
                control.signal(Order::TimedOut);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
