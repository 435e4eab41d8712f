//! The calls of WSGI applications that run now: for the warning about one that does not answer.
//!
//! A call costs two stores; the place of a call is looked for when it has lasted for long.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, Weak};

use outside::Request;
use outside::handler::RunningCall as RunningRequest;
use pyo3::prelude::*;

use crate::call::interrupt::thread_ident;
use crate::call::noted::are_noted;
use crate::support::lock;

/// A thread that calls applications.
struct CallingThread {
    /// Python's number of the thread.
    ident: u64,
    /// The address of the request that it answers; null for none.
    request: AtomicPtr<Request>,
    /// The request itself, in servers with a status page.
    shown: Mutex<Option<Arc<Request>>>,
}

static THREADS: Mutex<Vec<Weak<CallingThread>>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: std::cell::OnceCell<Arc<CallingThread>> = const { std::cell::OnceCell::new() };
}

/// The call of a request, until it is dropped.
pub(super) struct RunningCall {
    before: *mut Request,
}

impl RunningCall {
    /// Notes that this thread answers the request.
    pub(super) fn begin(py: Python<'_>, request: &Arc<Request>) -> Self {
        let address = Arc::as_ptr(request).cast_mut();
        let swap = |thread: &Arc<CallingThread>| thread.request.swap(address, Ordering::Relaxed);
        let before = THREAD.with(|thread| {
            let thread = thread.get_or_init(|| register(py));
            if are_noted() {
                *lock(&thread.shown) = Some(Arc::clone(request));
            }
            swap(thread)
        });
        Self { before }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let _is_alive = THREAD.try_with(|thread| {
            if let Some(thread) = thread.get() {
                thread.request.store(self.before, Ordering::Relaxed);
                if are_noted() {
                    *lock(&thread.shown) = None;
                }
            }
        });
    }
}

fn register(py: Python<'_>) -> Arc<CallingThread> {
    let ident = thread_ident(py).unwrap_or_default();
    let thread = Arc::new(CallingThread { ident, request: AtomicPtr::default(), shown: Mutex::default() });
    let mut threads = lock(&THREADS);
    threads.retain(|thread| thread.strong_count() > 0);
    threads.push(Arc::downgrade(&thread));
    thread
}

/// The calls that run now, in servers with a status page.
pub(crate) fn running() -> Vec<RunningRequest> {
    let threads: Vec<Arc<CallingThread>> = lock(&THREADS).iter().filter_map(Weak::upgrade).collect();
    let call = |thread: &Arc<CallingThread>| {
        let request = lock(&thread.shown).clone()?;
        Some(RunningRequest { request, thread: Some(thread.ident), is_websocket: false })
    };
    threads.iter().filter_map(call).collect()
}

/// Python's number of the thread that answers this request, if there is one.
pub(crate) fn thread_of(request: &Arc<Request>) -> Option<u64> {
    let address = Arc::as_ptr(request).cast_mut();
    let threads = lock(&THREADS);
    let mut living = threads.iter().filter_map(Weak::upgrade);
    living.find(|thread| thread.request.load(Ordering::Relaxed) == address).map(|thread| thread.ident)
}
