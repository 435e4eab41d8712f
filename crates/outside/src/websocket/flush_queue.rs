//! WebSocket connections whose frames were queued on any thread, and are to be sent by the event loop.
//!
//! The loop is woken once for all of them. Waking it from outside costs a system call each time; the leader returns to
//! the loop between two turns anyway, so frames that it queues itself do not wake the loop.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::leading::{LEADS_NO_LOOP, LoopPosition, position, set_position};
use super::octets::keep_spares;
use super::shared::{FlushQueue, List, WebSocketConnection};

/// Connections for which memory is kept while the queue is empty.
const KEPT: usize = 1024;
/// Connections that are flushed at most before other tasks have their turn.
const SOME: usize = 128;
/// Time after which other tasks have their turn, even if fewer connections were flushed: one that takes much more than
/// the others would make all clients of the loop wait.
const LONGEST_FLUSH: Duration = Duration::from_micros(200);
/// Connections that are flushed between two looks at the clock.
const UNWATCHED: usize = 8;

impl FlushQueue {
    /// Notes that this thread leads the loop from now on. The leader before may not know yet that it has lost it.
    pub(crate) fn begin_epoch(&self) {
        let mut list = self.lock();
        list.epoch += 1;
        set_position(LoopPosition { queue: self.address(), epoch: list.epoch, is_inside: false });
        drop(list);
        keep_spares(true);
    }

    /// This thread does not lead any more.
    pub(crate) fn end_epoch() {
        set_position(LEADS_NO_LOOP);
        keep_spares(false);
    }

    /// Notes that the leader enters the loop, or leaves it for the work between two turns.
    pub(crate) fn set_inside(is_inside: bool) {
        set_position(LoopPosition { is_inside, ..position() });
    }

    /// Drops the queue, because the loop has ended: no connection is flushed any more.
    pub(crate) fn end(&self) {
        let mut list = self.lock();
        list.is_over = true;
        let left = std::mem::take(&mut list.connections);
        drop(list);
        drop(left);
    }

    /// Adds a connection that is to be flushed inside the loop.
    pub(super) fn push(&self, connection: WebSocketConnection) {
        let mut list = self.lock();
        if list.is_over {
            return;
        }
        let is_first = list.connections.is_empty();
        list.connections.push(connection);
        self.has_news.store(true, Ordering::Release);
        let calls = is_first && !self.will_return(&list);
        drop(list);
        if calls {
            self.woken.notify_one();
        }
    }

    /// Wakes the loop for another reason, such as published messages.
    pub(super) fn wake(&self) {
        let mut list = self.lock();
        if self.will_return(&list) {
            list.is_called = true;
            self.has_news.store(true, Ordering::Release);
            return;
        }
        drop(list);
        self.woken.notify_one();
    }

    /// Flushes the connections that wait; called inside the loop.
    pub(crate) fn flush(&self) {
        // A thread that puts something there, and that the loop does not know of, wakes the loop afterwards.
        if !self.has_news.load(Ordering::Acquire) {
            return;
        }
        let mut list = self.lock();
        let is_called = std::mem::take(&mut list.is_called);
        let mut connections = std::mem::take(&mut list.connections);
        self.has_news.store(false, Ordering::Release);
        drop(list);
        if is_called {
            self.woken.notify_one();
        }
        if connections.is_empty() {
            return;
        }
        let left = flush_some(&mut connections);
        let mut list = self.lock();
        if !left.is_empty() {
            let later = std::mem::replace(&mut list.connections, left);
            list.connections.extend(later);
            self.has_news.store(true, Ordering::Release);
            drop(list);
            return self.woken.notify_one();
        }
        if list.connections.capacity() == 0 && connections.capacity() <= KEPT {
            list.connections = connections;
        }
    }

    /// Waits until the loop is woken.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Whether this thread leads the loop and returns to it by itself, so that nothing need wake the loop.
    ///
    /// The answer holds only under the lock. A thread that takes the lead increments `epoch` under the same lock
    /// (`begin_epoch`) and flushes the queue afterwards. So either this thread still leads when the connection is in
    /// the list, and flushes the list when it returns; or the new leader has begun its epoch before, this is `false`,
    /// and the loop is woken. A late leader that compared outside of the lock could lose a wake-up between the two.
    fn will_return(&self, list: &List) -> bool {
        let place = position();
        place.queue == self.address() && place.epoch == list.epoch && !place.is_inside
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flushes connections until it is time for other tasks; returns those that are left.
fn flush_some(connections: &mut Vec<WebSocketConnection>) -> Vec<WebSocketConnection> {
    let began = Instant::now();
    let most = connections.len().min(SOME);
    let mut flushed = 0;
    while flushed < most && (flushed == 0 || began.elapsed() < LONGEST_FLUSH) {
        let next = most.min(flushed + UNWATCHED);
        connections[flushed..next].iter().for_each(WebSocketConnection::flush);
        flushed = next;
    }
    let left = connections.split_off(flushed);
    connections.clear();
    left
}
