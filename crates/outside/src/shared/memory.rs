//! Shared state in the memory of one process: for the hub, which has it for all, and for a process alone.
//!
//! No clock: each call brings the time since some moment; it only grows, and an earlier one counts as the latest. Expired values go when their time is looked at
//! again, a few with each call that writes; nothing here needs to be woken. *Owners* are the processes that ask: their locks
//! are free, and their ticks over, when they are gone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::operation::{Action, MAX_KEY, MAX_VALUE, Operation, Outcome, SharedRefusal, SharedValue, Tick};
use super::rates::Rates;

/// Locks that are held at one moment.
pub const MAX_LOCKS: usize = 100_000;
/// Schedules that are known.
pub const MAX_SCHEDULES: usize = 10_000;
/// Bytes of memory that a value takes beside its key and itself.
const ENTRY: usize = 128;
/// Bytes of memory that a time to live takes.
const EXPIRY: usize = 64;
/// Expired values that a call forgets on the way.
const MAX_FORGOTTEN: usize = 8;
/// Bytes that values may take until the configuration says otherwise.
const USUAL_BOUND: usize = 64 << 20;

/// Values, rates, locks and schedules.
#[derive(Debug)]
pub struct MemoryStore {
    values: HashMap<Arc<str>, StoredValue>,
    expiries: BTreeSet<(Duration, Arc<str>)>,
    bytes: usize,
    bound: usize,
    locks: HashMap<Box<str>, HeldLock>,
    last_token: u64,
    rates: Rates,
    schedules: HashMap<Box<str>, Schedule>,
    /// The time of the latest call.
    latest: Duration,
}

#[derive(Debug)]
struct StoredValue {
    value: SharedValue,
    until: Option<Duration>,
}

#[derive(Debug)]
struct HeldLock {
    token: u64,
    owner: u64,
    until: Duration,
}

#[derive(Debug)]
struct Schedule {
    begun: Duration,
    period: Duration,
    last: u64,
    /// The owner that has the last tick.
    runner: Option<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            bound: USUAL_BOUND,
            locks: HashMap::new(),
            last_token: 0,
            rates: Rates::default(),
            schedules: HashMap::new(),
            latest: Duration::ZERO,
        }
    }
}

impl MemoryStore {
    /// The tokens of locks are higher than this one from now on.
    pub fn set_last_token(&mut self, token: u64) {
        self.last_token = self.last_token.max(token);
    }

    /// Does an operation of this owner at this moment.
    pub fn apply(&mut self, owner: u64, operation: Operation<'_>, now: Duration) -> Outcome {
        let Operation { key, action } = operation;
        if key.is_empty() || key.len() > MAX_KEY {
            return Outcome::Refused(SharedRefusal::TooLong);
        }
        // Two that read the clock in turn may call in the other order.
        self.latest = self.latest.max(now);
        let now = self.latest;
        match action {
            Action::Get => Outcome::Value(self.live(key, now).map(|entry| entry.value.clone())),
            Action::Set { value, ttl, only_if_absent } => {
                if only_if_absent && self.live(key, now).is_some() {
                    return Outcome::Flag(false);
                }
                self.set(key, value, ttl.map(|ttl| now.saturating_add(ttl)), now)
            }
            Action::Increment { by, ttl } => self.increment(key, by, ttl.map(|ttl| now.saturating_add(ttl)), now),
            Action::Delete => {
                let is_there = self.live(key, now).is_some();
                self.remove(key);
                Outcome::Flag(is_there)
            }
            Action::Admit(rate) => Outcome::Admission(self.rates.admit(key, rate, now)),
            Action::Lock { ttl } => self.lock(owner, key, ttl, now),
            Action::Renew { token, ttl } => {
                let held = self.locks.get_mut(key).filter(|held| held.token == token && held.until > now);
                let is_held = held.is_some();
                if let Some(held) = held {
                    held.until = now.saturating_add(ttl);
                }
                Outcome::Flag(is_held)
            }
            Action::Unlock { token } => {
                let held = self.locks.get(key).filter(|held| held.token == token);
                let is_held = held.is_some_and(|held| held.until > now);
                if held.is_some() {
                    self.locks.remove(key);
                }
                Outcome::Flag(is_held)
            }
            Action::Tick { period, has_ended } => self.tick(owner, key, period, has_ended, now),
        }
    }

    /// An owner is gone: its locks are free, and the tick that it had is over.
    pub fn release(&mut self, owner: u64) {
        self.locks.retain(|_, held| held.owner != owner);
        for schedule in self.schedules.values_mut() {
            if schedule.runner == Some(owner) {
                schedule.runner = None;
            }
        }
    }

    /// Bytes that values may take from now on. Those that are there stay.
    pub fn set_bound(&mut self, bytes: usize) {
        self.bound = bytes;
    }

    /// Bytes that values take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keys of limits that are kept.
    pub fn rates(&self) -> usize {
        self.rates.len()
    }

    fn live(&self, key: &str, now: Duration) -> Option<&StoredValue> {
        self.values.get(key).filter(|entry| entry.until.is_none_or(|until| until > now))
    }

    fn set(&mut self, key: &str, value: SharedValue, until: Option<Duration>, now: Duration) -> Outcome {
        if value.size() > MAX_VALUE {
            return Outcome::Refused(SharedRefusal::TooLong);
        }
        self.forget_expired(now, MAX_FORGOTTEN);
        let cost = cost_of(key, &value, until);
        let before = self.values.get(key).map_or(0, |entry| cost_of(key, &entry.value, entry.until));
        if self.bytes - before + cost > self.bound && cost > before {
            self.forget_expired(now, usize::MAX);
            let before = self.values.get(key).map_or(0, |entry| cost_of(key, &entry.value, entry.until));
            if self.bytes - before + cost > self.bound {
                return Outcome::Refused(SharedRefusal::Full);
            }
        }
        self.remove(key);
        let key: Arc<str> = key.into();
        if let Some(until) = until {
            self.expiries.insert((until, Arc::clone(&key)));
        }
        self.values.insert(key, StoredValue { value, until });
        self.bytes += cost;
        Outcome::Flag(true)
    }

    fn increment(&mut self, key: &str, by: i64, until: Option<Duration>, now: Duration) -> Outcome {
        let Some(StoredValue { value, .. }) = self.live(key, now) else {
            return match self.set(key, SharedValue::Integer(by), until, now) {
                Outcome::Flag(_) => Outcome::Number(by),
                refused => refused,
            };
        };
        let SharedValue::Integer(number) = value else { return Outcome::Refused(SharedRefusal::NotInteger) };
        let Some(sum) = number.checked_add(by) else { return Outcome::Refused(SharedRefusal::Overflow) };
        if let Some(entry) = self.values.get_mut(key) {
            entry.value = SharedValue::Integer(sum);
        }
        Outcome::Number(sum)
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, entry)) = self.values.remove_entry(key) {
            self.bytes -= cost_of(&key, &entry.value, entry.until);
            if let Some(until) = entry.until {
                self.expiries.remove(&(until, key));
            }
        }
    }

    fn forget_expired(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            match self.expiries.first() {
                Some((until, key)) if *until <= now => {
                    let key = Arc::clone(key);
                    self.remove(&key);
                }
                _ => return,
            }
        }
    }

    fn lock(&mut self, owner: u64, key: &str, ttl: Duration, now: Duration) -> Outcome {
        if let Some(held) = self.locks.get(key).filter(|held| held.until > now) {
            return Outcome::Held(held.until - now);
        }
        if self.locks.len() >= MAX_LOCKS {
            self.locks.retain(|_, held| held.until > now);
            if self.locks.len() >= MAX_LOCKS {
                return Outcome::Refused(SharedRefusal::Full);
            }
        }
        self.last_token += 1;
        let held = HeldLock { token: self.last_token, owner, until: now.saturating_add(ttl) };
        self.locks.insert(key.into(), held);
        Outcome::Locked(self.last_token)
    }

    fn tick(&mut self, owner: u64, key: &str, period: Duration, has_ended: bool, now: Duration) -> Outcome {
        let period = period.max(Duration::from_millis(1));
        let is_known = self.schedules.get(key).is_some_and(|schedule| schedule.period == period);
        if !is_known && self.schedules.len() >= MAX_SCHEDULES && !self.schedules.contains_key(key) {
            return Outcome::Refused(SharedRefusal::Full);
        }
        if !is_known {
            // With another period it begins anew, as in a new version of the program.
            self.schedules.insert(key.into(), Schedule { begun: now, period, last: 0, runner: None });
        }
        let Some(schedule) = self.schedules.get_mut(key) else { return Outcome::Refused(SharedRefusal::Full) };
        // A process that asks has ended the tick that it had.
        if schedule.runner == Some(owner) {
            schedule.runner = None;
        }
        let passed = (now - schedule.begun).as_nanos();
        let number = u64::try_from(passed / period.as_nanos()).unwrap_or(u64::MAX);
        let is_given = !has_ended && number > schedule.last && schedule.runner.is_none();
        if is_given {
            schedule.last = number;
            schedule.runner = Some(owner);
        }
        let into = Duration::from_nanos(u64::try_from(passed % period.as_nanos()).unwrap_or(0));
        Outcome::Tick(Tick { is_given, number: schedule.last, next: period - into })
    }
}

fn cost_of(key: &str, value: &SharedValue, until: Option<Duration>) -> usize {
    ENTRY + key.len() + value.size() + if until.is_some() { EXPIRY } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn text(text: &str) -> SharedValue {
        SharedValue::Text(text.to_owned())
    }

    fn set(store: &mut MemoryStore, key: &str, value: SharedValue, ttl: Option<u64>, now: u64) -> Outcome {
        let action = Action::Set { value, ttl: ttl.map(at), only_if_absent: false };
        store.apply(1, Operation { key, action }, at(now))
    }

    fn get(store: &mut MemoryStore, key: &str, now: u64) -> Option<SharedValue> {
        match store.apply(1, Operation { key, action: Action::Get }, at(now)) {
            Outcome::Value(value) => value,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn values_live_for_their_time() {
        let mut store = MemoryStore::default();
        assert_eq!(set(&mut store, "a", text("x"), Some(10), 0), Outcome::Flag(true));
        assert_eq!(set(&mut store, "b", text("y"), None, 0), Outcome::Flag(true));
        assert_eq!((get(&mut store, "a", 9), get(&mut store, "a", 10)), (Some(text("x")), None));
        let action = Action::Set { value: text("z"), ttl: None, only_if_absent: true };
        let add = Operation { key: "b", action };
        assert_eq!(store.apply(1, add, at(10)), Outcome::Flag(false));
        assert_eq!(set(&mut store, "c", text(""), None, 10), Outcome::Flag(true));
        assert_eq!(store.values.len(), 2, "an expired value went with a call that writes");
        for (key, is_there) in [("a", false), ("b", true), ("c", true)] {
            assert_eq!(store.apply(1, Operation { key, action: Action::Delete }, at(10)), Outcome::Flag(is_there));
        }
        assert_eq!((store.bytes(), store.expiries.len()), (0, 0));
    }

    #[test]
    fn numbers_are_added_to() {
        let mut store = MemoryStore::default();
        let add = |store: &mut MemoryStore, by, now| {
            store.apply(1, Operation { key: "n", action: Action::Increment { by, ttl: Some(at(10)) } }, at(now))
        };
        assert_eq!([add(&mut store, 5, 0), add(&mut store, -2, 9)], [Outcome::Number(5), Outcome::Number(3)]);
        assert_eq!(add(&mut store, 1, 10), Outcome::Number(1), "the time to live is that of the first call");
        assert_eq!(add(&mut store, i64::MAX, 11), Outcome::Refused(SharedRefusal::Overflow));
        set(&mut store, "n", text("5"), None, 11);
        assert_eq!(add(&mut store, 1, 11), Outcome::Refused(SharedRefusal::NotInteger));
    }

    #[test]
    fn memory_is_bounded_and_expired_values_make_room() {
        let mut store = MemoryStore::default();
        store.set_bound(10 * (ENTRY + EXPIRY + 101));
        let value = || SharedValue::Bytes(vec![0; 100]);
        for key in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
            assert_eq!(set(&mut store, key, value(), Some(5), 0), Outcome::Flag(true));
        }
        assert_eq!(set(&mut store, "a", value(), Some(5), 1), Outcome::Refused(SharedRefusal::Full));
        assert_eq!(set(&mut store, "9", value(), Some(9), 1), Outcome::Flag(true), "in its own place");
        assert_eq!(set(&mut store, "a", value(), Some(5), 5), Outcome::Flag(true));
        assert_eq!(set(&mut store, "", value(), None, 5), Outcome::Refused(SharedRefusal::TooLong));
        let large = SharedValue::Bytes(vec![0; MAX_VALUE + 1]);
        assert_eq!(set(&mut store, "b", large, None, 5), Outcome::Refused(SharedRefusal::TooLong));
    }

    #[test]
    fn a_lock_has_one_holder_and_tokens_grow() {
        let mut store = MemoryStore::default();
        store.set_last_token(41);
        let call =
            |store: &mut MemoryStore, owner, action, now| store.apply(owner, Operation { key: "l", action }, at(now));
        let lock = || Action::Lock { ttl: at(10) };
        assert_eq!(call(&mut store, 1, lock(), 0), Outcome::Locked(42));
        assert_eq!(call(&mut store, 2, lock(), 4), Outcome::Held(at(6)));
        assert_eq!(call(&mut store, 1, Action::Renew { token: 42, ttl: at(10) }, 5), Outcome::Flag(true));
        assert_eq!(call(&mut store, 2, lock(), 14), Outcome::Held(at(1)));
        assert_eq!(call(&mut store, 2, lock(), 15), Outcome::Locked(43), "its time was over");
        assert_eq!(call(&mut store, 1, Action::Renew { token: 42, ttl: at(10) }, 15), Outcome::Flag(false));
        assert_eq!(call(&mut store, 1, Action::Unlock { token: 42 }, 15), Outcome::Flag(false));
        assert_eq!(call(&mut store, 2, Action::Unlock { token: 43 }, 15), Outcome::Flag(true));
        assert_eq!(call(&mut store, 1, lock(), 15), Outcome::Locked(44));
        store.release(1);
        assert_eq!(call(&mut store, 2, lock(), 15), Outcome::Locked(45), "its process was gone");
    }

    #[test]
    fn a_tick_is_given_once_and_the_schedule_survives_its_processes() {
        let mut store = MemoryStore::default();
        let mut ask = |owner, has_ended, now| {
            let action = Action::Tick { period: at(10), has_ended };
            match store.apply(owner, Operation { key: "t", action }, at(now)) {
                Outcome::Tick(tick) => (tick.is_given, tick.number, tick.next.as_secs()),
                other => unreachable!("{other:?}"),
            }
        };
        assert_eq!(ask(1, false, 100), (false, 0, 10), "the first comes after one period");
        assert_eq!(ask(2, false, 110), (true, 1, 10));
        assert_eq!(ask(1, false, 110), (false, 1, 10));
        assert_eq!(ask(1, false, 120), (false, 1, 10), "the one before has not ended");
        assert_eq!(ask(2, true, 125), (false, 1, 5));
        assert_eq!(ask(1, false, 147), (true, 4, 3), "ticks that nobody asked for are left out");
        store.release(1);
        let action = Action::Tick { period: at(10), has_ended: false };
        let told = store.apply(3, Operation { key: "t", action }, at(150));
        assert_eq!(told, Outcome::Tick(Tick { is_given: true, number: 5, next: at(10) }));
    }
}
