//! The numbers of an executor's threads by state, and what they may take up.

use std::sync::Arc;

use super::command::Command;
use super::job::Job;
use super::leader_lease::Epoch;
use super::pool_queue::PoolQueue;
use super::role::ThreadState;
use super::sync::Condvar;

/// The threads of an executor.
pub(super) struct Threads<C: Command> {
    /// Threads that stand by or are about to.
    pub(super) standby: usize,
    /// Threads that have ever begun their lives.
    pub(super) entered: usize,
    /// All threads that have not ended.
    pub(super) alive: usize,
    /// Threads that run a handler without the loop: late ones, and those of the pool.
    pub(super) detached: usize,
    /// Threads that lost the loop while they made a piece of an answer that has begun.
    pub(super) late_pieces: usize,
    /// Threads that make a piece for a client that is gone; they do not count as detached any more.
    pub(super) uncounted: usize,
    /// Threads whose handlers do not end; they do not count as detached any more.
    pub(super) given_up: usize,
    /// Calls that were given up, in all.
    pub(super) all_given_up: u64,
    /// An epoch that no thread has taken up yet.
    pub(super) offered: Option<Epoch>,
    pub(super) pool: PoolQueue<C>,
    /// Threads that wait for an assignment. The one that came last is called first: its caches are warm, and so are the
    /// connections to databases that programs keep for each thread.
    pub(super) idle: Vec<Arc<Condvar>>,
}

impl<C: Command> Threads<C> {
    /// No thread yet; the first epoch is offered.
    pub(super) fn new() -> Self {
        Self {
            standby: 0,
            entered: 0,
            alive: 0,
            detached: 0,
            late_pieces: 0,
            uncounted: 0,
            given_up: 0,
            all_given_up: 0,
            offered: Some(Epoch::FIRST),
            pool: PoolQueue::default(),
            idle: Vec::new(),
        }
    }

    /// Wakes all threads that wait.
    pub(super) fn wake_all(&mut self) {
        self.idle.drain(..).for_each(|thread| thread.notify_one());
    }

    /// The next job of the pool, if one more worker is allowed.
    pub(super) fn take_job(&mut self, max_workers: usize) -> Option<Job<C>> {
        if self.detached >= max_workers {
            return None;
        }
        let (_, job) = self.pool.queue.pop_front()?;
        self.detached += 1;
        Some(job)
    }

    /// All jobs that have not begun.
    pub(super) fn take_all_jobs(&mut self) -> impl Sized + use<C> {
        std::mem::take(&mut self.pool.queue)
    }

    /// Counts that a thread which ran a handler without the loop has ended its call.
    pub(super) fn come_back(&mut self, state: ThreadState) {
        match state {
            ThreadState::GivenUp => self.given_up -= 1,
            ThreadState::Uncounted => self.uncounted -= 1,
            _ => self.detached -= 1,
        }
    }

    /// Whether fewer threads than these would stand by if all assignments were taken up.
    pub(super) fn lacks_threads(&self, max_workers: usize, spare: usize) -> bool {
        let jobs = self.pool.queue.len().min(max_workers.saturating_sub(self.detached));
        self.standby < jobs + usize::from(self.offered.is_some()) + spare
    }
}
