//! Threads for encoding that takes long: at most one for each core, and never an event loop's thread.
//!
//! Work whose caller has gone is not begun. Content that has begun to be encoded piece by piece comes before other work, so
//! that few encoders hold memory at a time. Threads are started on demand, and end after some time without work.

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
    /// Further pieces of content that was begun.
    begun: VecDeque<CompressionJob>,
    jobs: VecDeque<CompressionJob>,
    /// Pieces in a row that came before other work.
    in_a_row: usize,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

type CompressionJob = Box<dyn FnOnce() + Send>;

/// Further pieces after which other work has its turn: as many as a megabyte has.
const MOST_IN_A_ROW: usize = 8;
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
        self.lock().waiting() >= QUEUE * self.cores
    }

    /// Runs this work after all earlier work, and gives its result; `None` if it failed.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.run_as(false, work).await
    }

    /// The same; work that `goes_on` with content that was begun comes before other work.
    pub(super) async fn run_as<T: Send + 'static>(
        self: &Arc<Self>,
        goes_on: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.push(
            goes_on,
            Box::new(move || {
                if !tell.is_closed() {
                    let result = work();
                    // The caller may have gone in the meantime.
                    let _ = tell.send(result);
                }
            }),
        );
        told.await.ok()
    }

    fn push(self: &Arc<Self>, goes_on: bool, job: CompressionJob) {
        let mut state = self.lock();
        let queue = if goes_on { &mut state.begun } else { &mut state.jobs };
        queue.push_back(job);
        if state.waiting() <= state.idle || state.threads >= self.cores {
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
                state.begun.clear();
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
            if let Some(job) = state.next() {
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
            if timeout.timed_out() && state.waiting() == 0 {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, PressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PressState {
    fn waiting(&self) -> usize {
        self.begun.len() + self.jobs.len()
    }

    fn next(&mut self) -> Option<CompressionJob> {
        if (self.in_a_row < MOST_IN_A_ROW || self.jobs.is_empty())
            && let Some(piece) = self.begun.pop_front()
        {
            self.in_a_row += 1;
            return Some(piece);
        }
        self.in_a_row = 0;
        self.jobs.pop_front()
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
    fn content_that_was_begun_comes_first_but_not_for_ever() {
        let order = Arc::new(Mutex::new(String::new()));
        let mut state = PressState::default();
        let job = |name: char| -> CompressionJob {
            let order = Arc::clone(&order);
            Box::new(move || order.lock().unwrap().push(name))
        };
        (0..20).for_each(|_| state.begun.push_back(job('p')));
        (0..4).for_each(|_| state.jobs.push_back(job('j')));
        while let Some(job) = state.next() {
            job();
        }
        assert_eq!(*order.lock().unwrap(), "ppppppppjppppppppjppppjj");
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
