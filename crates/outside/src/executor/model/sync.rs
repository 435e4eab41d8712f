//! The checker's side of the executor's `sync`: every lock, atomic, thread and wait is a point where it may switch.
//!
//! Time does not pass by itself: a look at the clock may move it on by a step, as the checker chooses, and
//! a wait with a limit may end at once.

use std::cell::Cell;
use std::io;
use std::ops::{Add, Sub};
use std::time::Duration;

use shuttle::rand::Rng;

pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
pub(super) use shuttle::thread::{JoinHandle, Thread, park};

pub(super) use super::event_loop::Runtime;

/// Calls after which a batch ends: few, so that few steps lead to every state.
pub(super) const MOST_CALLS: usize = 2;
/// Threads that may be given up at a time.
pub(super) const MOST_GIVEN_UP: usize = 1;
pub(super) const QUIET_TICKS: u32 = 1;

pub(super) fn event_loop(_begin_turn: impl Fn(), _end_turn: impl Fn()) -> io::Result<Runtime> {
    NOW.set(Duration::ZERO);
    SHORT_OF_THREADS.set(false);
    Ok(Runtime::default())
}

/// Starts threads, or not, when the system is short of them.
pub(super) struct Builder(shuttle::thread::Builder);

std::thread_local! {
    static SHORT_OF_THREADS: Cell<bool> = const { Cell::new(false) };
}

/// From now on the checker chooses whether a thread can be started.
pub(super) fn run_short_of_threads() {
    SHORT_OF_THREADS.set(true);
}

impl Builder {
    pub(super) fn new() -> Self {
        Self(shuttle::thread::Builder::new())
    }

    pub(super) fn name(self, name: String) -> Self {
        Self(self.0.name(name))
    }

    /// Handlers of a trial are not deep.
    pub(super) fn stack_size(self, _size: usize) -> Self {
        self
    }

    pub(super) fn spawn(self, life: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        if SHORT_OF_THREADS.get() && shuttle::rand::thread_rng().gen_bool(0.5) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.spawn(life)
    }
}

/// Parks; the time may be up at any look at it.
pub(super) fn park_timeout(_limit: Duration) {
    shuttle::thread::sleep(Duration::ZERO);
}

/// A time of the clock that the checker moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(Duration);

std::thread_local! {
    // The checker runs all threads of a trial on one.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

const STEP: Duration = Duration::from_micros(200);

impl Instant {
    pub(super) fn now() -> Self {
        if shuttle::rand::thread_rng().gen_bool(0.25) {
            advance(STEP);
        }
        Self(NOW.get())
    }

    pub(super) fn elapsed(self) -> Duration {
        Self::now() - self
    }

    pub(super) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0 - earlier.0
    }
}

/// Lets time pass.
pub(super) fn advance(duration: Duration) {
    NOW.set(NOW.get() + duration);
}
