//! The codec without a socket, for fuzzers and tests of this project: bytes in, in pieces, requests out.
//!
//! It calls the same functions as a connection, in the same order: `HeadScanner`, `decode_head`, `framing`,
//! `ChunkedDecoder`. Steps that need a socket, a clock or a handler are left out. Compiled under the feature `testing`
//! only, and no part of the public interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use super::conditional::{Validators, Verdict, allows_range, evaluate};
pub use super::form_testing as forms;
use super::http1::{BodyLength, ChunkedDecoder, Framing, HeadLimits, HeadScanner, Scan, decode_head, framing};
use super::negotiation::{AcceptedCodings, Coding, Codings};
use super::range::{Ranges, ranges};
pub use super::websocket::testing as websocket;
use crate::config::{Config, ProxyField};
use crate::error::Refusal;
use crate::message::{Headers, HostName, HostPattern, Request};

/// One side of a conversation: the bytes of a client, and the requests that a connection would read from them.
#[derive(Debug)]
pub struct Conversation {
    limits: Limits,
    unread: Vec<u8>,
    scanner: HeadScanner,
    body: Option<TestBody>,
    requests: Vec<ReadRequest>,
    end: Option<TestEnd>,
}

/// A request that was read to its end.
#[derive(Debug)]
pub struct ReadRequest {
    /// The request, its content included.
    pub request: Request,
    /// Whether another request may follow.
    pub keep_alive: bool,
}

impl ReadRequest {
    /// The path for routing: the url in which an encoded slash is still `%2F`.
    pub fn route(&self) -> &str {
        self.request.route()
    }
}

/// The state of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEnd {
    /// Everything was read; the connection waits for the next request.
    Idle,
    /// A head has begun and is not complete.
    InHead,
    /// A body has begun and is not complete.
    InBody,
    /// The last request asked for the end; bytes behind it are not read.
    Closed,
    /// The conversation was refused; no further bytes are read.
    Refused(Refusal),
}

/// Bounds of a conversation, in bytes and fields; those of the default configuration unless changed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The request line without its CRLF.
    pub request_line: usize,
    /// Number of header fields.
    pub fields: usize,
    /// All header lines with their CRLFs.
    pub section: usize,
    /// The content of one request.
    pub content: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let config = Config::default();
        Self {
            request_line: config.max_request_line,
            fields: config.max_header_fields,
            section: config.max_header_size,
            content: config.max_body_size,
        }
    }
}

/// A body that is being read, and the request that it belongs to.
#[derive(Debug)]
struct TestBody {
    request: Request,
    framing: Framing,
    chunks: ChunkedDecoder,
}

impl Conversation {
    /// A connection that has just been accepted.
    pub fn new(limits: Limits) -> Self {
        let scanner = HeadScanner::default();
        Self { limits, unread: Vec::new(), scanner, body: None, requests: Vec::new(), end: None }
    }

    /// Takes the bytes of one read of the socket. Bytes behind the end are ignored.
    pub fn receive(&mut self, piece: &[u8]) {
        if self.end.is_none() {
            self.unread.extend_from_slice(piece);
            self.end = self.advance().unwrap_or_else(|refusal| Some(TestEnd::Refused(refusal)));
        }
    }

    /// The requests that were read to their end, in order.
    pub fn requests(&self) -> &[ReadRequest] {
        &self.requests
    }

    /// The current state of the conversation.
    pub fn end(&self) -> TestEnd {
        match self.end {
            Some(end) => end,
            None if self.body.is_some() => TestEnd::InBody,
            None if self.scanner.has_begun(&self.unread) => TestEnd::InHead,
            None => TestEnd::Idle,
        }
    }

    /// Bytes of an unfinished body that are held.
    pub fn content_held(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.request.content.len())
    }

    fn advance(&mut self) -> Result<Option<TestEnd>, Refusal> {
        loop {
            let body = match self.body.take() {
                Some(body) => body,
                None => match self.next_head()? {
                    Some(body) => body,
                    None => return Ok(None),
                },
            };
            let keep_alive = body.framing.keep_alive;
            match self.read_body(body)? {
                Some(request) => self.requests.push(ReadRequest { request, keep_alive }),
                None => return Ok(None),
            }
            if !keep_alive {
                return Ok(Some(TestEnd::Closed));
            }
        }
    }

    /// The next head, if it is complete.
    fn next_head(&mut self) -> Result<Option<TestBody>, Refusal> {
        let Limits { request_line, fields, section, content } = self.limits;
        let limits = HeadLimits { request_line, fields, section };
        let Scan::Complete { start, end, fields } = self.scanner.scan(&self.unread, &limits)? else {
            return Ok(None);
        };
        let mut request = Request::empty(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        decode_head(&self.unread[start..end], fields, &mut request)?;
        if let Some(fault) = request.path_fault {
            return Err(Refusal::bad(fault));
        }
        self.scanner = HeadScanner::default();
        self.unread.drain(..end);
        let framing = framing(&request)?;
        if matches!(framing.body, BodyLength::Known(length) if length > content as u64) {
            return Err(Refusal::limit(413, "content too large", "max_body_size_mb"));
        }
        Ok(Some(TestBody { request, framing, chunks: ChunkedDecoder::new() }))
    }

    /// The request with its content, if it is complete; else keeps the content so far.
    fn read_body(&mut self, mut body: TestBody) -> Result<Option<Request>, Refusal> {
        let content = &mut body.request.content;
        let (consumed, done) = match body.framing.body {
            BodyLength::Known(length) => {
                let missing = length as usize - content.len();
                let take = missing.min(self.unread.len());
                content.extend_from_slice(&self.unread[..take]);
                (take, take == missing)
            }
            BodyLength::Chunked => {
                let Limits { request_line, fields, section, content: max } = self.limits;
                let limits = HeadLimits { request_line, fields, section };
                let step = body.chunks.receive(&self.unread, content, max, &limits)?;
                (step.consumed, step.done)
            }
        };
        self.unread.drain(..consumed);
        if done {
            return Ok(Some(body.request));
        }
        self.body = Some(body);
        Ok(None)
    }
}

/// The named client and host, and whether it came by TLS.
pub type TestName = (SocketAddr, Option<String>, Option<bool>);

/// The result of these fields if all of them are trusted, the peer is 10.0.0.1 and 10.0.0.0/8 is trusted; `None` if
/// they name no client.
///
/// # Errors
/// As for a connection: 400.
pub fn forwarded(headers: &Headers) -> Result<Option<TestName>, Refusal> {
    let is_trusted =
        |address: IpAddr| matches!(address.to_canonical(), IpAddr::V4(address) if address.octets()[0] == 10);
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1);
    let fields =
        [ProxyField::Forwarded, ProxyField::XForwardedFor, ProxyField::XForwardedProto, ProxyField::XForwardedHost];
    let resolved = super::forwarded::resolve(headers, peer, &fields, is_trusted)?;
    Ok(resolved.map(|said| (said.client, said.host.map(String::from), said.secure)))
}

/// The canonical host of an authority, and whether a pattern of exactly that name matches it.
pub fn host_name(authority: &str) -> Option<(String, bool)> {
    let name = HostName::of(authority)?.as_str().to_owned();
    let stands = name.parse::<HostPattern>().ok().map(|pattern| pattern.matches(authority));
    stands.map(|stands| (name, stands))
}

/// The weight in thousandths that Accept-Encoding values give each coding, by its token (empty for identity).
pub fn accepted_codings(values: &[&[u8]]) -> [(&'static str, u16); 4] {
    let accepted = AcceptedCodings::parse(values.iter().copied());
    Coding::ALL.map(|coding| (coding.token(), accepted.weight(coding)))
}

/// The token of the coding that is chosen among these.
pub fn chosen_coding(values: &[&[u8]], available: &[&str]) -> &'static str {
    let available = Coding::ALL.into_iter().filter(|coding| available.contains(&coding.token()));
    AcceptedCodings::parse(values.iter().copied()).best(available.fold(Codings::NONE, Codings::with)).token()
}

/// The half-open parts that a Range field means for this length; empty if it cannot be satisfied, `None` if the whole
/// is sent.
pub fn byte_ranges(value: &[u8], length: u64) -> Option<Vec<Range<u64>>> {
    match ranges(value, length) {
        Ranges::Whole => None,
        Ranges::Some(parts) => Some(parts),
        Ranges::Unsatisfiable => Some(Vec::new()),
    }
}

/// The status that preconditions give for a representation with this tag and time of change: 200, 304 or 412; and
/// whether a range of it may be sent. Times are seconds since 1970.
pub fn preconditions(request: &Request, etag: &[u8], modified: u64, now: u64) -> (u16, bool) {
    let validators = Validators { etag: Some(etag), modified: Some(modified) };
    let status = match evaluate(request, &validators) {
        Verdict::Proceed => 200,
        Verdict::NotModified => 304,
        Verdict::Failed => 412,
    };
    (status, allows_range(request, &validators, now))
}
