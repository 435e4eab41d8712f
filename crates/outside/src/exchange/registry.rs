//! All connections of a reactor: the order in which they give way where places run out, and their deadlines.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::control::{CLOSING, ConnectionControl, NEVER, Order, RESTING, SESSION};
use crate::metrics::RequestKind;

/// The answers and WebSockets in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) answers: usize,
    pub(crate) websockets: usize,
}

/// The connections of a reactor by their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionStates {
    /// Between two requests.
    pub(crate) idle: usize,
    /// With a request that is being answered.
    pub(crate) active: usize,
    /// In a handshake, or without a complete head of a request.
    pub(crate) handshake: usize,
    pub(crate) websocket: usize,
    /// Answered, and being closed.
    pub(crate) closing: usize,
}

/// Milliseconds for which a connection that has come, or was answered, is not asked to give way.
const JUST_NOW: u64 = 100;
/// The rank in which connections give way where places run out: first those without a complete head, by age; then those
/// that are being closed; then those that are idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u64);

impl Rank {
    /// Whether the connection is idle between two requests.
    pub(crate) fn is_resting(self) -> bool {
        self.0 >= RESTING
    }

    /// Whether the connection is being closed.
    fn is_closing(self) -> bool {
        (CLOSING..RESTING).contains(&self.0)
    }
}

/// All connections of a reactor.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRegistry(Mutex<ConnectionTable>);

#[derive(Debug, Default)]
struct ConnectionTable {
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
            // A process never has as many descriptors as that.
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

    /// The number of connections.
    pub(crate) fn len(&self) -> usize {
        let table = self.lock();
        table.slots.len() - table.free.len()
    }

    /// The answers and WebSockets in flight on all connections.
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

    /// Adds the answers in flight by method and scheme; of several requests of one connection those of the last one count.
    pub(crate) fn count_active(&self, found: &mut BTreeMap<RequestKind, usize>) {
        for control in self.lock().slots.iter().flatten() {
            if let (NEVER, Some(kind)) = (control.yields_since.load(Ordering::Relaxed), control.kind()) {
                *found.entry(kind).or_default() += control.answers.load(Ordering::Relaxed);
            }
        }
    }

    /// The connections by their states; streams of HTTP/2 that have tasks of their own count too.
    pub(crate) fn states(&self) -> ConnectionStates {
        let mut found = ConnectionStates::default();
        for control in self.lock().slots.iter().flatten() {
            match control.yields_since.load(Ordering::Relaxed) {
                NEVER => found.active += 1,
                SESSION => found.websocket += 1,
                since if since >= RESTING => found.idle += 1,
                since if since >= CLOSING => found.closing += 1,
                _ => found.handshake += 1,
            }
        }
        found
    }

    /// Gives an order to all connections.
    pub(crate) fn signal_all(&self, order: Order) {
        self.lock().slots.iter().flatten().for_each(|control| control.signal(order));
    }

    /// The connections that may be asked to give way, by rank and number; the smallest rank is asked first. A
    /// connection that has just come, or was just answered, is left out, because its client is about to send a request;
    /// one that is being closed takes no further request, so it may be asked at once.
    pub(crate) fn yielding(&self, clock: &Clock) -> Vec<(Rank, u32)> {
        let now = clock.now();
        let long_ago = now.saturating_sub(JUST_NOW);
        let table = self.lock();
        let handles = (0u32..).zip(&table.slots).filter_map(|(number, slot)| Some((number, slot.as_ref()?)));
        let unordered = handles.filter(|(_, control)| control.order.load(Ordering::Relaxed) == 0);
        let ranks = unordered.map(|(number, control)| (Rank(control.yields_since.load(Ordering::Relaxed)), number));
        let is_due = |rank: Rank| match rank.0 & !(RESTING | CLOSING) {
            from if rank.is_closing() => from <= now,
            since => since < long_ago,
        };
        ranks.filter(|(rank, _)| rank.0 != NEVER && is_due(*rank)).collect()
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

    /// Moves the clock on and wakes the connections whose deadline has passed.
    pub(crate) fn tick(&self, clock: &Clock) {
        let now = clock.tick();
        for control in self.lock().slots.iter().flatten() {
            if control.deadline.load(Ordering::Relaxed) < now {
                control.clear_deadline();
                control.signal(Order::TimedOut);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
