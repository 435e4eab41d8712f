//! Wakes the thread that waits for the end: a pair of sockets, because a signal handler may write to one.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Rung from anywhere, heard by one thread.
#[derive(Debug)]
pub(crate) struct Doorbell {
    button: UnixStream,
    bell: UnixStream,
}

impl Doorbell {
    pub(crate) fn new() -> io::Result<Self> {
        let (button, bell) = UnixStream::pair()?;
        button.set_nonblocking(true)?;
        Ok(Self { button, bell })
    }

    /// A full socket means that it is ringing already.
    pub(crate) fn ring(&self) {
        drop((&self.button).write(&[0]));
    }

    /// Sleeps until it rings, or this long; may it have rung?
    pub(crate) fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut rings = [0; 64];
        // A time-out of zero would be refused; a failure here means a short wait, and the caller looks again.
        self.bell.set_read_timeout(at_most.map(|time| time.max(Duration::from_millis(1)))).is_ok()
            && !matches!((&self.bell).read(&mut rings), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Both ends.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.button.as_fd(), self.bell.as_fd()]
    }

    /// What a signal handler may write to.
    pub(crate) fn button(&self) -> BorrowedFd<'_> {
        self.button.as_fd()
    }
}
