//! Errors by blame, and the answers to them.
//!
//! A [`Refusal`] is the client's fault and always carries the status of the answer. An [`Error`] is the programmer's or
//! the system's fault: it carries a text for the log and, if a handler made it on purpose, the status that it asks for.
//! This is the lowest room: it names no other.

use std::any::Any;
use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The reason why a request is refused before a handler sees it.
///
/// After a refusal the connection is closed, because the bytes behind the request cannot be trusted to be another one
/// (RFC 9112 section 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of the answer, 400 to 599.
    pub status: u16,
    /// The fault, for the log and the error handler; never contains bytes of the request.
    pub reason: &'static str,
    /// The configuration key with which such a request would be accepted, if there is one.
    pub limit: Option<&'static str>,
}

impl Refusal {
    /// A refusal for a fault in the message itself.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, limit: None }
    }

    /// A refusal because a bound of the configuration was passed.
    pub const fn limit(status: u16, reason: &'static str, key: &'static str) -> Self {
        Self { status, reason, limit: Some(key) }
    }

    /// The most common refusal: status 400.
    pub const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

/// A failure on the server's side, as a sentence for the log, or the status that a handler asks for.
///
/// Any error type converts into it with `?`; such an error is answered with 500, and its text goes only to the log,
/// never to the client. [`Error::status`] makes one that is answered with the error page or error handler of its code.
pub struct Error {
    /// `None`: a failure of the server, answered with 500; its text is for the log only.
    status: Option<u16>,
    message: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The limit that was exceeded, for the log and the metrics.
    refused_by: Option<Box<RefusedBy>>,
    attachment: Option<Box<dyn Any + Send + Sync>>,
    /// Where a failure was made, while [`capture_backtraces`] wants that.
    backtrace: Option<Box<Backtrace>>,
}

/// The limits that refuse a request.
enum RefusedBy {
    /// One of the configuration.
    Refusal(Refusal),
    /// One of the program, by its name.
    Named(Box<str>),
}

/// Whether failures know where they were made.
static CAPTURES: AtomicBool = AtomicBool::new(false);

/// From here on failures know where they were made, which takes a millisecond each: for debug mode.
pub(crate) fn capture_backtraces() {
    CAPTURES.store(true, Ordering::Relaxed);
}

impl Error {
    /// A failure with a sentence for the log, answered with 500.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: Some(message.into()), ..Self::failure() }
    }

    /// Asks for the error page, or the error handler, of this status code (400 to 599).
    ///
    /// The message reaches the error handler and the client.
    pub fn status(code: u16, message: Option<&str>) -> Self {
        Self {
            status: Some(code),
            message: message.map(|text| Cow::Owned(text.to_owned())),
            source: None,
            refused_by: None,
            attachment: None,
            backtrace: None,
        }
    }

    /// The same, made by a limit of the program, which the metrics name: for bindings.
    #[must_use]
    pub fn with_limit(mut self, name: &str) -> Self {
        self.refused_by = Some(Box::new(RefusedBy::Named(name.into())));
        self
    }

    /// The name of the limit that has made it: a key of the configuration, or the name of a limit of the program.
    pub(crate) fn limit(&self) -> Option<&str> {
        match self.refused_by.as_deref()? {
            RefusedBy::Refusal(refusal) => refusal.limit,
            RefusedBy::Named(name) => Some(name),
        }
    }

    /// A failure without anything else.
    fn failure() -> Self {
        let backtrace = CAPTURES.load(Ordering::Relaxed).then(|| Box::new(Backtrace::force_capture()));
        Self { status: None, message: None, source: None, refused_by: None, attachment: None, backtrace }
    }

    /// A failure with a sentence for the log, and the error that caused it.
    pub fn with_source(
        message: impl Into<Cow<'static, str>>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { message: Some(message.into()), source: Some(Box::new(source)), ..Self::failure() }
    }

    /// The status code of the answer; 500 unless the error was made by [`Error::status`].
    pub fn code(&self) -> u16 {
        self.status.unwrap_or(500)
    }

    /// Whether this is a failure whose text must not reach the client.
    pub fn is_internal(&self) -> bool {
        self.status.is_none()
    }

    /// The message for the client, if there is one.
    pub fn public_message(&self) -> Option<&str> {
        self.status.and(self.message.as_deref())
    }

    /// The refusal that caused it, if one did.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self.refused_by.as_deref()? {
            RefusedBy::Refusal(refusal) => Some(refusal),
            RefusedBy::Named(_) => None,
        }
    }

    /// The error that caused it, if it has this type.
    pub fn source_as<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// The same with this cause in place of the one before.
    #[must_use]
    pub(crate) fn with_cause(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(cause));
        self
    }

    /// The same with an object of another language for the error handler and the hooks: for bindings.
    #[must_use]
    pub fn with_attachment(mut self, attachment: Box<dyn Any + Send + Sync>) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// Takes the object of [`Error::with_attachment`] out.
    pub(crate) fn take_attachment(&mut self) -> Option<Box<dyn Any + Send + Sync>> {
        self.attachment.take()
    }

    /// Where it was made, if that is known: in debug mode.
    pub(crate) fn backtrace(&self) -> Option<&Backtrace> {
        self.backtrace.as_deref()
    }

    /// The sentences of the error and of its causes, the error's own first.
    pub fn chain(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.message.iter().map(ToString::to_string).collect();
        let mut cause: Option<&dyn std::error::Error> = self.source.as_ref().map(|source| &**source as _);
        while let Some(error) = cause {
            sentences.push(error.to_string());
            cause = error.source();
        }
        sentences
    }

    /// The sentence that it was made with, without that of its source.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, &self.source) {
            (Some(message), Some(source)) => write!(f, "{message}: {source}"),
            (Some(message), None) => f.write_str(message),
            (None, Some(source)) => write!(f, "{source}"),
            (None, None) => write!(f, "status {}", self.code()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

/// Answered with the status of the refusal; the log names the exceeded limit.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let refused_by = Some(Box::new(RefusedBy::Refusal(refusal)));
        Self { refused_by, ..Self::status(refusal.status, Some(refusal.reason)) }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(source: E) -> Self {
        Self { source: Some(Box::new(source)), ..Self::failure() }
    }
}
