//! The foundation of the executor: locks, atomics, threads, the clock, the event loop.
//!
//! Its parts take these from here and from nowhere else, because the model compiles the parts a second time on a
//! checker's versions. This file only names types and sets constants.

use std::io;

pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{Builder, Thread, park, park_timeout};

pub(super) use tokio::runtime::Runtime;

pub(super) use crate::metrics::Monotonic as Instant;

/// Calls after which a batch ends.
pub(super) const MOST_CALLS: usize = 256;
/// Ticks without any call after which the sentinel sleeps.
pub(super) const QUIET_TICKS: u32 = 20;
/// Threads that are given up at a time: each holds its stack, and the memory of its handler, for ever.
pub(super) const MOST_GIVEN_UP: usize = 8;
/// Polls of tasks after which the loop looks at the network and at its root again.
const EVENT_INTERVAL: u32 = 64;

/// An event loop that calls `end_turn` when its thread is about to wait for the network, and `begin_turn` when it has waited.
pub(super) fn event_loop(
    begin_turn: impl Fn() + Send + Sync + 'static,
    end_turn: impl Fn() + Send + Sync + 'static,
) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .on_thread_park(end_turn)
        .on_thread_unpark(begin_turn)
        .build()
}
