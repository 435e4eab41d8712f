//! The executor: calls handlers on the event loop's own thread, between two turns of the loop.
//!
//! A reactor's event loop is driven by exactly one thread, the leader. A turn ([`leader`]): the loop runs until there
//! are jobs, the leader leaves it, calls handlers, and goes back. A sentinel ([`watch`]) notices a call that lasts and gives
//! the loop to a standby thread; the late thread delivers its answer and becomes a standby. The [`leader_lease`]
//! decides which of the two leads. Jobs of routes whose calls wait go to the [`pool`] at once.
//!
//! This room knows threads and jobs, and no HTTP: a job consists of [`Command`]s, which the room above defines. The
//! model compiles the same files for a checker's threads, with commands of its own.

mod busy;
mod command;
mod job;
mod leader;
mod leader_lease;
mod lock;
#[cfg(test)]
mod model;
mod overdue;
mod pool;
mod pool_queue;
mod reactor;
mod reply_slot;
mod role;
mod sentinel;
mod sync;
mod task_queue;
#[cfg(test)]
mod tests;
mod thread_life;
mod threads;
mod turns;
mod watch;

pub(crate) use command::{Callback, Command, MOST_HELD, ThreadFrame, Woken};
pub(crate) use job::Job;
pub(crate) use pool_queue::PoolLimits;
pub(crate) use reactor::{Executor, ThreadCounts};
pub(crate) use reply_slot::{Guard, ReplySlot};
