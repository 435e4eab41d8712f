//! The executor: calls handlers on the event loop's own thread, between two turns of the loop.
//!
//! A reactor's event loop is driven by exactly one thread, the leader. A turn ([`leader`]): the loop runs until there
//! are jobs, the leader leaves it, calls handlers, and goes back. A [`sentinel`] notices a call that lasts and gives
//! the loop to a standby thread; the late thread delivers its answer and becomes a standby. The [`leader_lease`]
//! decides which of the two leads. Jobs of routes whose calls wait go to the [`pool`] at once.
//!
//! This room knows threads and jobs, and no HTTP: a job consists of [`Command`]s, which the room above defines. The
//! model compiles the same files for a checker's threads, with commands of its own.

mod busy;
mod job;
mod leader;
mod leader_lease;
#[cfg(test)]
mod model;
mod overdue;
mod pool;
mod reactor;
mod reply_slot;
mod sentinel;
mod sync;
#[cfg(test)]
mod tests;
mod threads;

pub(crate) use job::{Callback, Command, Job, MOST_HELD, ThreadFrame, Woken};
pub(crate) use reactor::Executor;
pub(crate) use reply_slot::{Guard, ReplySlot};

use reactor::lock;
use threads::Threads;
