//! Request heads: finding their end, and reading them (RFC 9112 sections 2, 3 and 5).
//!
//! The end is found incrementally: no byte is scanned twice, however slowly a head arrives, and each LF is checked for
//! its CR in the same pass. Then httparse reads the fields, once.

use std::net::Ipv6Addr;

use httparse::{EMPTY_HEADER, Header};

use super::find::find_byte;
use crate::error::Refusal;
use crate::message::{KnownHeader, Request, Span, Version};

/// Bounds of a head, in bytes and fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// The request line without its CRLF.
    pub(crate) request_line: usize,
    /// Number of header fields.
    pub(crate) fields: usize,
    /// All header lines with their CRLFs.
    pub(crate) section: usize,
}

/// The result of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The head is not complete.
    Partial,
    /// The head is `buffer[start..end]`, including its empty line; it has this many fields.
    Complete { start: usize, end: usize, fields: usize },
}

/// Finds the end of a head in a buffer that grows.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    /// Bytes that were scanned.
    scanned: usize,
    /// The start of the unfinished line.
    line: usize,
    /// The start of the head: behind leading empty lines.
    start: usize,
    /// The start of the header lines, once the request line has ended.
    section: Option<usize>,
    fields: usize,
    skipped: u8,
}

impl HeadScanner {
    /// Scans the bytes that were added to the buffer since the last call. The beginning of the buffer must not move in
    /// between.
    pub(crate) fn scan(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Scan, Refusal> {
        while let Some(found) = find_byte(b'\n', &buffer[self.scanned..]) {
            let at = self.scanned + found;
            self.scanned = at + 1;
            // httparse takes a bare LF for a line's end, and a proxy in front may not: the two would read different
            // heads (RFC 9112 section 2.2). The scan finds every LF anyway, so the check costs one comparison for each
            // line.
            if at == self.line || buffer[at - 1] != b'\r' {
                return Err(Refusal::bad("line ended by a bare LF"));
            }
            let length = at - 1 - self.line;
            match self.section {
                // A few empty lines before a request line are ignored (RFC 9112 section 2.2).
                None if length == 0 && self.skipped < 2 => {
                    self.skipped += 1;
                    self.start = at + 1;
                }
                None if length > limits.request_line => return Err(LINE_TOO_LONG),
                None => self.section = Some(at + 1),
                Some(_) if length == 0 => {
                    return Ok(Scan::Complete { start: self.start, end: at + 1, fields: self.fields });
                }
                Some(section) => {
                    self.fields += 1;
                    if self.fields > limits.fields {
                        return Err(Refusal::limit(431, "too many header fields", "max_header_fields"));
                    }
                    if at + 1 - section > limits.section {
                        return Err(SECTION_TOO_LARGE);
                    }
                }
            }
            self.line = at + 1;
        }
        self.scanned = buffer.len();
        match self.section {
            // One byte more: the CR that may already be there.
            None if buffer.len() - self.line > limits.request_line + 1 => Err(LINE_TOO_LONG),
            Some(section) if buffer.len() - section > limits.section + 1 => Err(SECTION_TOO_LARGE),
            // Another protocol is recognised by its first bytes; waiting for more of them would be in vain.
            _ if !may_be_method(&buffer[self.start..]) => Err(Refusal::bad("this is not HTTP")),
            _ => Ok(Scan::Partial),
        }
    }

    /// Whether the first byte of a head has arrived. Empty lines do not count.
    pub(crate) fn has_begun(&self, buffer: &[u8]) -> bool {
        buffer.len() > self.start
    }
}

/// Whether these bytes can begin a request line. Looks at a few bytes only.
fn may_be_method(line: &[u8]) -> bool {
    let text = &line[..line.len().min(16)];
    let word = text.split(|&byte| byte == b' ' || byte == b'\r').next().unwrap_or_default();
    word.iter().all(|&byte| crate::message::is_token_byte(byte))
}

const LINE_TOO_LONG: Refusal = Refusal::limit(414, "request line too long", "max_request_line");
const SECTION_TOO_LARGE: Refusal = Refusal::limit(431, "header section too large", "max_header_size");

/// Reads a complete head into an empty request.
pub(crate) fn decode_head(head: &[u8], fields: usize, request: &mut Request) -> Result<(), Refusal> {
    request.headers.raw_parts().0.extend_from_slice(head);
    // The scan has checked that each LF has a CR before it; a CR elsewhere is invalid in every part of the line.
    let line_end = find_byte(b'\n', head).ok_or(MALFORMED_LINE)? - 1;
    let target = decode_request_line(&head[..line_end], request)?;
    let section = line_end + 2;
    if fields <= FEW_FIELDS {
        decode_fields(head, section, &mut [EMPTY_HEADER; FEW_FIELDS], request)?;
    } else {
        decode_fields(head, section, &mut vec![EMPTY_HEADER; fields], request)?;
    }
    check_host(request)?;
    decode_target(head, target, request)
}

/// Number of fields that nearly every request stays within; they are read on the stack.
const FEW_FIELDS: usize = 16;
const MALFORMED_LINE: Refusal = Refusal::bad("malformed request line");

/// `method SP request-target SP HTTP-version`, one space each (RFC 9112 section 3).
fn decode_request_line(line: &[u8], request: &mut Request) -> Result<Span, Refusal> {
    let first = find_byte(b' ', line).ok_or(MALFORMED_LINE)?;
    let second = find_byte(b' ', &line[first + 1..]).ok_or(MALFORMED_LINE)? + first + 1;
    if !crate::message::is_token(&line[..first]) {
        return Err(Refusal::bad("the method is not a token"));
    }
    let target = &line[first + 1..second];
    if target.is_empty() || !target.iter().all(|&byte| is_target_byte(byte)) {
        return Err(Refusal::bad("the request target holds a byte that has to be percent-encoded"));
    }
    request.version = match &line[second + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        // A higher minor version is answered as the highest that the server speaks (RFC 9110 section 2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Refusal::new(505, "HTTP version not supported"));
        }
        _ => return Err(MALFORMED_LINE),
    };
    request.method = Span { start: 0, end: first as u32 };
    let target = Span { start: first as u32 + 1, end: second as u32 };
    request.target = target;
    Ok(target)
}

/// Whether this byte may stand in a request target. Allows more than RFC 3986, because clients send it.
#[inline]
pub(crate) fn is_target_byte(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && byte != b'#'
}

fn decode_fields<'h>(
    head: &'h [u8],
    section: usize,
    room: &mut [Header<'h>],
    request: &mut Request,
) -> Result<(), Refusal> {
    let fields = match httparse::parse_headers(&head[section..], room) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(Refusal::bad("header section ends early")),
        Err(httparse::Error::HeaderName) => return Err(Refusal::bad("malformed header name")),
        Err(httparse::Error::HeaderValue) => return Err(Refusal::bad("control byte in a header value")),
        Err(_) => return Err(Refusal::bad("malformed header line")),
    };
    let base = head.as_ptr() as usize;
    let (_, list) = request.headers.raw_parts();
    list.reserve(fields.len());
    for field in fields.iter() {
        let name = field.name.as_bytes();
        if name.len() > usize::from(u16::MAX) {
            return Err(SECTION_TOO_LARGE);
        }
        let known = KnownHeader::of(name);
        // KnownHeader names contain none.
        if known == KnownHeader::Other && has_underscore(name)? {
            continue;
        }
        list.push(crate::message::Field {
            name: (name.as_ptr() as usize - base) as u32,
            value: (field.value.as_ptr() as usize - base) as u32,
            value_len: field.value.len() as u32,
            name_len: name.len() as u16,
            known,
        });
    }
    Ok(())
}

/// Whether a field is left out because of its name: in many languages `X_Forwarded_For` and `X-Forwarded-For` become
/// the same name (docs/security.md S11).
pub(crate) fn has_underscore(name: &[u8]) -> Result<bool, Refusal> {
    if find_byte(b'_', name).is_none() {
        return Ok(false);
    }
    let dashed: Vec<u8> = name.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
    match KnownHeader::of(&dashed) {
        KnownHeader::ContentLength | KnownHeader::TransferEncoding | KnownHeader::Host => {
            Err(Refusal::bad("a framing header spelled with an underscore"))
        }
        _ => Ok(true),
    }
}

/// Exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 section 3.2).
fn check_host(request: &Request) -> Result<(), Refusal> {
    let mut hosts = request.headers.all_known(KnownHeader::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_authority(host) => Ok(()),
        (Some(_), None) => Err(Refusal::bad("malformed Host")),
        (None, _) if request.version == Version::Http10 => Ok(()),
        (None, _) => Err(Refusal::bad("missing Host")),
        (Some(_), Some(_)) => Err(Refusal::bad("more than one Host")),
    }
}

/// The four forms of a target (RFC 9112 section 3.2).
fn decode_target(head: &[u8], span: Span, request: &mut Request) -> Result<(), Refusal> {
    let target = &head[span.start as usize..span.end as usize];
    let method = &head[..request.method.end as usize];
    if method == b"CONNECT" {
        return if is_authority(target) && target.contains(&b':') {
            Err(Refusal::new(501, "CONNECT is not implemented"))
        } else {
            Err(Refusal::bad("CONNECT needs an authority as its target"))
        };
    }
    if target[0] == b'/' {
        return request.set_path(span);
    }
    if target == b"*" && method == b"OPTIONS" {
        request.path = span;
        request.query = Span { start: span.end, end: span.end };
        return Ok(());
    }
    let scheme = match target {
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b':', b'/', b'/', ..] => 7,
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b's' | b'S', b':', b'/', b'/', ..] => 8,
        _ => return Err(Refusal::bad("the request target has none of the forms of RFC 9112 section 3.2")),
    };
    let rest = &target[scheme..];
    let end = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
    if !is_authority(&rest[..end]) {
        return Err(Refusal::bad("malformed authority in the request target"));
    }
    let authority = span.start + scheme as u32;
    let path = authority + end as u32;
    name_host(request, Span { start: authority, end: path });
    if rest.get(end) == Some(&b'/') {
        return request.set_path(Span { start: path, end: span.end });
    }
    // An empty path is `/`; a query may follow it.
    request.set_path(Span { start: path, end: span.end })?;
    request.url = Some("/".into());
    Ok(())
}

/// Makes the authority of an absolute target the host, even if the Host field differs: the field gets its value (RFC
/// 9112 section 3.2.2), so that handlers never see two hosts.
fn name_host(request: &mut Request, authority: Span) {
    request.authority = Some(authority);
    let (text, fields) = request.headers.raw_parts();
    match fields.iter_mut().find(|field| field.known == KnownHeader::Host) {
        Some(host) => (host.value, host.value_len) = (authority.start, authority.end - authority.start),
        // HTTP/1.0 has no Host.
        None => {
            let value = text[authority.start as usize..authority.end as usize].to_vec();
            request.headers.push_known(KnownHeader::Host, b"Host", &value);
        }
    }
}

/// Whether this is `uri-host [ ":" port ]` without user information, not empty (RFC 9110 section 7.2, RFC 3986 section
/// 3.2.2).
pub(crate) fn is_authority(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let Some(at) = memchr::memchr(b']', rest) else { return false };
        let is_address = std::str::from_utf8(&rest[..at]).is_ok_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        return is_address && is_port(&rest[at + 1..]);
    }
    // Each request has a host: its bytes are looked at once.
    let (mut length, mut has_escapes) = (0, false);
    while let Some(&byte) = text.get(length)
        && HOST_BYTES[usize::from(byte)]
    {
        has_escapes |= byte == b'%';
        length += 1;
    }
    let (host, port) = text.split_at(length);
    !host.is_empty() && is_port(port) && (!has_escapes || has_whole_escapes(host))
}

/// Whether this is nothing, or a colon with a port behind it.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn has_whole_escapes(mut text: &[u8]) -> bool {
    while let Some(at) = find_byte(b'%', text) {
        if !text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return false;
        }
        text = &text[at + 3..];
    }
    true
}

/// unreserved, sub-delims and `%` (RFC 3986 section 3.2.2).
const HOST_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < others.len() {
        allowed[others[at] as usize] = true;
        at += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { request_line: 8192, fields: 100, section: 32768 };

    #[test]
    fn dripped_and_whole_heads_end_at_the_same_byte() {
        let text = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest";
        let whole = HeadScanner::default().scan(text, &LIMITS).unwrap();
        assert_eq!(whole, Scan::Complete { start: 2, end: text.len() - 4, fields: 2 });
        let mut scanner = HeadScanner::default();
        let end = (1..).find(|&n| scanner.scan(&text[..n], &LIMITS).unwrap() != Scan::Partial).unwrap();
        assert_eq!(end, text.len() - 4);
    }

    #[test]
    fn a_head_without_fields_keeps_its_line() {
        let cases = [
            ("GET http://a:81/b?c HTTP/1.0\r\n\r\n", "/b", "c", Some("a:81")),
            ("GET http://a HTTP/1.0\r\n\r\n", "/", "", Some("a")),
            ("GET /b?c HTTP/1.0\r\n\r\n", "/b", "c", None),
        ];
        for (head, path, query, host) in cases {
            // A request of its own: one that was used before has room for fields.
            let mut request = Request::empty(([127, 0, 0, 1], 1).into());
            decode_head(head.as_bytes(), 0, &mut request).unwrap();
            assert_eq!((request.method(), request.path(), request.query()), ("GET", path, query), "{head:?}");
            assert_eq!(request.headers().get("Host"), host, "{head:?}");
        }
    }

    #[test]
    fn other_protocols_are_known_before_the_head_ends() {
        for text in ["G/ / HTTP/1.1", "G/ / HTTP/1.1\r\nHost: a", "\r\n\x16\x03\x01\x02\r\n"] {
            let (mut scanner, mut dripped) = (HeadScanner::default(), HeadScanner::default());
            assert_eq!(scanner.scan(text.as_bytes(), &LIMITS).unwrap_err().status, 400, "{text:?}");
            let refused = (0..=text.len()).find_map(|n| dripped.scan(&text.as_bytes()[..n], &LIMITS).err());
            assert_eq!(refused.map(|refusal| refusal.status), Some(400), "{text:?} dripped");
        }
    }

    #[test]
    fn a_name_that_its_length_field_cannot_hold_is_refused() {
        let name = format!("Cookie{}", "x".repeat(1 << 16));
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n");
        let mut request = Request::empty(([127, 0, 0, 1], 0).into());
        assert_eq!(decode_head(head.as_bytes(), 2, &mut request).unwrap_err().status, 431);
    }

    #[test]
    fn authorities() {
        for good in ["a", "a:80", "a.b-c:", "127.0.0.1:8080", "[::1]", "[::1]:80", "xn--a"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in ["", ":80", "a:b", "a b", "u@a", "a/b", "[::1", "[::1]x", "[]", "a:123456", "é", "a\"b"] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
