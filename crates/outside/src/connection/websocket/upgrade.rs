//! Opening a WebSocket: who may, on which terms, and the 101 that says so (RFC 6455 section 4.2).

use std::sync::Arc;

use super::Opening;
use crate::connection::Connection;
use crate::executor::{Exchange, Work};
use crate::log::Level;
use crate::message::{Request, Response};
use crate::protocol::websocket::{
    Deflater, Receiver, UPGRADE_REQUIRED_FIELDS, check_opening, choose_subprotocol, negotiate, opening_fields,
};
use crate::websocket::{Style, WebSocket, WebSocketConnection, WhenFull};

impl Connection {
    /// Answers a request on a WebSocket's route: 101, after which the connection is a session, or why not.
    pub(in crate::connection) fn open_websocket(&mut self, websocket: Arc<WebSocket>, exchange: &mut Exchange) {
        let Some(request) = exchange.request.clone() else { return };
        let key = match check_opening(&request) {
            Ok(key) => key,
            Err(refusal) => {
                if refusal.status == 426 {
                    let extra = exchange.extra.get_or_insert_default();
                    for (name, value) in UPGRADE_REQUIRED_FIELDS {
                        extra.push_checked(name.as_bytes(), value.as_bytes());
                    }
                }
                exchange.work = Work::Status(refusal.status, Some(refusal.reason.to_owned()));
                self.dispatcher.respond_with_page(exchange);
                return;
            }
        };
        if !websocket.options.origins.allow(&request) {
            self.complain_of_origin(&request);
            self.dispatcher.respond_with_status(exchange, 403);
            return;
        }
        if self.dispatcher.service.is_ending() {
            self.dispatcher.respond_with_status(exchange, 503);
            return;
        }
        if !self.dispatcher.service.connection_limit.admit_websocket() {
            self.dispatcher.service.log.complain("max_websocket_connections", "too many WebSockets");
            self.dispatcher.respond_with_status(exchange, 503);
            return;
        }
        self.guard.is_websocket = true;
        let mut thread_permit = None;
        if websocket.handler().style() == Style::Blocking {
            thread_permit = self.dispatcher.service.connection_limit.admit_thread();
            if thread_permit.is_none() {
                self.guard.is_websocket = false;
                self.dispatcher.service.connection_limit.leave_websocket();
                self.dispatcher.service.log.complain("max_websockets", "a WebSocket had no thread left");
                self.dispatcher.respond_with_status(exchange, 503);
                return;
            }
        }
        let opening = Opening { thread_permit, ..self.agree(&websocket, &request) };
        let headers = opening_fields(&key, opening.connection.subprotocol(), opening.terms.as_ref());
        websocket.handler().prepare(&opening.connection, exchange.attachment.as_deref());
        let attachment = exchange.attachment.take();
        exchange.work = Work::Answered(Response { status: 101, headers, attachment, ..Response::default() });
        self.opening = Some(Box::new(opening));
    }

    fn agree(&self, websocket: &Arc<WebSocket>, request: &Arc<Request>) -> Opening {
        let options = &websocket.options;
        let subprotocol = choose_subprotocol(request, &options.subprotocols);
        let terms = options.deflate.as_ref().and_then(|settings| {
            let mut settings = settings.clone();
            // What was thrown away must not have been part of the compressor's memory.
            settings.server_no_context_takeover |= options.when_full == WhenFull::DropOldest;
            negotiate(request.headers().get_all("Sec-WebSocket-Extensions"), &settings)
        });
        let pool = || Arc::clone(&self.dispatcher.service.deflate);
        let receiver = match &terms {
            Some(terms) => Receiver::with_deflate(options.max_message, terms, pool()),
            None => Receiver::new(options.max_message),
        };
        let deflater = terms.as_ref().map(|terms| Deflater::new(terms, pool()));
        let room = Arc::clone(&self.dispatcher.service.room);
        let (request, websocket) = (Arc::clone(request), Arc::clone(websocket));
        let connection = WebSocketConnection::new(request, websocket, subprotocol, deflater, room);
        Opening { connection, receiver, terms, thread_permit: None }
    }

    fn complain_of_origin(&self, request: &Request) {
        let origin = request.headers().get("Origin").unwrap_or_default();
        let text = format!(
            "{}: a WebSocket was refused to a page of {origin:?}, which is not the origin of {:?}; \
             origins=[{origin:?}] on the WebSocket allows it",
            request.target(),
            request.host(),
        );
        self.dispatcher.service.log.event(Level::Warning, text);
    }
}
