//! The TLS handshakes of a reactor that are in progress: their bound, and the order in which they give way to others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::clock::Clock;
use super::control::{ConnectionControl, Order};

/// The handshakes of one reactor.
#[derive(Debug)]
pub(crate) struct Handshakes {
    going_on: Mutex<HandshakeTable>,
    pub(crate) ended: Notify,
    /// Held for one step of a handshake and one turn of the event loop: a step takes as long as hundreds of requests.
    pub(crate) turn: Semaphore,
}

#[derive(Debug, Default)]
struct HandshakeTable {
    /// When each handshake began, in milliseconds of the clock, by the order in which they came.
    begun: BTreeMap<u64, (u64, Arc<ConnectionControl>)>,
    next: u64,
}

/// Handshakes of a reactor that may be in progress at a time; further ones wait.
const MOST: usize = 256;
/// Milliseconds after which a handshake gives way to another: two round trips around the world take less.
const LONG: u64 = 1000;

impl Default for Handshakes {
    fn default() -> Self {
        Self { going_on: Mutex::default(), ended: Notify::new(), turn: Semaphore::new(1) }
    }
}

impl Handshakes {
    /// A place for one more handshake, if there is one; else the oldest is asked to give way.
    pub(crate) fn admit(&self, clock: &Clock, control: &Arc<ConnectionControl>) -> Option<u64> {
        let mut table = self.lock();
        if table.begun.len() >= MOST {
            let long_ago = clock.now().saturating_sub(LONG);
            let oldest = table.begun.values().find(|(since, control)| *since <= long_ago && !control.is_ordered());
            if let Some((_, oldest)) = oldest {
                oldest.signal(Order::Shed);
            }
            return None;
        }
        let number = table.next;
        table.next += 1;
        table.begun.insert(number, (clock.now(), Arc::clone(control)));
        Some(number)
    }

    pub(crate) fn leave(&self, number: u64) {
        self.lock().begun.remove(&number);
        self.ended.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, HandshakeTable> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
