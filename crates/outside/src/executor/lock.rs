//! Locking in this room.

use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// Locks even after a panic elsewhere: every critical section leaves its data whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
