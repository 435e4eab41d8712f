//! Checks responses without slowing the load down.
//!
//! The first response is parsed with httparse and remembered; later ones are compared with it byte for byte, except for
//! the value of `Date`. A head that differs is parsed in full again, so that every response has its status and length checked
//! at the price of a memory comparison. Bytes in, verdict out: no socket here.

use std::ops::Range;

use memchr::memmem;

use crate::websocket;

/// The meaning of the bytes at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not a whole response yet.
    Incomplete,
    /// A response as expected, this many bytes long; `close` when the server announced the end of the connection.
    Good { length: usize, close: bool },
    /// Bytes that are no response and mean nothing, this many.
    Passed { length: usize },
    /// A whole response, but not the one expected.
    Wrong { length: usize, why: String },
    /// Bytes that are no HTTP response: the connection cannot go on.
    Garbage(String),
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    date: Range<usize>,
    body_length: usize,
}

/// The form of one group's responses.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    expect: Option<Vec<u8>>,
    template: Option<Template>,
    /// Of content that is only counted.
    length: Option<usize>,
    /// The one message that is expected, over and over.
    frame: Option<Vec<u8>>,
}

struct Parsed {
    status: u16,
    length: usize,
    body: Vec<u8>,
    close: bool,
    date: Range<usize>,
}

impl Checker {
    pub(crate) fn new(expect: Option<Vec<u8>>) -> Self {
        Self { expect, ..Self::default() }
    }

    /// For messages of a WebSocket.
    pub(crate) fn of_frames(frame: Vec<u8>) -> Self {
        Self { frame: Some(frame), ..Self::default() }
    }

    pub(crate) fn check(&mut self, buffer: &[u8]) -> Verdict {
        if let Some(frame) = &self.frame {
            return websocket::check(buffer, frame);
        }
        if let Some(template) = &self.template {
            let Template { bytes, date, .. } = template;
            if buffer.len() >= bytes.len()
                && buffer[..date.start] == bytes[..date.start]
                && buffer[date.end..bytes.len()] == bytes[date.end..]
            {
                return Verdict::Good { length: bytes.len(), close: false };
            }
        }
        self.check_slowly(buffer)
    }

    /// Where content is only counted: is it as long as that of the first response?
    pub(crate) fn check_length(&mut self, length: usize) -> Result<(), String> {
        match *self.length.get_or_insert(length) {
            first if first == length => Ok(()),
            first => Err(format!("body of {length} bytes, first one had {first}")),
        }
    }

    fn check_slowly(&mut self, buffer: &[u8]) -> Verdict {
        let parsed = match parse(buffer) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Verdict::Incomplete,
            Err(why) => return Verdict::Garbage(why),
        };
        let length = parsed.length;
        if parsed.status != 200 {
            return Verdict::Wrong { length, why: format!("status {}", parsed.status) };
        }
        match (&self.template, &self.expect) {
            (Some(template), _) if template.body_length != parsed.body.len() => {
                let why = format!("body of {} bytes, first one had {}", parsed.body.len(), template.body_length);
                return Verdict::Wrong { length, why };
            }
            (None, Some(expect)) if *expect != parsed.body => {
                let why = format!("body {:?} is not the expected one", String::from_utf8_lossy(&parsed.body));
                return Verdict::Wrong { length, why };
            }
            _ => {}
        }
        // An announced close is no model for the responses after it.
        if self.template.is_none() && !parsed.close {
            self.template =
                Some(Template { bytes: buffer[..length].to_vec(), date: parsed.date, body_length: parsed.body.len() });
        }
        Verdict::Good { length, close: parsed.close }
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// The length of a head and how long the body behind it is; `None` if it is not complete.
pub(crate) fn head_of(buffer: &[u8]) -> Result<Option<(usize, Framing)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if response.code != Some(200) {
        return Err(format!("status {:?}", response.code));
    }
    let field = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    match (field("content-length").and_then(|length| length.parse().ok()), field("transfer-encoding")) {
        (Some(length), None) => Ok(Some((head, Framing::Length(length)))),
        (None, Some("chunked")) => Ok(Some((head, Framing::Chunked))),
        _ => Err("neither Content-Length nor chunked".into()),
    }
}

fn parse(buffer: &[u8]) -> Result<Option<Parsed>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("{error}: {:?}", String::from_utf8_lossy(&buffer[..buffer.len().min(80)]))),
    };
    let mut content_length = None;
    let mut chunked = false;
    let mut close = response.version == Some(0);
    let mut date = 0..0;
    for header in response.headers.iter() {
        let text = std::str::from_utf8(header.value).unwrap_or("");
        if header.name.eq_ignore_ascii_case("content-length") {
            content_length = text.trim().parse::<usize>().ok();
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = text.eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = text.eq_ignore_ascii_case("close");
        } else if header.name.eq_ignore_ascii_case("date") {
            let start = memmem::find(buffer, header.value).unwrap_or(0);
            date = start..start + header.value.len();
        }
    }
    let status = response.code.unwrap_or(0);
    let (length, body) = if chunked {
        match dechunk(&buffer[head..])? {
            Some((wire, body)) => (head + wire, body),
            None => return Ok(None),
        }
    } else {
        // Neither length nor chunks: the body would end with the connection (RFC 9112 section 6.3), which no
        // keep-alive load can use.
        let size = content_length.ok_or("neither Content-Length nor chunked")?;
        match buffer.get(head..head + size) {
            Some(body) => (head + size, body.to_vec()),
            None => return Ok(None),
        }
    };
    Ok(Some(Parsed { status, length, body, close, date }))
}

/// The bytes on the wire and the body of a chunked message (RFC 9112 section 7.1); trailers are not expected.
fn dechunk(mut bytes: &[u8]) -> Result<Option<(usize, Vec<u8>)>, String> {
    let whole = bytes.len();
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete((start, size))) => (start, size as usize),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("bad chunk size".into()),
        };
        let Some(chunk) = bytes.get(start..start + size + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[start + size + 2..];
        if size == 0 {
            return Ok(Some((whole - bytes.len(), body)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 07:00:00 GMT\r\nContent-Length: 2\r\n\r\nhi";

    fn replaced(from: &str, to: &str) -> Vec<u8> {
        String::from_utf8_lossy(FIRST).replacen(from, to, 1).into_bytes()
    }

    #[test]
    fn a_later_date_is_the_same_response() {
        let mut checker = Checker::new(Some(b"hi".to_vec()));
        let good = Verdict::Good { length: FIRST.len(), close: false };
        assert_eq!(checker.check(FIRST), good);
        assert_eq!(checker.check(&replaced("07:00:00", "07:00:01")), good);
        assert_eq!(checker.check(&[FIRST, FIRST].concat()), good);
    }

    #[test]
    fn status_length_and_first_body_are_checked() {
        let mut checker = Checker::new(Some(b"hi".to_vec()));
        assert!(matches!(checker.check(&replaced("hi", "ho")), Verdict::Wrong { .. }));
        assert!(matches!(checker.check(FIRST), Verdict::Good { .. }));
        assert!(matches!(checker.check(&replaced("200", "500")), Verdict::Wrong { .. }));
        assert!(matches!(checker.check(&replaced("2\r\n\r\nhi", "3\r\n\r\nhi!")), Verdict::Wrong { .. }));
        assert_eq!(checker.check(&FIRST[..FIRST.len() - 1]), Verdict::Incomplete);
        assert!(matches!(checker.check(b"nonsense\r\n\r\n"), Verdict::Garbage(_)));
    }

    #[test]
    fn chunked_and_closing_responses_are_understood() {
        let mut checker = Checker::new(Some(b"hi".to_vec()));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(checker.check(chunked), Verdict::Good { length: chunked.len(), close: false });
        assert_eq!(checker.check(&chunked[..chunked.len() - 2]), Verdict::Incomplete);
        let closing = replaced("Content", "Connection: close\r\nContent");
        assert_eq!(checker.check(&closing), Verdict::Good { length: closing.len(), close: true });
    }
}
