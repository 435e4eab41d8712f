//! The HTTP of the authority's client: one connection for each request, with deadlines and bounds.
//!
//! The crate `instant-acme` leaves this to its user. A refusal becomes an error with a sentence, also where its content
//! is no problem document; `Retry-After` and `Date`, which the crate drops, are noted.

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use instant_acme::{BodyWrapper, BytesResponse, Error as AcmeError, HttpClient, Problem};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::error::Error;
use crate::protocol::ContentLength;
use crate::protocol::http1::{ChunkReader, ReceivedHead, decode_response_head};

/// Time for a request and its answer, in all.
const DEADLINE: Duration = Duration::from_secs(30);
/// Time for one address of the authority, before the next one is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const LARGEST: usize = 1 << 20;
/// Letters of an answer that is no problem document, as they are shown in the log.
const SHOWN: usize = 200;

/// The client of one attempt.
#[derive(Clone)]
pub(super) struct CaClient {
    tls: Arc<ClientConfig>,
    notes: Arc<Notes>,
}

/// Facts of the authority's answers that are needed apart from them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Seconds for which the authority wants no request.
    retry_after: Mutex<Option<u64>>,
    /// The authority's clock, in seconds before this machine's; negative if it is ahead.
    behind: Mutex<Option<i64>>,
}

impl Notes {
    pub(super) fn retry_after(&self) -> Option<u64> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds by which this machine's clock is ahead of the authority's.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, head: &ReceivedHead) {
        let now = SystemTime::now();
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let date = head.headers.get("Date").and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(date) = date {
            let ahead = i64::try_from(seconds(now)).unwrap_or(0) - i64::try_from(seconds(date)).unwrap_or(0);
            *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        if head.status >= 400 {
            let value = head.headers.get("Retry-After").map(str::trim);
            let wait = value.and_then(|value| {
                let date = || httpdate::parse_http_date(value).ok()?.duration_since(date.unwrap_or(now)).ok();
                value.parse().ok().or_else(|| date().map(|wait| wait.as_secs()))
            });
            *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
    }
}

impl CaClient {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, notes: Arc::default() }
    }

    pub(super) fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }
}

impl HttpClient for CaClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, AcmeError>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            let mut content = Vec::new();
            // The crate holds the whole content in one piece.
            while let Some(Ok(piece)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                content.extend_from_slice(piece.data_ref().map_or(&[][..], |data| data));
            }
            let deadline = Instant::now() + DEADLINE;
            let target = parts.uri.to_string();
            let exchange = move || exchange(&client, &parts, &content, deadline);
            let exchanged = tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(exchange)).await;
            match exchanged {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(AcmeError::Str("the client of the authority has failed")),
                Err(_) => Err(other(format!("{target} has not answered within {} s", DEADLINE.as_secs()))),
            }
        })
    }
}

fn other(text: impl Into<String>) -> AcmeError {
    AcmeError::Other(text.into().into())
}

fn exchange(
    client: &CaClient,
    parts: &http::request::Parts,
    content: &[u8],
    deadline: Instant,
) -> Result<BytesResponse, AcmeError> {
    let AuthorityPlace { host, port, is_secure } = place(&parts.uri)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let failed = |error: io::Error| other(explained(&format!("{host}:{port}"), &error));
    let socket = connect(bare, port, deadline).map_err(failed)?;
    let request = rendered(parts, content);
    let is_head = parts.method == http::Method::HEAD;
    let socket = Bounded { socket, deadline };
    let (head, content) = if is_secure {
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| other(format!("{bare:?} is no name of a host")))?;
        let connection = ClientConnection::new(Arc::clone(&client.tls), name).map_err(other_error)?;
        answered(&mut StreamOwned::new(connection, socket), &request, is_head).map_err(failed)?
    } else {
        let mut socket = socket;
        answered(&mut socket, &request, is_head).map_err(failed)?
    };
    client.notes.note(&head);
    response(parts.method == http::Method::POST, head, content)
}

/// The place that a URL of the authority leads to.
pub(super) struct AuthorityPlace<'u> {
    host: &'u str,
    port: u16,
    is_secure: bool,
}

pub(super) fn place(uri: &http::Uri) -> Result<AuthorityPlace<'_>, AcmeError> {
    let host = uri.host().ok_or(AcmeError::Str("the authority names a URL without a host"))?;
    let is_secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if crate::message::is_loopback(host) => false,
        _ => return Err(other(format!("the authority names a URL without https: {uri}"))),
    };
    Ok(AuthorityPlace { host, port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }), is_secure })
}

fn other_error(error: impl std::error::Error + Send + Sync + 'static) -> AcmeError {
    AcmeError::Other(Box::new(error))
}

/// A refusal becomes an error, unless the crate is to see it: problem documents that answer a POST.
pub(super) fn response(is_post: bool, head: ReceivedHead, content: Vec<u8>) -> Result<BytesResponse, AcmeError> {
    if head.status >= 300 {
        let problem = serde_json::from_slice::<Problem>(&content).ok().filter(|problem| problem.r#type.is_some());
        match problem {
            Some(_) if is_post && head.status >= 400 => {}
            Some(problem) => return Err(AcmeError::Api(problem)),
            None => {
                let text = String::from_utf8_lossy(&content);
                let shown: String = crate::log::one_line(text.trim()).chars().take(SHOWN).collect();
                let detail = Some(format!("status {} {shown}", head.status).trim().to_owned());
                return Err(AcmeError::Api(Problem {
                    r#type: None,
                    detail,
                    status: Some(head.status),
                    subproblems: Vec::new(),
                }));
            }
        }
    }
    // The crate panics if this value of a directory is no URL.
    let value = serde_json::from_slice::<serde_json::Value>(if is_post { b"" } else { &content }).unwrap_or_default();
    if let Some(url) = value["newNonce"].as_str() {
        url.parse::<http::Uri>().map_err(AcmeError::InvalidUri)?;
    }
    let mut response = Response::builder().status(head.status);
    for (name, value) in head.headers.iter() {
        response = response.header(name, value);
    }
    let (parts, ()) = response.body(()).map_err(AcmeError::Http)?.into_parts();
    Ok(BytesResponse { parts, body: Box::new(Bytes::from(content)) })
}

pub(super) fn rendered(parts: &http::request::Parts, content: &[u8]) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    // A URL may have a query and no path, or a user; a request has always a path, and its Host no user (RFC 9112 section 3.2).
    let slash = if target.starts_with('/') { "" } else { "/" };
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut text =
        format!("{} {slash}{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", parts.method).into_bytes();
    text.extend_from_slice(format!("User-Agent: outside/{}\r\n", env!("CARGO_PKG_VERSION")).as_bytes());
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != http::header::USER_AGENT) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if !content.is_empty() {
        text.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(content);
    text
}

/// Connects to the first address that answers.
fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).min(CONNECT);
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true).unwrap_or_default();
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket that obeys the deadline of the whole exchange.
struct Bounded {
    socket: TcpStream,
    deadline: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn answered(stream: &mut (impl Read + Write), request: &[u8], is_head: bool) -> io::Result<(ReceivedHead, Vec<u8>)> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut received = Received { stream, input: Vec::new() };
    let head = received.head()?;
    let content = received.content(&head, is_head)?;
    Ok((head, content))
}

/// The bytes of an answer, as they come.
struct Received<'s, S> {
    stream: &'s mut S,
    input: Vec<u8>,
}

fn invalid(error: &Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("its answer is no HTTP: {error}"))
}

impl<S: Read> Received<'_, S> {
    /// Reads once; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 << 10];
        if self.input.len() > LARGEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "its answer is larger than 1 MiB"));
        }
        let count = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Many servers close the connection without an end of TLS; the length tells whether all has come.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break 0,
                read => break read?,
            }
        };
        self.input.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    fn head(&mut self) -> io::Result<ReceivedHead> {
        loop {
            if let Some((head, length)) = decode_response_head(&self.input).map_err(|error| invalid(&error))? {
                self.input.drain(..length);
                if !head.is_interim() {
                    return Ok(head);
                }
            } else if !self.fill()? {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has closed the connection without an answer"));
            }
        }
    }

    fn content(&mut self, head: &ReceivedHead, is_head: bool) -> io::Result<Vec<u8>> {
        let broken = || io::Error::new(ErrorKind::UnexpectedEof, "its answer broke off");
        match head.content_length(is_head) {
            ContentLength::None => Ok(Vec::new()),
            ContentLength::Known(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                while self.input.len() < length {
                    if !self.fill()? {
                        return Err(broken());
                    }
                }
                self.input.truncate(length);
                Ok(std::mem::take(&mut self.input))
            }
            ContentLength::Chunked => {
                let (mut chunks, mut content) = (ChunkReader::default(), Vec::new());
                while !chunks.receive(&self.input, &mut content).map_err(|error| invalid(&error))? {
                    if !self.fill()? {
                        return Err(broken());
                    }
                }
                Ok(content)
            }
            ContentLength::UntilClose => {
                while self.fill()? {}
                Ok(std::mem::take(&mut self.input))
            }
        }
    }
}

/// A failure to reach the authority, with the advice that helps.
fn explained(place: &str, error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(fault)) => format!(
            "the certificate of {place} is not trusted ({fault:?}): config[\"acme_roots\"] names the roots of a private authority, \
             and a wrong clock has the same effect"
        ),
        _ if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => format!("{place} does not answer"),
        _ => format!("{place} cannot be asked: {error}"),
    }
}

/// Reads an answer from its bytes, for tests and fuzzers. Returns its head and content.
#[cfg(feature = "testing")]
pub(super) fn answer_of(bytes: &[u8], is_head: bool) -> io::Result<(ReceivedHead, Vec<u8>)> {
    let mut stream = bytes;
    let mut received = Received { stream: &mut stream, input: Vec::new() };
    let head = received.head()?;
    let content = received.content(&head, is_head)?;
    Ok((head, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_path_and_a_host_without_a_user() {
        let cases = [
            ("https://ca.example/order?a=1", "GET /order?a=1 HTTP/1.1\r\nHost: ca.example\r\n"),
            ("https://ca.example", "GET / HTTP/1.1\r\nHost: ca.example\r\n"),
            ("https://ca.example:14000?order", "GET /?order HTTP/1.1\r\nHost: ca.example:14000\r\n"),
            ("https://user:secret@ca.example/order", "GET /order HTTP/1.1\r\nHost: ca.example\r\n"),
        ];
        for (url, begin) in cases {
            let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
            let request = String::from_utf8(rendered(&parts, b"")).unwrap();
            assert!(request.starts_with(begin), "{url}: {request:?}");
        }
    }
}
