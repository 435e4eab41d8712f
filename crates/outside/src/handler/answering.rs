//! The answer of a call that goes on after it: a handler that makes its content on its own thread, piece by piece.

use std::fmt;
use std::os::unix::net::UnixStream;

use super::ReplyPart;
use crate::message::{Headers, Response};

/// Sends the answer of a call while the call runs; for functions made by [`super::Function::answering`].
///
/// The call that has used it returns [`Response::sent`].
pub struct Answering(Box<dyn Fn(ReplyPart) + Send>);

impl Answering {
    pub(crate) fn new(send: impl Fn(ReplyPart) + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the answer. Its content, if it is a stream, has begun (see [`crate::content::fed_body`]).
    pub fn send(self, response: Response) {
        (self.0)(ReplyPart::Answer(Ok(response)));
    }

    /// Sends these fields before the answer: see [`super::Reply::hint`].
    pub fn hint(&self, fields: Headers) {
        (self.0)(ReplyPart::Hints(fields));
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

/// A socket in place of an answer.
struct Tunnel(UnixStream);

impl Response {
    /// No response, but a socket that takes the connection over: from now on its bytes go to the client as they are,
    /// and the client's bytes to it. For programs that answer an upgrade themselves; HTTP/1.1 only.
    pub fn tunnel(socket: UnixStream) -> Self {
        let mut response = Self::sent();
        (response.status, response.is_final) = (101, true);
        response.rare.get_or_insert_default().special = Some(Box::new(Tunnel(socket)));
        response
    }

    /// The socket in place of this answer, if it is one.
    pub(crate) fn take_tunnel(&mut self) -> Option<UnixStream> {
        let Tunnel(socket) = *self.rare.as_mut()?.special.take()?.downcast().ok()?;
        Some(socket)
    }
}
