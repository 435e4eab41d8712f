//! The answer of a call that goes on after it: a handler that makes its content on its own thread, piece by piece.

use std::fmt;

use crate::message::Response;

/// Sends the answer of a call while the call runs; for functions made by [`super::Function::answering`].
///
/// The call that has used it returns [`Response::sent`].
pub struct Answering(Box<dyn FnOnce(Response) + Send>);

impl Answering {
    pub(crate) fn new(send: impl FnOnce(Response) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the answer. Its content, if it is a stream, has begun (see [`crate::fed_body`]).
    pub fn send(self, response: Response) {
        (self.0)(response);
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}
