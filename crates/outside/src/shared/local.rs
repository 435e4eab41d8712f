//! Shared state of one process alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::memory::MemoryStore;
use super::operation::{Operation, Outcome};
use super::{OnOutcome, SharedStore, StoreError, first_token};

/// The owner of locks and ticks that this process has itself; the hub's owners are the numbers of its seats.
const OWN: u64 = u64::MAX;

/// A store in the memory of this process, with its clock: for the process itself, and for a hub in it.
#[derive(Clone, Debug)]
pub struct SharedMemory {
    store: Arc<Mutex<MemoryStore>>,
    began: Instant,
}

impl Default for SharedMemory {
    fn default() -> Self {
        Self { store: Arc::default(), began: Instant::now() }
    }
}

impl SharedMemory {
    /// Empty; the tokens of its locks are higher than those of a server that was started before.
    pub fn new() -> Self {
        let memory = Self::default();
        memory.lock().set_last_token(first_token());
        memory
    }

    /// The store.
    pub fn lock(&self) -> MutexGuard<'_, MemoryStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by its clock.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The store of a process alone.
#[derive(Debug)]
pub struct LocalStore(SharedMemory);

impl Default for LocalStore {
    fn default() -> Self {
        Self(SharedMemory::new())
    }
}

impl LocalStore {
    /// Its memory, for a hub that goes on with it.
    pub fn memory(&self) -> &SharedMemory {
        &self.0
    }

    fn apply(&self, operation: &Operation<'_>) -> Outcome {
        self.0.lock().apply(OWN, operation.clone(), self.0.now())
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
        self.0.lock().set_bound(bytes);
    }

    fn is_local(&self) -> bool {
        true
    }
}
