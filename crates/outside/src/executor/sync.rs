//! What the executor is built on: locks, atomics, threads, the clock, the event loop.
//!
//! Its parts take these from here and from nowhere else, because the model compiles them a second time on a checker's.
//! This file adds nothing to what it names.

use std::io;

pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{Builder, Thread, park, park_timeout};
pub(super) use std::time::Instant;

pub(super) use tokio::runtime::Runtime;

/// A batch of calls ends after this many.
pub(super) const MOST_CALLS: usize = 256;
/// After so many ticks without any call the sentinel sleeps.
pub(super) const QUIET_TICKS: u32 = 20;
/// So many threads are given up at a time: each holds its stack, and what its handler holds, for ever.
pub(super) const MOST_GIVEN_UP: usize = 8;
/// Tasks are polled this many times before the loop looks at the network and at its root again.
const EVENT_INTERVAL: u32 = 64;

pub(super) fn event_loop() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()
}
