//! The account of one connection: bytes of answers that it holds, bytes that its handlers are expected to add, and the
//! pace of its client.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Budget, Count, Counted, Taker};
use crate::message::{PIECE_COST, PieceMemory};

/// The account of one connection.
pub(crate) struct Account {
    budget: Arc<Budget>,
    /// Bytes that the connection may hold; `usize::MAX` for a connection that has one answer after another, which needs
    /// no bound.
    most: usize,
    held: AtomicUsize,
    /// Bytes from which no handler begins: `most` plus the largest answer so far.
    bound: AtomicUsize,
    /// Bytes that running handlers are expected to answer.
    reserved: AtomicUsize,
    /// Time since which bytes are held, in milliseconds of the budget's clock; `taken` counts the bytes that the client
    /// took since.
    pub(super) since: AtomicU64,
    taken: AtomicUsize,
    taker: Arc<dyn Taker>,
    /// Whether a request waits for room.
    is_wanted: AtomicBool,
    connection: OnceLock<Waker>,
    room: Notify,
}

/// Room that is reserved for an expected answer.
pub(crate) struct Reserved {
    account: Arc<Account>,
    bytes: usize,
}

/// Milliseconds for which a client may have had its answer before it can count as slow.
const JUST_NOW: u64 = 1000;

impl Account {
    pub(crate) fn new(budget: &Arc<Budget>, most: usize, taker: Arc<dyn Taker>) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            most,
            held: AtomicUsize::new(0),
            bound: AtomicUsize::new(most),
            reserved: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            taker,
            is_wanted: AtomicBool::new(false),
            connection: OnceLock::new(),
            room: Notify::new(),
        })
    }

    /// Sets the task that is woken when there is room again.
    pub(crate) fn belongs_to(&self, waker: &Waker) {
        self.connection.get_or_init(|| waker.clone());
    }

    /// Bytes that the connection holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Whether bytes are held or expected.
    pub(crate) fn is_in_use(&self) -> bool {
        self.held() + self.reserved.load(Ordering::SeqCst) > 0
    }

    /// Whether the connection holds more bytes than the bound from which no handler begins.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.bound.load(Ordering::Relaxed)
    }

    /// Counts the bytes of an answer until their memory is freed.
    ///
    /// # Errors
    /// The connection holds too much already; the bytes are dropped.
    pub(crate) fn count(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, NoRoom> {
        self.count_up_to(bytes, self.bound.load(Ordering::Relaxed))
    }

    /// Counts a piece of an answer. A piece cannot be made again, so pieces that arrive at the same time get as much
    /// room again.
    ///
    /// # Errors
    /// As [`Account::count`].
    pub(crate) fn count_piece(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, NoRoom> {
        self.count_up_to(bytes, self.bound.load(Ordering::Relaxed).saturating_add(self.most))
    }

    fn count_up_to(self: &Arc<Self>, bytes: Bytes, bound: usize) -> Result<Bytes, NoRoom> {
        // One atomic step: answers come back on many threads at the same time.
        let more = |held: usize| (held <= bound).then(|| held.saturating_add(bytes.len()));
        let Ok(before) = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) else { return Err(NoRoom) };
        self.bound.fetch_max(self.most.saturating_add(bytes.len()), Ordering::Relaxed);
        let count = self.begin(before, bytes.len());
        Ok(Bytes::from_owner(Counted { bytes, _count: count }))
    }

    /// Counts memory beside that of answers, such as an encoder's; `None` if there is no room for it.
    pub(crate) fn count_more(self: &Arc<Self>, bytes: usize) -> Option<Count> {
        (self.held().saturating_add(bytes) <= self.most).then(|| self.hold(bytes))
    }

    fn hold(self: &Arc<Self>, bytes: usize) -> Count {
        let before = self.held.fetch_add(bytes, Ordering::SeqCst);
        self.begin(before, bytes)
    }

    /// Notes that these bytes were added to those that were held before.
    fn begin(self: &Arc<Self>, before: usize, bytes: usize) -> Count {
        // The count exists before room is made for it: making room may take all counts from this connection.
        let count = Count { account: Arc::clone(self), bytes };
        self.add(before, bytes);
        count
    }

    fn add(self: &Arc<Self>, before: usize, bytes: usize) {
        if before == 0 {
            self.since.store(self.budget.now(), Ordering::Relaxed);
            self.taken.store(0, Ordering::Relaxed);
            self.budget.note(self);
        }
        self.budget.add(bytes);
    }

    pub(super) fn release(self: &Arc<Self>, bytes: usize) {
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let held = self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).unwrap_or_default();
        // Fewer bytes are held if the connection had to give way in the meantime.
        self.budget.remove(held.min(bytes));
        if held <= bytes {
            self.bound.store(self.most, Ordering::Relaxed);
            self.budget.note(self);
        }
        self.wake();
    }

    /// Stops counting. Returns the bytes that were counted.
    pub(super) fn forget(&self) -> usize {
        self.held.swap(0, Ordering::SeqCst)
    }

    /// Ends the connection.
    pub(super) fn end(&self) {
        self.taker.give_way();
    }

    /// The rank of the connection when memory is short: the least gives way first. Clients that have had time are
    /// ordered by their pace, the bytes that they took per second. If no client has had time, the one that has had the
    /// most gives way.
    pub(super) fn turn(&self, now: u64) -> (bool, u64) {
        let since = self.since.load(Ordering::Relaxed);
        let time = now.saturating_sub(since);
        if time < JUST_NOW {
            return (true, since);
        }
        (false, (self.taken.load(Ordering::Relaxed) as u64).saturating_mul(1000) / time)
    }

    /// Sets the bytes that the client has taken since the current answers began.
    pub(crate) fn note_taken(&self, bytes: usize) {
        self.taken.store(bytes, Ordering::Relaxed);
    }

    /// Adds to the bytes that the client has taken.
    pub(crate) fn add_taken(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Room for an answer of this size; `None` while answers before it fill the connection's memory. Then the
    /// connection's task is woken when there may be room.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        if !self.has_room(bytes) {
            self.is_wanted.store(true, Ordering::SeqCst);
            // Checked again: room that became free before the flag was set has woken no task.
            if !self.has_room(bytes) {
                return None;
            }
        }
        self.reserved.fetch_add(bytes, Ordering::SeqCst);
        Some(Reserved { account: Arc::clone(self), bytes })
    }

    /// The same, but waits for room.
    pub(crate) async fn reserved(self: &Arc<Self>, bytes: usize) -> Reserved {
        loop {
            let mut told = std::pin::pin!(self.room.notified());
            told.as_mut().enable();
            if let Some(reserved) = self.reserve(bytes) {
                return reserved;
            }
            told.await;
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        if self.is_full() {
            return false;
        }
        let used = self.held() + self.reserved.load(Ordering::SeqCst);
        used == 0 || bytes == 0 || used.saturating_add(bytes) <= self.most
    }

    fn wake(&self) {
        if self.is_wanted.load(Ordering::SeqCst) && self.is_wanted.swap(false, Ordering::SeqCst) {
            self.connection.get().into_iter().for_each(Waker::wake_by_ref);
            self.room.notify_waiters();
        }
    }
}

/// Memory of a connection that grows and shrinks, counted until this is dropped.
pub(crate) struct Holding {
    account: Arc<Account>,
    bytes: usize,
}

impl Holding {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account, bytes: 0 }
    }

    /// Bytes that are counted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts this number of bytes from now on; the client has taken those that are no longer held.
    pub(crate) fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes >= before {
            let held = self.account.held.fetch_add(bytes - before, Ordering::SeqCst);
            self.account.add(held, bytes - before);
        } else {
            self.account.add_taken(before - bytes);
            self.account.release(before - bytes);
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.release(self.bytes);
        }
    }
}

impl PieceMemory for Account {
    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn count(self: Arc<Self>, piece: Bytes) -> Bytes {
        self.bound.fetch_max(self.most.saturating_add(piece.len()), Ordering::Relaxed);
        let count = self.hold(piece.len() + PIECE_COST);
        Bytes::from_owner(Counted { bytes: piece, _count: count })
    }
}

/// The connection holds too many bytes of answers already.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
            self.account.wake();
        }
    }
}
