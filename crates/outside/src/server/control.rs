//! The stages of a server's life, and the requests to move on to the next one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wake_pipe::WakePipe;
use crate::exchange::{DRAINING, LEAVING, RETIRING};

/// The stages of a server's life, and the requests to move on to the next.
#[derive(Debug)]
pub(crate) struct Control {
    pub(super) stage: Arc<AtomicU8>,
    /// New for each run: after a fork in between, two processes must not share one wake pipe.
    wake_pipe: Mutex<Option<Arc<WakePipe>>>,
    /// Whether certificates are to be read again.
    pub(super) wants_certificates: AtomicBool,
    /// Whether the process had a terminal when the run began.
    had_terminal: AtomicBool,
    /// Whether another process has taken the place of this one, because a handler here does not end.
    pub(super) is_replaced: AtomicBool,
    /// Whether the end begins with a time in which everything is served as before.
    pub(super) delays: AtomicBool,
}

pub(super) const SERVING: u8 = 0;
const CUTTING: u8 = 4;
/// No run has begun, or the last one has ended by itself.
const RESTING: u8 = 5;
/// The last run has ended because it was asked to.
const ENDED: u8 = 6;

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: Arc::new(AtomicU8::new(RESTING)),
            wake_pipe: Mutex::default(),
            wants_certificates: AtomicBool::default(),
            had_terminal: AtomicBool::default(),
            is_replaced: AtomicBool::default(),
            delays: AtomicBool::default(),
        })
    }

    /// Begins the end. If the end has begun already, `at_once` cuts the answers in flight.
    pub(crate) fn terminate(&self, at_once: bool) {
        let first = if self.delays.load(Ordering::SeqCst) { LEAVING } else { DRAINING };
        let begins = self.change(SERVING, first) || self.change(RETIRING, DRAINING);
        if begins || (at_once && (self.change(LEAVING, CUTTING) || self.change(DRAINING, CUTTING))) {
            self.wake();
        }
    }

    /// Begins to drain, without a delay.
    pub(super) fn drain(&self) {
        if [SERVING, LEAVING, RETIRING].into_iter().any(|stage| self.change(stage, DRAINING)) {
            self.wake();
        }
    }

    /// Begins the end after a new generation has taken over.
    pub(crate) fn retire(&self) {
        if self.change(SERVING, RETIRING) {
            self.wake();
        }
    }

    /// SIGHUP: has the certificates read again. The system also sends it when the terminal is closed; then the server
    /// ends, because its user has gone.
    pub(crate) fn hang_up(&self) {
        if self.had_terminal.load(Ordering::SeqCst) && !terminal_is_there() {
            return self.terminate(false);
        }
        self.wants_certificates.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self.stage(), LEAVING | RETIRING | DRAINING | CUTTING | ENDED)
    }

    /// Whether the server accepts no more connections.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_terminating() && self.stage() != LEAVING
    }

    /// Begins a run; `None` if a run has begun and not ended.
    pub(crate) fn enter(&self) -> io::Result<Option<Arc<WakePipe>>> {
        let wake_pipe = Arc::new(WakePipe::new()?);
        if !self.change(RESTING, SERVING) && !self.change(ENDED, SERVING) {
            return Ok(None);
        }
        self.had_terminal.store(terminal_is_there(), Ordering::SeqCst);
        self.wants_certificates.store(false, Ordering::SeqCst);
        *self.lock() = Some(Arc::clone(&wake_pipe));
        Ok(Some(wake_pipe))
    }

    /// Ends a run.
    pub(crate) fn leave(&self) {
        if !self.change(SERVING, RESTING) {
            self.stage.store(ENDED, Ordering::SeqCst);
        }
        *self.lock() = None;
    }

    pub(super) fn stage(&self) -> u8 {
        self.stage.load(Ordering::SeqCst)
    }

    pub(super) fn change(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn wake(&self) {
        if let Some(wake_pipe) = &*self.lock() {
            wake_pipe.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<WakePipe>>> {
        self.wake_pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn terminal_is_there() -> bool {
    let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/tty", flags, rustix::fs::Mode::empty()).is_ok()
}
