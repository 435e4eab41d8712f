//! The calls after the answer of a request, as handlers ask for them.

use super::request::Request;

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
