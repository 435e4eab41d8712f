//! The outline of an answer, the same for every version of HTTP: decided here, rendered by each writer.

use crate::files::FileContent;
use crate::message::{Body, Headers, Request, Version};
use crate::protocol::ContentLength;
use crate::protocol::http1::declared_length;

/// The facts about an answer that its head has to state.
#[derive(Debug)]
pub(crate) struct ResponseMeta {
    pub(crate) length: ContentLength,
    /// The media type that the head states if the handler has set none.
    pub(crate) content_type: Option<&'static str>,
    /// Whether content follows the head.
    pub(crate) sends_content: bool,
}

const OCTETS: &str = "application/octet-stream";

/// The outline of an answer with this status, these fields, and a body, or a file in its place.
#[inline]
pub(crate) fn response_meta(
    request: Option<&Request>,
    status: u16,
    headers: &Headers,
    body: &Body,
    file: Option<&FileContent>,
) -> ResponseMeta {
    let http_1_0 = request.is_some_and(|request| request.version == Version::Http10);
    let is_head = request.is_some_and(|request| request.is_head());
    let bodiless = matches!(status, 101 | 204 | 304);
    let length = match (body, file) {
        _ if bodiless => match declared_length(headers) {
            // The head states the length of the answer with content (RFC 9110 section 8.6).
            Some(length) if status == 304 => ContentLength::Known(length),
            _ => ContentLength::None,
        },
        (_, Some(file)) => ContentLength::Known(file.len()),
        (Body::Bytes(bytes), _) if !is_head || !bytes.is_empty() => ContentLength::Known(bytes.len() as u64),
        (Body::Stream(_), _) => match declared_length(headers) {
            Some(length) => ContentLength::Known(length),
            None if http_1_0 => ContentLength::UntilClose,
            None => ContentLength::Chunked,
        },
        // A handler that leaves out a GET's content states its length, or the head has none (RFC 9110 section 8.6).
        _ if is_head => declared_length(headers).map_or(ContentLength::None, ContentLength::Known),
        _ => ContentLength::Known(0),
    };
    let content_type = match body {
        // A file has a media type of its own.
        Body::Empty | Body::File(_) => None,
        Body::Bytes(bytes) if bytes.is_empty() => None,
        Body::Bytes(_) => Some(OCTETS),
        Body::Stream(stream) => Some(stream.media_type().unwrap_or(OCTETS)),
    };
    ResponseMeta { length, content_type, sends_content: !is_head && !bodiless }
}
