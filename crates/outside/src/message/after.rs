//! Calls that a handler has asked for after its answer: kept by the request, made by the executor.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::request::Request;

/// A call for the time after the answer.
pub(crate) struct AfterCall(Box<dyn FnOnce() + Send>);

impl fmt::Debug for AfterCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AfterCall")
    }
}

impl Request {
    /// Has the executor make this call when the answer has been sent and logged, in the order in which calls were added.
    pub fn call_after(&self, call: impl FnOnce() + Send + 'static) {
        let calls = self.after.get_or_init(|| Box::new(Mutex::new(Vec::new())));
        calls.lock().unwrap_or_else(PoisonError::into_inner).push(AfterCall(Box::new(call)));
    }

    /// Whether there are calls for the time after the answer.
    pub(crate) fn has_calls_after(&self) -> bool {
        self.after.get().is_some()
    }

    /// Makes these calls.
    pub(crate) fn make_calls_after(&self) {
        let Some(calls) = self.after.get() else { return };
        let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
        calls.into_iter().for_each(|call| (call.0)());
    }
}
