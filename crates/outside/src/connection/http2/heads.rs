//! Memory of the heads of requests that are being worked on, for all streams of a connection together.
//!
//! A byte in a field block can stand for four kilobytes (RFC 7541 section 7.3), so a hundred heads of the largest
//! size cost a client next to nothing (docs/security.md S19). The number of streams bounds the heads of usual size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::Request;

/// Bytes of a head of usual size: the bound of all heads is looked at only when a larger head comes.
pub(super) const USUAL: usize = 16 << 10;
/// Bytes that the heads of a connection may take together when a large one comes; beyond that its stream is refused.
pub(super) const MOST: usize = 7 << 18;

/// The heads of streams that have a task of their own.
#[derive(Debug, Default)]
pub(super) struct Heads(Arc<AtomicUsize>);

/// A head that is counted in [`Heads`] until this is dropped.
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

    /// Bytes of all counted heads.
    pub(super) fn size(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Bytes of the head of a request.
pub(super) fn size_of(request: &Request) -> usize {
    request.headers().text().len()
}
