//! Signals while a server runs, as the thread that waits for its end hears of them.
//!
//! Where the main thread waits itself, it runs the handlers of signals, unless code in C keeps Python's lock from it, such
//! as a long search for a pattern. Where it drives the asyncio loop, a callback may keep it from them for as long as it
//! likes. In both cases SIGTERM begins the end without its handler, which changes nothing when it runs later.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outside::{HeardSignals, ServerRun};
use pyo3::prelude::*;

use crate::errors::RunError;
use crate::event_loop::EventLoop;
use crate::server::state::ServerState;
use crate::support::lock;

/// SIGTERM has this number on every system.
const SIGTERM: u8 = 15;
/// Time that the handler of a signal has to run on the main thread.
const PATIENCE: Duration = Duration::from_millis(50);
const STEP: Duration = Duration::from_millis(5);

/// The signals of one run, and when its end began.
pub(crate) struct Terminations<'s> {
    server: &'s ServerState,
    signals: HeardSignals,
    /// Whether the main thread drives the asyncio loop meanwhile.
    is_beside_loop: bool,
    /// Whether the handler of SIGTERM ends the server and does nothing else.
    ends_server: bool,
    began: Mutex<Option<Instant>>,
    /// The attempt to get Python's lock, while SIGTERM waits for it.
    attempt: Mutex<Option<Attempt>>,
}

/// An attempt to get Python's lock, by a thread of its own.
struct Attempt(Arc<(Mutex<bool>, Condvar)>);

impl Attempt {
    fn begin() -> Self {
        let shared = Arc::<(Mutex<bool>, Condvar)>::default();
        let done = Arc::clone(&shared);
        let attempt = std::thread::Builder::new().name("outside-signals".into()).spawn(move || {
            let _ = Python::try_attach(|_| ());
            *lock(&done.0) = true;
            done.1.notify_all();
        });
        if attempt.is_err() {
            *lock(&shared.0) = true;
        }
        Self(shared)
    }

    /// Whether it succeeds within this time.
    fn succeeds(&self, within: Duration) -> bool {
        let (is_done, changed) = &*self.0;
        let waited = changed.wait_timeout_while(lock(is_done), within, |is_done| !*is_done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<'s> Terminations<'s> {
    pub(crate) fn new(server: &'s ServerState, run: &ServerRun, py: Python<'_>, is_beside_loop: bool) -> Self {
        let ends_server = py
            .import("outside._process.signals")
            .and_then(|module| module.call_method0("sigterm_is_ours")?.is_truthy())
            .unwrap_or(false);
        let (began, attempt) = (Mutex::default(), Mutex::default());
        Self { server, signals: run.signals(), is_beside_loop, ends_server, began, attempt }
    }

    /// Called at each wake-up of the thread that waits, and while the server drains.
    pub(crate) fn on_wake(&self) -> Result<(), RunError> {
        if self.server.engine.is_draining() {
            lock(&self.began).get_or_insert_with(Instant::now);
        }
        if !self.is_beside_loop {
            return self.run_handlers();
        }
        // The loop may wait for events without looking at signals.
        let heard: Vec<u8> = self.signals.take().collect();
        let ends = heard.contains(&SIGTERM);
        if !heard.is_empty() {
            EventLoop::hear(heard);
        }
        if ends && self.ends_server {
            self.stand_in();
        }
        Ok(())
    }

    /// Runs the handlers of signals on this thread, the main thread.
    fn run_handlers(&self) -> Result<(), RunError> {
        let ends = self.signals.take().any(|signal| signal == SIGTERM) && self.ends_server;
        let mut attempt = lock(&self.attempt);
        if ends && attempt.is_none() {
            *attempt = Some(Attempt::begin());
        }
        if let Some(waiting) = &*attempt {
            if !waiting.succeeds(if ends { PATIENCE } else { Duration::ZERO }) {
                if ends && !self.server.engine.is_terminating() {
                    self.server.has_stood_in.store(true, Ordering::SeqCst);
                    self.server.engine.terminate(false);
                }
                // The handlers run when the lock is free.
                return Ok(());
            }
            *attempt = None;
        }
        drop(attempt);
        Python::attach(|py| py.check_signals()).map_err(RunError::Python)
    }

    /// Begins the end, unless the handler of the signal does so within a moment.
    fn stand_in(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.server.engine.is_terminating() {
            if Instant::now() >= deadline {
                self.server.has_stood_in.store(true, Ordering::SeqCst);
                self.server.engine.terminate(false);
                return;
            }
            std::thread::sleep(STEP);
        }
    }

    /// The rest of this time, which began with the end of the server.
    pub(crate) fn patience(&self, whole: Duration) -> Duration {
        let began = *lock(&self.began);
        began.map_or(whole, |began| whole.saturating_sub(began.elapsed()))
    }
}
