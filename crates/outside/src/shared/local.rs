//! Shared state of one process alone.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::memory::MemoryStore;
use super::operation::{Operation, Outcome};
use super::{OnOutcome, SharedStore, StoreError, first_token};

/// A store in the memory of this process.
#[derive(Debug)]
pub struct LocalStore {
    store: Mutex<MemoryStore>,
    began: Instant,
}

impl Default for LocalStore {
    fn default() -> Self {
        let mut store = MemoryStore::default();
        store.set_last_token(first_token());
        Self { store: Mutex::new(store), began: Instant::now() }
    }
}

impl LocalStore {
    fn apply(&self, operation: &Operation<'_>) -> Outcome {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.apply(0, operation.clone(), self.began.elapsed())
    }
}

impl SharedStore for LocalStore {
    fn call(&self, operation: &Operation<'_>, _timeout: Duration) -> Result<Outcome, StoreError> {
        Ok(self.apply(operation))
    }

    fn begin(&self, operation: &Operation<'_>, on_outcome: OnOutcome) {
        on_outcome(Ok(self.apply(operation)));
    }

    fn set_bound(&self, bytes: usize) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).set_bound(bytes);
    }

    fn is_local(&self) -> bool {
        true
    }
}
