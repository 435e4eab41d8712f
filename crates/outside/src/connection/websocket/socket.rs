//! The socket of a WebSocket: the session reads from it, and queued frames leave by it, with as few writes as possible.
//!
//! Small frames are put together, so that many messages cost one system call; a large frame is written from its own
//! memory. As a rule no task waits for the socket: the leader flushes connections inside the event loop, without the
//! session's task. The session writes itself when the socket takes no more, or when the connection's end has begun.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use crate::budget::Account;
use crate::exchange::{Clock, ConnectionControl, Service};
use crate::transport::Stream;
use crate::websocket::{FlushStatus, FrameSink, Frames, WebSocketConnection};

/// A socket that the session and the leader use in turn, both inside the event loop.
pub(super) struct WebSocketSocket {
    /// The socket; `None` after the end, when the connection may still be held by its handler.
    wire: Mutex<Option<OpenSocket>>,
    /// Whether the session is called to look at its flush status.
    is_called: AtomicBool,
    pub(super) service: Arc<Service>,
    pub(super) control: Arc<ConnectionControl>,
}

struct OpenSocket {
    stream: Stream,
    /// Frames that were taken from the queue and have not left. An idle connection holds none.
    unsent: Option<Box<Unsent>>,
    /// When the socket last took bytes, in milliseconds of the clock.
    moved: u64,
}

#[derive(Default)]
struct Unsent {
    frames: Frames,
    /// Bytes of the frames that have been written.
    written: usize,
    /// Whether the session waits until the socket takes more bytes.
    is_stuck: bool,
}

impl WebSocketSocket {
    pub(super) fn new(stream: Stream, service: Arc<Service>, control: Arc<ConnectionControl>) -> Self {
        let wire = OpenSocket { stream, unsent: None, moved: service.clock.now() };
        Self { wire: Mutex::new(Some(wire)), is_called: AtomicBool::new(false), service, control }
    }

    /// Whether the session was called since the last time this was asked.
    pub(super) fn take_call(&self) -> bool {
        self.is_called.load(Ordering::Relaxed) && self.is_called.swap(false, Ordering::Relaxed)
    }

    /// When the socket last took bytes, in milliseconds of the clock.
    pub(super) fn moved(&self) -> u64 {
        self.lock().as_ref().map_or(0, |wire| wire.moved)
    }

    /// Reads into the buffer; 0 bytes are the end. `true`: the socket had no more, and will wake the task.
    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, bool)>> {
        let Some(wire) = &mut *self.lock() else { return Poll::Ready(Ok((0, false))) };
        wire.stream.poll_read_all(context, buffer)
    }

    /// Ready when all queued frames have been written, with the flush status at that time.
    pub(super) fn poll_write(
        &self,
        connection: &WebSocketConnection,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<FlushStatus>> {
        let Some(wire) = &mut *self.lock() else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        let clock = &self.service.clock;
        let polled = wire.write(connection, clock, |stream, slices| stream.poll_write(context, slices));
        if let Some(unsent) = &mut wire.unsent {
            unsent.is_stuck = polled.is_pending();
        }
        polled
    }

    pub(super) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.lock() {
            Some(wire) => wire.stream.poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes the socket.
    pub(super) fn close(&self) {
        let wire = self.lock().take();
        // The client has not taken all queued frames: the system must not keep them either.
        if let Some(OpenSocket { stream, unsent: Some(_), .. }) = &wire {
            stream.reset_on_close();
        }
        drop(wire);
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenSocket>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FrameSink for WebSocketSocket {
    fn flush(&self, connection: &WebSocketConnection) -> bool {
        let Some(wire) = &mut *self.lock() else { return true };
        let look = match wire.unsent.as_ref().is_some_and(|unsent| unsent.is_stuck) {
            true => Poll::Ready(Ok(connection.flush_status())),
            false => wire.write(connection, &self.service.clock, |stream, slices| stream.try_write(slices)),
        };
        let is_done = matches!(look, Poll::Ready(Ok(look)) if !look.concerns_session());
        if !is_done {
            self.is_called.store(true, Ordering::Relaxed);
        }
        is_done
    }

    fn account(&self) -> Option<Arc<Account>> {
        // Its queues have bounds of their own; the sum of all connections is that of the process.
        Some(Account::new(&self.service.budget, usize::MAX, Arc::clone(&self.control) as _))
    }

    fn prefetch(&self) -> bool {
        self.is_called.load(Ordering::Relaxed)
    }
}

impl OpenSocket {
    /// Ready when all queued frames have been written.
    fn write(
        &mut self,
        connection: &WebSocketConnection,
        clock: &Clock,
        mut write: impl FnMut(&mut Stream, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<FlushStatus>> {
        let mut look = None;
        loop {
            let mut unsent = Unsent::default();
            match self.unsent.take() {
                Some(left) => unsent = *left,
                None => look = Some(connection.take_frames(&mut unsent.frames)),
            }
            match self.write_some(&mut unsent, clock, &mut write) {
                Poll::Ready(Ok(())) => {}
                polled => {
                    self.unsent = Some(Box::new(unsent));
                    return polled.map_ok(|()| FlushStatus::default());
                }
            }
            // A frame that is queued from now on puts the connection into the flush queue.
            if let Some(look) = look.filter(|look| !look.has_more()) {
                return Poll::Ready(Ok(look));
            }
        }
    }

    /// Ready when all of `unsent` has been written.
    fn write_some(
        &mut self,
        unsent: &mut Unsent,
        clock: &Clock,
        write: &mut impl FnMut(&mut Stream, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let Unsent { frames: Frames { small, large }, written, .. } = unsent;
        let large = large.as_deref().unwrap_or_default();
        let length = small.len() + large.len();
        while *written < length {
            let small_left = small.get(*written..).unwrap_or_default();
            let large_left = &large[written.saturating_sub(small.len())..];
            let slices = match (small_left, large_left) {
                ([], large) => &[IoSlice::new(large)][..],
                (small, []) => &[IoSlice::new(small)],
                (small, large) => &[IoSlice::new(small), IoSlice::new(large)],
            };
            let count = ready!(write(&mut self.stream, slices))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            *written += count;
            self.moved = clock.now();
        }
        Poll::Ready(Ok(()))
    }
}
