//! The end of a connection: whether the client's side is still there, and the fate of bytes that it has not taken.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::{Address, Listener, Stream};

/// Bytes that the system accepts for one TCP connection beyond those in flight, roughly. Without this bound it accepts
/// megabytes for a client that reads nothing. A higher bound would not send larger files any faster.
const MOST_UNSENT: u32 = 256 << 10;
/// Shortest time without an acknowledgement after which a connection is given up.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

impl Listener {
    /// Bounds the bytes that the system holds for each accepted connection: bytes that wait to be sent, and the time
    /// for which bytes in flight wait for their acknowledgement, even after the connection was closed.
    pub(crate) fn limit_unsent(&self, stall: Duration) {
        #[cfg(target_os = "linux")]
        if let Address::Tcp(_) = self.address() {
            let socket = SockRef::from(self);
            // A system that refuses an option has bounds of its own.
            socket.set_tcp_notsent_lowat(MOST_UNSENT).unwrap_or_default();
            socket.set_tcp_user_timeout(Some(stall.max(LEAST_PATIENCE))).unwrap_or_default();
        }
        #[cfg(not(target_os = "linux"))]
        let _ = stall;
    }
}

impl Stream {
    /// Whether the connection was reset, or the client has closed both of its directions, as far as the system knows.
    pub(crate) fn is_reset(&self) -> bool {
        self.has(PollFlags::empty(), PollFlags::ERR | PollFlags::HUP)
    }

    /// Whether the system holds bytes that it has not sent, because the client does not take them. Called before the
    /// client is told that no more will come. From here on the system accepts little at a time.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Tcp(stream) => {
                SockRef::from(stream).set_tcp_notsent_lowat(1).is_ok()
                    && !self.has(PollFlags::OUT, PollFlags::OUT | PollFlags::ERR | PollFlags::HUP)
            }
            Self::Tls(stream) => stream.socket().has_unsent(),
            _ => false,
        }
    }

    /// Makes a later close send a reset, which drops bytes that the client has not taken.
    pub(crate) fn reset_on_close(&self) {
        match self {
            // A socket that refuses the option is closed without a reset.
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap_or_default(),
            Self::Tls(stream) => stream.socket().reset_on_close(),
            Self::Unix(_) => {}
        }
    }

    /// Whether one of these events is pending.
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
