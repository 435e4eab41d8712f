//! Buffers that a connection borrows while it has bytes for them, and gives back when they are empty.
//!
//! An idle connection holds none. Each thread that drives the event loop has a pool of its own. Buffers of large
//! content are shared by all threads: otherwise each thread that ever drives the loop would keep its own maximum.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::exchange::{ConnectionControl, Exchange, Stop, Waiting};
use crate::message::Request;
use crate::transport::Stream;

thread_local! {
    static POOL: RefCell<BufferPool> = RefCell::new(BufferPool::default());
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct BufferPool {
    input: Vec<Vec<u8>>,
    output: Vec<Vec<u8>>,
    requests: Vec<Arc<Request>>,
    exchanges: Vec<Vec<Exchange>>,
}

/// Buffers of each kind that the pool of a thread keeps; further ones are freed.
const KEPT: usize = 64;
/// Requests that the pool of a thread keeps, whatever memory they have: a connection that speaks HTTP/2 holds a hundred of them at a time.
const REQUESTS_KEPT: usize = 256;
/// Requests that the pool keeps if they have little memory: 64 connections that pipeline hold a thousand.
const SMALL_REQUESTS_KEPT: usize = 1024;
/// Bytes of memory of a request that has little.
const SMALL_REQUEST: usize = 2 << 10;
/// Exchanges of the largest list that the pool keeps; larger ones are freed.
const MOST_EXCHANGES: usize = 64;
/// Bytes of the largest output buffer that the pool keeps; larger ones are freed.
const LARGEST_OUTPUT: usize = 128 << 10;

/// Lends `read` a buffer of `size` bytes, for one read and for the work on the bytes that it brings.
pub(super) fn with_scratch<R>(size: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() != size {
            scratch.resize(size, 0);
        }
        read(scratch)
    })
}

/// Bytes of the client that were read and are not yet decoded.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// A buffer that begins with these unread bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { start: 0, end: bytes.len(), bytes: bytes.to_vec() }
    }

    /// The bytes that are not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes that are not yet consumed, to be changed in place.
    pub(super) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Drops the first `count` unread bytes. The memory goes back to the pool when no byte is left.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            self.give_back();
        }
    }

    /// Room for at least one more byte, behind the unread bytes. `size` is the size of a new buffer.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            let pooled = POOL.with_borrow_mut(|pool| pool.input.pop());
            self.bytes = pooled.filter(|bytes| bytes.len() == size).unwrap_or_else(|| vec![0; size]);
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Counts the first `count` bytes of the room as unread bytes.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Gives the memory back if the buffer holds no unread byte.
    pub(super) fn unused(&mut self) {
        if self.start == self.end && !self.bytes.is_empty() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        (self.start, self.end) = (0, 0);
        POOL.with_borrow_mut(|pool| {
            if pool.input.len() < KEPT && pool.input.first().is_none_or(|first| first.len() == bytes.len()) {
                pool.input.push(bytes);
            }
        });
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if !self.bytes.is_empty() && self.bytes.len() <= 64 << 10 {
            self.give_back();
        }
    }
}

/// An empty buffer for output, from the pool of this thread.
pub(super) fn take_output() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.output.pop()).unwrap_or_else(|| Vec::with_capacity(4096))
}

pub(super) fn give_output(mut bytes: Vec<u8>) {
    if bytes.capacity() <= LARGEST_OUTPUT {
        bytes.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.output.len() < KEPT {
                pool.output.push(bytes);
            }
        });
    }
}

/// An empty request with this as its only reference. Its address may be that of an earlier client.
pub(super) fn take_request(address: SocketAddr) -> Arc<Request> {
    let request = POOL.with_borrow_mut(|pool| pool.requests.pop());
    request.unwrap_or_else(|| Arc::new(Request::empty(address)))
}

/// Adds an exchange. A connection has room for one; for the requests that a client pipelines the pool lends room for all of them.
pub(super) fn push_exchange(exchanges: &mut Vec<Exchange>, exchange: Exchange) {
    if exchanges.capacity() == 0 {
        exchanges.reserve_exact(1);
    } else if exchanges.len() == 1 && exchanges.capacity() == 1 {
        let pooled = POOL.with_borrow_mut(|pool| pool.exchanges.pop());
        let mut larger = pooled.unwrap_or_else(|| Vec::with_capacity(16));
        larger.append(exchanges);
        *exchanges = larger;
    }
    exchanges.push(exchange);
}

/// Gives the room for pipelined requests back to the pool when their exchanges are gone.
pub(super) fn give_exchanges(exchanges: &mut Vec<Exchange>) {
    if exchanges.capacity() <= 1 || !exchanges.is_empty() {
        return;
    }
    let room = std::mem::take(exchanges);
    POOL.with_borrow_mut(|pool| {
        if room.capacity() <= MOST_EXCHANGES && pool.exchanges.len() < KEPT {
            pool.exchanges.push(room);
        }
    });
}

/// Keeps the memory of a finished exchange's request, if this is its only reference.
pub(super) fn recycle(exchange: Exchange) {
    let Some(mut request) = exchange.request else { return };
    if let Some(inner) = Arc::get_mut(&mut request) {
        if inner.content.capacity() >= LARGE {
            keep_content(inner);
        }
        inner.clear();
        let memory = inner.headers.kept_memory() + inner.content.capacity();
        let most = if memory <= SMALL_REQUEST { SMALL_REQUESTS_KEPT } else { REQUESTS_KEPT };
        POOL.with_borrow_mut(|pool| {
            if pool.requests.len() < most {
                pool.requests.push(request);
            }
        });
    }
}

/// Bytes: content of at least this size takes its memory from the buffers that all threads share, in multiples of this.
pub(super) const LARGE: usize = 256 << 10;
/// Bytes of free buffers of large content that are kept in all; further ones are freed.
const MOST_KEPT: usize = 64 << 20;
/// Bytes of the largest free buffer of content that is kept; larger ones are freed.
const LARGEST_KEPT: usize = 4 << 20;

static LARGE_CONTENTS: Mutex<LargeContents> = Mutex::new(LargeContents { free: Vec::new(), bytes: 0, unused: 0 });

/// Buffers of large content that are kept to be used again.
///
/// All threads share them, because any thread may lead an event loop and read content: with a pool for each thread,
/// every thread that ever led would keep its own. `free` is a stack, so the buffers at its bottom are the ones that
/// were not needed for longest. `unused` counts them: each call of `trim` sets it to all buffers, and it falls whenever
/// the stack becomes shorter than that. The next call of `trim` frees the buffers that are still counted.
struct LargeContents {
    free: Vec<Vec<u8>>,
    /// Bytes of capacity of all free buffers together.
    bytes: usize,
    /// The number of buffers, from the bottom of the stack, that were not taken since the last call of `trim`.
    unused: usize,
}

impl LargeContents {
    fn take(&mut self) -> Option<Vec<u8>> {
        let found = self.free.pop()?;
        self.bytes -= found.capacity();
        self.unused = self.unused.min(self.free.len());
        Some(found)
    }

    /// Keeps an empty buffer; returns it if there is no room for it.
    fn give(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        let size = buffer.capacity();
        if size > LARGEST_KEPT || self.bytes + size > MOST_KEPT {
            return Some(buffer);
        }
        self.bytes += size;
        self.free.push(buffer);
        None
    }

    /// Removes the buffers that were not taken since the last call.
    fn trim(&mut self) -> Vec<Vec<u8>> {
        let unused: Vec<_> = self.free.drain(..self.unused).collect();
        self.bytes -= unused.iter().map(Vec::capacity).sum::<usize>();
        self.unused = self.free.len();
        unused
    }
}

/// An empty buffer with room for at least `room` bytes.
pub(super) fn take_content(room: usize) -> Vec<u8> {
    let found = large_contents().take();
    found.filter(|buffer| buffer.capacity() >= room).unwrap_or_else(|| Vec::with_capacity(room.next_multiple_of(LARGE)))
}

/// A function of its own, out of line, so that requests without content run through less code.
#[cold]
#[inline(never)]
fn keep_content(request: &mut Request) {
    let mut buffer = std::mem::take(&mut request.content);
    buffer.clear();
    // The lock is released at the end of this statement; a buffer that does not fit is freed after that.
    let _too_much = large_contents().give(buffer);
}

/// Frees the large buffers that were not used since the last call; the ticker calls it several times a second.
pub(crate) fn trim_memory() {
    let _unused = large_contents().trim();
}

fn large_contents() -> MutexGuard<'static, LargeContents> {
    LARGE_CONTENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads once into the input, into room of `size` bytes if it has none. Returns the number of bytes, never 0.
pub(super) fn poll_read(
    stream: &mut Stream,
    input: &mut ReadBuffer,
    control: &ConnectionControl,
    size: usize,
    context: &mut Context<'_>,
    waiting: Waiting,
) -> Poll<Result<usize, Stop>> {
    match poll_fill(stream, input, size, context) {
        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Stop::Gone)),
        Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
        Poll::Pending => match control.stop(context, waiting) {
            Some(stop) => Poll::Ready(Err(stop)),
            None => Poll::Pending,
        },
    }
}

/// Reads once into the input, into room of `size` bytes if it has none; 0 is the end of the client's bytes.
pub(in crate::connection) fn poll_fill(
    stream: &mut Stream,
    input: &mut ReadBuffer,
    size: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let polled = stream.poll_read_into(context, || input.room(size));
    if let Poll::Ready(Ok(count)) = polled {
        input.filled(count);
    }
    input.unused();
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_not_used_for_a_tick_is_freed() {
        let mut contents = LargeContents { free: Vec::new(), bytes: 0, unused: 0 };
        for _ in 0..3 {
            assert!(contents.give(Vec::with_capacity(LARGE)).is_none());
        }
        assert_eq!(contents.trim().len(), 0);
        let taken = contents.take().expect("three are there");
        assert!(contents.give(taken).is_none());
        // Two buffers were not taken.
        assert_eq!(contents.trim().len(), 2);
        assert_eq!((contents.free.len(), contents.bytes), (1, LARGE));
        assert_eq!(contents.trim().len(), 1);
        assert!(contents.take().is_none());
        assert_eq!(contents.bytes, 0);
    }

    #[test]
    fn the_pool_has_a_limit() {
        let mut contents = LargeContents { free: Vec::new(), bytes: 0, unused: 0 };
        assert!(contents.give(Vec::with_capacity(LARGEST_KEPT + 1)).is_some());
        let refused = (0..20).filter(|_| contents.give(Vec::with_capacity(LARGEST_KEPT)).is_some()).count();
        assert_eq!((contents.bytes, refused), (MOST_KEPT, 4));
    }
}
