//! Wakes the thread that waits for the end: a pair of sockets, because a signal handler may write to one.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The shortest wait for a wake-up.
const SHORTEST: Duration = Duration::from_millis(1);

/// Written to by any thread or signal handler, read by one thread.
#[derive(Debug)]
pub(crate) struct WakePipe {
    writer: UnixStream,
    reader: UnixStream,
    /// A bit for the number of each signal whose handler has written here since the last look.
    signals: AtomicU64,
}

impl WakePipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        Ok(Self { writer, reader, signals: AtomicU64::new(0) })
    }

    /// A full socket means that a wake-up is pending already.
    pub(crate) fn wake(&self) {
        drop((&self.writer).write(&[0]));
    }

    /// Sleeps until a wake-up or for this long. Returns whether there may have been a wake-up.
    pub(crate) fn wait(&self, at_most: Option<Duration>) -> bool {
        match self.read(at_most) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                // The handler of the signal that has interrupted the read has written its number before.
                let _there_may_be_none = self.read(Some(SHORTEST));
                true
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Takes note of the signals that are written here.
    fn read(&self, at_most: Option<Duration>) -> io::Result<()> {
        let mut bytes = [0; 64];
        // A time-out of zero is invalid. A failure here means a short sleep, after which the caller checks again.
        let is_set = self.reader.set_read_timeout(at_most.map(|time| time.max(SHORTEST)));
        is_set.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
        let count = (&self.reader).read(&mut bytes)?;
        // A signal handler of Python writes the number of its signal.
        let signals = bytes[..count].iter().filter(|&&byte| (1..64).contains(&byte));
        let bits = signals.fold(0, |bits, &byte| bits | 1 << byte);
        self.signals.fetch_or(bits, Ordering::SeqCst);
        Ok(())
    }

    /// A bit for each signal whose handler has written here since the last look.
    pub(crate) fn take_signals(&self) -> u64 {
        self.signals.swap(0, Ordering::SeqCst)
    }

    /// Both ends.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.writer.as_fd(), self.reader.as_fd()]
    }

    /// The descriptor to which a signal handler may write.
    pub(crate) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}
