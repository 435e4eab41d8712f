//! State that all processes of a server share: small values, rates, locks, and ticks of schedules.
//!
//! [`SharedStore`] is the seam between the server and an engine: [`LocalStore`] in the memory of one process, the hub's
//! in that of a machine (`hub`), and there is room for one that other machines have too. An engine does an [`Operation`] at one
//! moment, by its own clock, and says the [`Outcome`].

mod local;
mod memory;
mod operation;
mod rates;
mod typed;
mod wire;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use local::{LocalStore, SharedMemory};
pub use memory::{MAX_LOCKS, MAX_SCHEDULES, MemoryStore};
pub use operation::{
    Action, MAX_KEY, MAX_VALUE, Operation, Outcome, Rate, RateVerdict, SharedRefusal, SharedValue, Tick,
};
pub use rates::GENERATION;
pub use typed::SharedValues;
pub use wire::{WireError, decode_operation, decode_outcome, encode_operation, encode_outcome};

/// Called with the outcome of an operation, once, by any thread and perhaps under a lock: it hands the outcome on and
/// returns.
pub type OnOutcome = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;

/// An engine for shared state.
pub trait SharedStore: Send + Sync {
    /// Does an operation and waits for its outcome, for this long at most. It may be called by the thread that drives the
    /// event loop.
    ///
    /// # Errors
    /// There was no outcome: the operation may have been done or not, and is not done again.
    fn call(&self, operation: &Operation<'_>, timeout: Duration) -> Result<Outcome, StoreError>;

    /// The same without waiting.
    fn begin(&self, operation: &Operation<'_>, on_outcome: OnOutcome);

    /// Bytes of memory that values may take. An engine whose memory is not of this machine has bounds of its own.
    fn set_bound(&self, bytes: usize) {
        let _ = bytes;
    }

    /// Whether the state is in the memory of this process, so that a call never waits.
    fn is_local(&self) -> bool {
        false
    }
}

/// The reason why there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There was none in time.
    TimedOut,
    /// The other end is gone.
    Ended,
    /// The broker is away.
    Away,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => {
                "the store of shared state has not answered in time; the call may have had its effect or not"
            }
            Self::Away => {
                "the broker of config[\"bus\"], which has the shared state, is away; the call may have had its effect or not"
            }
            Self::Ended => "the store of shared state is gone, because the server ends",
        })
    }
}

impl std::error::Error for StoreError {}

/// The token before the first one of a new store: microseconds since 1970, so that tokens go on growing when a server is
/// started again.
pub(crate) fn first_token() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0))
}
