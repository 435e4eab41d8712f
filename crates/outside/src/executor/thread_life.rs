//! A thread's life: it is started, and waits between two assignments.

use std::io;
use std::sync::{Arc, PoisonError};

use super::command::{Command, ThreadFrame as _};
use super::job::Job;
use super::leader_lease::{Epoch, LeasedCall};
use super::lock::lock;
use super::pool_queue::SPARE;
use super::reactor::Executor;
use super::sync::{Builder, Condvar, MutexGuard, Ordering};
use super::threads::Threads;
use crate::log::Level;

/// Bytes of stack of each thread: deep recursion in C needs as much as a main thread has. Untouched pages cost nothing.
const STACK: usize = 8 << 20;

impl<C: Command> Executor<C> {
    /// Starts a thread that waits for an assignment.
    pub(super) fn spawn_thread(self: &Arc<Self>, mut threads: MutexGuard<'_, Threads<C>>) -> io::Result<()> {
        // The thread counts as standing by from now on, so that no other thread is started for the same assignment.
        threads.alive += 1;
        threads.standby += 1;
        drop(threads);
        let executor = Arc::clone(self);
        let spawned = Builder::new().name("outside".into()).stack_size(STACK).spawn(move || {
            let host = Arc::clone(&executor.host);
            host.live(&mut || {
                lock(&executor.threads).entered += 1;
                executor.threads_changed.notify_all();
                executor.stand_by();
            });
            lock(&executor.threads).alive -= 1;
            executor.threads_changed.notify_all();
        });
        if spawned.is_err() {
            let mut threads = lock(&self.threads);
            threads.alive -= 1;
            threads.standby -= 1;
            drop(threads);
            self.threads_changed.notify_all();
        }
        spawned.map(|_| ())
    }

    /// Starts a thread that is not counted here, for a WebSocket with a handler that blocks.
    pub(crate) fn start_thread(self: &Arc<Self>, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let host = Arc::clone(&self.host);
        let mut life = Some(life);
        let spawned = Builder::new().name("outside-websocket".into()).stack_size(STACK).spawn(move || {
            host.live(&mut || {
                host.work(&mut || {
                    if let Some(life) = life.take() {
                        life();
                    }
                });
            });
        });
        spawned.map(drop)
    }

    /// Takes the loop over from a call that lasts, and offers the new epoch to a standby thread, or to a new one.
    pub(super) fn take_over(self: &Arc<Self>, call: LeasedCall) {
        // Under the lock, so that the late thread cannot come back before it is counted as detached.
        let mut threads = lock(&self.threads);
        let Some(epoch) = self.lease.take_over(call) else { return };
        threads.detached += 1;
        threads.late_pieces += usize::from(self.leads_piece.swap(false, Ordering::SeqCst));
        threads.offered = Some(epoch);
        self.call_threads(threads);
    }

    /// Wakes a thread that stands by for a new assignment, and starts one if there are too few.
    pub(super) fn call_threads(self: &Arc<Self>, mut threads: MutexGuard<'_, Threads<C>>) {
        let spare = if self.is_stopping() { 0 } else { SPARE };
        let called = threads.idle.pop();
        let is_urgent = threads.offered.is_some() && threads.lacks_threads(self.max_workers, 0);
        let spawned = match threads.lacks_threads(self.max_workers, spare) {
            true => self.spawn_thread(threads),
            false => {
                drop(threads);
                Ok(())
            }
        };
        if let Some(called) = called {
            called.notify_one();
        }
        if let Err(error) = spawned
            && is_urgent
        {
            // The thread that ends its call first becomes a standby, and takes the assignment then.
            self.log.event(Level::Error, format!("no thread could be started: {error}"));
        }
    }

    /// A thread's life: waits for an assignment, leads or works in the pool, and waits again.
    fn stand_by(self: &Arc<Self>) {
        let own = Arc::new(Condvar::new());
        loop {
            let mut threads = lock(&self.threads);
            let assignment = loop {
                if let Some(epoch) = threads.offered.take() {
                    break Some(Assignment::Lead(epoch));
                }
                if let Some(job) = threads.take_job(self.max_workers) {
                    break Some(Assignment::Work(job));
                }
                if self.is_stopping() {
                    break None;
                }
                threads.idle.push(Arc::clone(&own));
                threads = own.wait(threads).unwrap_or_else(PoisonError::into_inner);
                // A thread can wake without a call.
                threads.idle.retain(|other| !Arc::ptr_eq(other, &own));
            };
            threads.standby -= 1;
            drop(threads);
            match assignment {
                Some(Assignment::Lead(epoch)) => self.lead(epoch),
                Some(Assignment::Work(job)) => self.work_in_pool(job),
                None => return,
            }
            lock(&self.threads).standby += 1;
        }
    }
}

/// The assignment of a thread that stood by.
enum Assignment<C: Command> {
    Lead(Epoch),
    Work(Job<C>),
}
