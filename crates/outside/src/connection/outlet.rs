//! A session's way out: frames that are queued, gathered for one write.
//!
//! Small frames are copied together, large ones are written where they lie: what is published is shared by all its
//! subscribers, and a slow one must not cost a copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::buffer::{give_output, take_output};
use crate::transport::Stream;
use crate::websocket::{Look, Outgoing, WebSocketConnection};

/// Frames on their way from a connection's queue to its socket.
#[derive(Default)]
pub(super) struct Outlet {
    /// Taken from the queue.
    taken: VecDeque<Outgoing>,
    /// Small ones in a row, and a large one behind them.
    small: Vec<u8>,
    large: Bytes,
    /// Bytes of both that the socket has taken.
    written: usize,
    moved: u64,
}

/// As much is gathered for one write, in bytes.
const GATHERED: usize = 64 << 10;
/// Frames from this size on are not copied, in bytes.
const LARGE: usize = 16 << 10;
/// A connection that rests keeps room for so many frames.
const KEPT: usize = 4;

impl Outlet {
    /// Bytes that the socket has taken so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Ready when all that was queued has been written, and how things stand then.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Stream,
        connection: &WebSocketConnection,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Look>> {
        loop {
            if self.written < self.small.len() + self.large.len() || !self.taken.is_empty() {
                ready!(self.poll_flush(stream, context))?;
            }
            let look = connection.look(context, &mut self.taken, GATHERED);
            if self.taken.is_empty() {
                self.rest();
                return Poll::Ready(Ok(look));
            }
            if !look.has_more {
                // What is queued from now on wakes the session again.
                ready!(self.poll_flush(stream, context))?;
                return Poll::Ready(Ok(look));
            }
        }
    }

    /// Ready when all that was taken has been written.
    fn poll_flush(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.small.len() + self.large.len() || self.gather() {
            let small = &self.small[self.written.min(self.small.len())..];
            let large = &self.large[self.written.saturating_sub(self.small.len())..];
            let slices = [IoSlice::new(small), IoSlice::new(large)];
            let slices = match (small.is_empty(), large.is_empty()) {
                (false, true) => &slices[..1],
                (true, false) => &slices[1..],
                _ => &slices[..],
            };
            let count = ready!(stream.poll_write(context, slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.moved += count as u64;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what was taken together for one write; `false` if there is nothing.
    fn gather(&mut self) -> bool {
        self.written = 0;
        self.small.clear();
        self.large = Bytes::new();
        let is_alone = self.taken.len() == 1;
        while let Some(outgoing) = self.taken.pop_front() {
            if is_alone || outgoing.frame.len() >= LARGE {
                self.large = outgoing.frame;
                return true;
            }
            if self.small.capacity() == 0 {
                self.small = take_output();
            }
            self.small.extend_from_slice(&outgoing.frame);
        }
        !self.small.is_empty()
    }

    /// A connection that rests holds next to nothing.
    fn rest(&mut self) {
        if self.small.capacity() > 0 {
            give_output(std::mem::take(&mut self.small));
        }
        if self.taken.capacity() > KEPT {
            self.taken = VecDeque::new();
        }
    }
}
