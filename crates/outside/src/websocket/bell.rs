//! Sends frames that were queued on any thread: the connection is put on a list, and the event loop is woken once for
//! all connections of the list.
//!
//! Waking a loop from outside costs a system call each time. The thread that leads the loop, between two turns, returns
//! to it anyway, so it only writes to the list.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::connection::WebSocketConnection;

/// The list of one event loop.
#[derive(Default)]
pub(crate) struct Bell {
    list: Mutex<List>,
    rung: Notify,
}

#[derive(Default)]
struct List {
    /// Connections with queued frames, or with news for their sessions.
    connections: Vec<WebSocketConnection>,
    /// Whether the loop is to be woken for other work: set by its leader, which has not woken it.
    is_called: bool,
    /// Number of times that a thread has begun to lead.
    term: u64,
    /// Whether the loop has ended.
    is_over: bool,
}

/// The state of a thread as the leader of a loop.
#[derive(Clone, Copy)]
struct Place {
    /// The address of that loop's bell; 0 if the thread leads none.
    bell: usize,
    term: u64,
    /// Whether the thread runs the loop, rather than jobs between two turns.
    is_inside: bool,
}

const ELSEWHERE: Place = Place { bell: 0, term: 0, is_inside: false };
/// Connections for which the list keeps its memory.
const KEPT: usize = 1024;
/// Connections that are flushed before other tasks have their turn.
const SOME: usize = 128;

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(ELSEWHERE) };
}

impl Bell {
    /// Makes this thread the leader. The thread that led before may still believe that it leads.
    pub(crate) fn begin_term(&self) {
        let mut list = self.lock();
        list.term += 1;
        PLACE.set(Place { bell: self.address(), term: list.term, is_inside: false });
    }

    /// Ends this thread's lead.
    pub(crate) fn end_term() {
        PLACE.set(ELSEWHERE);
    }

    /// Whether this thread leads a loop, or has led it until it was late.
    pub(super) fn is_led_here() -> bool {
        PLACE.get().bell != 0
    }

    /// Notes that the leader enters the loop, or leaves it for the work between two turns.
    pub(crate) fn set_inside(is_inside: bool) {
        PLACE.set(Place { is_inside, ..PLACE.get() });
    }

    /// Ends the list together with its loop: later connections are ignored.
    pub(crate) fn end(&self) {
        let mut list = self.lock();
        list.is_over = true;
        let left = std::mem::take(&mut list.connections);
        drop(list);
        drop(left);
    }

    /// Has this connection flushed inside the loop.
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
            self.rung.notify_one();
        }
    }

    /// Wakes the loop for other work.
    pub(super) fn call(&self) {
        let mut list = self.lock();
        if self.will_return(&list) {
            list.is_called = true;
            return;
        }
        drop(list);
        self.rung.notify_one();
    }

    /// Flushes the connections of the list; called inside the loop.
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
            self.rung.notify_one();
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

    /// Waits until the loop is woken.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Whether this thread leads the loop and will return to it without being woken.
    ///
    /// Called under the lock of the list, like [`Bell::begin_term`]. So either a new leader has begun its term before,
    /// and this thread, late, sees that the term is not its own and wakes the loop; or the new leader begins after, and
    /// finds the entry when it enters the loop. In both cases no entry is left without a thread that will flush it. A
    /// thread inside the loop wakes it as well: the loop may have passed the point at which it reads the list.
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
