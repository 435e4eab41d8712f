//! One reactor's executor: its parts, and the functions that connections call.
//!
//! Jobs go into a queue and finished ones into an outbox; a thread that adds to either wakes the root, the future that
//! the leader blocks on. The leader alone takes from both.

use std::io;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::command::{Callback, Command, ThreadFrame};
use super::job::Job;
use super::leader_lease::LeaderLease;
use super::lock::lock;
use super::pool_queue::{PoolLimits, SPARE};
use super::reply_slot::ReplySlot;
use super::sentinel::Sentinel;
use super::sync::{AtomicBool, Condvar, Instant, Mutex, Ordering, Runtime, event_loop};
use super::task_queue::{Task, TaskQueue};
use super::threads::Threads;
use crate::log::Log;
use crate::placement::Reactor;

/// One reactor's event loop with its jobs, its answers and its threads.
pub(crate) struct Executor<C: Command> {
    pub(crate) runtime: Runtime,
    pub(super) queue: Mutex<TaskQueue<C>>,
    pub(super) outbox: Mutex<Vec<Handback<C>>>,
    /// The slot of the leader's job of several commands: a thread that takes the loop over sends the finished ones.
    pub(super) underway: Mutex<Option<Arc<ReplySlot<C>>>>,
    /// Jobs that run on although their connections do not wait for them.
    pub(super) overdue: Mutex<Vec<Overdue<C>>>,
    /// The queue that is flushed at each delivery: WebSockets that have frames to be sent.
    pub(crate) woken: Arc<C::Woken>,
    /// Wakes the future that the leader blocks on.
    pub(super) root: Mutex<Option<Waker>>,
    pub(super) lease: LeaderLease,
    /// Whether a thread is about to enter the host, to call handlers.
    pub(super) entering: AtomicBool,
    /// Whether the call in the lease makes a piece of an answer that has begun.
    pub(super) leads_piece: AtomicBool,
    pub(super) sentinel: Sentinel,
    pub(super) threads: Mutex<Threads<C>>,
    /// Notified when a thread has begun its life or ended.
    pub(super) threads_changed: Condvar,
    pub(super) stopping: AtomicBool,
    pub(crate) host: Arc<C::Host>,
    pub(crate) log: Arc<Log>,
    pub(super) max_workers: usize,
    pub(super) max_waiting: usize,
    pub(super) longest_wait: Duration,
    /// The number of this reactor within its server.
    pub(crate) reactor: Reactor,
    pub(super) started: Instant,
}

/// Time for which the start waits until the first threads have entered the host.
const LONGEST_START: Duration = Duration::from_secs(1);

/// The jobs and threads of an executor, for those that look at it from outside.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadCounts {
    /// Jobs that wait to be performed.
    pub(crate) queue: usize,
    /// Threads that run a handler beside the event loop.
    pub(crate) busy: usize,
    pub(crate) standby: usize,
    /// Threads whose handlers do not end.
    pub(crate) given_up: usize,
    /// Calls that were given up, in all.
    pub(crate) all_given_up: u64,
    /// How often the event loop was taken over from a late handler.
    pub(crate) handovers: u64,
}

/// The result of a task, and its receiver.
pub(super) enum Handback<C: Command> {
    Commands(Arc<ReplySlot<C>>, Vec<C>),
    /// A call has ended, and this session is to be told.
    Session(<C::Callback as Callback>::Session),
}

/// A job that runs on although its connection does not wait for it any more.
pub(super) struct Overdue<C: Command> {
    pub(super) slot: Arc<ReplySlot<C>>,
    pub(super) owner: Option<Arc<C::Owner>>,
    pub(super) until: Instant,
}

impl<C: Command> Executor<C> {
    /// Starts an event loop and the threads that drive it, with a pool of these limits while no handler is late. `number`
    /// is the reactor's, counted from 0.
    pub(crate) fn start(number: usize, host: Arc<C::Host>, log: Arc<Log>, limits: PoolLimits) -> io::Result<Arc<Self>> {
        let sentinel = Sentinel::default();
        let turns = Arc::clone(&sentinel.turns);
        let (beginning, ending) = (Arc::clone(&host), Arc::clone(&host));
        let begin_turn = move || {
            turns.look();
            beginning.begin_turn();
        };
        let executor = Arc::new(Self {
            runtime: event_loop(begin_turn, move || ending.end_turn(true))?,
            queue: Mutex::default(),
            outbox: Mutex::default(),
            underway: Mutex::default(),
            overdue: Mutex::default(),
            woken: Arc::default(),
            root: Mutex::default(),
            lease: LeaderLease::new(),
            entering: AtomicBool::new(false),
            leads_piece: AtomicBool::new(false),
            sentinel,
            threads: Mutex::new(Threads::new()),
            threads_changed: Condvar::new(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            host,
            log,
            max_workers: limits.max_workers,
            max_waiting: limits.max_waiting,
            longest_wait: limits.longest_wait,
            reactor: Reactor::new(number),
        });
        for _ in 0..=SPARE {
            executor.spawn_thread(lock(&executor.threads)).inspect_err(|_| executor.stop())?;
        }
        executor.wait_for_threads();
        executor.start_sentinel().inspect_err(|_| executor.stop())?;
        Ok(executor)
    }

    /// Waits until the first threads have entered the host: the first handler may keep them from it.
    fn wait_for_threads(&self) {
        let deadline = Instant::now() + LONGEST_START;
        let mut threads = lock(&self.threads);
        while threads.entered <= SPARE {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            threads = self.threads_changed.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Adds a job; called by connections, inside the event loop.
    pub(crate) fn push(&self, job: Job<C>) {
        self.push_task(Task::Job(job));
    }

    /// The same for several at once.
    pub(crate) fn push_all(&self, jobs: &mut Vec<Job<C>>) {
        if jobs.is_empty() {
            return;
        }
        let mut queue = lock(&self.queue);
        let was_empty = queue.is_empty();
        queue.extend(jobs.drain(..));
        drop(queue);
        if was_empty {
            self.wake_root();
        }
    }

    /// The same for a call without an answer.
    pub(crate) fn push_call(&self, call: C::Callback) {
        call.begin();
        self.push_task(Task::Call(call));
    }

    pub(super) fn push_task(&self, task: Task<C>) {
        let mut queue = lock(&self.queue);
        queue.push(task);
        let first = queue.len() == 1;
        drop(queue);
        if first {
            self.wake_root();
        }
    }

    /// Delivers finished commands from any thread.
    pub(crate) fn post(&self, slot: Arc<ReplySlot<C>>, commands: Vec<C>) {
        self.put_out(Handback::Commands(slot, commands));
        self.wake_root();
    }

    /// The same without waking the event loop: the caller has to use the waker that this returns, soon.
    #[must_use]
    pub(crate) fn post_quietly(&self, slot: Arc<ReplySlot<C>>, commands: Vec<C>) -> Option<Waker> {
        // In this order: the thread that leads when the answer is put out has stored its waker, and a later leader
        // looks at the outbox first.
        self.put_out(Handback::Commands(slot, commands));
        lock(&self.root).clone()
    }

    /// Ends the event loop. Connections that are still there are dropped with the runtime.
    pub(crate) fn stop(&self) {
        // Under the lock: otherwise a thread that has just read `stopping` as false would miss the notification.
        let mut threads = lock(&self.threads);
        self.stopping.store(true, Ordering::SeqCst);
        let never_begun = threads.take_all_jobs();
        threads.wake_all();
        drop(threads);
        drop(never_begun);
        self.wake_root();
    }

    /// Waits until all threads have ended, but not longer than this; returns the number of threads that have not.
    pub(crate) fn join(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut threads = lock(&self.threads);
        while threads.alive > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            threads = self.threads_changed.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        threads.alive
    }

    /// The number of the event loop's turn: a time that was read under the same number is a millisecond old at most. `None`
    /// while no calls are made.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.sentinel.turn()
    }

    /// A number that changes when the event loop has waited for the network, and when it is entered.
    pub(crate) fn looks(&self) -> u64 {
        self.sentinel.turns.looks()
    }

    /// The jobs and threads of this moment.
    pub(crate) fn counts(&self) -> ThreadCounts {
        let queue = lock(&self.queue).len();
        let threads = lock(&self.threads);
        ThreadCounts {
            queue: queue + threads.pool.queue.len(),
            busy: threads.detached + threads.uncounted,
            standby: threads.standby,
            given_up: threads.given_up,
            all_given_up: threads.all_given_up,
            handovers: self.lease.epochs(),
        }
    }

    pub(super) fn put_out(&self, delivery: Handback<C>) {
        lock(&self.outbox).push(delivery);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn wake_root(&self) {
        if let Some(waker) = &*lock(&self.root) {
            waker.wake_by_ref();
        }
    }
}
