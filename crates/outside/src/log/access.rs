//! One line of the access log in its formats for machines; the format for people is in `terminal`.
//!
//! Text from clients is escaped: control bytes, quotes and backslashes as `\xhh`, so that one exchange is one line
//! (docs/security.md S39). Authorization, cookies and content are never written.

use std::borrow::Cow;

use super::form::LineFormat;
use super::line::{AccessLine, End, push_escaped, push_hex};
use super::moment::Moment;
use super::terminal;
use crate::config::LogField;
use crate::message::{KnownHeader, Request, push_decimal, shown_target, without_secrets};

impl AccessLine<'_> {
    /// Appends the line with its newline; in JSON with these fields, or the usual ones if there are none.
    pub(super) fn write_to(&self, out: &mut Vec<u8>, form: LineFormat, fields: &[LogField], now: &Moment) {
        match form {
            LineFormat::Json if fields.is_empty() => self.write_json(out, now),
            LineFormat::Json => self.write_fields(out, fields, now),
            LineFormat::Plain | LineFormat::Coloured => terminal::write(self, out, form == LineFormat::Coloured, now),
            _ => self.write_common(out, form == LineFormat::Combined, now),
        }
        out.push(b'\n');
    }

    fn write_common(&self, out: &mut Vec<u8>, combined: bool, now: &Moment) {
        let line = self.request.map_or(Cow::Borrowed(&b"-"[..]), shown_line);
        let line = &*line;
        out.reserve(line.len() + 128);
        out.extend_from_slice(self.client());
        out.extend_from_slice(&now.common);
        // A request line holds visible characters and two spaces; only quotes and backslashes can need an escape.
        match memchr::memchr2(b'"', b'\\', line) {
            None => out.extend_from_slice(line),
            Some(_) => push_escaped(out, line),
        }
        let status = [48 + self.status / 100 % 10, 48 + self.status / 10 % 10, 48 + self.status % 10].map(|n| n as u8);
        out.extend_from_slice(&[b'"', b' ', status[0], status[1], status[2], b' ']);
        push_decimal(out, self.bytes);
        if combined {
            for name in [KnownHeader::Referer, KnownHeader::UserAgent] {
                out.extend_from_slice(b" \"");
                push_escaped(out, &without_secrets(self.field(name).unwrap_or(b"-")));
                out.push(b'"');
            }
        }
    }

    fn write_json(&self, out: &mut Vec<u8>, now: &Moment) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(&now.iso);
        out.extend_from_slice(b"\",\"client\":\"");
        out.extend_from_slice(self.client());
        out.push(b'"');
        if let Some(request) = self.request {
            for (name, value) in [
                (&b"method"[..], request.method().as_bytes()),
                (b"target", shown_target(request.target()).as_bytes()),
                (b"version", request.version().as_bytes()),
            ] {
                push_json_field(out, name, value);
            }
        }
        out.extend_from_slice(b",\"status\":");
        push_decimal(out, u64::from(self.status));
        out.extend_from_slice(b",\"bytes\":");
        push_decimal(out, self.bytes);
        if let Some(duration) = self.duration {
            out.extend_from_slice(b",\"microseconds\":");
            push_decimal(out, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        }
        for (name, known) in
            [(&b"host"[..], KnownHeader::Host), (b"referer", KnownHeader::Referer), (b"agent", KnownHeader::UserAgent)]
        {
            if let Some(value) = self.field(known) {
                push_json_field(out, name, &without_secrets(value));
            }
        }
        if let Some(ids) = self.request.and_then(Request::known_ids) {
            for (name, value) in [(&b"request_id"[..], ids.id()), (b"trace_id", &*ids.trace), (b"span_id", &*ids.span)]
            {
                push_json_field(out, name, value.as_bytes());
            }
        }
        if self.end != End::Complete {
            push_json_field(out, b"end", self.end.name().as_bytes());
        }
        out.push(b'}');
    }

    fn field(&self, known: KnownHeader) -> Option<&[u8]> {
        self.request.and_then(|request| request.headers().known(known))
    }
}

/// The request line without secrets.
fn shown_line(request: &Request) -> Cow<'_, [u8]> {
    // A target that ends with its path has no query to look through. One that could not be decoded has no path.
    if request.path.start < request.path.end && request.path.end == request.target.end {
        return Cow::Borrowed(request.line());
    }
    match shown_target(request.target()) {
        Cow::Borrowed(_) => Cow::Borrowed(request.line()),
        Cow::Owned(target) => Cow::Owned(format!("{} {target} {}", request.method(), request.version()).into_bytes()),
    }
}

fn push_json_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":\"");
    push_json_bytes(out, value);
}

/// Appends bytes of a client as the inside of a text, and its end.
fn push_json_bytes(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => {
                out.extend_from_slice(b"\\u00");
                push_hex(out, byte);
            }
        }
    }
    out.push(b'"');
}

/// Appends a text with its quotes, all of it ASCII.
pub(super) fn push_json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            ' '..='~' => out.push(character as u8),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http1::decode_head;

    #[test]
    fn request_lines_without_secrets() {
        for (line, shown) in [
            ("GET /hello HTTP/1.1", "GET /hello HTTP/1.1"),
            ("GET /hello? HTTP/1.0", "GET /hello? HTTP/1.0"),
            ("GET /a/../b%2F?q=1&token=2 HTTP/1.1", "GET /a/../b%2F?q=1&token=*** HTTP/1.1"),
            ("GET http://a/b?token=2 HTTP/1.1", "GET http://a/b?token=*** HTTP/1.1"),
            ("GET http://a?token=2 HTTP/1.1", "GET http://a?token=*** HTTP/1.1"),
            ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
            // Heads that are refused after their first line.
            ("GET /%zz%00?token=2 HTTP/1.1", "GET /%zz%00?token=*** HTTP/1.1"),
            ("GET a?token=2 HTTP/1.1", "GET a?token=*** HTTP/1.1"),
            ("CONNECT a:1?token=2 HTTP/1.1", "CONNECT a:1?token=*** HTTP/1.1"),
        ] {
            let mut request = Request::empty(crate::message::NO_ADDRESS);
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            let _a_refused_head_has_a_line = decode_head(head.as_bytes(), 1, &mut request);
            assert_eq!(String::from_utf8_lossy(&shown_line(&request)), shown);
        }
    }
}
