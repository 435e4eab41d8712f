//! An event loop as the executor sees one: a root, tasks that are polled when they were woken, a wait when none was.
//!
//! It keeps to the order of tokio's single-threaded runtime, on which the executor relies: the root is polled when it
//! was woken, then up to [`EVENT_INTERVAL`] tasks, then the root again. It is stricter than tokio in two cases: it
//! fails with a second thread, which would wait, and for the waker of an earlier root, which would wake this one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::lock::lock;
use super::sync::{Condvar, Mutex};

/// Tasks that are polled between two looks at the root.
const EVENT_INTERVAL: usize = 2;

#[derive(Default)]
pub(in super::super) struct Runtime(Arc<Shared>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether a thread is in here.
    driven: bool,
    /// The number of roots so far: the waker of a former root has no effect.
    roots: usize,
    root_is_woken: bool,
    ready: VecDeque<usize>,
    tasks: Vec<Option<Task>>,
}

impl Runtime {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = lock(&self.0.state);
        let number = state.tasks.len();
        state.tasks.push(Some(Box::pin(task)));
        state.ready.push_back(number);
        drop(state);
        self.0.woken.notify_one();
    }

    /// Handlers are called inside of it.
    pub(super) fn enter(&self) -> Entered {
        Entered
    }

    pub(super) fn block_on<T>(&self, root: impl Future<Output = T>) -> T {
        let mut root = pin!(root);
        let mut state = lock(&self.0.state);
        assert!(!state.driven, "two threads drive the event loop");
        state.driven = true;
        state.root_is_woken = true;
        state.roots += 1;
        let waker = Waker::from(Arc::new(RootWaker(Arc::clone(&self.0), state.roots)));
        drop(state);
        loop {
            let woken = std::mem::take(&mut lock(&self.0.state).root_is_woken);
            if woken && let Poll::Ready(value) = root.as_mut().poll(&mut Context::from_waker(&waker)) {
                lock(&self.0.state).driven = false;
                return value;
            }
            for _ in 0..EVENT_INTERVAL {
                if !self.poll_task() {
                    self.wait();
                    break;
                }
            }
        }
    }

    /// `false` if no task was woken.
    fn poll_task(&self) -> bool {
        let mut state = lock(&self.0.state);
        let Some(number) = state.ready.pop_front() else { return false };
        let Some(mut task) = state.tasks[number].take() else { return true };
        drop(state);
        let waker = Waker::from(Arc::new(TaskWaker(Arc::clone(&self.0), number)));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            lock(&self.0.state).tasks[number] = Some(task);
        }
        true
    }

    fn wait(&self) {
        let mut state = lock(&self.0.state);
        while !state.root_is_woken && state.ready.is_empty() {
            state = self.0.woken.wait(state).expect("no thread has failed");
        }
    }
}

pub(super) struct Entered;

struct RootWaker(Arc<Shared>, usize);

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.0.state);
        state.root_is_woken |= state.roots == self.1;
        drop(state);
        self.0.woken.notify_one();
    }
}

struct TaskWaker(Arc<Shared>, usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.0.state).ready.push_back(self.1);
        self.0.woken.notify_one();
    }
}
