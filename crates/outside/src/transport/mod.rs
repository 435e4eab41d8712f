//! Streams of bytes behind one interface: TCP and Unix sockets, listening and connected, and TLS over either.

mod address;
mod ends;
mod listener;
mod listeners;
mod memory;
mod source;
mod tls;

use std::fs::File;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use address::{Address, BindError};
pub(crate) use listener::{AcceptQueue, Accepting, ListenerOptions};
pub use listener::{Listener, ListenerRole, SocketFile};
pub use listeners::{BindSpec, Endpoint, Listeners};
pub use memory::{Connector, MemoryListener};
pub use source::ConnectionSource;
pub use tls::{CertificateError, TicketKeys, Tls};
pub(crate) use tls::{Challenges, HelloStep, ManagedCertificate, Notice, TlsStream};
#[cfg(feature = "acme")]
pub(crate) use tls::{Inspection, inspect, is_token, subject_of};
#[cfg(any(feature = "acme", feature = "bus"))]
pub(crate) use tls::{client_tls, read_roots};

/// A stream of bytes in both directions.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// A stream outside of any event loop, on its way to another one.
#[derive(Debug)]
pub(crate) enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Registers the stream with the current event loop.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Stream {
    /// Takes the stream out of its event loop, before any byte was read or written.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream) => Ok(Detached::Tcp(stream.into_std()?)),
            Self::Unix(stream) => Ok(Detached::Unix(stream.into_std()?)),
            Self::Tls(stream) => stream.into_socket().detach(),
        }
    }

    /// The socket without TLS; further bytes are in clear.
    pub(crate) fn into_clear(self) -> Self {
        match self {
            Self::Tls(stream) => stream.into_socket(),
            clear => clear,
        }
    }

    /// Whether the stream is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether HTTP/2 was negotiated.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.speaks_http2())
    }

    /// Reads into the buffer; 0 is the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filled = ReadBuf::new(buffer);
        let polled = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, &mut filled),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, &mut filled),
            Self::Tls(stream) => return stream.poll_read(context, buffer),
        };
        polled.map_ok(|()| filled.filled().len())
    }

    /// Reads into the buffer that `room` gives; 0 is the end. A buffer is asked for when there may be bytes to read.
    pub(crate) fn poll_read_into<'b>(
        &mut self,
        context: &mut Context<'_>,
        room: impl FnOnce() -> &'b mut [u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_readable(context));
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            let buffer = room();
            loop {
                match receive(stream, buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        std::task::ready!(stream.poll_read_ready(context))?;
                    }
                    received => return Poll::Ready(received.map(|(count, _)| count)),
                }
            }
        }
        self.poll_read(context, room())
    }

    /// Reads behind the bytes that the buffer holds, at most `most` bytes, without growing it.
    pub(crate) fn poll_read_behind(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.min(buffer.capacity() - buffer.len());
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(&mut buffer.limit(room))).poll(context),
            Self::Unix(stream) => pin!(stream.read_buf(&mut buffer.limit(room))).poll(context),
            Self::Tls(stream) => stream.poll_read_behind(context, buffer, room),
        }
    }

    /// Reads into the buffer; 0 is the end. `true` means that all was read, and that the context is woken when there is
    /// more.
    pub(crate) fn poll_read_all(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, bool)>> {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            return poll_receive(stream, context, buffer);
        }
        let count = std::task::ready!(self.poll_read(context, buffer))?;
        let was_all = 0 < count && count < buffer.len() && self.poll_readable(context).is_pending();
        Poll::Ready(Ok((count, was_all)))
    }

    /// Writes some of these slices, in order.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(context, one),
            (Self::Tcp(stream), many) => Pin::new(stream).poll_write_vectored(context, many),
            (Self::Unix(stream), many) => Pin::new(stream).poll_write_vectored(context, many),
            (Self::Tls(stream), many) => stream.poll_write(context, many),
        }
    }

    /// The same without waiting: pending if the socket accepts nothing, and then no task is woken.
    pub(crate) fn try_write(&self, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match (self, slices) {
            // Directly, because the runtime would first check whether it has to wait.
            (Self::Tcp(stream), [one]) => {
                rustix::net::send(stream, one, rustix::net::SendFlags::NOSIGNAL).map_err(Into::into)
            }
            (Self::Tcp(stream), many) => stream.try_write_vectored(many),
            (Self::Unix(stream), many) => stream.try_write_vectored(many),
            // TLS may leave encrypted bytes unwritten, which needs a task that waits.
            (Self::Tls(_), _) => return Poll::Pending,
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    /// Ready when there may be bytes to read.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context).map(drop),
            Self::Unix(stream) => stream.poll_read_ready(context).map(drop),
            // Bytes may be decrypted already.
            Self::Tls(_) => Poll::Ready(()),
        }
    }

    /// Writes some of these bytes. More follow at once, so they need not leave in a packet of their own.
    pub(crate) fn poll_write_more(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Self::Tls(stream) = self {
            return stream.poll_write_more(context, bytes);
        }
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            let send = |stream: &TcpStream| Ok(rustix::net::send(stream, bytes, rustix::net::SendFlags::MORE)?);
            loop {
                std::task::ready!(stream.poll_write_ready(context))?;
                match stream.try_io(Interest::WRITABLE, || send(stream)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    sent => return Poll::Ready(sent),
                }
            }
        }
        self.poll_write(context, &[io::IoSlice::new(bytes)])
    }

    /// Sends some of a half-open range of a file; 0 is the end of the file.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        start: u64,
        end: u64,
    ) -> Poll<io::Result<usize>> {
        let count = usize::try_from(end - start).unwrap_or(usize::MAX);
        let mut start = start;
        loop {
            let sent = match self {
                Self::Tcp(stream) => {
                    std::task::ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || {
                        Ok(rustix::fs::sendfile(&*stream, file, Some(&mut start), count)?)
                    })
                }
                Self::Unix(stream) => {
                    std::task::ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || {
                        Ok(rustix::fs::sendfile(&*stream, file, Some(&mut start), count)?)
                    })
                }
                Self::Tls(stream) => return stream.poll_send_file(context, file, start, end),
            };
            match sent {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// The same where the kernel has no such call.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        start: u64,
        end: u64,
    ) -> Poll<io::Result<usize>> {
        use std::os::unix::fs::FileExt as _;
        if let Self::Tls(stream) = self {
            return stream.poll_send_file(context, file, start, end);
        }
        let mut piece = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX).min(64 << 10)];
        match file.read_at(&mut piece, start)? {
            0 => Poll::Ready(Ok(0)),
            count => self.poll_write(context, &[io::IoSlice::new(&piece[..count])]),
        }
    }

    /// While a socket is corked, only full packets leave; the rest leaves when it is uncorked (tcp(7)). This only saves
    /// packets: a socket that refuses the option works as well.
    pub(crate) fn set_corked(&self, corked: bool) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            let _ = rustix::net::sockopt::set_tcp_cork(stream, corked);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = corked;
    }

    /// Ends the direction to the client.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => stream.poll_shutdown(context),
        }
    }
}

/// Reads at once without polling first, since most callers know that there are bytes.
#[cfg(target_os = "linux")]
fn poll_receive(stream: &TcpStream, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, bool)>> {
    loop {
        match receive(stream, buffer) {
            Ok((count, was_all)) => {
                return Poll::Ready(Ok((count, was_all && stream.poll_read_ready(context).is_pending())));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            Err(_) => std::task::ready!(stream.poll_read_ready(context))?,
        }
    }
}

/// Reads at once, and says whether the socket is known to have no more bytes: the runtime waits for the system then.
#[cfg(target_os = "linux")]
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut count = 0;
    let received = stream.try_io(Interest::READABLE, || {
        (_, count) = rustix::net::recv(stream, &mut *buffer, rustix::net::RecvFlags::empty())?;
        // A short read means that all was read: the system reports when there is more (epoll(7), question 9).
        if 0 < count && count < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match received {
        Err(_) if count > 0 => Ok((count, true)),
        received => received.map(|()| (count, false)),
    }
}
