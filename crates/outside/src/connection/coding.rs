//! Handlers' answers in a smaller coding, for clients that accept one (RFC 9110 section 8.4).

use std::sync::Arc;

use bytes::Bytes;

use super::{Desk, Stop};
use crate::compression::{LEAST, Level, OFF_THE_REACTOR, compress, is_compressible, jitter};
use crate::executor::{Exchange, Work};
use crate::files::forbids_transform;
use crate::message::{Body, Headers, Known, Request, Response};
use crate::protocol::negotiation::{Accepted, Coding, Codings};

impl Desk {
    /// Compresses what a handler has answered, if it is worth it. Content that was chosen from a file's codings, or comes in
    /// pieces, is sent as it is.
    pub(super) async fn encode(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let Work::Answered(response) = &mut exchange.work else { return Ok(()) };
        let Body::Bytes(content) = &response.body else { return Ok(()) };
        if !may_be_encoded(response) {
            return Ok(());
        }
        let content = content.clone();
        add_vary(&mut response.headers);
        let Some(request) = exchange.request.clone() else { return Ok(()) };
        let coding = Accepted::parse(request.headers().all_known(Known::AcceptEncoding)).best(Codings::ALL);
        if coding == Coding::Identity {
            return Ok(());
        }
        let encoded = match content.len() > OFF_THE_REACTOR {
            true => self.beside(move || compress(coding, Level::Fast, &content)).await?,
            false => compress(coding, Level::Fast, &content),
        };
        if let (Some(encoded), Work::Answered(response)) = (encoded, &mut exchange.work) {
            set_encoded(response, &request, coding, encoded.into());
        }
        Ok(())
    }
}

/// Is there enough content that a coding could matter?
pub(super) fn is_worth_encoding(exchange: &Exchange) -> bool {
    !exchange.is_encoded
        && matches!(&exchange.work, Work::Answered(Response { body: Body::Bytes(content), .. }) if content.len() >= LEAST)
}

/// Not what is coded already, nor a part of something, nor what must not be changed (RFC 9111 section 5.2.2.6).
fn may_be_encoded(response: &Response) -> bool {
    let headers = &response.headers;
    let media_type = headers.known(Known::ContentType).and_then(|value| std::str::from_utf8(value).ok());
    !matches!(response.status, 204 | 206 | 304)
        && media_type.is_some_and(is_compressible)
        && headers.known(Known::ContentEncoding).is_none()
        && headers.known(Known::ContentRange).is_none()
        && !headers.all_known(Known::CacheControl).any(forbids_transform)
}

fn set_encoded(response: &mut Response, request: &Arc<Request>, coding: Coding, encoded: Bytes) {
    let headers = &mut response.headers;
    headers.push_checked(b"Content-Encoding", coding.token().as_bytes());
    // What was a strong validator is none for other bytes (RFC 9110 section 8.8.1).
    if let Some(etag) = headers.known(Known::ETag).filter(|etag| !etag.starts_with(b"W/")) {
        let weak = [b"W/", etag].concat();
        headers.replace_checked(Known::ETag, b"ETag", &weak);
    }
    headers.remove("Accept-Ranges");
    // A secret beside what a stranger can put into the page must not show in its length (edge.md S37).
    let is_personal =
        [Known::Cookie, Known::Authorization].into_iter().any(|known| request.headers().known(known).is_some());
    if is_personal {
        headers.push_checked(b"X-Jitter", jitter(&encoded).as_bytes());
    }
    response.body = Body::Bytes(encoded);
}

/// Says that another client might have got another coding (RFC 9110 section 12.5.5).
fn add_vary(headers: &mut Headers) {
    let names = |value: &[u8]| {
        value
            .split(|&byte| byte == b',')
            .any(|name| matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(b"accept-encoding"))
    };
    if !headers.all_known(Known::Vary).any(names) {
        headers.push_checked(b"Vary", b"Accept-Encoding");
    }
}
