//! Calls that a handler has asked for after its answer: kept by the request, made by the executor.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::request::Request;

/// Calls for the time after the answer, in the order in which they were added.
#[derive(Default)]
pub(crate) struct AfterCalls(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for AfterCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AfterCalls")
    }
}

impl AfterCalls {
    /// Adds a call.
    pub(crate) fn push(&self, call: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Makes the calls, once.
    pub(crate) fn make(&self) {
        let calls = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        calls.into_iter().for_each(|call| call());
    }
}

impl Request {
    /// Has the executor make this call when the answer has been sent and logged, in the order in which calls were added.
    pub fn call_after(&self, call: impl FnOnce() + Send + 'static) {
        self.after.get_or_init(Box::default).push(Box::new(call));
    }

    /// Makes these calls.
    pub(crate) fn make_calls_after(&self) {
        self.after.get().into_iter().for_each(|calls| calls.make());
    }
}
