//! What others may know of a connection and tell it: its deadline, and orders to end.
//!
//! A deadline costs one store; a ticker looks at all of them several times a second and wakes those whose time is up.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

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
pub(super) enum Stop {
    /// The client is gone, or its socket failed.
    Gone,
    /// A deadline passed.
    TimedOut,
    /// The server has asked for it.
    Ordered,
}

/// What a connection is waiting for: it decides which orders matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The next request; any order ends the wait.
    Idle,
    /// The rest of a request, or the socket taking the answer.
    Transfer,
    /// The answer of a handler: it is waited for while the server drains.
    Handler,
}

/// One connection as others see it.
#[derive(Debug)]
pub(crate) struct Handle {
    /// In milliseconds of the clock; `NEVER` if there is none.
    deadline: AtomicU64,
    order: AtomicU8,
    /// Since when it waits for a request, in milliseconds; `NEVER` while it is busy.
    idle_since: AtomicU64,
    waker: OnceLock<Waker>,
}

const NEVER: u64 = u64::MAX;
/// In milliseconds.
const JUST_NOW: u64 = 100;

impl Handle {
    fn new() -> Self {
        let never = || AtomicU64::new(NEVER);
        Self { deadline: never(), order: AtomicU8::new(0), idle_since: never(), waker: OnceLock::new() }
    }

    /// Is there an order that ends this wait?
    pub(super) fn stop(&self, context: &Context<'_>, waiting: Waiting) -> Option<Stop> {
        match (self.order(context), waiting) {
            (Order::None, _) => None,
            (Order::Cut, _) => Some(Stop::Ordered),
            (Order::TimedOut, _) => Some(Stop::TimedOut),
            (Order::Drain | Order::Shed, Waiting::Idle) => Some(Stop::Ordered),
            _ => None,
        }
    }

    /// The order in force. Remembers who is to be woken by the next one.
    pub(super) fn order(&self, context: &Context<'_>) -> Order {
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
    pub(super) fn is_ordered(&self) -> bool {
        self.order.load(Ordering::Relaxed) != Order::None as u8
    }

    /// Gives an order; a weaker one never replaces a stronger one.
    pub(crate) fn give(&self, order: Order) {
        if self.order.fetch_max(order as u8, Ordering::Relaxed) < order as u8
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    /// A connection that was shed or timed out while a request was on its way goes on.
    pub(crate) fn forgive(&self) {
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

    pub(crate) fn set_idle(&self, since: u64) {
        self.idle_since.store(since, Ordering::Relaxed);
    }

    pub(crate) fn set_busy(&self) {
        self.set_idle(NEVER);
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

/// How many connections there are in all reactors together.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    size: AtomicUsize,
    /// Told when a connection has ended.
    shrunk: Notify,
    /// WebSockets with a thread of their own.
    sessions: AtomicUsize,
}

impl Crowd {
    /// One more, if there are fewer than this.
    pub(crate) fn admit(&self, most: usize) -> bool {
        self.size.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |size| (size < most).then_some(size + 1)).is_ok()
    }

    /// A place for one more WebSocket with a thread of its own, if there are fewer than this.
    pub(super) fn admit_session(self: &Arc<Self>, most: usize) -> Option<ThreadSeat> {
        let more = |size| (size < most).then_some(size + 1);
        let admitted = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        admitted.is_ok().then(|| ThreadSeat(Arc::clone(self)))
    }

    /// A connection that was admitted has ended: there may be room for another.
    pub(crate) fn leave(&self) {
        self.size.fetch_sub(1, Ordering::Relaxed);
        self.shrunk.notify_one();
    }

    /// Waits until one has ended.
    pub(crate) async fn shrunk(&self) {
        self.shrunk.notified().await;
    }
}

/// A place among the WebSockets with a thread of their own, given back when this is dropped.
#[derive(Debug)]
pub(super) struct ThreadSeat(Arc<Crowd>);

impl Drop for ThreadSeat {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All connections of a reactor.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Option<Arc<Handle>>>,
    free: Vec<usize>,
}

impl Handles {
    /// A handle for a new connection, and its number.
    pub(crate) fn add(&self) -> (usize, Arc<Handle>) {
        let handle = Arc::new(Handle::new());
        let mut table = self.lock();
        let number = table.free.pop().unwrap_or_else(|| {
            table.slots.push(None);
            table.slots.len() - 1
        });
        table.slots[number] = Some(Arc::clone(&handle));
        (number, handle)
    }

    /// Another handle for the same connection, which goes on as another task.
    pub(crate) fn renew(&self, number: usize) -> Arc<Handle> {
        let handle = Arc::new(Handle::new());
        let mut table = self.lock();
        if let Some(before) = table.slots[number].replace(Arc::clone(&handle)) {
            handle.order.store(before.order.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        handle
    }

    pub(crate) fn remove(&self, number: usize) {
        let mut table = self.lock();
        table.slots[number] = None;
        table.free.push(number);
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        let table = self.lock();
        table.slots.len() - table.free.len()
    }

    /// Gives an order to all.
    pub(crate) fn give_all(&self, order: Order) {
        self.lock().slots.iter().flatten().for_each(|handle| handle.give(order));
    }

    /// The connection that has been idle longest, and since when. One that has only just come, or has only just been
    /// answered, is about to say something.
    pub(crate) fn longest_idle(&self, clock: &Clock) -> Option<(u64, Arc<Handle>)> {
        let long_ago = clock.now().saturating_sub(JUST_NOW);
        let table = self.lock();
        let idle = table.slots.iter().flatten().filter(|handle| handle.order.load(Ordering::Relaxed) == 0);
        let since = idle.map(|handle| (handle.idle_since.load(Ordering::Relaxed), handle));
        let longest = since.filter(|(since, _)| *since < long_ago).min_by_key(|(since, _)| *since);
        longest.map(|(since, handle)| (since, Arc::clone(handle)))
    }

    /// Moves the clock on and wakes those whose deadline has passed.
    pub(crate) fn tick(&self, clock: &Clock) {
        let now = clock.tick();
        for handle in self.lock().slots.iter().flatten() {
            if handle.deadline.load(Ordering::Relaxed) < now {
                handle.clear_deadline();
                handle.give(Order::TimedOut);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
