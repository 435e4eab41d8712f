//! A session's way out: frames that are queued, gathered for one write.
//!
//! Small frames are copied together, large ones are written where they lie: what is published is shared by all its
//! subscribers, and a slow one must not cost a copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::buffer::{give_output, take_output};
use crate::transport::Stream;
use crate::websocket::{Outgoing, WebSocketConnection};

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

impl Outlet {
    /// Bytes that the socket has taken so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Ready when all that is queued has been written.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Stream,
        connection: &WebSocketConnection,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.written == self.small.len() + self.large.len() && !self.gather(connection) {
                return Poll::Ready(Ok(()));
            }
            let small = &self.small[self.written.min(self.small.len())..];
            let large = &self.large[self.written.saturating_sub(self.small.len())..];
            let slices = [IoSlice::new(small), IoSlice::new(large)];
            let slices = match (small.is_empty(), large.is_empty()) {
                (false, true) => &slices[..1],
                (true, false) => &slices[1..],
                _ => &slices[..],
            };
            match stream.poll_write(context, slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.moved += count as u64;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Puts what is queued together for one write; `false` if there is nothing.
    fn gather(&mut self, connection: &WebSocketConnection) -> bool {
        self.written = 0;
        self.small.clear();
        self.large = Bytes::new();
        if self.taken.is_empty() {
            connection.take_outgoing(&mut self.taken, GATHERED);
        }
        if self.taken.is_empty() {
            // A connection that rests holds nothing.
            if self.small.capacity() > 0 {
                give_output(std::mem::take(&mut self.small));
            }
            self.taken.shrink_to(1);
            return false;
        }
        while self.large.is_empty()
            && let Some(outgoing) = self.taken.pop_front()
        {
            if outgoing.frame.len() >= LARGE {
                self.large = outgoing.frame;
                break;
            }
            if self.small.capacity() == 0 {
                self.small = take_output();
            }
            self.small.extend_from_slice(&outgoing.frame);
        }
        true
    }
}
