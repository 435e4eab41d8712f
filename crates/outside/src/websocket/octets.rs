//! The bytes of a message or frame: in memory of their own, which is reused, or in shared memory.
//!
//! Most messages are small, and more of them pass in one turn of the event loop than an allocator keeps at hand.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
/// Bytes that several connections send, behind a pointer, so that all moves of a message or frame are short.
pub(super) type SharedBytes = Arc<Bytes>;

/// Bytes that no longer change.
#[derive(Debug)]
pub(crate) enum Octets {
    Own(Own),
    Shared(SharedBytes),
}

/// Bytes with a single owner.
#[derive(Debug)]
pub(crate) struct Own(Vec<u8>);

thread_local! {
    /// Pieces of memory to use again, as many as it has capacity for: none where the thread leads no event loop. Other
    /// threads rarely take a piece, so pieces that they keep would lie unused.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Pieces of memory that a thread keeps if it leads an event loop; none is larger than `LARGEST` bytes.
const KEPT: usize = 128;
const LARGEST: usize = 512;
/// Bytes that an entry of a queue costs with the overhead of the allocator: a growing queue has twice the entries that
/// it needs.
pub(super) const ENTRY_COST: usize = 112;
/// Bytes of the smallest piece, so that most pieces can be reused.
const LEAST: usize = 64;

/// Has this thread keep pieces of memory, or drop them, because it leads an event loop from now on, or no longer.
pub(super) fn keep_spares(keeps: bool) {
    // Fails at the end of a thread.
    let _ = SPARE.try_with(|spare| match keeps {
        true => spare.borrow_mut().reserve_exact(KEPT),
        false => drop(spare.take()),
    });
}

impl Octets {
    /// Bytes with room for this many, filled by this function.
    #[inline]
    pub(super) fn filled(length: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Self {
        let spare = if length <= LARGEST { SPARE.with_borrow_mut(Vec::pop) } else { None };
        let mut bytes = match spare {
            Some(bytes) if bytes.capacity() >= length => bytes,
            _ => Vec::with_capacity(length.max(LEAST)),
        };
        fill(&mut bytes);
        Self::Own(Own(bytes))
    }

    #[inline]
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        Self::filled(bytes.len(), |copy| copy.extend_from_slice(bytes))
    }

    /// Bytes of memory that this takes while it waits in a queue.
    pub(super) fn cost(&self) -> usize {
        ENTRY_COST
            + match self {
                Self::Own(own) => own.0.capacity(),
                Self::Shared(bytes) => bytes.len(),
            }
    }

    /// Bytes of the cost that several connections share.
    pub(super) fn shared(&self) -> usize {
        match self {
            Self::Own(_) => 0,
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// The bytes as shared memory, without a copy.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Own(mut own) => std::mem::take(&mut own.0).into(),
            Self::Shared(bytes) => Arc::unwrap_or_clone(bytes),
        }
    }
}

impl From<Vec<u8>> for Octets {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(Own(bytes))
    }
}

impl Clone for Octets {
    fn clone(&self) -> Self {
        match self {
            Self::Own(own) => Self::copy_of(&own.0),
            Self::Shared(bytes) => Self::Shared(Arc::clone(bytes)),
        }
    }
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(own) => &own.0,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let capacity = self.0.capacity();
        if 0 < capacity && capacity <= LARGEST {
            let mut bytes = std::mem::take(&mut self.0);
            bytes.clear();
            // Fails at the end of a thread.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < spare.capacity() {
                    spare.push(bytes);
                }
            });
        }
    }
}
