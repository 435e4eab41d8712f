//! One keep-alive connection: writes a batch of requests, reads until each has its response.
//!
//! It knows nothing of phases and clocks: [`Connection::receive`] tells the responses that came, the driver above decides whether to
//! send again. A connection that the server closes is opened anew by [`Connection::reconnect`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, recv};

use crate::response::{Checker, Verdict, head_of};
use crate::secure::Secure;
use crate::sink::Sink;
use crate::websocket;

/// Bytes read at once where the following bytes shall not be copied.
const SMALL: usize = 4096;

/// The outcome of one readiness of a connection.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) responses: usize,
    pub(crate) wrong: usize,
    pub(crate) bytes: usize,
    /// The connection is at its end, announced or not.
    pub(crate) closed: bool,
    pub(crate) why: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    secure: Option<Box<Secure>>,
    pub(crate) group: usize,
    pub(crate) connected: bool,
    /// May it be asked? A WebSocket only when it is open.
    pub(crate) ready: bool,
    /// Requests sent and not yet answered.
    pub(crate) outstanding: usize,
    /// Whether a batch was sent whose end the driver has not seen.
    pub(crate) in_batch: bool,
    pub(crate) sent_at: Instant,
    pub(crate) opened_at: Instant,
    /// The rest of the batch that is still to be written: a range of the group's batch bytes.
    unsent: std::ops::Range<usize>,
    /// The beginning of a response whose rest has not come.
    partial: Vec<u8>,
    /// Where content is only counted.
    sink: Sink,
}

impl Connection {
    pub(crate) fn open(
        registry: &Registry,
        token: Token,
        group: usize,
        address: SocketAddr,
        secure: Option<Secure>,
    ) -> io::Result<Self> {
        Ok(Self {
            stream: connect(registry, token, address)?,
            secure: secure.map(Box::new),
            group,
            connected: false,
            ready: false,
            outstanding: 0,
            in_batch: false,
            sent_at: Instant::now(),
            opened_at: Instant::now(),
            unsent: 0..0,
            partial: Vec::new(),
            sink: Sink::default(),
        })
    }

    /// Replaces the socket; outstanding requests are forgotten.
    pub(crate) fn reconnect(&mut self, registry: &Registry, token: Token, address: SocketAddr) -> io::Result<()> {
        // A closed descriptor leaves its epoll set by itself.
        self.opened_at = Instant::now();
        self.stream = connect(registry, token, address)?;
        if let Some(secure) = &mut self.secure {
            secure.renew(address)?;
        }
        self.connected = false;
        self.ready = false;
        self.outstanding = 0;
        self.unsent = 0..0;
        self.partial.clear();
        self.sink = Sink::default();
        Ok(())
    }

    /// Whether the handshake is done, asked on the first writability.
    pub(crate) fn finish_connect(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stream.set_nodelay(true)?;
                self.connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The TLS of this connection, if it has any, and its socket.
    pub(crate) fn secure(&mut self) -> Option<(&mut Secure, &mut TcpStream)> {
        Some((self.secure.as_deref_mut()?, &mut self.stream))
    }

    /// Starts a batch: `count` requests, the first `length` bytes of `batch`.
    pub(crate) fn send(&mut self, batch: &[u8], count: usize, length: usize, now: Instant) -> io::Result<()> {
        self.outstanding = count;
        self.sent_at = now;
        self.unsent = 0..length;
        self.write(batch)
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.secure.as_ref().is_some_and(|secure| secure.wants_write())
    }

    pub(crate) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            secure.flush(&mut self.stream)?;
        }
        while !self.unsent.is_empty() {
            let bytes = &batch[self.unsent.clone()];
            let written = match &mut self.secure {
                Some(secure) => secure.write(&mut self.stream, bytes),
                None => self.stream.write(bytes),
            };
            match written {
                Ok(count) => self.unsent.start += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the request that opens a WebSocket.
    pub(crate) fn open_websocket(&mut self, opening: &[u8]) -> io::Result<()> {
        self.unsent = 0..opening.len();
        self.write(opening)
    }

    /// Reads the answer to it; `true` when it is open.
    pub(crate) fn finish_opening(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => return Err(io::Error::other("closed while a WebSocket was opened")),
            Ok(count) => self.partial.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        self.ready = websocket::is_open(&self.partial).map_err(io::Error::other)?.is_some();
        if self.ready {
            self.partial = Vec::new();
        }
        Ok(self.ready)
    }

    /// The same for content that is only counted: the kernel throws those bytes away without a copy (`MSG_TRUNC`,
    /// tcp(7)), so that the load is no slower than the server.
    pub(crate) fn receive_and_drop(&mut self, buffer: &mut [u8], checker: &mut Checker) -> Received {
        let mut received = Received::default();
        while !received.closed {
            let droppable = self.sink.droppable().min(buffer.len());
            let read = match droppable {
                0 => self.stream.read(&mut buffer[..SMALL]),
                _ => recv(&self.stream, &mut buffer[..droppable], RecvFlags::TRUNC)
                    .map(|(_, count)| count)
                    .map_err(io::Error::from),
            };
            let judged = match read {
                Ok(0) => Err("closed within a response".to_owned()),
                Ok(count) => {
                    received.bytes += count;
                    match droppable {
                        0 => self.sink.receive(&buffer[..count], head_of),
                        _ => Ok(self.sink.dropped(count)),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error.to_string()),
            };
            match judged.and_then(|ended| ended.map(|length| checker.check_length(length)).transpose()) {
                Ok(None) => {}
                Ok(Some(())) if self.outstanding == 1 => {
                    self.outstanding = 0;
                    received.responses += 1;
                    break;
                }
                Ok(Some(())) => {
                    received.why = Some("a response nobody asked for".into());
                    received.closed = true;
                }
                Err(why) => {
                    received.why = Some(why);
                    received.closed = true;
                }
            }
        }
        received
    }

    /// Reads the bytes that are there and counts the responses in them.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], checker: &mut Checker) -> Received {
        let mut received = Received::default();
        loop {
            let read = match &mut self.secure {
                Some(secure) => secure.read(&mut self.stream, buffer),
                None => self.stream.read(buffer),
            };
            let count = match read {
                Ok(0) => {
                    received.closed = true;
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    received.closed = true;
                    received.why = Some(error.to_string());
                    break;
                }
            };
            received.bytes += count;
            if self.partial.is_empty() {
                let used = self.consume(&buffer[..count], checker, &mut received);
                self.partial.extend_from_slice(&buffer[used..count]);
            } else {
                self.partial.extend_from_slice(&buffer[..count]);
                let partial = std::mem::take(&mut self.partial);
                let used = self.consume(&partial, checker, &mut received);
                self.partial.extend_from_slice(&partial[used..]);
            }
            // A short read has emptied the socket; more will raise a new edge. A record's end says nothing of the socket's.
            if received.closed || (count < buffer.len() && self.secure.is_none()) {
                break;
            }
        }
        received
    }

    fn consume(&mut self, bytes: &[u8], checker: &mut Checker, received: &mut Received) -> usize {
        let mut used = 0;
        while used < bytes.len() && !received.closed {
            if self.outstanding == 0 {
                received.why = Some("a response nobody asked for".into());
                received.wrong += 1;
                received.closed = true;
                break;
            }
            match checker.check(&bytes[used..]) {
                Verdict::Incomplete => break,
                Verdict::Passed { length } => {
                    used += length;
                    continue;
                }
                Verdict::Good { length, close } => {
                    used += length;
                    received.responses += 1;
                    received.closed = close;
                }
                Verdict::Wrong { length, why } => {
                    used += length;
                    received.wrong += 1;
                    received.why = Some(why);
                }
                Verdict::Garbage(why) => {
                    received.wrong += 1;
                    received.why = Some(why);
                    received.closed = true;
                }
            }
            self.outstanding -= 1;
        }
        used
    }
}

fn connect(registry: &Registry, token: Token, address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}
