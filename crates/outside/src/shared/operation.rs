//! Operations on shared state, and their outcomes.

use std::fmt;
use std::time::Duration;

/// Bytes of the longest key, of a value, a lock, a schedule, or a client of a limit.
pub const MAX_KEY: usize = 1024;
/// Bytes of the largest value: the state is for small ones.
pub const MAX_VALUE: usize = 1 << 20;

/// A value, in one of the kinds that programs of any language have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedValue {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A whole number, which can be incremented.
    Integer(i64),
    /// Any other value, as JSON.
    Json(String),
}

impl SharedValue {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Integer(_) => size_of::<i64>(),
        }
    }
}

/// What is to be done with one key. Values, rates, locks and schedules have keys of their own, so that one key may be of
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// The key: 1 to [`MAX_KEY`] bytes.
    pub key: &'a str,
    /// What is to be done with it.
    pub action: Action,
}

/// The kinds of operations. Times to live are more than zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reads a value: [`Outcome::Value`].
    Get,
    /// Sets a value, with a time to live or for good: [`Outcome::Flag`], whether it was set.
    Set {
        /// The value.
        value: SharedValue,
        /// Its time to live.
        ttl: Option<Duration>,
        /// Whether a value that is there stays.
        only_if_absent: bool,
    },
    /// Adds to a whole number, which begins at zero: [`Outcome::Number`], the sum.
    Increment {
        /// What is added.
        by: i64,
        /// The time to live of a number that this call makes; that of another one stays.
        ttl: Option<Duration>,
    },
    /// Removes a value: [`Outcome::Flag`], whether there was one.
    Delete,
    /// Counts one request of this key, unless the rate is exceeded: [`Outcome::Admission`].
    Admit(Rate),
    /// Takes a lock that is free: [`Outcome::Locked`], or [`Outcome::Held`]. It is free again after the time, and when
    /// the process that has taken it is gone.
    Lock {
        /// The time for which it is held.
        ttl: Duration,
    },
    /// Holds a lock for this long from now on: [`Outcome::Flag`], whether it is still held under this token.
    Renew {
        /// The token of [`Outcome::Locked`].
        token: u64,
        /// The time for which it is held.
        ttl: Duration,
    },
    /// Frees a lock: [`Outcome::Flag`], whether it was still held under this token.
    Unlock {
        /// The token of [`Outcome::Locked`].
        token: u64,
    },
    /// Asks for the tick of a schedule that is due: [`Outcome::Tick`]. Each tick is given to one process; none is given
    /// while a process still has the one before.
    Tick {
        /// The time between two ticks. The first comes one period after the first call.
        period: Duration,
        /// Whether this call tells the end of the tick that this process has, and asks for none.
        has_ended: bool,
    },
}

impl Action {
    /// The value that it brings.
    pub fn value(&self) -> Option<&SharedValue> {
        match self {
            Self::Set { value, .. } => Some(value),
            _ => None,
        }
    }
}

/// A rate of requests and its burst, for the generic cell rate algorithm: one number for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time that one request takes away, in nanoseconds.
    pub interval: u64,
    /// The time by which requests may be ahead of an even pace, in nanoseconds.
    pub tolerance: u64,
}

impl Rate {
    /// So many requests in this time, and so many at one moment; each at least 1. The time of one request is rounded up,
    /// so that there are never more.
    pub fn new(count: u32, period: Duration, burst: u32) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX / 4);
        let interval = period.div_ceil(u64::from(count.max(1))).max(1);
        Self { interval, tolerance: interval.saturating_mul(u64::from(burst.max(1)) - 1) }
    }
}

/// The answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The value, if there is one.
    Value(Option<SharedValue>),
    /// Yes or no; see [`Action`].
    Flag(bool),
    /// The sum.
    Number(i64),
    /// Whether a request may pass.
    Admission(RateVerdict),
    /// The lock is taken. Tokens grow with each lock that is taken: a resource that remembers the highest one refuses
    /// a process which has lost its lock without having noticed.
    Locked(u64),
    /// The lock is held, for this long at most.
    Held(Duration),
    /// The tick of a schedule, or the time until the next one.
    Tick(Tick),
    /// The operation was not done.
    Refused(SharedRefusal),
}

/// Whether a request may pass, and how many more. The times count from the moment at which the store has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateVerdict {
    /// Whether it may.
    pub is_admitted: bool,
    /// Requests that may pass at once after this one.
    pub remaining: u64,
    /// The time after which one may pass; zero if one may now.
    pub retry: Duration,
    /// The time after which a whole burst may pass.
    pub reset: Duration,
    /// The moment of the decision, by the store's clock.
    pub at: Duration,
}

/// The answer to [`Action::Tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Whether the tick that is due is this process's.
    pub is_given: bool,
    /// The number of that tick, or of the last one that was given.
    pub number: u64,
    /// The time until the next one.
    pub next: Duration,
}

/// The reason why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedRefusal {
    /// There is no room.
    Full,
    /// The value is no whole number.
    NotInteger,
    /// The sum has more than 64 bits.
    Overflow,
    /// Key or value are too long, or the key is empty.
    TooLong,
    /// Too many answers wait for the process that asks.
    Busy,
}

impl fmt::Display for SharedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str(
                "shared values take as much memory as config[\"max_shared_mb\"] allows; give them a time to live, or delete \
                 some",
            ),
            Self::NotInteger => f.write_str("the value of this key is no whole number"),
            Self::Overflow => f.write_str("the sum is beyond 64 bits"),
            Self::Busy => f.write_str("too many answers of the shared state wait for this process"),
            Self::TooLong => write!(f, "a key has 1 to {MAX_KEY} bytes and a value at most {MAX_VALUE}"),
        }
    }
}
