//! Functions that run beside requests, on threads of their own: `server.background(…)` at once, `request.after(…)` when the
//! answer is out.
//!
//! `process_timeout` does not apply to them. They live as long as the process: work that must not be lost belongs into a
//! queue outside of it.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;

/// Functions that wait for a thread, at most.
const MOST_WAITING: usize = 1000;
/// Time for which a thread without work is kept.
const IDLE: Duration = Duration::from_secs(10);

type BackgroundCall = Box<dyn FnOnce() -> Result<(), String> + Send>;
type Report = Arc<dyn Fn(String) + Send + Sync>;

/// The background functions of one server.
#[derive(Clone, Default)]
pub(crate) struct Background(Arc<BackgroundShared>);

#[derive(Default)]
struct BackgroundShared {
    queue: Mutex<BackgroundQueue>,
    changed: Condvar,
}

#[derive(Default)]
struct BackgroundQueue {
    /// Functions that run at one moment, at most.
    most: usize,
    report: Option<Report>,
    waiting: VecDeque<BackgroundCall>,
    running: usize,
    threads: usize,
}

/// Results of background functions: a failure goes to the log.
pub trait BackgroundResult {
    /// The sentence about a failure, if there was one.
    fn failure(self) -> Option<String>;
}

impl BackgroundResult for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<T: BackgroundResult, E: Display> BackgroundResult for Result<T, E> {
    fn failure(self) -> Option<String> {
        match self {
            Ok(result) => result.failure(),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Runs a future on this thread, with the timers and sockets of tokio.
pub(crate) fn run_future<R: BackgroundResult>(future: impl Future<Output = R>) -> Result<R, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cannot = |error| Error::with_source("a background future has no event loop", error);
    Ok(runtime.map_err(cannot)?.block_on(future))
}

impl Background {
    /// Begins a run: as many functions at one moment, and the log of their failures.
    pub(crate) fn begin(&self, most: usize, report: impl Fn(String) + Send + Sync + 'static) {
        let mut queue = self.lock();
        queue.most = most.max(1);
        queue.report = Some(Arc::new(report));
    }

    /// Runs the function, now or when one of those that run has ended.
    ///
    /// # Errors
    /// Too many wait already, or the system refuses a thread.
    pub(crate) fn add<R: BackgroundResult>(&self, function: impl FnOnce() -> R + Send + 'static) -> Result<(), Error> {
        let mut queue = self.lock();
        if queue.waiting.len() >= MOST_WAITING {
            return Err(Error::new(format!(
                "{MOST_WAITING} background functions wait already, behind the {} that run (config.max_background)",
                queue.running
            )));
        }
        queue.waiting.push_back(Box::new(move || function().failure().map_or(Ok(()), Err)));
        let idle = queue.threads - queue.running;
        if idle >= queue.waiting.len() || queue.threads >= queue.most.max(1) {
            self.0.changed.notify_all();
            return Ok(());
        }
        queue.threads += 1;
        drop(queue);
        let own = self.clone();
        let started = std::thread::Builder::new().name("outside-background".into()).spawn(move || own.work());
        started.map(drop).map_err(|error| {
            self.lock().threads -= 1;
            Error::with_source("a background function has no thread", error)
        })
    }

    /// The same; a function that cannot be added is named in the log.
    pub(crate) fn add_or_report<R: BackgroundResult>(&self, function: impl FnOnce() -> R + Send + 'static) {
        let Err(error) = self.add(function) else { return };
        let report = self.lock().report.clone();
        if let Some(report) = report {
            report(format!("a background function was not begun: {error}"));
        }
    }

    /// Whether functions run or wait.
    pub(crate) fn is_busy(&self) -> bool {
        let queue = self.lock();
        queue.running > 0 || !queue.waiting.is_empty()
    }

    /// Drops the functions that have not begun. Returns the number of those, and of those that still run.
    pub(crate) fn give_up(&self) -> (usize, usize) {
        let mut queue = self.lock();
        (std::mem::take(&mut queue.waiting).len(), queue.running)
    }

    /// The life of one thread.
    fn work(&self) {
        while let Some((call, report)) = self.next() {
            let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("it panicked".to_owned()));
            if let (Err(failure), Some(report)) = (result, report) {
                report(format!("a background function failed: {failure}"));
            }
            self.lock().running -= 1;
            self.0.changed.notify_all();
        }
    }

    /// The next function; `None` when this thread has been without one for some time.
    fn next(&self) -> Option<(BackgroundCall, Option<Report>)> {
        let queue = self.lock();
        let waited = self.0.changed.wait_timeout_while(queue, IDLE, |queue| queue.waiting.is_empty());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match queue.waiting.pop_front() {
            Some(call) => {
                queue.running += 1;
                Some((call, queue.report.clone()))
            }
            None => {
                queue.threads -= 1;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BackgroundQueue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.lock();
        write!(f, "Background({} run, {} wait)", queue.running, queue.waiting.len())
    }
}
