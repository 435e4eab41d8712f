//! Handlers that are known to wait, on threads of their own.
//!
//! `max_workers` bounds how many run at a time; four times as many wait behind them, 5 seconds at most; whoever finds no
//! room or waits longer is answered with 503.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sync::Instant;
use super::{Crew, Executor, Job, Work, lock};

/// So many jobs wait for each worker.
const QUEUE_PER_WORKER: usize = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The pool as part of the crew.
#[derive(Default)]
pub(super) struct Pool {
    /// Jobs that wait, with when they came.
    queue: VecDeque<(Instant, Job)>,
    /// Threads that run one.
    busy: usize,
}

impl Pool {
    /// Jobs that have waited too long, but not those that cannot be turned away: they keep their places.
    fn take_expired(&mut self) -> Vec<Job> {
        let mut expired = Vec::new();
        let mut place = 0;
        while let Some((since, job)) = self.queue.get(place)
            && since.elapsed() >= LONGEST_WAIT
        {
            if job.may_be_turned_away() {
                expired.extend(self.queue.remove(place).map(|(_, job)| job));
            } else {
                place += 1;
            }
        }
        expired
    }
}

impl Crew {
    /// The next job of the pool, if one more worker is allowed.
    pub(super) fn take_job(&mut self, max_workers: usize) -> Option<Job> {
        if self.pool.busy >= max_workers {
            return None;
        }
        let (_, job) = self.pool.queue.pop_front()?;
        self.pool.busy += 1;
        Some(job)
    }

    /// All jobs that have not begun.
    pub(super) fn take_all_jobs(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.pool.queue)
    }

    /// Are there more duties to take up than threads that stand by?
    pub(super) fn lacks_threads(&self, max_workers: usize) -> bool {
        let jobs = self.pool.queue.len().min(max_workers - self.pool.busy.min(max_workers));
        self.standby < jobs + usize::from(self.offered.is_some())
    }
}

impl Executor {
    /// Adds a job that is known to wait; called by connections, inside the event loop.
    pub(crate) fn push_to_pool(self: &Arc<Self>, job: Job) {
        let mut crew = lock(&self.crew);
        // Workers that are about to take a job make room for as many.
        let idle = self.max_workers.saturating_sub(crew.pool.busy);
        if crew.pool.queue.len() >= QUEUE_PER_WORKER * self.max_workers + idle && job.may_be_turned_away() {
            drop(crew);
            return self.turn_away(job);
        }
        crew.pool.queue.push_back((Instant::now(), job));
        let hires = crew.lacks_threads(self.max_workers);
        drop(crew);
        self.crew_called.notify_one();
        if hires {
            // If no thread can be started, whoever is done first takes the job.
            drop(self.hire());
        }
    }

    /// Turns away what has waited too long.
    pub(crate) fn expire(&self) {
        let expired = lock(&self.crew).pool.take_expired();
        expired.into_iter().for_each(|job| self.turn_away(job));
    }

    /// Runs jobs as long as there are any, then stands by again.
    pub(super) fn work_in_pool(self: &Arc<Self>, first: Job) {
        let host = Arc::clone(&self.host);
        let mut next = Some(first);
        host.work(&mut || {
            // As for the leader: a handler can start tasks on this loop.
            let _inside = self.runtime.enter();
            let mut now = Instant::now();
            while let Some(job) = next.take() {
                self.run_job(job, None, &mut now);
                let mut crew = lock(&self.crew);
                crew.pool.busy -= 1;
                if crew.offered.is_none() {
                    next = crew.take_job(self.max_workers);
                }
            }
        });
    }

    /// Answers with 503 what the pool has no room for. The page is made in the executor like any other: it may have an
    /// error handler.
    fn turn_away(&self, mut job: Job) {
        for exchange in &mut job.exchanges {
            if exchange.is_open() {
                exchange.work = Work::Status(503, Some("too many requests are waiting for this".to_owned()));
            }
        }
        self.push(job);
    }
}
