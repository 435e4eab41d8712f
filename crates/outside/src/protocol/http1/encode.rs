//! Heads of responses and chunks of their bodies, as bytes (RFC 9112 sections 4, 6 and 7).
//!
//! The server owns Content-Length, Transfer-Encoding, Connection, Keep-Alive and Date: fields of these names that a
//! handler has set are left out; a length that a handler declares comes as [`ContentLength`].

use crate::message::{Headers, KnownHeader, Trailers, push_decimal, reason_phrase};
use crate::protocol::ContentLength;

/// The parts of a response head.
#[derive(Debug)]
pub(crate) struct ResponseHead<'a> {
    pub(crate) status: u16,
    /// The reason phrase, if it is not the usual one.
    pub(crate) reason: Option<&'a [u8]>,
    pub(crate) headers: &'a Headers,
    /// Added if the handler set none.
    pub(crate) content_type: Option<&'a str>,
    pub(crate) length: ContentLength,
    /// `Date`, in the form of RFC 9110 section 5.6.7.
    pub(crate) date: &'a [u8; 29],
    /// The value of a Connection field, if one is needed.
    pub(crate) connection: Option<&'static str>,
}

/// Appends the head to `out`.
pub(crate) fn encode_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(head.headers.wire().len() + 160);
    if head.status == 200 && head.reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(head.status));
        out.push(b' ');
        out.extend_from_slice(head.reason.unwrap_or_else(|| reason_phrase(head.status).as_bytes()));
        out.extend_from_slice(b"\r\n");
    }
    let mut has_type = false;
    let mut has_ours = false;
    for (known, _) in head.headers.known_fields() {
        has_type |= known == KnownHeader::ContentType;
        has_ours |= is_ours(known);
    }
    if has_ours {
        for (known, line) in head.headers.lines().filter(|(known, _)| !is_ours(*known)) {
            has_type |= known == KnownHeader::ContentType;
            out.extend_from_slice(line);
        }
    } else {
        out.extend_from_slice(head.headers.wire());
    }
    if let (false, Some(content_type)) = (has_type, head.content_type) {
        push_field(out, b"Content-Type: ", content_type.as_bytes());
    }
    match head.length {
        ContentLength::Known(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        ContentLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        ContentLength::UntilClose | ContentLength::None => {}
    }
    push_field(out, b"Date: ", head.date);
    if let Some(connection) = head.connection {
        push_field(out, b"Connection: ", connection.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an informational answer with these fields (103 Early Hints, RFC 8297).
pub(crate) fn encode_hints(out: &mut Vec<u8>, fields: &Headers) {
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (_, line) in fields.lines().filter(|(known, _)| !is_ours(*known)) {
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\r\n");
}

fn is_ours(known: KnownHeader) -> bool {
    matches!(
        known,
        KnownHeader::ContentLength
            | KnownHeader::TransferEncoding
            | KnownHeader::Connection
            | KnownHeader::KeepAlive
            | KnownHeader::Date
    )
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends one chunk. An empty piece adds nothing, because an empty chunk would end the body.
pub(crate) fn encode_chunk(out: &mut Vec<u8>, piece: &[u8]) {
    if piece.is_empty() {
        return;
    }
    out.reserve(piece.len() + 20);
    let digits = format!("{:x}\r\n", piece.len());
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk with trailers (RFC 9112 section 7.1.2).
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>, trailers: &Trailers) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter() {
        out.extend_from_slice(name.as_bytes());
        push_field(out, b": ", value);
    }
    out.extend_from_slice(b"\r\n");
}

/// The last chunk, without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_owns_the_framing_fields() {
        let mut headers = Headers::new();
        for (name, value) in [("X-A", "1"), ("content-length", "99"), ("Transfer-Encoding", "gzip"), ("Date", "now")] {
            headers.append(name, value).unwrap();
        }
        let mut out = Vec::new();
        let date = b"Sun, 22 Nov 2026 07:30:00 GMT";
        let length = ContentLength::Known(1_234_567_890);
        let head = ResponseHead {
            status: 404,
            reason: None,
            headers: &headers,
            content_type: Some("a/b"),
            length,
            date,
            connection: None,
        };
        encode_head(&mut out, &head);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 404 Not Found\r\nX-A: 1\r\nContent-Type: a/b\r\nContent-Length: 1234567890\r\n\
             Date: Sun, 22 Nov 2026 07:30:00 GMT\r\n\r\n"
        );
    }
}
