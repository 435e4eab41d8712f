//! A run of a server, from its beginning to its end.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::heard_signals::HeardSignals;
use crate::server::{Control, WakePipe};

/// A run that has begun. The run ends when this value is dropped.
#[derive(Debug)]
pub struct ServerRun {
    pub(super) control: Arc<Control>,
    pub(super) wake_pipe: Arc<WakePipe>,
}

impl ServerRun {
    /// A descriptor to which a signal handler may write a byte, so that `on_wake` is called: for bindings.
    pub fn wake_pipe(&self) -> BorrowedFd<'_> {
        self.wake_pipe.writer()
    }

    /// The signals whose handlers write their numbers to that descriptor, as those of Python do.
    pub fn signals(&self) -> HeardSignals {
        HeardSignals::of(&self.wake_pipe)
    }

    /// The descriptors that this run holds from its beginning: for bindings whose programs may fork.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        self.wake_pipe.descriptors()
    }
}

impl Drop for ServerRun {
    fn drop(&mut self) {
        self.control.leave();
    }
}
