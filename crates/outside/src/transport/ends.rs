//! The ends of a socket: whether the client's is still there, and what becomes of bytes that it has not taken at ours.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::{Address, Listener, Stream};

/// Bytes that the system takes for one TCP connection beyond those that are on their way, about: without a bound it takes
/// megabytes for a client that reads nothing. Larger files would not be sent any faster with more.
const MOST_UNSENT: u32 = 256 << 10;
/// A connection on which nothing was acknowledged is not given up before this.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

impl Listener {
    /// Bounds what the system holds for each connection that is accepted here: bytes that wait to be sent, and how long those
    /// on their way wait to be acknowledged, whether the connection is closed by then or not.
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

    /// Whether the system holds bytes that it has not sent, because the client does not take them; asked before the client is
    /// told that there are no more. From here on little is taken to be sent at a time.
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

    /// When it is dropped the client gets a reset, and bytes that it has not taken are thrown away.
    pub(crate) fn reset_on_close(&self) {
        match self {
            // A socket that refuses the option is closed without it.
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap_or_default(),
            Self::Tls(stream) => stream.socket().reset_on_close(),
            Self::Unix(_) => {}
        }
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
