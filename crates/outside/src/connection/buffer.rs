//! Memory that connections borrow while there is something in it, and give back.
//!
//! An idle connection holds none. The pool belongs to the thread that happens to drive the event loop.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::executor::Exchange;
use crate::message::Request;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
}

#[derive(Default)]
struct Pool {
    input: Vec<Vec<u8>>,
    output: Vec<Vec<u8>>,
    requests: Vec<Arc<Request>>,
}

/// So many of each kind are kept.
const KEPT: usize = 64;
/// A connection that speaks HTTP/2 holds a hundred at a time.
const REQUESTS_KEPT: usize = 256;
/// Larger output buffers are not kept.
const LARGEST_OUTPUT: usize = 128 << 10;

/// Bytes that were read and not yet understood.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What is there.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be worked on in place.
    pub(super) fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The first so many bytes are understood. When nothing is left the memory goes back.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            self.give_back();
        }
    }

    /// Room for at least one more byte, behind what is there.
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

    /// So many bytes were written into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Nothing was written into the room.
    pub(super) fn unused(&mut self) {
        if self.start == self.end {
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

impl Drop for Input {
    fn drop(&mut self) {
        if !self.bytes.is_empty() && self.bytes.len() <= 64 << 10 {
            self.give_back();
        }
    }
}

/// An empty buffer for output.
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

/// An empty request that nobody else holds. Its address may be that of an earlier client.
pub(super) fn take_request(address: SocketAddr) -> Arc<Request> {
    let request = POOL.with_borrow_mut(|pool| pool.requests.pop());
    request.unwrap_or_else(|| Arc::new(Request::empty(address)))
}

/// Keeps the memory of a finished exchange's request, if nobody else holds it.
pub(super) fn recycle(exchange: Exchange) {
    let Some(mut request) = exchange.request else { return };
    if let Some(inner) = Arc::get_mut(&mut request) {
        inner.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.requests.len() < REQUESTS_KEPT {
                pool.requests.push(request);
            }
        });
    }
}
