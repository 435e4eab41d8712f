//! A TLS connection over a socket: rustls makes and reads the records; bytes that are written together leave in one
//! write.
//!
//! Ciphertext is read into borrowed memory and written from borrowed memory; an idle connection holds none. A write
//! returns the bytes that the socket has accepted, so that a slow client is seen to make progress; the writer offers
//! the rest again, as with any other stream. See [`Outgoing::poll_write`].

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::ServerConnectionData;
use rustls::unbuffered::WriteTraffic;
use rustls::{Error, ServerConfig};

use super::challenges::ACME_TLS;
use super::hello::{self, HelloStep, ManagedHello};
use super::memory::borrow;
use super::outgoing::{GATHERED, TlsOutput};
use super::session::{Destination, READ, TlsSession, Writer};
use crate::transport::Stream;

/// HTTP/2 within TLS, as RFC 9113 section 3.2 names it.
pub(super) const HTTP2: &[u8] = b"h2";

/// A connection, from its handshake to its end.
pub(crate) struct TlsStream {
    socket: Stream,
    session: TlsSession,
    outgoing: TlsOutput,
    /// Bytes of [`TlsStream::poll_write_more`]: credited, and not yet encrypted.
    held: Vec<u8>,
    /// Present until the hello was looked at, where certificates are obtained by the server.
    managed: Option<Box<ManagedHello>>,
}

/// Bytes that wait at most to be encrypted together with the next ones.
const LARGEST_HELD: usize = 16 << 10;

impl TlsStream {
    /// The version of TLS, and whether an earlier session was resumed, once the handshake is complete.
    pub(crate) fn terms(&self) -> Option<(&'static str, bool)> {
        self.session.terms()
    }

    pub(super) fn new(
        socket: Stream,
        config: Arc<ServerConfig>,
        managed: Option<Box<ManagedHello>>,
    ) -> Result<Self, Error> {
        let session = TlsSession::new(config)?;
        Ok(Self { socket, session, outgoing: TlsOutput::default(), held: Vec::new(), managed })
    }

    /// Looks at the complete hello before it is processed: a validation by a certificate authority gets a configuration
    /// of its own.
    pub(crate) fn look_at_hello(&mut self) -> Result<HelloStep, Error> {
        let Some(managed) = &self.managed else { return Ok(HelloStep::GoOn) };
        let (step, config) = managed.look(self.session.received());
        if let Some(config) = config {
            self.session.restart(config)?;
        }
        if step == HelloStep::GoOn {
            self.managed = None;
        }
        Ok(step)
    }

    /// Whether the certificate for this name is still to be obtained.
    pub(crate) fn lacks_certificate(&self, name: &str) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.lacks(name))
    }

    /// Whether the handshake was a validation by a certificate authority: then the connection ends (RFC 8737 section 3).
    pub(crate) fn is_validation(&self) -> bool {
        self.session.connection.alpn_protocol() == Some(ACME_TLS)
    }

    /// Reads handshake bytes behind those that are there; 0 is the end.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.session.poll_fill(&mut self.socket, READ, context)
    }

    /// Bytes that were read and not processed yet.
    pub(crate) fn received(&self) -> &[u8] {
        self.session.received()
    }

    /// Whether the client's first message is complete, or cannot become a ClientHello.
    pub(crate) fn has_hello(&self) -> bool {
        hello::is_complete(self.session.received())
    }

    /// Processes the received bytes; `true` when the handshake is complete. The expensive arithmetic of a handshake
    /// happens here.
    ///
    /// # Errors
    /// The client's bytes are no handshake, or its offers cannot be met. Then an alert is in `outgoing`, to be sent by
    /// [`TlsStream::poll_flush`].
    pub(crate) fn process(&mut self) -> Result<bool, Error> {
        self.session.process(&mut self.outgoing, &mut Destination::None, None)?;
        Ok(!self.session.connection.is_handshaking())
    }

    /// Ready when all encrypted bytes are written.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            ready!(self.outgoing.poll_write(&mut self.socket, context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether HTTP/2 was negotiated (RFC 7301).
    pub(crate) fn speaks_http2(&self) -> bool {
        self.session.connection.alpn_protocol() == Some(HTTP2)
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// The socket without TLS, for a client that does not speak it.
    pub(crate) fn into_socket(self) -> Stream {
        self.socket
    }

    /// Reads plaintext into the buffer; 0 is the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_take(context, Destination::Buffer(buffer, 0))
    }

    /// Reads plaintext behind the bytes that the buffer holds, at most `most` bytes, without growing it.
    pub(crate) fn poll_read_behind(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.min(buffer.capacity() - buffer.len());
        self.poll_take(context, Destination::Behind(buffer, room, 0))
    }

    fn poll_take(&mut self, context: &mut Context<'_>, mut into: Destination<'_>) -> Poll<io::Result<usize>> {
        self.session.take(&mut into);
        loop {
            match into.taken() {
                0 if self.session.is_closed => return Poll::Ready(Ok(0)),
                0 => {}
                count => return Poll::Ready(Ok(count)),
            }
            match self.session.poll_fill(&mut self.socket, into.read_size(), context) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Pending => {
                    // A session ticket or the answer to a key update has waited for data to leave with, but none comes.
                    if !self.outgoing.is_empty() && self.outgoing.owed == 0 {
                        let _ = self.outgoing.poll_write(&mut self.socket, context)?; // pending: the next call goes on
                    }
                    return Poll::Pending;
                }
                end => return end,
            }
            if let Err(error) = self.session.process(&mut self.outgoing, &mut into, None) {
                let _ = self.outgoing.poll_write(&mut self.socket, context)?; // the end does not wait for the alert
                return Poll::Ready(Err(invalid(error)));
            }
        }
    }

    /// Writes some of these bytes. The result counts those that the socket has accepted; further ones may be encrypted
    /// already.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            if self.outgoing.owed == 0 {
                self.encrypt(slices)?;
                if self.outgoing.owed == 0 {
                    return Poll::Ready(Ok(0));
                }
            }
            match ready!(self.outgoing.poll_write(&mut self.socket, context))? {
                0 => {}
                credit => return Poll::Ready(Ok(credit)),
            }
        }
    }

    /// Holds these bytes until the next ones follow, so that both become one record.
    pub(crate) fn poll_write_more(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.outgoing.owed > 0 || self.held.len() + bytes.len() > LARGEST_HELD {
            return self.poll_write(context, &[IoSlice::new(bytes)]);
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends some of a half-open range of a file; 0 is the end of the file.
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        start: u64,
        end: u64,
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.owed > 0 {
            // Bytes of an earlier read go first.
            return self.poll_write(context, &[]);
        }
        let size = usize::try_from(end - start).unwrap_or(usize::MAX).min(GATHERED - self.held.len());
        let mut piece = borrow(size);
        match file.read_at(&mut piece[..size], start)? {
            0 => Poll::Ready(Ok(0)),
            count => self.poll_write(context, &[IoSlice::new(&piece[..count])]),
        }
    }

    /// Ends the direction to the client. Does not wait for a client that reads nothing.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            self.encrypt(&[])?;
        }
        let mut say_goodbye: Writer<'_> = &mut |traffic, outgoing| outgoing.say_goodbye(traffic);
        let said = self.session.process(&mut self.outgoing, &mut Destination::None, Some(&mut say_goodbye));
        if said.is_ok()
            && let Poll::Ready(Err(error)) = self.poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        self.socket.poll_shutdown(context)
    }

    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let held_slice = [IoSlice::new(&held)];
        let slices = || held_slice.iter().chain(slices).map(|slice| &slice[..]);
        let mut result = Ok(());
        let mut encrypt = |traffic: &mut WriteTraffic<'_, ServerConnectionData>, outgoing: &mut TlsOutput| {
            result = outgoing.encrypt(traffic, slices());
        };
        self.session.process(&mut self.outgoing, &mut Destination::None, Some(&mut encrypt)).map_err(invalid)?;
        result?;
        // Held bytes were credited when they were held.
        self.outgoing.owed = self.outgoing.owed.saturating_sub(held.len());
        Ok(())
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?})", self.socket)
    }
}
