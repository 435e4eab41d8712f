//! Handlers' answers in a smaller coding, for clients that accept one (RFC 9110 section 8.4).
//!
//! Small content is encoded at once. Larger content takes time, so a few threads encode it, the largest in pieces, as
//! the client takes them. If these threads are crowded, content is sent as it is, which is always allowed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::control::Stop;
use super::control::Waiting;
use super::dispatch::Dispatcher;
use super::state::{Exchange, Work};
use crate::compression::{
    CompressionLevel, ENCODER, Encoded, LEAST, WHOLE, compress, in_place, is_compressible, jitter,
};
use crate::files::forbids_transform;
use crate::message::{Body, Headers, KnownHeader, Request, Response, Version};
use crate::protocol::negotiation::{AcceptedCodings, Coding, Codings};

impl Dispatcher {
    /// Compresses the answer of a handler, if that is worth it. Content that was chosen from a file's codings, or comes
    /// in pieces, is sent as it is.
    pub(crate) async fn encode(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        let Work::Answered(response) = &mut exchange.work else { return Ok(()) };
        let Body::Bytes(content) = &response.body else { return Ok(()) };
        if !may_be_encoded(response) {
            return Ok(());
        }
        let content = content.clone();
        add_vary(&mut response.headers);
        let Some(request) = exchange.request.clone() else { return Ok(()) };
        let coding =
            AcceptedCodings::parse(request.headers().all_known(KnownHeader::AcceptEncoding)).best(Codings::ALL);
        if coding == Coding::Identity {
            return Ok(());
        }
        if content.len() > WHOLE {
            return self.encode_in_pieces(exchange, &request, coding, content).await;
        }
        let encoded = match content.len() > in_place(coding) {
            false => compress(coding, CompressionLevel::Fast, &content),
            true if self.service.press.is_crowded() => None,
            true => self.press(move || compress(coding, CompressionLevel::Fast, &content)).await?.flatten(),
        };
        if let (Some(encoded), Work::Answered(response)) = (encoded, &mut exchange.work) {
            let encoded = Bytes::from(encoded);
            let noise = is_personal(&request).then(|| jitter(&encoded));
            set_encoded(response, coding, noise, Body::Bytes(encoded));
        }
        Ok(())
    }

    /// Makes the content a stream that is encoded while it is sent.
    async fn encode_in_pieces(
        &self,
        exchange: &mut Exchange,
        request: &Arc<Request>,
        coding: Coding,
        content: Bytes,
    ) -> Result<(), Stop> {
        // HTTP/1.0 needs a length to tell the end of a stream from a failure.
        if request.version == Version::Http10 || self.service.press.is_crowded() {
            return Ok(());
        }
        let Some(count) = self.account.count_more(ENCODER) else { return Ok(()) };
        let noise = match is_personal(request) {
            true => {
                let content = content.clone();
                let Some(noise) = self.press(move || jitter(&content)).await? else { return Ok(()) };
                Some(noise)
            }
            false => None,
        };
        if let Work::Answered(response) = &mut exchange.work {
            let encoded = Encoded::new(content, coding, count, &self.service.press);
            set_encoded(response, coding, noise, Body::Stream(Box::new(encoded)));
        }
        Ok(())
    }

    /// Runs `work` on one of the threads for long encodings, and returns its result; `None` if it failed.
    pub(crate) async fn press<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Stop> {
        let held = self.guard.clone();
        let work = move || {
            let _until_it_is_done = held;
            work()
        };
        self.limit_handler();
        let mut running = pin!(self.service.press.run(work));
        let done = poll_fn(|context| match running.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => match self.control.stop(context, Waiting::Handler) {
                Some(stop) => Poll::Ready(Err(stop)),
                None => Poll::Pending,
            },
        });
        let done = done.await;
        self.control.clear_deadline();
        done
    }
}

/// Whether the answer has as much content as a coding is worth.
pub(crate) fn is_worth_encoding(exchange: &Exchange) -> bool {
    !exchange.is_encoded
        && matches!(&exchange.work, Work::Answered(Response { body: Body::Bytes(content), is_final: false, .. })
            if content.len() >= LEAST)
}

/// Whether content is whole, has no coding yet, and may be changed (RFC 9111 section 5.2.2.6).
fn may_be_encoded(response: &Response) -> bool {
    let headers = &response.headers;
    let media_type = headers.known(KnownHeader::ContentType).and_then(|value| std::str::from_utf8(value).ok());
    !matches!(response.status, 204 | 206 | 304)
        && media_type.is_some_and(is_compressible)
        && headers.known(KnownHeader::ContentEncoding).is_none()
        && headers.known(KnownHeader::ContentRange).is_none()
        && !headers.all_known(KnownHeader::CacheControl).any(forbids_transform)
}

/// Whether the answer may hold a secret, which must not show in its length beside others' text (docs/security.md S37).
fn is_personal(request: &Request) -> bool {
    [KnownHeader::Cookie, KnownHeader::Authorization].into_iter().any(|known| request.headers().known(known).is_some())
}

fn set_encoded(response: &mut Response, coding: Coding, noise: Option<&str>, encoded: Body) {
    let headers = &mut response.headers;
    headers.push_checked(b"Content-Encoding", coding.token().as_bytes());
    // A strong validator becomes a weak one, because the bytes differ (RFC 9110 section 8.8.1).
    if let Some(etag) = headers.known(KnownHeader::ETag).filter(|etag| !etag.starts_with(b"W/")) {
        let weak = [b"W/", etag].concat();
        headers.replace_checked(KnownHeader::ETag, b"ETag", &weak);
    }
    headers.remove("Accept-Ranges");
    // This length is the one of the content without a coding.
    headers.remove("Content-Length");
    if let Some(noise) = noise {
        headers.push_checked(b"X-Jitter", noise.as_bytes());
    }
    response.body = encoded;
}

/// Says that another client might have got another coding (RFC 9110 section 12.5.5).
fn add_vary(headers: &mut Headers) {
    let names = |value: &[u8]| {
        value
            .split(|&byte| byte == b',')
            .any(|name| matches!(name.trim_ascii(), b"*") || name.trim_ascii().eq_ignore_ascii_case(b"accept-encoding"))
    };
    if !headers.all_known(KnownHeader::Vary).any(names) {
        headers.push_checked(b"Vary", b"Accept-Encoding");
    }
}
