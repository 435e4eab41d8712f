//! A turn of the engine's event loop beside the asyncio loop, where both share a core.
//!
//! A turn reads what the network has brought, mostly requests of several clients. If the first of them woke the asyncio thread, that
//! would preempt this one, run a single handler, sleep, and be woken again: so it is woken for several, at the end of the turn.
//!
//! The other way round, each packet that arrives would stop the asyncio thread in the middle of a handler, for a request
//! that has to wait for that thread anyway. A thread that waits for the network under the system's policy for batches is
//! woken as well, but runs when the asyncio thread sleeps or has used up its slice of some milliseconds, and then finds several
//! packets. On a core of its own it runs at once under either policy.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use raw_memory::set_batch_policy;

/// Commands after which the asyncio thread is woken within a turn: it may have a core of its own, and nothing to do.
const MOST_HELD: usize = 16;
/// Waits in a row that have found the asyncio loop busy, before the policy is changed for the next: with a single client
/// every second wait does, and nothing would be gained for the two system calls.
const BUSY_WAITS: u8 = 4;

/// Whether the asyncio loop has commands to take, or works them off. A hint: nothing is synchronised by it.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is in a turn.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Commands of this turn.
    static COMMANDS: Cell<usize> = const { Cell::new(0) };
    /// Whether the turn before had several: after one that had a single command, the first is not held.
    static IS_CROWDED: Cell<bool> = const { Cell::new(false) };
    /// Commands of this turn for which the asyncio thread has not been woken.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static BUSY_IN_A_ROW: Cell<u8> = const { Cell::new(0) };
    /// Whether this thread is under the policy for batches.
    static DEFERS: Cell<bool> = const { Cell::new(false) };
}

/// Called by a thread that has added a command: returns whether the thread is to wake asyncio's now. `is_first`: the command is the first
/// since asyncio took its last ones, so no wake-up is on its way.
pub(crate) fn is_to_wake(is_first: bool) -> bool {
    if !IS_INSIDE.get() {
        return is_first;
    }
    COMMANDS.set(COMMANDS.get() + 1);
    if !IS_CROWDED.get() {
        return is_first;
    }
    let held = HELD.get();
    if !is_first && held == 0 {
        return false;
    }
    let is_enough = held + 1 >= MOST_HELD;
    HELD.set(if is_enough { 0 } else { held + 1 });
    is_enough
}

/// This thread drives the event loop, and is about to look at what there is.
pub(crate) fn begin() {
    IS_INSIDE.set(true);
    // The policy was for the wait alone: threads and processes that this thread starts would inherit it.
    if DEFERS.replace(false) {
        set_batch_policy(false);
    }
}

/// The turn has ended: this thread waits for the network, or leaves the event loop. Returns whether it is to wake the asyncio
/// thread first.
pub(crate) fn end(is_waiting: bool) -> bool {
    IS_INSIDE.set(false);
    IS_CROWDED.set(COMMANDS.replace(0) > 1);
    if is_waiting {
        let in_a_row = if IS_BUSY.load(Ordering::Relaxed) { BUSY_IN_A_ROW.get().saturating_add(1) } else { 0 };
        BUSY_IN_A_ROW.set(in_a_row);
        if in_a_row > BUSY_WAITS {
            DEFERS.set(set_batch_policy(true));
        }
    }
    HELD.replace(0) > 0
}

/// Notes whether the asyncio loop has something to do.
pub(crate) fn note_work(is_busy: bool) {
    IS_BUSY.store(is_busy, Ordering::Relaxed);
}
