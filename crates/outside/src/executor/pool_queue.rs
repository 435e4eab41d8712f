//! The jobs that wait for a thread of the pool.

use std::collections::VecDeque;
use std::time::Duration;

use super::command::Command;
use super::job::Job;
use super::sync::Instant;

/// Threads that stand by beyond those that are needed. A thread has to enter the host once before it can run a job, and
/// a handler may keep all threads from entering: then one thread takes the loop over and waits to call the next
/// handler, and another thread drives the loop meanwhile.
pub(super) const SPARE: usize = 2;

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    /// Handlers that run at a time.
    pub(crate) max_workers: usize,
    /// Jobs that wait for one of these.
    pub(crate) max_waiting: usize,
    pub(crate) longest_wait: Duration,
}

/// The pool as part of the threads.
pub(super) struct PoolQueue<C: Command> {
    /// Jobs that wait, each with the time at which it came.
    pub(super) queue: VecDeque<(Instant, Job<C>)>,
    /// Jobs that take an upload, running or waiting.
    pub(super) uploads: usize,
}

impl<C: Command> Default for PoolQueue<C> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), uploads: 0 }
    }
}

impl<C: Command> PoolQueue<C> {
    /// Takes out jobs that have waited too long, and jobs that their connections do not wait for any more. A job that
    /// cannot be turned away keeps its place.
    pub(super) fn take_expired(&mut self, longest_wait: Duration) -> Vec<Job<C>> {
        let is_expired = |(since, job): &(Instant, Job<C>)| {
            job.slot.is_closed() || (since.elapsed() >= longest_wait && job.may_be_turned_away())
        };
        if !self.queue.iter().any(is_expired) {
            return Vec::new();
        }
        let (expired, kept) = std::mem::take(&mut self.queue).into_iter().partition(is_expired);
        self.queue = kept;
        let expired: VecDeque<(Instant, Job<C>)> = expired;
        self.uploads -= expired.iter().filter(|(_, job)| job.takes_upload()).count();
        expired.into_iter().map(|(_, job)| job).collect()
    }
}
