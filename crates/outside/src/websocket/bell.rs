//! Having frames sent that were queued on any thread: it is written down whose they are, and the event loop is called once
//! for all of them.
//!
//! Calling a loop from outside costs a system call each time; the thread that leads it, between two turns, comes back by
//! itself and is not called at all.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::connection::WebSocketConnection;

/// The bell of one event loop.
#[derive(Default)]
pub(crate) struct Bell {
    list: Mutex<List>,
    on_wake: Notify,
}

#[derive(Default)]
struct List {
    /// Connections that have something to be sent, or to be told to their sessions.
    connections: Vec<WebSocketConnection>,
    /// Something else waits for the loop, and its leader has not called it.
    is_called: bool,
    /// How often another thread has begun to lead.
    term: u64,
    /// The loop has ended.
    is_over: bool,
}

/// Where a thread is, as seen from a loop that it leads.
#[derive(Clone, Copy)]
struct Place {
    /// The bell of that loop; 0 if it leads none.
    bell: usize,
    term: u64,
    /// Inside of it, not between two turns.
    is_inside: bool,
}

const ELSEWHERE: Place = Place { bell: 0, term: 0, is_inside: false };
/// Room for so many is kept.
const KEPT: usize = 1024;
/// So many are attended to before others have their turn.
const SOME: usize = 128;

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(ELSEWHERE) };
}

impl Bell {
    /// From now on this thread leads the loop. Whoever led before may not have noticed yet that it does not.
    pub(crate) fn begin_term(&self) {
        let mut list = self.lock();
        list.term += 1;
        PLACE.set(Place { bell: self.address(), term: list.term, is_inside: false });
    }

    /// This thread does not lead any more.
    pub(crate) fn end_term() {
        PLACE.set(ELSEWHERE);
    }

    /// Does this thread lead a loop, or did it until it was late?
    pub(super) fn is_led_here() -> bool {
        PLACE.get().bell != 0
    }

    /// The leader enters the loop, or leaves it for what is to be done between two turns.
    pub(crate) fn set_inside(is_inside: bool) {
        PLACE.set(Place { is_inside, ..PLACE.get() });
    }

    /// The loop has ended: nobody will be attended to any more.
    pub(crate) fn end(&self) {
        let mut list = self.lock();
        list.is_over = true;
        let left = std::mem::take(&mut list.connections);
        drop(list);
        drop(left);
    }

    /// Has this connection attended to inside the loop.
    pub(super) fn ring(&self, connection: WebSocketConnection) {
        let mut list = self.lock();
        if list.is_over {
            return;
        }
        let is_first = list.connections.is_empty();
        list.connections.push(connection);
        let calls = is_first && !self.will_return(&list);
        drop(list);
        if calls {
            self.on_wake.notify_one();
        }
    }

    /// Calls the loop for something else.
    pub(super) fn call(&self) {
        let mut list = self.lock();
        if self.will_return(&list) {
            list.is_called = true;
            return;
        }
        drop(list);
        self.on_wake.notify_one();
    }

    /// Attends to those that wait for it; inside the loop.
    pub(crate) fn answer(&self) {
        let mut list = self.lock();
        let mut is_called = std::mem::take(&mut list.is_called);
        let mut connections = std::mem::take(&mut list.connections);
        if connections.len() > SOME {
            list.connections = connections.split_off(SOME);
            is_called = true;
        }
        drop(list);
        if is_called {
            self.on_wake.notify_one();
        }
        if connections.is_empty() {
            return;
        }
        connections.drain(..).for_each(|connection| connection.attend());
        let mut list = self.lock();
        if list.connections.capacity() == 0 && connections.capacity() <= KEPT {
            list.connections = connections;
        }
    }

    /// Waits until the loop is called.
    pub(super) async fn on_wake(&self) {
        self.on_wake.notified().await;
    }

    /// Does this thread lead the loop, and come back to it without being called? Under the lock: who takes the lead from
    /// it answers what was written down before.
    fn will_return(&self, list: &List) -> bool {
        let place = PLACE.get();
        place.bell == self.address() && place.term == list.term && !place.is_inside
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
