//! The socket to a broker, with TLS or without: reads and writes that never wait, and one wait for both.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use rustls::ClientConnection;
use socket2::SockRef;

use crate::descriptors::OwnFile;

/// A connected socket that does not block.
#[derive(Debug)]
pub(super) enum BrokerSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsRawFd for BrokerSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for BrokerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

/// The engine's own file, as a stream.
struct OwnSocket(OwnFile<BrokerSocket>);

impl Read for OwnSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &*self.0 {
            BrokerSocket::Tcp(socket) => (&mut &*socket).read(buffer),
            BrokerSocket::Unix(socket) => (&mut &*socket).read(buffer),
        }
    }
}

impl Write for OwnSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.0 {
            BrokerSocket::Tcp(socket) => (&mut &*socket).write(bytes),
            BrokerSocket::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to a broker.
pub(super) struct BrokerConnection {
    socket: OwnSocket,
    tls: Option<Box<ClientConnection>>,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) is_readable: bool,
    pub(super) is_woken: bool,
}

impl BrokerConnection {
    pub(super) fn new(socket: BrokerSocket, tls: Option<ClientConnection>) -> Self {
        Self { socket: OwnSocket(OwnFile::new(socket)), tls: tls.map(Box::new) }
    }

    /// Takes back what the kernel has not sent. Otherwise it would send that once the broker can be reached again: behind messages
    /// that were published later, on the next connection.
    pub(super) fn abandon(&self) {
        if let BrokerSocket::Tcp(socket) = &*self.socket.0 {
            SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap_or_default();
        }
    }

    /// Reads what has come; `None` if nothing has, 0 bytes at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let read = match &mut self.tls {
                None => self.socket.read(buffer),
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer),
            };
            match read {
                Ok(count) => return Ok(Some(count)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(None),
                    ErrorKind::Interrupted => {}
                    // A process that was killed says no end of TLS.
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => return Ok(Some(0)),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Writes as much as is possible without waiting; 0 if nothing is.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match &mut self.tls {
                None => self.socket.write(bytes),
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).write(bytes),
            };
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// Sends bytes that TLS still has, as far as that is possible without waiting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self { socket, tls: Some(tls) } = self else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is something to read (if `reads`), room to write (if `writes` or TLS has bytes), a wake-up, or
    /// this long.
    pub(super) fn wait(&self, waker: &Waker, reads: bool, writes: bool, timeout: Duration) -> io::Result<Ready> {
        let writes = writes || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        let mut flags = if reads { PollFlags::IN } else { PollFlags::empty() };
        flags.set(PollFlags::OUT, writes);
        let mut asked = [PollFd::new(&*self.socket.0, flags), PollFd::new(&*waker.reader, PollFlags::IN)];
        match poll(&mut asked, Timespec::try_from(timeout).ok().as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ended = PollFlags::HUP | PollFlags::ERR;
        let is_readable = asked[0].revents().intersects(PollFlags::IN | ended);
        Ok(Ready { is_readable, is_woken: !asked[1].revents().is_empty() })
    }
}

/// Wakes the thread of a connection.
#[derive(Debug)]
pub(super) struct Waker {
    writer: OwnFile<UnixStream>,
    reader: OwnFile<UnixStream>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        Ok(Self { writer: OwnFile::new(writer), reader: OwnFile::new(reader) })
    }

    /// A full socket means that a wake-up is pending already.
    pub(super) fn wake(&self) {
        drop((&*self.writer).write(&[0]));
    }

    /// Takes all wake-ups.
    pub(super) fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&*self.reader).read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }

    /// Sleeps until a wake-up or for this long.
    pub(super) fn sleep(&self, at_most: Duration) {
        let mut asked = [PollFd::new(&*self.reader, PollFlags::IN)];
        // A failure is a short sleep.
        let _ = poll(&mut asked, Timespec::try_from(at_most).ok().as_ref());
        self.clear();
    }
}
