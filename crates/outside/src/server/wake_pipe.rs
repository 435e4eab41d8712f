//! Wakes the thread that waits for the end: a pair of sockets, because a signal handler may write to one.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Rung from anywhere, heard by one thread.
#[derive(Debug)]
pub(crate) struct WakePipe {
    writer: UnixStream,
    reader: UnixStream,
}

impl WakePipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        Ok(Self { writer, reader })
    }

    /// A full socket means that it is ringing already.
    pub(crate) fn wake(&self) {
        drop((&self.writer).write(&[0]));
    }

    /// Sleeps until it rings, or this long; may it have on_wake?
    pub(crate) fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut rings = [0; 64];
        // A time-out of zero would be refused; a failure here means a short wait, and the caller looks again.
        self.reader.set_read_timeout(at_most.map(|time| time.max(Duration::from_millis(1)))).is_ok()
            && !matches!((&self.reader).read(&mut rings), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Both ends.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.writer.as_fd(), self.reader.as_fd()]
    }

    /// What a signal handler may write to.
    pub(crate) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}
