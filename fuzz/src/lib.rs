//! The checks of the fuzz targets: the same functions as in the mutation runs of `crates/outside/tests`.
//!
//! One function per target, from bytes to a panic if something does not hold.

use outside_test_support::checks::{
    authority, differential, files, forms, forwarded, hub as hub_check, invariants, negotiation, redis as redis_check,
    routes as routes_check,
};
use outside_test_support::{http2::hostile, websocket};

/// Everything that a client sends on a connection.
pub fn head(input: &[u8]) {
    invariants::conversation(input);
}

/// A chunked body and the bytes behind it.
pub fn chunked(input: &[u8]) {
    invariants::chunked(input);
}

/// A request target.
pub fn target(input: &[u8]) {
    invariants::target(input);
}

/// The value of a Cookie field.
pub fn cookies(input: &[u8]) {
    invariants::cookies(input);
}

/// A query string.
pub fn query(input: &[u8]) {
    forms::query(input);
}

/// The place of a cut, and the values of a broker.
pub fn redis(input: &[u8]) {
    redis_check::values(input);
}

/// A content type, LF, and the content of a form.
pub fn form(input: &[u8]) {
    forms::form(input);
}

/// The values of Accept-Encoding fields, each in a line.
pub fn codings(input: &[u8]) {
    negotiation::accept_encoding(input);
}

/// The fields of proxies, as a client sends them.
pub fn forwarded_lies(input: &[u8]) {
    forwarded::lies(input);
}

/// The authority of a request.
pub fn host(input: &[u8]) {
    forwarded::host(input);
}

/// The engine beside hyper.
pub fn differential(input: &[u8]) {
    if let Err(fault) = differential::compare(input) {
        panic!("{fault}");
    }
}

/// The bytes of a client behind the preface of HTTP/2, to a server that listens.
pub fn http2(input: &[u8]) {
    hostile::conversation(input);
}

/// The bytes of a client on an open WebSocket.
pub fn websocket(input: &[u8]) {
    websocket::invariants::frames(input);
}

/// The same beside tungstenite.
pub fn websocket_differential(input: &[u8]) {
    if let Err(fault) = websocket::differential::compare(input) {
        panic!("{fault}");
    }
}

/// Messages that are compressed and inflated again; the first byte chooses the terms.
pub fn websocket_deflate(input: &[u8]) {
    websocket::invariants::compression(input);
}

/// Values of Sec-WebSocket-Extensions, one in each line.
pub fn websocket_offer(input: &[u8]) {
    websocket::invariants::offer(input);
}

/// Header lines of a request that opens a WebSocket.
pub fn websocket_opening(input: &[u8]) {
    websocket::invariants::opening(input);
}

/// A length in two bytes, and the value of a Range field.
pub fn range(input: &[u8]) {
    files::range(input);
}

/// Header lines with preconditions.
pub fn condition(input: &[u8]) {
    files::condition(input);
}

/// The part of a request target behind the route of a folder.
pub fn path(input: &[u8]) {
    files::path_below(input);
}

/// A request target in the first line, and in each line that follows a method and a pattern.
pub fn routes(input: &[u8]) {
    routes_check::patterns(input);
}

/// An answer of a certificate authority.
pub fn authority_answer(input: &[u8]) {
    authority::answer(input);
}

/// A certificate in DER.
pub fn authority_certificate(input: &[u8]) {
    authority::certificate(input);
}

/// Key and chain in PEM.
pub fn authority_pem(input: &[u8]) {
    authority::pem(input);
}

/// Frames between workers and the hub.
pub fn hub(input: &[u8]) {
    hub_check::frames(input);
}

/// The answers of a certificate authority to an order and to a question for advice, with a line of `=====` between them.
pub fn authority_conversation(input: &[u8]) {
    authority::conversation(input);
}
