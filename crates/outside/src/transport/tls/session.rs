//! The rustls state of a connection, and the received ciphertext that it works on.
//!
//! Ciphertext is read into borrowed memory; an idle connection holds none.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, WriteTraffic};
use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConfig};

use super::memory::{Memory, borrow};
use super::outgoing::TlsOutput;
use crate::transport::Stream;

/// The rustls state, and its input.
pub(super) struct TlsSession {
    pub(super) connection: UnbufferedServerConnection,
    /// Ciphertext that is not processed yet: part of a record, or of a handshake message.
    incoming: Memory,
    start: usize,
    end: usize,
    /// Plaintext that the reader has not taken yet.
    plain: Vec<u8>,
    taken: usize,
    /// Whether the client has announced that no more will come.
    pub(super) is_closed: bool,
}

/// Bytes of an incomplete record up to which they are copied, so that the memory of a whole record can be given back.
const LITTLE: usize = 2 << 10;
/// Bytes that are read at once: more than a record (RFC 8446 section 5.2).
pub(super) const READ: usize = 18 << 10;
/// Bytes that are read at once of content, of which many records are on their way: four of the largest.
pub(super) const READ_CONTENT: usize = 65 << 10;
/// Bytes of the largest handshake message. It may be split into records and must be complete to be processed; RFC 8446
/// section 4 allows more, but no client needs it.
const LARGEST_MESSAGE: usize = 80 << 10;

/// Called as soon as application data may be written.
pub(super) type Writer<'w> = &'w mut dyn FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut TlsOutput);

/// Where plaintext goes.
pub(super) enum Destination<'b> {
    None,
    /// Into a buffer, of which the first bytes are taken.
    Buffer(&'b mut [u8], usize),
    /// Behind the content of a buffer, which does not grow: the number of bytes that it still takes, and of those that it took.
    Behind(&'b mut Vec<u8>, usize, usize),
}

impl Destination<'_> {
    /// Takes plaintext, as much as fits; returns the rest.
    fn take<'p>(&mut self, plain: &'p [u8]) -> &'p [u8] {
        match self {
            Self::None => plain,
            Self::Buffer(buffer, taken) => {
                let count = plain.len().min(buffer.len() - *taken);
                buffer[*taken..*taken + count].copy_from_slice(&plain[..count]);
                *taken += count;
                &plain[count..]
            }
            Self::Behind(buffer, room, taken) => {
                let count = plain.len().min(*room);
                buffer.extend_from_slice(&plain[..count]);
                (*room, *taken) = (*room - count, *taken + count);
                &plain[count..]
            }
        }
    }

    /// Bytes that were taken.
    pub(super) fn taken(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Buffer(_, taken) | Self::Behind(_, _, taken) => *taken,
        }
    }

    /// Bytes of ciphertext that are read at once for it.
    pub(super) fn read_size(&self) -> usize {
        match self {
            Self::Behind(..) => READ_CONTENT,
            _ => READ,
        }
    }
}

impl TlsSession {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            incoming: Memory::default(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            taken: 0,
            is_closed: false,
        })
    }

    /// Reads ciphertext behind the bytes that are there, into room of `size` bytes if there is none; 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        socket: &mut Stream,
        size: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.make_room(size) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let polled = socket.poll_read(context, &mut self.incoming[self.end..]);
        if let Poll::Ready(Ok(count)) = polled {
            self.end += count;
        }
        self.tidy();
        if polled.is_pending() {
            self.shrink();
        }
        polled
    }

    /// Begins anew with another configuration, before any byte was processed.
    pub(super) fn restart(&mut self, config: Arc<ServerConfig>) -> Result<(), Error> {
        self.connection = UnbufferedServerConnection::new(config)?;
        Ok(())
    }

    /// The version of TLS, and whether an earlier session was resumed, once the handshake is complete.
    pub(super) fn terms(&self) -> Option<(&'static str, bool)> {
        let version = match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => "1.3",
            ProtocolVersion::TLSv1_2 => "1.2",
            _ => "other",
        };
        Some((version, self.connection.handshake_kind()? == HandshakeKind::Resumed))
    }

    /// Bytes that were read and not processed yet.
    pub(super) fn received(&self) -> &[u8] {
        &self.incoming[self.start..self.end]
    }

    /// Processes all complete records, then calls the writer if application data may be written. Plaintext goes into
    /// the destination, and the rest is kept.
    pub(super) fn process(
        &mut self,
        outgoing: &mut TlsOutput,
        into: &mut Destination<'_>,
        mut writer: Option<Writer<'_>>,
    ) -> Result<(), Error> {
        let mut failure = None;
        loop {
            let status = self.connection.process_tls_records(&mut self.incoming[self.start..self.end]);
            self.start += status.discard;
            let goes_on = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        self.plain.extend_from_slice(into.take(record?.payload));
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    outgoing.encode(|room| data.encode(room))?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // Already in `outgoing`, which keeps the order.
                    data.done();
                    true
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if let Some(writer) = writer.take() {
                        writer(&mut traffic, outgoing);
                    }
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_closed = true;
                    true
                }
                Ok(ConnectionState::Closed) => {
                    self.is_closed = true;
                    false
                }
                Ok(_) => false,
                Err(error) => {
                    failure = Some(error);
                    true
                }
            };
            // After a failure no more is processed; only an alert about it may remain to be sent.
            if !goes_on || (failure.is_some() && !self.connection.wants_write()) {
                self.tidy();
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Hands over plaintext that was kept, as much as fits.
    pub(super) fn take(&mut self, into: &mut Destination<'_>) {
        let rest = into.take(&self.plain[self.taken..]);
        self.taken = self.plain.len() - rest.len();
        if self.taken == self.plain.len() {
            self.plain = Vec::new();
            self.taken = 0;
        }
    }

    /// Makes room for at least one more byte. Returns `false` if the client sends more than any handshake needs.
    fn make_room(&mut self, size: usize) -> bool {
        if self.incoming.len() < size {
            let mut larger = borrow(size);
            larger[..self.end].copy_from_slice(&self.incoming[..self.end]);
            self.incoming = larger;
        } else if self.end == self.incoming.len() {
            if self.start > 0 {
                self.incoming.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else if self.connection.is_handshaking() && self.end < LARGEST_MESSAGE {
                self.incoming.grow(2 * self.end);
            }
        }
        self.end < self.incoming.len()
    }

    /// A client that has stopped within a record keeps only the memory of the bytes that it has sent.
    fn shrink(&mut self) {
        let left = self.end - self.start;
        if left > 0 && left <= LITTLE && self.incoming.len() >= READ {
            self.incoming = Memory::of(self.received());
            (self.start, self.end) = (0, left);
        }
    }

    /// An idle connection holds no memory.
    fn tidy(&mut self) {
        if self.start == self.end {
            self.incoming = Memory::default();
            (self.start, self.end) = (0, 0);
        }
    }
}
