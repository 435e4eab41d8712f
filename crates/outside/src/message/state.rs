//! The program's own values on a request: one of each type, from functions before a handler to the handler.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::request::Request;

/// Values by their type.
#[derive(Default)]
pub(crate) struct RequestState(Mutex<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>);

impl fmt::Debug for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestState")
    }
}

impl Request {
    /// Keeps a value of the program's own with the request, in place of the one of this type before.
    ///
    /// ```
    /// # use outside::Request;
    /// struct User(String);
    ///
    /// let request = Request::default();
    /// request.set_state(User("ada".into()));
    /// assert_eq!(request.state::<User>().map(|user| user.0.clone()).as_deref(), Some("ada"));
    /// ```
    pub fn set_state<T: Any + Send + Sync>(&self, value: T) {
        let state = self.state.get_or_init(Box::default);
        let mut values = state.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|(kind, _)| *kind != TypeId::of::<T>());
        values.push((TypeId::of::<T>(), Arc::new(value)));
    }

    /// The value of this type that was kept with the request.
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let values = self.state.get()?.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, value) = values.iter().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// The same; without one the value that `make` makes is kept.
    pub(crate) fn state_or<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let state = self.state.get_or_init(Box::default);
        let mut values = state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = values.iter().find(|(kind, _)| *kind == TypeId::of::<T>());
        if let Some(value) = known.and_then(|(_, value)| Arc::clone(value).downcast().ok()) {
            return value;
        }
        let value = Arc::new(make());
        values.push((TypeId::of::<T>(), Arc::<T>::clone(&value)));
        value
    }

    /// Whether a value was kept.
    pub(crate) fn has_state(&self) -> bool {
        self.state.get().is_some()
    }
}
