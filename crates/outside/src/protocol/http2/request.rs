//! Turns the fields that `h2` has read into a request (RFC 9113 section 8).
//!
//! `h2` resets streams that break the rules on frames and pseudo-header fields. Further rules are checked here, the
//! same as in HTTP/1.1 where there are such: targets, authorities, names with `_`, lengths, limits.

use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::error::Refusal;
use crate::message::{Field, KnownHeader, Request, Span, Version};
use crate::protocol::http1::{BodyLength, HeadLimits, framing, has_underscore, is_authority, is_target_byte};

/// The facts that a head states about the content behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Bytes of content, if declared.
    pub(crate) length: Option<u64>,
    /// Whether the client waits for a 100 before it sends its content.
    pub(crate) expects_continue: bool,
}

/// Bytes that each field counts beside name and value (RFC 9113 section 6.5.2).
const FIELD_COST: usize = 32;
/// Bytes that a line of HTTP/1.1 counts beside name and value: a colon, a space and the line's end.
const LINE_COST: usize = 4;
/// Number of pseudo-header fields that no request reaches.
const MOST_PSEUDO_FIELDS: usize = 8;

/// The size of the largest field list that `h2` has to accept, by its count (RFC 9113 section 6.5.2): twice the limits,
/// so that a request beyond the limits gets an error page.
pub(crate) fn largest_list(limits: &HeadLimits) -> u32 {
    let fields = limits.fields.saturating_add(MOST_PSEUDO_FIELDS).saturating_mul(FIELD_COST);
    let size = limits.section.saturating_mul(2).saturating_add(limits.request_line).saturating_add(fields);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Reads a head into an empty request; `beside` has the path if `h2` cannot take it. A refused request holds at least
/// method and target.
pub(crate) fn decode_request(
    head: &Parts,
    beside: Option<&str>,
    limits: &HeadLimits,
    request: &mut Request,
) -> Result<Announced, Refusal> {
    let method = head.method.as_str();
    let authority = head.uri.authority().map_or("", |authority| authority.as_str());
    let path = beside.or(head.uri.path_and_query().map(PathAndQuery::as_str)).unwrap_or_default();
    let is_visible = path.bytes().all(is_target_byte);
    let target = match method {
        "CONNECT" => note_line(method.as_bytes(), authority.as_bytes(), request),
        _ if is_visible => put_line(method, path, request),
        _ => note_line(method.as_bytes(), path.as_bytes(), request),
    };
    if request.line().len() > limits.request_line {
        return Err(Refusal::limit(414, "request line too long", "max_request_line"));
    }
    check_size(head, limits)?;
    if !is_visible {
        return Err(Refusal::bad("the request target holds a byte that has to be percent-encoded"));
    }
    check_authority(&head.headers, authority)?;
    decode_fields(&head.headers, authority, request)?;
    let framing = framing(request)?;
    let length = request.headers.known(KnownHeader::ContentLength).and(match framing.body {
        BodyLength::Known(length) => Some(length),
        BodyLength::Chunked => None,
    });
    decode_target(method, path, target, request)?;
    Ok(Announced { length, expects_continue: framing.expects_continue })
}

/// Notes method and target of a refused request for the log; characters that are not visible are percent-encoded.
pub(crate) fn note_line(method: &[u8], target: &[u8], request: &mut Request) -> Span {
    let escaped = |text: &[u8]| -> String {
        let escape = |&byte: &u8| {
            if is_target_byte(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        text.iter().map(escape).collect()
    };
    put_line(&escaped(method), &escaped(target), request)
}

fn put_line(method: &str, target: &str, request: &mut Request) -> Span {
    request.version = Version::Http2;
    let (text, _) = request.headers.raw_parts();
    let mut add = |piece: &str| {
        let start = text.len() as u32;
        text.extend_from_slice(piece.as_bytes());
        Span { start, end: text.len() as u32 }
    };
    request.method = add(method);
    add(" ");
    request.target = add(target);
    add(" HTTP/2\r\n");
    request.target
}

/// Fields and bytes as HTTP/1.1 lines would have them, so that one limit serves both versions. Each cookie crumb counts
/// (docs/security.md S19).
fn check_size(head: &Parts, limits: &HeadLimits) -> Result<(), Refusal> {
    if head.headers.len() > limits.fields {
        return Err(Refusal::limit(431, "too many header fields", "max_header_fields"));
    }
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_COST);
    if fields.sum::<usize>() > limits.section {
        return Err(Refusal::limit(431, "header section too large", "max_header_size"));
    }
    Ok(())
}

/// Exactly one authority; if it is given twice, both are the same (RFC 9113 section 8.3.1).
fn check_authority(headers: &HeaderMap, authority: &str) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let said = match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(Refusal::bad("more than one Host")),
        ("", None, _) => return Err(Refusal::bad("missing Host")),
        ("", Some(host), _) => host,
        (authority, None, _) => authority.as_bytes(),
        (authority, Some(host), _) if host.eq_ignore_ascii_case(authority.as_bytes()) => host,
        _ => return Err(Refusal::bad("Host and :authority differ")),
    };
    if is_authority(said) { Ok(()) } else { Err(Refusal::bad("malformed Host")) }
}

fn decode_fields(headers: &HeaderMap, authority: &str, request: &mut Request) -> Result<(), Refusal> {
    let (text, fields) = request.headers.raw_parts();
    let room = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    text.reserve(room.sum::<usize>() + authority.len() + 10);
    fields.reserve(headers.len() + 1);
    let mut push = |name: &str, values: &mut dyn Iterator<Item = &[u8]>| {
        let start = text.len();
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        let value = text.len();
        for (index, piece) in values.enumerate() {
            // Cookie crumbs are joined into one field (RFC 9113 section 8.2.3).
            text.extend_from_slice(if index == 0 { b"" } else { b"; " });
            text.extend_from_slice(piece);
        }
        let value_len = (text.len() - value) as u32;
        text.extend_from_slice(b"\r\n");
        let (name_len, known) = (name.len() as u16, KnownHeader::of(name.as_bytes()));
        fields.push(Field { name: start as u32, value: value as u32, value_len, name_len, known });
    };
    if !authority.is_empty() {
        push("host", &mut std::iter::once(authority.as_bytes()));
    }
    let mut had_cookie = false;
    for (name, value) in headers {
        let value = value.as_bytes();
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(Refusal::bad("space around a field value"));
        }
        if skips(name, authority)? {
            continue;
        }
        if name != COOKIE {
            push(name.as_str(), &mut std::iter::once(value));
        } else if !std::mem::replace(&mut had_cookie, true) {
            push(name.as_str(), &mut headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes));
        }
    }
    Ok(())
}

/// Whether this field is left out.
fn skips(name: &HeaderName, authority: &str) -> Result<bool, Refusal> {
    Ok((name == HOST && !authority.is_empty()) || has_underscore(name.as_str().as_bytes())?)
}

/// The forms of `:path` (RFC 9113 section 8.3.1).
fn decode_target(method: &str, path: &str, span: Span, request: &mut Request) -> Result<(), Refusal> {
    match path.as_bytes() {
        _ if method == "CONNECT" => Err(Refusal::new(501, "CONNECT is not implemented")),
        [b'/', ..] => request.set_path(span),
        b"*" if method == "OPTIONS" => {
            request.path = span;
            request.query = Span { start: span.end, end: span.end };
            Ok(())
        }
        _ => Err(Refusal::bad("the request target has none of the forms of RFC 9113 section 8.3.1")),
    }
}
