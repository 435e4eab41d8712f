//! The socket under `h2`: it counts the frames that come in, and gathers the bytes that go out.
//!
//! `h2` owns one end and believes that the bytes it wrote are on their way. The connection's task holds the other end,
//! and sends the gathered bytes with one write when `h2` writes no more.
//!
//! There are two ends because `h2` reads and writes whenever it is polled, one frame at a time, and gives no account of
//! it. Its reads pass a counter of frames, which holds bytes back until their frames are paid for and replaces
//! malformed field blocks; its writes go into `out`. `h2` takes `Pending` from a write for "the socket is full" and
//! waits; so the task polls it again when a flush has made room (`is_awaited`). A flush that ends within a frame sets
//! `is_cut`: the next bytes in `out` do not begin with the head of a frame, and must not be searched for resets.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::buffer::{ReadBuffer, give_output, take_output};
use crate::connection::close::ClosingConnection;
use crate::exchange::{Dispatcher, Service};
use crate::protocol::http2::{FrameCounter, Malformed, Passage, advertise, resets_of};
use crate::transport::Stream;

/// The end that `h2` holds.
pub(super) struct H2End(Arc<Mutex<Inner>>);

/// The end that the connection's task holds.
pub(super) struct TaskEnd(Arc<Mutex<Inner>>);

struct Inner {
    stream: Stream,
    /// Bytes that were read and that `h2` has not taken yet; the preface of HTTP/2 is among them at first.
    before: ReadBuffer,
    service: Arc<Service>,
    counter: FrameCounter,
    /// Unread bytes that `h2` may have. Behind them it gets `instead`, in place of `replaced` unread bytes.
    passable: usize,
    instead: Vec<u8>,
    instead_taken: usize,
    replaced: usize,
    /// Whether the unread bytes behind these have to wait for more bytes of the client.
    waits: bool,
    /// Bytes gathered for the socket: those before `sent` have left, those before `searched` were searched for resets.
    out: Vec<u8>,
    sent: usize,
    searched: usize,
    /// Whether `out` begins within a frame.
    is_cut: bool,
    has_spoken: bool,
    /// Whether the socket had no more bytes; it is not asked again before the task is polled anew.
    is_dry: bool,
    /// Whether the client has closed its side.
    has_ended: bool,
    /// Whether `h2` waits until the socket takes more bytes.
    is_awaited: bool,
    /// When bytes last came in, in milliseconds of the clock.
    heard: u64,
    /// Since when the socket takes no more, in milliseconds of the clock, and the bytes that it has taken since.
    blocked: Option<(u64, u64)>,
}

/// The state of the socket, as the connection's task needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketState {
    /// Whether the client's frames cost more than they may.
    pub(super) is_spent: bool,
    pub(super) is_in_block: bool,
    pub(super) has_touched: bool,
    /// Whether messages came that break the rules, and `h2` got other frames in their place.
    pub(super) has_malformed: bool,
    /// The number of streams that the client has opened.
    pub(super) opened: u64,
    pub(super) heard: u64,
    /// Whether the client has closed its side. `h2` is not told, since it would give up all streams.
    pub(super) has_ended: bool,
    pub(super) blocked: Option<(u64, u64)>,
}

/// Bytes that are gathered for one write at most.
const GATHERED: usize = 64 << 10;

/// Both ends of a socket. `before` are bytes that were read from it already.
pub(super) fn socket_ends(stream: Stream, before: ReadBuffer, service: Arc<Service>) -> (H2End, TaskEnd) {
    let (now, longest_path) = (service.clock.now(), service.config.max_request_line);
    let inner = Arc::new(Mutex::new(Inner {
        stream,
        before,
        service,
        counter: FrameCounter::new(now, longest_path),
        passable: 0,
        instead: Vec::new(),
        instead_taken: 0,
        replaced: 0,
        waits: false,
        out: Vec::new(),
        sent: 0,
        searched: 0,
        is_cut: false,
        has_spoken: false,
        is_dry: false,
        has_ended: false,
        is_awaited: false,
        heard: now,
        blocked: None,
    }));
    (H2End(Arc::clone(&inner)), TaskEnd(inner))
}

impl TaskEnd {
    /// Has the socket read again, because the task is polled and bytes may have come in.
    pub(super) fn refresh(&self) {
        lock(&self.0).is_dry = false;
    }

    pub(super) fn state(&self) -> SocketState {
        let mut inner = lock(&self.0);
        SocketState {
            has_malformed: inner.counter.blocks().has_malformed(),
            opened: inner.counter.opened(),
            is_spent: inner.counter.is_spent(),
            is_in_block: inner.counter.is_in_block(),
            has_touched: inner.counter.has_touched(),
            heard: inner.heard,
            has_ended: inner.has_ended,
            blocked: inner.blocked,
        }
    }

    /// See [`FrameCounter::take_touched`].
    pub(super) fn take_touched(&self) -> Vec<u32> {
        lock(&self.0).counter.take_touched()
    }

    /// The path of a stream, if the path did not travel in the head that `h2` got.
    pub(super) fn take_path(&self, stream: u32) -> Option<Box<str>> {
        lock(&self.0).counter.blocks().take_path(stream)
    }

    /// The messages that broke the rules since the last call, and the streams that `h2` has reset since then.
    pub(super) fn take_malformed(&self) -> (Vec<Malformed>, Vec<u32>) {
        let mut inner = lock(&self.0);
        let end = inner.out.len();
        let searched = std::mem::replace(&mut inner.searched, end);
        let resets = if inner.is_cut { Vec::new() } else { resets_of(&inner.out[searched..]).collect() };
        (inner.counter.blocks().take_malformed(), resets)
    }

    /// Ready when all gathered bytes have been written: `true` if `h2` has waited for that, and has to be polled again.
    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut inner = lock(&self.0);
        ready!(inner.poll_flush(context))?;
        inner.is_cut = inner.is_awaited;
        Poll::Ready(Ok(std::mem::take(&mut inner.is_awaited)))
    }

    /// Whether the connection was reset, as far as the system knows.
    pub(super) fn is_reset(&self) -> bool {
        lock(&self.0).stream.is_reset()
    }

    /// See [`Stream::reset_on_close`].
    pub(super) fn reset_on_close(&self) {
        lock(&self.0).stream.reset_on_close();
    }

    /// See [`ClosingConnection::poll`].
    pub(super) fn poll_close(
        &self,
        closing: &mut ClosingConnection,
        dispatcher: &Dispatcher,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        closing.poll(&mut lock(&self.0).stream, &dispatcher.control, &dispatcher.service, context)
    }
}

impl Inner {
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let slices = [IoSlice::new(&self.out[self.sent..])];
            match self.stream.poll_write(context, &slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.counter.sent(count);
                    if let Some((_, taken)) = &mut self.blocked {
                        *taken += count as u64;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked.get_or_insert((self.service.clock.now(), 0));
                    return Poll::Pending;
                }
            }
        }
        self.blocked = None;
        (self.sent, self.searched) = (0, 0);
        if self.out.capacity() > 0 {
            give_output(std::mem::take(&mut self.out));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_gather(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() + bytes.len() > GATHERED {
            self.is_awaited = true;
            ready!(self.poll_flush(context))?;
            (self.is_awaited, self.is_cut) = (false, true);
        }
        if self.out.capacity() == 0 {
            self.out = take_output();
        }
        let take = bytes.len().min(GATHERED);
        let start = self.out.len();
        self.out.extend_from_slice(&bytes[..take]);
        if !std::mem::replace(&mut self.has_spoken, true) {
            // The first bytes of `h2` are its settings.
            advertise(&mut self.out[start..], u32::try_from(self.service.config.max_header_size).unwrap_or(u32::MAX));
        }
        Poll::Ready(Ok(take))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.passable > 0 {
                let count = self.passable.min(buffer.remaining());
                buffer.put_slice(&self.before.unread()[..count]);
                self.before.consume(count);
                self.passable -= count;
                return Poll::Ready(Ok(()));
            }
            if self.replaced > 0 {
                self.give_instead(buffer);
                return Poll::Ready(Ok(()));
            }
            // The task learns of frames that cost too much when `h2` has no work left.
            if self.counter.is_spent() {
                return Poll::Pending;
            }
            if self.waits || self.before.unread().is_empty() {
                if self.is_dry || self.has_ended {
                    return Poll::Pending;
                }
                // The bytes do not go to the buffer of `h2`: it would have to be cleared for each read, often in vain.
                let read = self.stream.poll_read(context, self.before.room(self.service.config.recv_size));
                if let Poll::Ready(Ok(count)) = read {
                    self.before.filled(count);
                    self.has_ended |= count == 0;
                }
                self.before.unused();
                self.is_dry = read.is_pending();
                ready!(read)?;
                if self.has_ended {
                    return Poll::Pending;
                }
            }
            let now = self.service.clock.now();
            self.heard = now;
            let Passage { count, instead } = self.counter.receive(self.before.unread(), now);
            self.passable = count;
            self.waits = instead.is_none();
            if let Some((replaced, frames)) = instead {
                (self.replaced, self.instead) = (replaced, frames);
            }
        }
    }

    fn give_instead(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.instead[self.instead_taken..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.instead_taken += count;
        if self.instead_taken == self.instead.len() {
            (self.instead, self.instead_taken) = (Vec::new(), 0);
            self.before.consume(std::mem::take(&mut self.replaced));
        }
    }
}

impl AsyncRead for H2End {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for H2End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_gather(context, bytes)
    }

    /// The connection's task flushes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The connection's task closes.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
