//! Questions about content that its client was not asked for yet, for bindings.

use std::sync::atomic::Ordering;

use super::request::Request;

impl Request {
    /// Whether the client waits for 100 Continue and was not asked for the content yet (RFC 9110 section 10.1.1): only
    /// functions before a handler see such a request.
    pub fn is_outstanding(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| spooled.is_outstanding())
    }

    /// Whether the functions before the handler saw this request before its content.
    pub fn came_late(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| spooled.is_late)
    }

    /// Notes that a function has asked for outstanding content.
    pub fn want_content(&self) {
        if let Some(spooled) = &self.spooled {
            spooled.is_wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a function has asked for the content while it was outstanding.
    pub fn wants_content(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| spooled.is_wanted.load(Ordering::Relaxed))
    }

    /// Leaves outstanding content empty, because the request is answered without it.
    pub fn forgo_content(&self) {
        if let Some(spooled) = self.spooled.as_ref().filter(|spooled| spooled.is_outstanding()) {
            spooled.arrive(Vec::new(), None);
        }
    }
}
