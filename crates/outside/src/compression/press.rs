//! Threads for encoding that takes long: at most one for each core, and never an event loop's thread.
//!
//! Work whose caller has gone is not begun. Threads are started on demand, and end after some time without work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;

/// The threads, and the jobs that wait for them.
pub(crate) struct Press {
    state: Mutex<PressState>,
    called: Condvar,
    /// Most threads.
    cores: usize,
}

#[derive(Default)]
struct PressState {
    jobs: VecDeque<CompressionJob>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

type CompressionJob = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for each core; beyond that, content is better sent as it is.
const QUEUE: usize = 8;
/// Steps by which these threads come after others (nice(2)): where cores are short, event loops and handlers, for which
/// every client waits, run first.
#[cfg(target_os = "linux")]
const AFTER_OTHERS: i32 = 10;
/// Time after which a thread without a job ends.
const PATIENCE: Duration = Duration::from_secs(10);

impl Press {
    pub(crate) fn new() -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self { state: Mutex::default(), called: Condvar::new(), cores })
    }

    /// Whether so many jobs wait that a further one would wait for long.
    pub(crate) fn is_crowded(&self) -> bool {
        self.lock().jobs.len() >= QUEUE * self.cores
    }

    /// Runs this work after all earlier work, and gives its result; `None` if it failed.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.push(Box::new(move || {
            if !tell.is_closed() {
                let result = work();
                // The caller may have gone in the meantime.
                let _ = tell.send(result);
            }
        }));
        told.await.ok()
    }

    fn push(self: &Arc<Self>, job: CompressionJob) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle || state.threads >= self.cores {
            drop(state);
            return self.called.notify_one();
        }
        state.threads += 1;
        drop(state);
        let press = Arc::clone(self);
        if Builder::new().name("outside-encode".into()).spawn(move || press.work()).is_err() {
            let mut state = self.lock();
            state.threads -= 1;
            if state.threads == 0 {
                // Dropping the jobs tells their callers that the work will not be done.
                state.jobs.clear();
            }
        }
    }

    /// The life of a thread.
    fn work(&self) {
        // Of this thread alone; elsewhere it would be the whole process. It is no fault if the system does not allow it.
        #[cfg(target_os = "linux")]
        let _is_lowered = rustix::process::nice(AFTER_OTHERS);
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The caller notices a panic because its sender is dropped.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self.called.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, PressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn no_more_at_a_time_than_there_are_cores() {
        let (press, now, most) = (Press::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..40)
            .map(|number| {
                let (press, now, most) = (Arc::clone(&press), Arc::clone(&now), Arc::clone(&most));
                std::thread::spawn(move || {
                    block_on(press.run(move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        number
                    }))
                })
            })
            .collect();
        let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(done, (0..40).map(Some).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= press.cores && press.lock().threads <= press.cores);
    }

    #[test]
    fn a_failure_is_told_and_an_abandoned_piece_is_not_begun() {
        let press = Press::new();
        assert_eq!(block_on(press.run(|| -> u8 { panic!("as the test wants it") })), None);
        let has_run = Arc::new(AtomicUsize::new(0));
        let gates: Vec<_> =
            (0..press.cores).map(|_| press.run(|| std::thread::park_timeout(Duration::from_millis(50)))).collect();
        let counted = Arc::clone(&has_run);
        block_on(async {
            let mut gates: Vec<_> = gates.into_iter().map(Box::pin).collect();
            for gate in &mut gates {
                std::future::poll_fn(|context| {
                    let _ = gate.as_mut().poll(context);
                    std::task::Poll::Ready(())
                })
                .await;
            }
            let mut given_up = Box::pin(press.run(move || counted.fetch_add(1, Ordering::SeqCst)));
            std::future::poll_fn(|context| {
                let _ = given_up.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            drop(given_up);
            for gate in gates {
                gate.await;
            }
            press.run(|| ()).await;
        });
        assert_eq!(has_run.load(Ordering::SeqCst), 0);
    }
}
