//! A connection of HTTP/1.1 whose handler takes the content of the request while it comes in.

use std::sync::Arc;

use super::request_body::Http1Body;
use crate::connection::Connection;
use crate::error::Refusal;
use crate::exchange::Intake;
use crate::message::Request;
use crate::protocol::http1::Framing;

impl Connection {
    /// How the content of this request reaches its handler. Content of a hosted application that has come with the head is
    /// taken at once.
    pub(in crate::connection) fn intake(&mut self, request: &Request, framing: &Framing) -> Intake {
        self.dispatcher.service.site.refresh(&mut self.dispatcher.site);
        let declared = framing.body.known();
        let intake = self.dispatcher.intake(request, declared);
        let has_come = declared.is_some_and(|length| length <= self.input.unread().len() as u64);
        Intake { in_pieces: intake.in_pieces && !(intake.is_hosted && has_come), ..intake }
    }

    /// Begins to hand the content of this request to its handler.
    pub(in crate::connection) fn begin_incoming(
        &mut self,
        request: &mut Arc<Request>,
        framing: &Framing,
        intake: Intake,
    ) -> Result<(), Refusal> {
        self.incoming = Some(Box::new(Http1Body::begin(&self.dispatcher.service, request, framing, intake)?));
        Ok(())
    }

    /// Drops the rest of the content, because the request has its answer. If the rest has not all come in, the
    /// connection ends with the answer (docs/security.md S7).
    pub(in crate::connection) fn end_incoming(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let is_complete = incoming.end(&mut self.input, &self.dispatcher.service);
        self.is_uploading = !is_complete;
        self.keep_alive &= is_complete;
    }
}
