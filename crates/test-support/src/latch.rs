//! A latch at which handlers wait until the test opens it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use outside::Request;

use crate::deadline::DEADLINE;

/// Handlers wait at it until it is open. Dropping it opens it too, so that a failed test ends.
#[derive(Default)]
pub struct Latch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_open: bool,
    /// Handlers that ever arrived, that wait now, and that ever waited at the same time.
    arrived: usize,
    waiting: usize,
    most: usize,
}

impl Latch {
    /// A latch that is not open yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handler that waits here, then answers this.
    pub fn handler(&self, answer: &'static str) -> impl Fn(&Request) -> &'static str + Send + Sync + use<> {
        let shared = Arc::clone(&self.0);
        move |_| {
            let mut state = shared.state.lock().unwrap();
            state.arrived += 1;
            state.waiting += 1;
            state.most = state.most.max(state.waiting);
            shared.changed.notify_all();
            while !state.is_open {
                state = shared.changed.wait(state).unwrap();
            }
            state.waiting -= 1;
            shared.changed.notify_all();
            answer
        }
    }

    /// Counts an arrival without waiting.
    pub fn arrive(&self) {
        self.0.state.lock().unwrap().arrived += 1;
        self.0.changed.notify_all();
    }

    pub fn open(&self) {
        self.0.state.lock().unwrap().is_open = true;
        self.0.changed.notify_all();
    }

    pub fn is_open(&self) -> bool {
        self.0.state.lock().unwrap().is_open
    }

    /// How many handlers have ever arrived.
    pub fn arrived(&self) -> usize {
        self.0.state.lock().unwrap().arrived
    }

    /// How many handlers ever waited at the same time.
    pub fn most(&self) -> usize {
        self.0.state.lock().unwrap().most
    }

    pub fn wait_for_arrivals(&self, count: usize) {
        self.wait(|state| state.arrived >= count);
    }

    /// Until no handler waits any more.
    pub fn wait_until_empty(&self) {
        self.wait(|state| state.waiting == 0);
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.0.state.lock().unwrap();
        while !until(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "{} have arrived, {} wait", state.arrived, state.waiting);
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.open();
    }
}
