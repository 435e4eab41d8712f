//! The opening of a WebSocket: the clients that may, the terms, and the 101 that states them (RFC 6455 section 4.2).

use std::sync::Arc;

use super::Opening;
use crate::connection::guard::ConnectionGuard;
use crate::exchange::{Dispatcher, Exchange, WebSocketOpener, Work};
use crate::log::{Level, shown_target};
use crate::message::{Request, Response};
use crate::protocol::websocket::{
    Deflater, Receiver, UPGRADE_REQUIRED_FIELDS, check_opening, choose_subprotocol, negotiate, opening_fields,
};
use crate::websocket::{Style, WebSocket, WebSocketConnection, WhenFull};

/// Answers a request on a WebSocket's route: 101, after which the connection is a session on these terms, or a refusal.
pub(in crate::connection) fn open_websocket(
    dispatcher: &Dispatcher,
    guard: &mut ConnectionGuard,
    opener: WebSocketOpener,
    exchange: &mut Exchange,
) -> Option<Opening> {
    let (websocket, accepted) = match opener {
        WebSocketOpener::Route(websocket) => (websocket, None),
        WebSocketOpener::Handler(accepted) => (Arc::clone(&accepted.websocket), Some(accepted)),
    };
    let request = exchange.request.clone()?;
    let key = match check_opening(&request) {
        Ok(key) => key,
        Err(refusal) => {
            if refusal.status == 426 {
                let extra = exchange.extra.get_or_insert_default();
                for (name, value) in UPGRADE_REQUIRED_FIELDS {
                    extra.push_checked(name.as_bytes(), value.as_bytes());
                }
            }
            dispatcher.refuse(exchange, &refusal);
            dispatcher.respond_with_page(exchange);
            return None;
        }
    };
    if !websocket.options.origins.allow(&request) {
        complain_of_origin(dispatcher, &request);
        dispatcher.respond_with_status(exchange, 403);
        return None;
    }
    if dispatcher.service.is_ending() {
        dispatcher.respond_with_status(exchange, 503);
        return None;
    }
    if !dispatcher.service.connection_limit.admit_websocket() {
        dispatcher.service.log.complain("max_websocket_connections", "too many WebSockets");
        dispatcher.service.count_refusal("max_websocket_connections", "503");
        dispatcher.respond_with_status(exchange, 503);
        return None;
    }
    guard.is_websocket = true;
    let mut thread_permit = None;
    if websocket.handler().style() == Style::Blocking {
        thread_permit = dispatcher.service.connection_limit.admit_thread();
        if thread_permit.is_none() {
            guard.is_websocket = false;
            dispatcher.service.connection_limit.leave_websocket();
            dispatcher.service.log.complain("max_websockets", "a WebSocket had no thread left");
            dispatcher.service.count_refusal("max_websockets", "503");
            dispatcher.respond_with_status(exchange, 503);
            return None;
        }
    }
    let subprotocol = match &accepted {
        Some(accepted) => accepted.subprotocol.as_deref(),
        None => choose_subprotocol(&request, &websocket.options.subprotocols),
    };
    let opening = Opening { thread_permit, ..agree(dispatcher, &websocket, &request, subprotocol) };
    let mut headers = opening_fields(&key, opening.connection.subprotocol(), opening.terms.as_ref());
    if let Some(accepted) = accepted {
        for (name, value) in accepted.headers.iter() {
            headers.push_checked(name.as_bytes(), value);
        }
        exchange.attachment = Some(accepted.attachment);
    }
    websocket.handler().prepare(&opening.connection, exchange.attachment.as_deref());
    let attachment = exchange.attachment.take();
    exchange.work = Work::Answered(Response { status: 101, headers, attachment, ..Response::default() });
    Some(opening)
}

fn agree(
    dispatcher: &Dispatcher,
    websocket: &Arc<WebSocket>,
    request: &Arc<Request>,
    subprotocol: Option<&str>,
) -> Opening {
    let options = &websocket.options;
    let terms = options.deflate.as_ref().and_then(|settings| {
        let mut settings = settings.clone();
        // The compressor's memory must not contain messages that were dropped.
        settings.server_no_context_takeover |= options.when_full == WhenFull::DropOldest;
        negotiate(request.headers().get_all("Sec-WebSocket-Extensions"), &settings)
    });
    let pool = || Arc::clone(&dispatcher.service.deflate);
    let receiver = match &terms {
        Some(terms) => Receiver::with_deflate(options.max_message, terms, pool()),
        None => Receiver::new(options.max_message),
    };
    let deflater = terms.as_ref().map(|terms| Deflater::new(terms, pool()));
    let room = Arc::clone(&dispatcher.service.room);
    let (request, websocket) = (Arc::clone(request), Arc::clone(websocket));
    let connection = WebSocketConnection::new(request, websocket, subprotocol, deflater, room);
    Opening { connection, receiver, terms, thread_permit: None }
}

fn complain_of_origin(dispatcher: &Dispatcher, request: &Request) {
    let origin = request.headers().get("Origin").unwrap_or_default();
    let text = format!(
        "{}: a WebSocket was refused to a page of {origin:?}, which is not the origin of {:?}; \
             origins=[{origin:?}] on the WebSocket allows it",
        shown_target(request.target()),
        request.host(),
    );
    dispatcher.service.log.event(Level::Warning, text);
}
