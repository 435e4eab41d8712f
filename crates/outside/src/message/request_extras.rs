//! Values and calls that a program adds to a request.

use std::any::Any;
use std::sync::Arc;

use super::request::Request;

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
        self.state.get_or_init(Box::default).set(value);
    }

    /// The value of this type that was kept with the request.
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.state.get()?.get()
    }

    /// The same; without one the value that `make` makes is kept.
    pub(crate) fn state_or<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.state.get_or_init(Box::default).get_or(make)
    }

    /// Whether a value was kept.
    pub(crate) fn has_state(&self) -> bool {
        self.state.get().is_some_and(|state| state.has_values())
    }

    /// Makes these calls now: for a binding whose handler was cancelled, so that its request may stay for a while.
    pub fn make_calls_after(&self) {
        self.after.get().into_iter().for_each(|calls| calls.make());
    }
}
