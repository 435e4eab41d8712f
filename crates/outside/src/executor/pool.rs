//! Handlers that are known to wait, on threads of their own.
//!
//! [`PoolLimits`](super::PoolLimits) bound the handlers that run at a time, late calls on the loop's former threads included, and the jobs
//! that wait for them; a request that finds no room or waits too long is answered with 503. At most half of the workers
//! are for handlers that take content while it comes in, since their clients decide how long they last. A job that is here only because a call of its route is late always finds room, and goes back to the loop
//! if the route is quick.

use std::sync::Arc;

use super::command::{Command, ThreadFrame as _};
use super::job::Job;
use super::lock::lock;
use super::reactor::Executor;
use super::role::{Role, ThreadState};
use super::sync::Instant;

impl<C: Command> Executor<C> {
    /// Adds a job that is known to wait; called by connections, inside the event loop.
    pub(crate) fn push_to_pool(self: &Arc<Self>, job: Job<C>) {
        let mut threads = lock(&self.threads);
        let now = Instant::now();
        let takes_upload = job.takes_upload();
        if takes_upload && threads.pool.uploads >= (self.max_workers / 2).max(1) {
            drop(threads);
            self.log.complain("max_workers", "half of the threads take uploads already: one more");
            return self.turn_away(job);
        }
        // Each idle worker is about to take a job out of the queue.
        let room = self.max_waiting + self.max_workers.saturating_sub(threads.detached);
        if threads.pool.queue.len() >= room
            && job.may_be_turned_away()
            && job.waits_for_long(self.reactor, now - self.started)
        {
            drop(threads);
            return self.turn_away(job);
        }
        threads.pool.uploads += usize::from(takes_upload);
        threads.pool.queue.push_back((now, job));
        self.call_threads(threads);
    }

    /// Turns away jobs that have waited too long.
    pub(crate) fn expire(&self) {
        let expired = lock(&self.threads).pool.take_expired(self.longest_wait);
        expired.into_iter().for_each(|job| self.turn_away(job));
    }

    /// Runs jobs as long as there are any, then stands by again.
    pub(super) fn work_in_pool(self: &Arc<Self>, first: Job<C>) {
        let host = Arc::clone(&self.host);
        let mut next = Some(first);
        host.work(&mut || {
            // Entered as by the leader, so that a handler can start tasks on this loop.
            let _inside = self.runtime.enter();
            let mut now = Instant::now();
            while let Some(job) = next.take() {
                let takes_upload = job.takes_upload();
                let state = match job.belongs_to_the_loop(self.reactor) {
                    true => {
                        self.push(job);
                        ThreadState::Detached
                    }
                    false => self.run_job(job, Role::Worker, &mut now),
                };
                let mut threads = lock(&self.threads);
                threads.come_back(state);
                threads.pool.uploads -= usize::from(takes_upload);
                if threads.offered.is_none() {
                    next = threads.take_job(self.max_workers);
                }
            }
        });
    }

    /// Answers a job with 503. The page is made in the executor like any other answer: 503 may have an error handler.
    fn turn_away(&self, mut job: Job<C>) {
        job.commands.iter_mut().filter(|command| command.is_open()).for_each(C::turn_away);
        self.push(job);
    }
}
