//! Who runs a handler, and when: between two turns of the event loop, on its own thread.
//!
//! A reactor's event loop is driven by exactly one thread, the leader. A turn ([`leader`]): the loop runs until there
//! are jobs, the leader leaves it, calls handlers, and goes back. A [`sentinel`] sees a call that lasts and gives the
//! loop to a standby thread; the late one delivers its answer and becomes a standby. The [`word`] decides who wins.
//! Routes whose calls wait learn to go to the [`pool`] at once.
//! Connections know only [`Executor::push`], [`Mailbox`] and [`Job`].

mod job;
mod leader;
mod pool;
mod sentinel;
mod word;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

pub(crate) use job::{Exchange, Job, Work};

use crate::log::Log;
use pool::Pool;
use sentinel::Sentinel;
use word::{Term, Word};

/// Frames the life and the work of the threads that run handlers, for languages that need it.
pub trait Host: Send + Sync {
    /// Runs a thread's whole life.
    fn live(&self, life: &mut (dyn FnMut() + Send));

    /// Runs a batch of handlers within such a life.
    fn work(&self, batch: &mut (dyn FnMut() + Send));
}

/// Handlers that need no frame.
#[derive(Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        batch();
    }
}

/// One reactor's event loop with its jobs, its answers and its threads.
pub(crate) struct Executor {
    pub(crate) runtime: Runtime,
    queue: Mutex<VecDeque<Job>>,
    outbox: Mutex<Vec<Delivery>>,
    /// Wakes the future that the leader blocks on.
    root: Mutex<Option<Waker>>,
    word: Word,
    sentinel: Sentinel,
    crew: Mutex<Crew>,
    /// Told when a thread that stands by is needed, or all stops.
    crew_called: Condvar,
    /// Told when a thread has ended.
    crew_ended: Condvar,
    stopping: AtomicBool,
    host: Arc<dyn Host>,
    pub(crate) log: Arc<Log>,
    max_workers: usize,
    started: Instant,
}

/// The threads of an executor.
#[derive(Default)]
struct Crew {
    /// Threads that stand by or are about to.
    standby: usize,
    /// All threads that have not ended.
    alive: usize,
    /// A term nobody has taken up yet.
    offered: Option<Term>,
    pool: Pool,
}

/// Finished exchanges and where they go.
type Delivery = (Arc<Mailbox>, Vec<Exchange>);

/// Where a connection waits for its exchanges.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<Letter>);

#[derive(Default)]
struct Letter {
    exchanges: Option<Vec<Exchange>>,
    waker: Option<Waker>,
}

/// Handlers and connections are polled this many times before the loop looks at the network and at its root again.
const EVENT_INTERVAL: u32 = 64;

impl Executor {
    /// An event loop and the threads that drive it; at most `max_workers` handlers run in its pool.
    pub(crate) fn start(host: Arc<dyn Host>, log: Arc<Log>, max_workers: usize) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()?;
        let executor = Arc::new(Self {
            runtime,
            queue: Mutex::default(),
            outbox: Mutex::default(),
            root: Mutex::default(),
            word: Word::new(),
            sentinel: Sentinel::default(),
            crew: Mutex::new(Crew { offered: Some(Term::FIRST), ..Crew::default() }),
            crew_called: Condvar::new(),
            crew_ended: Condvar::new(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            host,
            log,
            max_workers,
        });
        executor.hire()?;
        executor.start_sentinel()?;
        Ok(executor)
    }

    /// Adds a job; called by connections, inside the event loop.
    pub(crate) fn push(&self, job: Job) {
        let mut queue = lock(&self.queue);
        queue.push_back(job);
        let first = queue.len() == 1;
        drop(queue);
        if first {
            self.wake_root();
        }
    }

    /// Delivers finished exchanges from any thread.
    pub(crate) fn post(&self, mailbox: Arc<Mailbox>, exchanges: Vec<Exchange>) {
        self.put_out((mailbox, exchanges));
        self.wake_root();
    }

    /// Ends the event loop. Connections that are still there are dropped with the runtime.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake_root();
        self.wake_sentinel();
        self.crew_called.notify_all();
    }

    /// Waits until all threads have ended, but not longer than this; tells how many have not.
    pub(crate) fn join(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut crew = lock(&self.crew);
        while crew.alive > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            crew = self.crew_ended.wait_timeout(crew, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        crew.alive
    }

    fn put_out(&self, delivery: Delivery) {
        lock(&self.outbox).push(delivery);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn wake_root(&self) {
        if let Some(waker) = &*lock(&self.root) {
            waker.wake_by_ref();
        }
    }
}

impl Mailbox {
    /// The exchanges, if they are there; else the context's waker is told when they are.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Option<Vec<Exchange>> {
        let mut letter = lock(&self.0);
        if letter.exchanges.is_none() && !letter.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            letter.waker = Some(context.waker().clone());
        }
        letter.exchanges.take()
    }

    fn put(&self, exchanges: Vec<Exchange>) {
        let mut letter = lock(&self.0);
        letter.exchanges = Some(exchanges);
        if let Some(waker) = &letter.waker {
            waker.wake_by_ref();
        }
    }
}

/// A panic elsewhere does not make what a lock protects unusable here: every section leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
