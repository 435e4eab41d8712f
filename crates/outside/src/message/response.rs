//! A response: status, header fields, content. The form of every answer before the writer renders it.

use std::any::Any;
use std::path::Path;

use bytes::Bytes;
use serde_core::Serialize;

use super::body::{Body, BodyStream, FileSlice, IteratorStream, RareParts, Response, TrailingStream};
use super::cookie::ResponseCookie;
use super::disposition::content_disposition;
use super::event::{EVENT_STREAM_FIELDS, Event, Events};
use super::headers::Headers;
use super::name::{KnownHeader, is_value};
use super::status::reason_phrase;
use super::trailers::Trailers;
use crate::error::Error;

impl Response {
    /// A response without content. The status is one of 200 to 599; another one is answered as a 500.
    pub fn new(status: u16) -> Self {
        let mut response = Self { status, ..Self::default() };
        response.check_status();
        response
    }

    /// A response that leaves as it is, for applications that decide everything themselves: without hooks, compression
    /// and a media type of the server's. `reason` replaces the usual reason phrase, if it is another one.
    ///
    /// # Errors
    /// The status is not one of 200 to 999, or the reason has a control byte.
    pub fn unchanged(status: u16, reason: &[u8]) -> Result<Self, Error> {
        if !(200..=999).contains(&status) {
            return Err(Error::new(format!("the status of an answer is one of 200 to 999, not {status}")));
        }
        if !is_value(reason) {
            let shown = reason.escape_ascii();
            return Err(Error::new(format!(
                "a reason phrase may not hold CR, LF, NUL or another control byte: {shown}"
            )));
        }
        let usual = reason_phrase(status).as_bytes();
        let rare = (reason != usual).then(|| RareParts { reason: Some(Box::from(reason)), ..RareParts::default() });
        Ok(Self { status, rare: rare.map(Box::new), is_final: true, ..Self::default() })
    }

    /// The result of a call whose answer was sent while it ran ([`crate::handler::Answering`]).
    pub fn sent() -> Self {
        Self::default()
    }

    /// Whether the answer was sent while the call ran.
    pub(crate) fn is_sent(&self) -> bool {
        self.status == 0 && self.problem().is_none()
    }

    /// The result with which a gate lets a request pass: no response at all. For bindings.
    pub fn pass() -> Self {
        let mut response = Self::default();
        response.set_problem(Error::new("it let the request pass, as only a gate can"));
        response
    }

    /// The result of functions before a handler that look at the content, if the content has not come in: they are called
    /// when it has. For bindings.
    pub fn content_first() -> Self {
        let mut response = Self::default();
        response.set_problem(Error::status(100, None));
        response
    }

    /// Whether the functions that let the request pass have to see its content.
    pub(crate) fn is_content_first(&self) -> bool {
        self.problem().is_some_and(|problem| problem.code() == 100)
    }

    /// Whether the gate lets the request pass.
    pub(crate) fn is_pass(&self) -> bool {
        self.status == 0 && self.problem().is_some()
    }

    /// 200 with `text/plain; charset=utf-8`.
    pub fn text(content: impl Into<String>) -> Self {
        Self::new(200).with_media_type("text/plain; charset=utf-8").with_content(content.into())
    }

    /// 200 with `text/html; charset=utf-8`.
    pub fn html(content: impl Into<String>) -> Self {
        Self::new(200).with_media_type("text/html; charset=utf-8").with_content(content.into())
    }

    /// 200 with `application/octet-stream`.
    pub fn bytes(content: impl Into<Bytes>) -> Self {
        Self::new(200).with_media_type("application/octet-stream").with_content(content)
    }

    /// 200 with `application/json`: a `serde_json::Value`, or any other value that `serde` can write. One that JSON cannot
    /// hold, such as a map whose keys are no texts, is answered as a 500.
    pub fn json(content: &(impl Serialize + ?Sized)) -> Self {
        let response = Self::new(200).with_media_type("application/json");
        match serde_json::to_vec(content) {
            Ok(text) => response.with_content(text),
            Err(error) => {
                let problem = Error::with_source("an answer cannot be written as JSON", error);
                let mut response = response;
                response.set_problem(problem);
                response
            }
        }
    }

    /// 200 with a file, which is opened when the response is sent; a missing one is answered with 404.
    pub fn file(path: impl AsRef<Path>) -> Self {
        let mut response = Self::new(200);
        response.body = Body::File(FileSlice::whole(path.as_ref()));
        response
    }

    /// 200 with content that is made while it is sent: pieces of an iterator, which runs like a handler and may block.
    pub fn stream<I>(pieces: I) -> Self
    where
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Into<Bytes>,
    {
        Self::new(200).with_stream(Box::new(IteratorStream(pieces.into_iter())))
    }

    /// The same with trailers: fields behind the content, which `finish` makes of the iterator when it has ended. `names`
    /// announces them in the field `Trailer`. Clients of HTTP/1.1 get them if they send `TE: trailers`.
    ///
    /// ```
    /// use outside::Response;
    /// use outside::message::Trailers;
    ///
    /// let response = Response::stream_with_trailers(vec!["a", "b"], &["X-Parts"], |_pieces| {
    ///     let mut trailers = Trailers::new();
    ///     trailers.append("X-Parts", "2").map_or_else(|_| Trailers::new(), |()| trailers)
    /// });
    /// assert_eq!(response.headers().get("trailer"), Some("X-Parts"));
    /// ```
    pub fn stream_with_trailers<I, F>(pieces: I, names: &[&str], finish: F) -> Self
    where
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Into<Bytes>,
        F: FnOnce(I::IntoIter) -> Trailers + Send + 'static,
    {
        let stream = TrailingStream::new(pieces.into_iter(), finish);
        Self::new(200).with_header("Trailer", names.join(", ")).with_stream(Box::new(stream))
    }

    /// 200 with server-sent events, which a page reads with `EventSource`. The iterator runs like a handler and may
    /// block; while it does, comments keep the connection open.
    pub fn event_stream<I>(events: I) -> Self
    where
        I: IntoIterator<Item = Event>,
        I::IntoIter: Send + 'static,
    {
        let mut response = Self::new(200).with_media_type("text/event-stream");
        for (name, value) in EVENT_STREAM_FIELDS {
            response.headers.push_checked(name.as_bytes(), value.as_bytes());
        }
        response.with_stream(Box::new(Events(events.into_iter())))
    }

    /// The same, to be saved by the client under this name (RFC 6266).
    #[must_use]
    pub fn with_download_name(self, name: &str) -> Self {
        self.with_header("Content-Disposition", content_disposition(true, Some(name)))
    }

    /// A redirect to this location with this status (301, 302, 303, 307 or 308).
    pub fn redirect(location: &str, status: u16) -> Self {
        Self::new(status).with_header("Location", location)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self.check_status();
        self
    }

    /// The same with one more header field. A field that a response has only once, such as `Content-Type` or
    /// `Location`, replaces the one before.
    ///
    /// ```
    /// let response = outside::Response::text("a,b").with_header("content-type", "text/csv");
    /// assert_eq!(response.headers().get_all("Content-Type").count(), 1);
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let replaces = !self.headers.is_empty() && self.headers.contains(name) && Headers::stands_once(name);
        let added = if replaces { self.headers.set(name, value) } else { self.headers.append(name, value) };
        if let Err(error) = added {
            self.set_problem(error);
        }
        self
    }

    /// The same with one more cookie to be set.
    #[must_use]
    pub fn with_cookie(mut self, name: &str, cookie: &ResponseCookie) -> Self {
        match cookie.to_field(name) {
            Ok(field) => self.with_header("Set-Cookie", field),
            Err(error) => {
                self.set_problem(error);
                self
            }
        }
    }

    /// The same with this content.
    #[must_use]
    pub fn with_content(mut self, content: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(content.into());
        self
    }

    /// The same with content that is made while it is sent.
    #[must_use]
    pub fn with_stream(mut self, stream: Box<dyn BodyStream>) -> Self {
        self.body = Body::Stream(stream);
        self
    }

    fn with_media_type(mut self, media_type: &'static str) -> Self {
        self.headers.push_known(KnownHeader::ContentType, b"Content-Type", media_type.as_bytes());
        self
    }

    fn check_status(&mut self) {
        if !(200..=599).contains(&self.status) {
            let text = format!("a handler's status code is one of 200 to 599, not {}", self.status);
            self.set_problem(Error::new(text));
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The content.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The content, to be replaced.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// An object of another language that stays with the response until the hooks have seen it.
    pub fn attachment_mut(&mut self) -> &mut Option<Box<dyn Any + Send>> {
        &mut self.attachment
    }

    /// The error in building it, if there was one: such a response is answered as a 500.
    pub fn problem(&self) -> Option<&Error> {
        self.rare.as_ref()?.problem.as_ref()
    }

    /// Takes that error out.
    pub(crate) fn take_problem(&mut self) -> Option<Error> {
        self.rare.as_mut()?.problem.take()
    }

    fn set_problem(&mut self, error: Error) {
        self.rare.get_or_insert_default().problem = Some(error);
    }
}

/// Values that a handler may return: anything that becomes a [`Response`] or an [`Error`].
pub trait IntoAnswer {
    /// The response, or the error to answer instead.
    fn into_answer(self) -> Result<Response, Error>;
}

impl IntoAnswer for Response {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(self)
    }
}

impl IntoAnswer for &'static str {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::text(self))
    }
}

impl IntoAnswer for String {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::text(self))
    }
}

impl IntoAnswer for Vec<u8> {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::bytes(self))
    }
}

impl IntoAnswer for Bytes {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::bytes(self))
    }
}

impl IntoAnswer for serde_json::Value {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::json(&self))
    }
}

/// 204.
impl IntoAnswer for () {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::new(204))
    }
}

/// The error page, or error handler, of a status code, with a message.
impl IntoAnswer for (u16, &str) {
    fn into_answer(self) -> Result<Response, Error> {
        Err(Error::status(self.0, Some(self.1)))
    }
}

impl<T: IntoAnswer, E: Into<Error>> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Result<Response, Error> {
        match self {
            Ok(answer) => answer.into_answer(),
            Err(error) => Err(error.into()),
        }
    }
}
