//! Calls for the time after an answer.
//!
//! They are made even if no answer leaves, because the client has left first: then on threads of their own, since a request
//! may be dropped on any thread, an event loop's among them.

use std::thread::Builder;

use crate::message::Request;

impl Request {
    /// Has the executor make this call when the answer has been sent and logged, in the order in which calls were added. If
    /// no answer leaves, because the client has left first, the call is made when the request is done.
    pub fn call_after(&self, call: impl FnOnce() + Send + 'static) {
        let accepted = AcceptedCall(Some(Box::new(call)));
        self.after.get_or_init(Box::default).push(Box::new(|| accepted.make()));
    }
}

/// A call that is made once, when it is dropped at the latest.
struct AcceptedCall(Option<Box<dyn FnOnce() + Send>>);

impl AcceptedCall {
    fn make(mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

impl Drop for AcceptedCall {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            // Without a thread to be had, the process has other troubles.
            let _ = Builder::new().name("outside-after".into()).spawn(call);
        }
    }
}
