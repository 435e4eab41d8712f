//! Bytes of answers that clients have not taken: counted for each connection and for the process, and bounded for both.
//!
//! An answer counts from the time when its handler returns it, on any thread, until its memory is freed: the bytes
//! carry the count with them, on all their ways. Bytes beyond the connection's bound are dropped at once. If the
//! process passes its bound, the connection whose client takes its answers most slowly is ended. Small answers are not
//! counted: a connection has at most a hundred of them.
//!
//! Messages of WebSockets are counted in steps of that size, those that wait for their handler too.

mod account;
mod memory;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

pub(crate) use account::{Account, Holding, Reserved};
pub(crate) use memory::quarter_of_memory;

/// Bytes up to which an answer is not counted.
pub(crate) const SMALL: usize = 16 << 10;

/// The bytes that all connections of a process hold together, and their bound.
pub(crate) struct Budget {
    /// In bytes.
    most: usize,
    used: AtomicUsize,
    /// The most that was used since [`Budget::forget_freed`].
    most_used: AtomicUsize,
    /// Connections that hold bytes, by the addresses of their accounts.
    holders: Mutex<HashMap<usize, Arc<Account>>>,
    /// Whether a connection had to be ended since the last query.
    has_ended_one: AtomicBool,
    began: Instant,
}

/// A connection that can be ended.
pub(crate) trait Taker: Send + Sync {
    /// Ends the connection, because the process needs the memory of its answers.
    fn give_way(&self);
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: AtomicUsize::new(0),
            most_used: AtomicUsize::new(0),
            holders: Mutex::default(),
            has_ended_one: AtomicBool::new(false),
            began: Instant::now(),
        })
    }

    /// Whether a connection had to be ended since the last query.
    pub(crate) fn has_ended_one(&self) -> bool {
        self.has_ended_one.load(Ordering::Relaxed) && self.has_ended_one.swap(false, Ordering::Relaxed)
    }

    /// Bytes that were in use since [`Budget::forget_freed`] and no longer are.
    pub(crate) fn freed(&self) -> usize {
        self.most_used.load(Ordering::Relaxed).saturating_sub(self.used.load(Ordering::Relaxed))
    }

    pub(crate) fn forget_freed(&self) {
        self.most_used.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Milliseconds since the budget was made.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts more bytes, and ends connections until the sum is within the bound. A connection that is the only one may
    /// hold any number of bytes.
    fn add(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most_used.fetch_max(used, Ordering::Relaxed);
        if used <= self.most {
            return;
        }
        let mut ended = Vec::new();
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        while self.used.load(Ordering::SeqCst) > self.most && holders.len() > 1 {
            let turns = holders.iter().map(|(key, account)| (account.turn(now), *key));
            let Some((_, slowest)) = turns.min() else { break };
            if let Some(account) = holders.remove(&slowest) {
                self.used.fetch_sub(account.forget(), Ordering::SeqCst);
                ended.push(account);
            }
        }
        // Behind the lock: the end of a connection frees answers, whose counts come back to `note`, which locks it.
        drop(holders);
        for account in ended {
            self.has_ended_one.store(true, Ordering::Relaxed);
            account.end();
        }
    }

    fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Registers a connection that holds bytes, or removes it when it holds none any more.
    fn note(&self, account: &Arc<Account>) {
        let key = Arc::as_ptr(account) as usize;
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match account.held() {
            0 => holders.remove(&key),
            _ => holders.insert(key, Arc::clone(account)),
        };
        drop(holders);
        // Dropped outside the lock: dropping the last reference to an account may free bytes that are counted
        // themselves.
        drop(before);
    }
}

/// Bytes together with their count.
struct Counted {
    bytes: Bytes,
    _count: Count,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of memory that are held on behalf of a connection until this is dropped.
pub(crate) struct Count {
    account: Arc<Account>,
    bytes: usize,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A client that never goes.
    struct Patient;

    impl Taker for Patient {
        fn give_way(&self) {}
    }

    /// An account with room for anything.
    pub(crate) fn account() -> Arc<Account> {
        Account::new(&Budget::new(usize::MAX), usize::MAX, Arc::new(Patient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Client(AtomicBool);

    impl Taker for Client {
        fn give_way(&self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Client {
        fn is_gone(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn connect(budget: &Arc<Budget>, most: usize) -> (Arc<Account>, Arc<Client>) {
        let client = Arc::<Client>::default();
        (Account::new(budget, most, Arc::clone(&client) as _), client)
    }

    const MIB: usize = 1 << 20;

    fn answer(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn an_answer_counts_until_its_last_piece_is_gone() {
        let budget = Budget::new(100 * MIB);
        let (account, _client) = connect(&budget, 4 * MIB);
        let mut bytes = account.count(answer(MIB)).unwrap();
        assert_eq!((account.held(), bytes.len()), (MIB, MIB));
        let piece = bytes.split_to(10);
        drop(bytes);
        assert_eq!(account.held(), MIB, "the piece keeps all of it in memory");
        drop(piece);
        assert_eq!((account.held(), budget.used.load(Ordering::SeqCst)), (0, 0));
        assert!(budget.holders.lock().unwrap().is_empty());
    }

    #[test]
    fn a_connection_holds_its_budget_and_two_answers_at_most() {
        let budget = Budget::new(1000 * MIB);
        for size in [SMALL + 1, MIB, 10 * MIB] {
            let (account, client) = connect(&budget, 4 * MIB);
            let held: Vec<Bytes> = (0..400).map_while(|_| account.count(answer(size)).ok()).collect();
            assert!(account.held() <= 4 * MIB + 2 * size, "{} of {size}", held.len());
            assert!(account.is_full() && !client.is_gone());
            drop(held);
            assert!(!account.is_full());
        }
    }

    #[test]
    fn the_slowest_taker_goes_when_the_process_holds_too_much() {
        let began = Instant::now() - std::time::Duration::from_secs(10);
        let budget = Arc::new(Budget { began, ..Arc::into_inner(Budget::new(10 * MIB)).unwrap() });
        let (slow, slow_client) = connect(&budget, usize::MAX);
        let (quick, quick_client) = connect(&budget, usize::MAX);
        let _held = [slow.count(answer(4 * MIB)), quick.count(answer(4 * MIB))];
        // Ten seconds ago.
        [&slow, &quick].iter().for_each(|account| account.since.store(0, Ordering::Relaxed));
        quick.note_taken(3 * MIB);
        slow.note_taken(1000);
        let (new, new_client) = connect(&budget, usize::MAX);
        let _more = new.count(answer(4 * MIB));
        assert!(slow_client.is_gone() && !quick_client.is_gone());
        // A new client has time first.
        assert!(!new_client.is_gone());
        assert!(budget.has_ended_one() && !budget.has_ended_one());
        assert!(budget.used.load(Ordering::SeqCst) <= 10 * MIB);
    }

    #[test]
    fn freed_bytes_are_the_difference_to_the_most() {
        let budget = Budget::new(100 * MIB);
        let (account, _client) = connect(&budget, usize::MAX);
        let held = [account.count(answer(4 * MIB)), account.count(answer(MIB))];
        assert_eq!(budget.freed(), 0);
        let [large, small] = held;
        drop(large);
        assert_eq!(budget.freed(), 4 * MIB);
        budget.forget_freed();
        assert_eq!(budget.freed(), 0);
        drop(small);
        assert_eq!(budget.freed(), MIB);
    }

    #[test]
    fn memory_that_changes_is_counted_until_it_is_dropped() {
        let budget = Budget::new(10 * MIB);
        let (account, client) = connect(&budget, usize::MAX);
        let mut held = Holding::new(Arc::clone(&account));
        for bytes in [MIB, 5 * MIB, 2 * MIB] {
            held.set(bytes);
            assert_eq!((held.bytes(), account.held(), budget.used.load(Ordering::SeqCst)), (bytes, bytes, bytes));
        }
        let (other, other_client) = connect(&budget, usize::MAX);
        let _held = other.count(answer(9 * MIB));
        assert!(client.is_gone() && !other_client.is_gone(), "the one that has held it for longest");
        drop(held);
        assert_eq!((account.held(), budget.used.load(Ordering::SeqCst)), (0, 9 * MIB));
    }

    #[test]
    fn one_alone_may_hold_any_answer() {
        let budget = Budget::new(MIB);
        let (account, client) = connect(&budget, usize::MAX);
        let held = account.count(answer(5 * MIB));
        assert!(!client.is_gone());
        drop(held);
        assert_eq!(budget.used.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_expected_answer_keeps_its_place_until_it_is_there() {
        let (account, _client) = connect(&Budget::new(100 * MIB), 4 * MIB);
        let reserved: Vec<Reserved> = (0..10).map_while(|_| account.reserve(MIB)).collect();
        assert_eq!(reserved.len(), 4);
        assert!(account.reserve(0).is_some(), "a small answer has room");
        drop(reserved);
        assert!(account.reserve(9 * MIB).is_some(), "the only one has");
        let _held = account.count(answer(MIB)).unwrap();
        assert!(account.reserve(9 * MIB).is_none());
    }
}
