//! Memory that connections borrow for ciphertext, and give back: an idle one holds none.
//!
//! The pool belongs to the thread that happens to drive the event loop.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// So many pieces are kept …
const KEPT: usize = 32;
/// … of this size and smaller.
const LARGEST_KEPT: usize = 96 << 10;
/// Pieces have at least this size, so that any of them serves for a record.
const LEAST: usize = 18 << 10;

/// A piece of memory; empty until it is borrowed, given back when it is dropped.
#[derive(Default)]
pub(super) struct Memory(Vec<u8>);

/// At least so many bytes; whatever was in them before.
pub(super) fn borrow(size: usize) -> Memory {
    let pooled = POOL.with_borrow_mut(Vec::pop);
    let mut memory = Memory(pooled.unwrap_or_default());
    if memory.len() < size {
        memory.grow(size);
    }
    memory
}

impl Memory {
    /// Memory of exactly this size, with a copy of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Makes it at least so large; what is in it stays.
    pub(super) fn grow(&mut self, size: usize) {
        if self.0.len() < size {
            self.0.resize(size.max(LEAST), 0);
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        if (LEAST..=LARGEST_KEPT).contains(&bytes.len()) {
            // A thread that is ending has no pool any more.
            let kept = POOL.try_with(|pool| match pool.try_borrow_mut() {
                Ok(mut pool) if pool.len() < KEPT => pool.push(bytes),
                _ => {}
            });
            kept.unwrap_or_default();
        }
    }
}
