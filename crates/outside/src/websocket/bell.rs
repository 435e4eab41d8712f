//! Waking the sessions of an event loop, from whichever thread something is sent.
//!
//! Waking a task from outside of its loop costs a system call each time. So it is written down who is to be woken, and the
//! loop is called once for all of them; the thread that leads it, between two turns, need not even do that.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// The bell of one event loop.
#[derive(Default)]
pub(crate) struct Bell {
    list: Mutex<List>,
    rung: Notify,
}

#[derive(Default)]
struct List {
    sessions: Vec<Waker>,
    /// Something else waits for the loop, and its leader has not called it.
    is_called: bool,
    /// How often another thread has begun to lead.
    term: u64,
}

/// Where a thread is, as seen from a loop that it leads.
#[derive(Clone, Copy)]
struct Place {
    /// The bell of that loop; 0 if it leads none.
    bell: usize,
    term: u64,
    /// Inside of it, not between two turns.
    inside: bool,
}

const ELSEWHERE: Place = Place { bell: 0, term: 0, inside: false };

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(ELSEWHERE) };
}

impl Bell {
    /// From now on this thread leads the loop. Whoever led before may not have noticed yet that it does not.
    pub(crate) fn begin_term(&self) {
        let mut list = self.lock();
        list.term += 1;
        PLACE.set(Place { bell: self.address(), term: list.term, inside: false });
    }

    /// This thread does not lead any more.
    pub(crate) fn end_term() {
        PLACE.set(ELSEWHERE);
    }

    /// The leader enters the loop, or leaves it for what is to be done between two turns.
    pub(crate) fn set_inside(inside: bool) {
        PLACE.set(Place { inside, ..PLACE.get() });
    }

    /// Has a session woken inside the loop.
    pub(super) fn ring(&self, session: Waker) {
        if self.is_inside() {
            session.wake();
            return;
        }
        let mut list = self.lock();
        let is_first = list.sessions.is_empty();
        list.sessions.push(session);
        let calls = is_first && !self.will_return(&list);
        drop(list);
        if calls {
            self.rung.notify_one();
        }
    }

    /// Calls the loop for something else.
    pub(super) fn call(&self) {
        if !self.is_inside() {
            let mut list = self.lock();
            if self.will_return(&list) {
                list.is_called = true;
                return;
            }
        }
        self.rung.notify_one();
    }

    /// Wakes those that wait for it; inside the loop.
    pub(crate) fn answer(&self) {
        let mut list = self.lock();
        let is_called = std::mem::take(&mut list.is_called);
        let mut sessions = std::mem::take(&mut list.sessions);
        drop(list);
        if is_called {
            self.rung.notify_one();
        }
        if !sessions.is_empty() {
            sessions.drain(..).for_each(Waker::wake);
        }
        let mut list = self.lock();
        if list.sessions.capacity() == 0 && sessions.capacity() <= KEPT {
            list.sessions = sessions;
        }
    }

    /// Waits until the loop is called from outside.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Is this thread inside the loop?
    fn is_inside(&self) -> bool {
        let place = PLACE.get();
        place.inside && place.bell == self.address()
    }

    /// Does this thread lead the loop, and come back to it without being called? Under the lock: who takes the lead from
    /// it answers what was written down before.
    fn will_return(&self, list: &List) -> bool {
        let place = PLACE.get();
        place.bell == self.address() && place.term == list.term
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for so many is kept.
const KEPT: usize = 1024;
