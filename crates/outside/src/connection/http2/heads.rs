//! What the heads of requests take that are being worked on, all streams of a connection together.
//!
//! A byte in a field block can stand for four kilobytes (RFC 7541 section 7.3), so that a hundred heads as large as they may
//! be cost a client next to nothing (docs/security.md S19). Those of usual size are bounded by their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::Request;

/// Heads up to this size are not counted, in bytes; nor is anything before the first that is larger.
pub(super) const USUAL: usize = 16 << 10;
/// All of them together may take so many bytes when a large one is added.
pub(super) const MOST: usize = 7 << 18;

/// The heads of streams that have a task of their own.
#[derive(Debug, Default)]
pub(super) struct Heads(Arc<AtomicUsize>);

/// One of them.
#[derive(Debug)]
pub(super) struct HeldHead {
    all: Arc<AtomicUsize>,
    size: usize,
}

impl Heads {
    /// Counts this head until the returned value is dropped.
    pub(super) fn hold(&self, request: Option<&Arc<Request>>) -> HeldHead {
        let size = request.map_or(0, |request| size_of(request));
        self.0.fetch_add(size, Ordering::Relaxed);
        HeldHead { all: Arc::clone(&self.0), size }
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Bytes of a request's head.
pub(super) fn size_of(request: &Request) -> usize {
    request.headers().text().len()
}
