//! A TLS connection over a socket: bytes to records and back by rustls, one write for what is written at once.
//!
//! Ciphertext is read into borrowed memory and written from borrowed memory; a connection that rests holds none. A write is
//! credited as the socket takes it, so that a slow reader is seen to move: whoever writes goes on with the bytes that
//! follow, as with any other stream.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::ServerConnectionData;
use rustls::unbuffered::WriteTraffic;
use rustls::{Error, ServerConfig};

use super::hello;
use super::memory::borrow;
use super::outgoing::{GATHERED, TlsOutput};
use super::session::{TlsSession, Writer};
use crate::transport::Stream;

/// A connection, from its handshake to its end.
pub(crate) struct TlsStream {
    socket: Stream,
    session: TlsSession,
    outgoing: TlsOutput,
    /// Written by [`TlsStream::poll_write_more`], credited, and not yet encrypted.
    held: Vec<u8>,
}

/// As much of what is written waits for more.
const LARGEST_HELD: usize = 16 << 10;

impl TlsStream {
    pub(super) fn new(socket: Stream, config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { socket, session: TlsSession::new(config)?, outgoing: TlsOutput::default(), held: Vec::new() })
    }

    /// Reads some of the handshake, behind what was read of it; 0 is the end.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.session.poll_fill(&mut self.socket, context)
    }

    /// What was read and not processed yet.
    pub(crate) fn received(&self) -> &[u8] {
        self.session.received()
    }

    /// Whether the client's first message is there as a whole, or something that cannot become it.
    pub(crate) fn has_hello(&self) -> bool {
        hello::is_complete(self.session.received())
    }

    /// Processes what was read; `true` as soon as the handshake is complete. This is where the expensive arithmetic is done.
    ///
    /// # Errors
    /// What the client sent is no handshake, or none that can be agreed on. What is to be said about that is on its way out
    /// then: [`TlsStream::poll_flush`].
    pub(crate) fn process(&mut self) -> Result<bool, Error> {
        self.session.process(&mut self.outgoing, &mut [], None)?;
        Ok(!self.session.connection.is_handshaking())
    }

    /// Ready when all that was encrypted is written.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            ready!(self.outgoing.poll_write(&mut self.socket, context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// The protocol that was agreed on (RFC 7301); `None` if the client knows nothing of that.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.session.connection.alpn_protocol()
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    /// The socket alone, for a client that does not speak TLS.
    pub(crate) fn into_socket(self) -> Stream {
        self.socket
    }

    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.session.take(buffer) {
                0 if self.session.is_closed => return Poll::Ready(Ok(0)),
                0 => {}
                count => return Poll::Ready(Ok(count)),
            }
            match self.session.poll_fill(&mut self.socket, context) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Pending => {
                    // A ticket, or the answer to a change of keys: it waited for company that does not come.
                    if !self.outgoing.is_empty() && self.outgoing.owed == 0 {
                        let _it_may_wait = self.outgoing.poll_write(&mut self.socket, context)?;
                    }
                    return Poll::Pending;
                }
                end => return end,
            }
            match self.session.process(&mut self.outgoing, buffer, None) {
                Ok(0) => {}
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) => {
                    let _nobody_waits_for_the_alert = self.outgoing.poll_write(&mut self.socket, context)?;
                    return Poll::Ready(Err(invalid(error)));
                }
            }
        }
    }

    /// Writes some of these. What is returned counts bytes that the socket has taken; it may be that more are on their way.
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

    /// Takes these to be written with what follows at once, so that both are one record.
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
            // What was read before goes first.
            return self.poll_write(context, &[]);
        }
        let size = usize::try_from(end - start).unwrap_or(usize::MAX).min(GATHERED - self.held.len());
        let mut piece = borrow(size);
        match file.read_at(&mut piece[..size], start)? {
            0 => Poll::Ready(Ok(0)),
            count => self.poll_write(context, &[IoSlice::new(&piece[..count])]),
        }
    }

    /// Says that nothing more will be written. Does not wait for a client that reads nothing.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            self.encrypt(&[])?;
        }
        let mut say_goodbye: Writer<'_> = &mut |traffic, outgoing| outgoing.say_goodbye(traffic);
        let said = self.session.process(&mut self.outgoing, &mut [], Some(&mut say_goodbye));
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
        self.session.process(&mut self.outgoing, &mut [], Some(&mut encrypt)).map_err(invalid)?;
        result?;
        // It was credited when it was held.
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
