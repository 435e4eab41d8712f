//! Memory that connections borrow for ciphertext and give back, so that an idle connection holds none.
//!
//! Each thread has a pool of its own; a connection uses the pool of the thread that drives its event loop at the
//! moment.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Pieces that a thread's pool keeps.
const KEPT: usize = 32;
/// Bytes of the largest piece that a pool keeps.
const LARGEST_KEPT: usize = 96 << 10;
/// Bytes of the smallest piece, so that every piece can hold a record.
const LEAST: usize = 18 << 10;

/// A piece of memory; empty until it is borrowed, given back when it is dropped.
#[derive(Default)]
pub(super) struct Memory(Vec<u8>);

/// Memory of at least this size; its content is arbitrary.
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

    /// Enlarges it to at least this size; the content stays.
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
            // The pool of a thread that is ending is gone already.
            let kept = POOL.try_with(|pool| match pool.try_borrow_mut() {
                Ok(mut pool) if pool.len() < KEPT => pool.push(bytes),
                _ => {}
            });
            kept.unwrap_or_default();
        }
    }
}
