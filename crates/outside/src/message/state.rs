//! What a request carries beside itself: the program's own values, one of each type, and its ids.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::request_ids::RequestIds;

type StateValues = Vec<(TypeId, Arc<dyn Any + Send + Sync>)>;

/// Values by their type, and the ids of the request: neither costs a request anything that has none.
#[derive(Default)]
pub(crate) struct RequestState {
    values: Mutex<StateValues>,
    pub(crate) ids: OnceLock<RequestIds>,
}

impl RequestState {
    /// Keeps a value, in place of the one of its type before.
    pub(crate) fn set<T: Any + Send + Sync>(&self, value: T) {
        let mut values = self.lock();
        values.retain(|(kind, _)| *kind != TypeId::of::<T>());
        values.push((TypeId::of::<T>(), Arc::new(value)));
    }

    /// The value of this type.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let values = self.lock();
        let (_, value) = values.iter().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// The same; without one the value that `make` makes is kept.
    pub(crate) fn get_or<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.lock();
        let known = values.iter().find(|(kind, _)| *kind == TypeId::of::<T>());
        if let Some(value) = known.and_then(|(_, value)| Arc::clone(value).downcast().ok()) {
            return value;
        }
        let value = Arc::new(make());
        values.push((TypeId::of::<T>(), Arc::<T>::clone(&value)));
        value
    }

    /// Whether there is a value.
    pub(crate) fn has_values(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, StateValues> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestState")
    }
}
