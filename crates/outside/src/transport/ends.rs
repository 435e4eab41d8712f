//! Whether the far end of a socket is still there.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Stream;

impl Stream {
    /// Whether the connection was reset, or the client has closed both of its directions, as far as the system knows.
    pub(crate) fn is_reset(&self) -> bool {
        self.has(PollFlags::empty(), PollFlags::ERR | PollFlags::HUP)
    }

    /// Whether one of these is the case now, if these are asked for.
    fn has(&self, asked: PollFlags, any: PollFlags) -> bool {
        let descriptor = match self {
            Self::Tcp(stream) => PollFd::new(stream, asked),
            Self::Unix(stream) => PollFd::new(stream, asked),
            Self::Tls(stream) => return stream.socket().has(asked, any),
        };
        let mut descriptors = [descriptor];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut descriptors, Some(&at_once)).is_ok() && descriptors[0].revents().intersects(any)
    }
}
