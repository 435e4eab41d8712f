//! A request: its head as received, with offsets into it, and its whole content.
//!
//! Parts are decoded only when they are asked for. The memory of a finished request is used again for the next one on
//! the same connection.

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU32;
use std::sync::{OnceLock, Weak};

use super::after::AfterCalls;
use super::cookie::Cookies;
use super::form::FormLimits;
use super::forwarded::Forwarded;
use super::headers::Headers;
use super::name::KnownHeader;
use super::parameter::{Parameter, Parameters};
use super::query::parse_query;
use super::spooled::{ContentSource, Spooled};
use super::state::RequestState;
use super::target::{octets, query_mark, resolve, resolve_as_received};
use super::version::Version;
use crate::error::{Error, Refusal};

/// A half-open range of bytes in the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

/// An HTTP request with its whole content (RFC 9110 section 3.4).
#[derive(Debug)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) path: Span,
    pub(crate) query: Span,
    /// The authority of an absolute target; then the Host field is ignored (RFC 9112 section 3.2.2).
    pub(crate) authority: Option<Span>,
    pub(crate) url: Option<Box<str>>,
    /// Why the path is refused, unless a hosted application answers it.
    pub(crate) path_fault: Option<&'static str>,
    pub(crate) route: Option<Box<str>>,
    /// Set by the router if the route has a pattern.
    pub(crate) parameters: OnceLock<Parameters>,
    /// The number of its route for the metrics; 0 until it has one.
    pub(crate) route_number: AtomicU32,
    pub(crate) version: Version,
    pub(crate) content: Vec<u8>,
    /// Content too large for memory; then `content` is empty.
    pub(crate) spooled: Option<Box<Spooled>>,
    /// The address of the connected peer.
    pub(crate) address: SocketAddr,
    /// The client that a trusted proxy names.
    pub(crate) forwarded: Option<Box<Forwarded>>,
    /// Whether the connection is TLS.
    pub(crate) is_secure: bool,
    pub(crate) max_params: u32, // small, since an idle WebSocket keeps its request
    pub(crate) max_cookies: u32,
    /// `None` stands for the defaults; set only if there is content.
    pub(crate) form_limits: Option<Box<FormLimits>>,
    /// Whether an error is answered with a problem document (RFC 9457) if the client accepts JSON before HTML.
    pub(crate) wants_problems: bool,
    /// Calls for the time after the answer, once there has been one.
    pub(crate) after: OnceLock<Box<AfterCalls>>,
    /// The site that answers the request; kept when the memory is used again.
    pub(crate) owner: Option<Weak<dyn Any + Send + Sync>>,
    /// Values of the program, once there has been one.
    pub(crate) state: OnceLock<Box<RequestState>>,
}

/// The parts of a request that is built by hand: for tests and for [`crate::ScheduledResponse`].
#[derive(Clone, Debug)]
pub struct RequestParts<'a> {
    /// A token such as `GET`.
    pub method: &'a str,
    /// Path and, after `?`, query; percent-encoded as in a request line. A missing `/` at the start is added.
    pub target: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The content.
    pub content: &'a [u8],
    /// The version of HTTP.
    pub version: Version,
    /// The client.
    pub address: SocketAddr,
}

impl Default for RequestParts<'_> {
    fn default() -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { method: "GET", target: "/", headers: &[], content: b"", version: Version::Http11, address }
    }
}

impl Request {
    /// An empty request for a decoder to fill.
    pub(crate) fn empty(address: SocketAddr) -> Self {
        Self {
            headers: Headers::new(),
            method: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: Span::default(),
            authority: None,
            url: None,
            path_fault: None,
            route: None,
            parameters: OnceLock::new(),
            route_number: AtomicU32::new(0),
            version: Version::Http11,
            content: Vec::new(),
            spooled: None,
            address,
            forwarded: None,
            is_secure: false,
            max_params: 1000,
            max_cookies: 150,
            form_limits: None,
            wants_problems: false,
            after: OnceLock::new(),
            owner: None,
            state: OnceLock::new(),
        }
    }

    /// Clears the request for the next one. Keeps the memory, unless it has grown large.
    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        for span in [&mut self.method, &mut self.target, &mut self.path, &mut self.query] {
            *span = Span::default();
        }
        self.authority = None;
        (self.url, self.path_fault) = (None, None);
        self.route = None;
        self.parameters.take();
        *self.route_number.get_mut() = 0;
        self.after.take();
        self.state.take();
        self.spooled = None;
        self.forwarded = None;
        if self.content.capacity() > 64 << 10 {
            self.content = Vec::new();
        } else {
            self.content.clear();
        }
    }

    /// Builds a request by hand.
    ///
    /// # Errors
    /// A header is invalid, or the target has a malformed escape.
    pub fn from_parts(parts: &RequestParts<'_>) -> Result<Self, Error> {
        let mut request = Self::empty(parts.address);
        for (name, value) in parts.headers {
            request.headers.append(name, value)?;
        }
        let slash = if parts.target.starts_with('/') { "" } else { "/" };
        let (text, _) = request.headers.raw_parts();
        let mut add = |pieces: &[&str]| {
            let start = text.len() as u32;
            pieces.iter().for_each(|piece| text.extend_from_slice(piece.as_bytes()));
            Span { start, end: text.len() as u32 }
        };
        request.method = add(&[parts.method]);
        request.target = add(&[slash, parts.target]);
        request.set_path(request.target).map_err(|refusal| Error::new(refusal.reason))?;
        if let Some(fault) = request.path_fault {
            return Err(Error::new(fault));
        }
        request.version = parts.version;
        request.content = parts.content.to_vec();
        Ok(request)
    }

    /// Splits path and query and resolves the path. `whole` is the position of both in the text. A path that hosted
    /// applications alone may get leaves a fault.
    pub(crate) fn set_path(&mut self, whole: Span) -> Result<(), Refusal> {
        let bytes = &self.headers.text()[whole.start as usize..whole.end as usize];
        let at = query_mark(bytes).unwrap_or(bytes.len());
        let (resolved, fault) = match resolve(&bytes[..at]) {
            Ok(resolved) => (resolved, None),
            Err(refusal) => (Some(resolve_as_received(&bytes[..at])?), Some(refusal.reason)),
        };
        self.path_fault = fault;
        let end = whole.start + at as u32;
        self.path = Span { start: whole.start, end };
        self.query = Span { start: (end + 1).min(whole.end), end: whole.end };
        if let Some(resolved) = resolved {
            if resolved.route != resolved.url {
                self.route = Some(resolved.route.into_boxed_str());
            }
            self.url = Some(resolved.url.into_boxed_str());
        }
        Ok(())
    }

    fn text(&self, span: Span) -> &[u8] {
        &self.headers.text()[span.start as usize..span.end as usize]
    }

    /// Method and target were checked to be ASCII when they were read.
    fn ascii(&self, span: Span) -> &str {
        std::str::from_utf8(self.text(span)).unwrap_or_default()
    }

    /// The method as received; methods are case-sensitive (RFC 9110 section 9.1).
    pub fn method(&self) -> &str {
        // Of nearly all requests; the check of a text costs as much as all of these.
        match self.text(self.method) {
            b"GET" => "GET",
            b"POST" => "POST",
            b"HEAD" => "HEAD",
            _ => self.ascii(self.method),
        }
    }

    /// The whole request line as received.
    pub(crate) fn line(&self) -> &[u8] {
        let text = self.headers.text();
        &text[..text.len().min(self.target.end as usize + 1 + self.version.as_str().len())]
    }

    /// The target of the request line as received, undecoded.
    pub fn target(&self) -> &str {
        self.ascii(self.target)
    }

    /// The path, percent-decoded once and without dot segments, without the query.
    pub fn url(&self) -> &str {
        match &self.url {
            Some(url) => url,
            None => self.ascii(self.path),
        }
    }

    /// The same as [`Request::url`].
    pub fn path(&self) -> &str {
        self.url()
    }

    /// The path as received, still encoded; empty for `*`, which is no path.
    pub fn raw_path(&self) -> &str {
        let path = self.ascii(self.path);
        if path.starts_with('/') { path } else { "" }
    }

    /// The url as bytes, if the path is not UTF-8 and the url has replacement characters.
    pub(crate) fn octets(&self) -> Option<Vec<u8>> {
        let is_lossy = self.url.as_ref()?.contains(char::REPLACEMENT_CHARACTER);
        is_lossy.then(|| octets(self.raw_path().as_bytes()))
    }

    /// The path for routing: the url in which an encoded slash is still `%2F`.
    pub(crate) fn route(&self) -> &str {
        self.paths().0
    }

    /// The path for routing as bytes, which need not be checked for UTF-8 once more.
    pub(crate) fn route_bytes(&self) -> &[u8] {
        let url = || self.url.as_deref().map_or_else(|| self.text(self.path), str::as_bytes);
        self.route.as_deref().map_or_else(url, str::as_bytes)
    }

    /// The path for routing, and the url.
    pub(crate) fn paths(&self) -> (&str, &str) {
        let url = self.url();
        (self.route.as_deref().unwrap_or(url), url)
    }

    /// The value of a parameter of the path, if the matching route has one of this name.
    ///
    /// ```
    /// # use outside::{OutsideHttp, Request};
    /// # use outside::message::Parameter;
    /// # let server = OutsideHttp::new(("127.0.0.1", 0))?;
    /// server.get("/users/{id:int}", |request: &Request| {
    ///     let id = request.parameter("id").and_then(Parameter::as_int).unwrap_or_default();
    ///     format!("user {id}")
    /// })?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters()?.get(name)
    }

    /// The parameters of the path, if the matching route has a pattern.
    pub fn parameters(&self) -> Option<&Parameters> {
        self.parameters.get()
    }

    /// The query as received, without its `?`; empty if there is none.
    pub fn query(&self) -> &str {
        self.ascii(self.query)
    }

    /// The pairs of the query in order, decoded; the first 1000 of them by default (`max_query_parameters`).
    pub fn params(&self) -> Vec<(String, String)> {
        parse_query(self.text(self.query), self.max_params as usize)
    }

    /// The first value of a query parameter.
    ///
    /// ```
    /// # use outside::Request;
    /// # use outside::message::RequestParts;
    /// let request = Request::from_parts(&RequestParts { target: "/find?q=a+b", ..RequestParts::default() })?;
    /// assert_eq!(request.param("q").as_deref(), Some("a b"));
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn param(&self, name: &str) -> Option<String> {
        self.params().into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The cookies; the first 150 of them by default (`max_cookies`).
    pub fn cookies(&self) -> Cookies<'_> {
        Cookies::new(&self.headers, self.max_cookies as usize)
    }

    /// The content; empty if the request had none. Content above `spool_above_mb` is in a temporary file, and read into
    /// memory when first asked for.
    ///
    /// # Panics
    /// If that file cannot be read; see [`Request::try_content`]. In a handler that is a 500.
    pub fn content(&self) -> &[u8] {
        match self.try_content() {
            Ok(content) => content,
            Err(error) => panic!("the spooled content cannot be read: {error}"),
        }
    }

    /// The content, or the error of reading its temporary file.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn try_content(&self) -> io::Result<&[u8]> {
        let Some(spooled) = &self.spooled else { return Ok(&self.content) };
        if let Some(content) = spooled.read.get() {
            return Ok(content);
        }
        let Some(source) = spooled.source() else { return Ok(&[]) };
        let content = source.read_all()?;
        Ok(spooled.read.get_or_init(|| content))
    }

    /// Copies the content into a buffer of its length, without keeping it in memory a second time.
    ///
    /// # Errors
    /// The temporary file with the content cannot be read.
    ///
    /// # Panics
    /// If the buffer has another length.
    pub fn copy_content_into(&self, buffer: &mut [u8]) -> io::Result<()> {
        let spooled = self.spooled.as_ref();
        match spooled.and_then(|spooled| spooled.source().filter(|_| spooled.read.get().is_none())) {
            Some(source) => source.read_at(buffer, 0),
            None => {
                buffer.copy_from_slice(self.try_content()?);
                Ok(())
            }
        }
    }

    /// Whether asking for the content reads a file.
    pub fn is_spooled(&self) -> bool {
        self.spooled.as_ref().is_some_and(|spooled| spooled.read.get().is_none())
    }

    /// The length of the content in bytes, without reading it.
    pub fn content_length(&self) -> u64 {
        match &self.spooled {
            Some(spooled) => match spooled.read.get() {
                Some(content) => content.len() as u64,
                None => spooled.source().map_or(0, ContentSource::length),
            },
            None => self.content.len() as u64,
        }
    }

    /// The content as text; `None` if it is not UTF-8.
    pub fn text_content(&self) -> Option<&str> {
        std::str::from_utf8(self.content()).ok()
    }

    /// The version of HTTP: `"HTTP/2"`, `"HTTP/1.1"` or `"HTTP/1.0"`.
    pub fn version(&self) -> &'static str {
        self.version.as_str()
    }

    /// Address and port of the client: of the connected peer, or of the client that a trusted proxy (`trusted_proxies`)
    /// names, whose port may be 0. `0.0.0.0:0` if none is known, for example behind a Unix socket.
    pub fn address(&self) -> SocketAddr {
        match &self.forwarded {
            Some(forwarded) => forwarded.client,
            None => self.address,
        }
    }

    /// Address and port of the connected peer, the client or a proxy; `0.0.0.0:0` for a Unix socket.
    pub fn peer(&self) -> SocketAddr {
        self.address
    }

    /// The authority that the client asked for: as a trusted proxy names it, else that of an absolute target, else the
    /// Host field; empty if there is none.
    pub fn host(&self) -> &str {
        if let Some(host) = self.forwarded.as_ref().and_then(|forwarded| forwarded.host.as_deref()) {
            return host;
        }
        let field = || self.headers.known(KnownHeader::Host).and_then(|host| std::str::from_utf8(host).ok());
        self.authority.map_or_else(|| field().unwrap_or_default(), |span| self.ascii(span))
    }

    /// `"https"` if the client came by TLS, to this server or to a trusted proxy; else `"http"`.
    pub fn scheme(&self) -> &'static str {
        let forwarded = self.forwarded.as_ref().and_then(|forwarded| forwarded.secure);
        if forwarded.unwrap_or(self.is_secure) { "https" } else { "http" }
    }

    /// Whether the connection is TLS, to this server; a trusted proxy does not count.
    pub fn is_encrypted(&self) -> bool {
        self.is_secure
    }

    /// Whether the method is safe (RFC 9110 section 9.2.1), so that several such requests may be answered together.
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.text(self.method), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
    }

    pub(crate) fn is_head(&self) -> bool {
        self.text(self.method) == b"HEAD"
    }
}

/// `GET /` without client, fields and content.
impl Default for Request {
    fn default() -> Self {
        Self::from_parts(&RequestParts::default()).unwrap_or_else(|_| Self::empty(RequestParts::default().address))
    }
}
