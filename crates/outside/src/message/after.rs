//! Calls that a handler has asked for after its answer: kept by the request, made by the executor.
//!
//! They are made even if no answer leaves, because the client has left first: then on a thread of their own, since the request may
//! be dropped on any thread, an event loop's among them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Calls for the time after the answer, in the order in which they were added.
#[derive(Default)]
pub(crate) struct AfterCalls(Mutex<Vec<Call>>);

type Call = Box<dyn FnOnce() + Send>;

impl fmt::Debug for AfterCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AfterCalls")
    }
}

impl AfterCalls {
    /// Adds a call.
    pub(crate) fn push(&self, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Makes the calls, once.
    pub(crate) fn make(&self) {
        self.take().into_iter().for_each(|call| call());
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for AfterCalls {
    fn drop(&mut self) {
        let calls = self.take();
        if !calls.is_empty() {
            let make = move || calls.into_iter().for_each(|call| call());
            // Without a thread to be had, the process has other troubles.
            let _ = Builder::new().name("outside-after".into()).spawn(make);
        }
    }
}
