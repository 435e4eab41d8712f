//! Who answers a request: a closed list, with one open door for other languages.
//!
//! A handler that runs [`Inline`] is called by the executor, between two turns of the event loop. One that runs
//! [`Elsewhere`] has an event loop of its own: it is handed the request and answers later.

mod asynchronous;
mod host;
mod leaving;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use asynchronous::{Asynchronous, asynchronous};
pub use host::{Host, NoHost};
pub use leaving::{CancelOnDisconnect, cancel_on_disconnect};

use crate::budget::SMALL;
use crate::error::Error;
use crate::files::{Files, Folder};
use crate::message::{IntoAnswer, Request, Response};
use crate::placement::Placement;
use crate::websocket::WebSocket;

/// The kinds of handlers.
#[derive(Clone)]
pub enum Handler {
    /// Called by the executor; may block.
    Inline(Arc<Function>),
    /// Answers from an event loop of its own.
    Elsewhere(Arc<dyn Elsewhere>),
    /// A file, or the files of a folder.
    Files(Arc<Files>),
    /// A WebSocket: the connection is taken over.
    WebSocket(Arc<WebSocket>),
    /// Every request is sent to the same path below another origin.
    Redirect(Arc<str>),
}

/// A function that answers a request, in any language.
pub trait Inline: Send + Sync {
    /// Answers. An error of [`Error::status`] is answered by the error handler of its code.
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error>;
}

/// A handler with an event loop of its own.
pub trait Elsewhere: Send + Sync {
    /// Takes a request over. Called inside the event loop: must not block and must not call foreign code.
    fn submit(&self, request: Arc<Request>, reply: Reply) -> Ticket;

    /// The answer to this request will not be sent: it is late, or its client has left and is not waited for.
    fn cancel(&self, ticket: Ticket);

    /// What its route says of clients that leave, if anything: see [`cancel_on_disconnect`].
    fn cancel_on_disconnect(&self) -> Option<bool> {
        None
    }

    /// Does it take the content of a request while it comes in?
    fn takes_pieces(&self) -> bool {
        false
    }

    /// What is known of the sizes of its answers, if that is remembered.
    fn sizes(&self) -> Option<&Sizes> {
        None
    }
}

/// What identifies a request that was handed over.
pub type Ticket = u64;

/// Where the answer of an [`Elsewhere`] handler goes; dropping it without an answer is a 500.
pub struct Reply(Option<Deliver>);

type Deliver = Box<dyn FnOnce(Result<Response, Error>) + Send>;

impl Reply {
    /// Wraps what is to be done with the answer.
    pub fn new(deliver: impl FnOnce(Result<Response, Error>) + Send + 'static) -> Self {
        Self(Some(Box::new(deliver)))
    }

    /// Delivers the answer; can be called from any thread.
    pub fn send(mut self, answer: Result<Response, Error>) {
        if let Some(deliver) = self.0.take() {
            deliver(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(deliver) = self.0.take() {
            deliver(Err(Error::new("a handler was given up before it answered")));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl Handler {
    /// Does it take the content of a request while it comes in?
    pub(crate) fn takes_pieces(&self) -> bool {
        match self {
            Self::Inline(function) => function.takes_pieces,
            Self::Elsewhere(handler) => handler.takes_pieces(),
            _ => false,
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline"),
            Self::Elsewhere(_) => f.write_str("Elsewhere"),
            Self::WebSocket(websocket) => websocket.fmt(f),
            Self::Files(files) => write!(f, "Files({})", files.path().display()),
            Self::Redirect(destination) => write!(f, "Redirect({destination})"),
        }
    }
}

/// A function on a route, and what is known about where its calls belong.
pub struct Function {
    function: Box<dyn Inline>,
    pub(crate) placement: Placement,
    takes_pieces: bool,
    sizes: Sizes,
    /// What its route says of clients that leave, if anything.
    pub(crate) cancel_on_disconnect: Option<bool>,
}

/// The sizes of a handler's answers: what the next one is expected to have.
#[derive(Debug, Default)]
pub struct Sizes(AtomicUsize);

impl Sizes {
    /// Bytes that the next answer may have; 0 as long as all were small.
    pub(crate) fn expected(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes note of an answer of this size. The largest is expected, until there have been some dozens of small ones.
    #[inline]
    pub(crate) fn learn(&self, size: usize) {
        let known = self.0.load(Ordering::Relaxed);
        if size > SMALL || known != 0 {
            self.learn_more(known, size);
        }
    }

    #[cold]
    fn learn_more(&self, known: usize, size: usize) {
        let largest = size.max(known - known / 16);
        // Threads may do this at the same time; a lost update costs nothing.
        self.0.store(if largest > SMALL { largest } else { 0 }, Ordering::Relaxed);
    }
}

impl Function {
    /// A function that runs where its own timing puts it, or where `blocking` says: `Some(true)`, always on a thread of
    /// the pool; `Some(false)`, never.
    pub fn new(function: impl Inline + 'static, blocking: Option<bool>) -> Arc<Self> {
        Self::with(function, Placement::new(blocking), false)
    }

    /// A function that begins when the head of a request is there and takes the content while it comes in
    /// ([`Request::pieces`]). It waits, so it runs on a thread of the pool.
    pub fn streaming(function: impl Inline + 'static) -> Arc<Self> {
        Self::with(function, Placement::new(Some(true)), true)
    }

    fn with(function: impl Inline + 'static, placement: Placement, takes_pieces: bool) -> Arc<Self> {
        Arc::new(Self {
            function: Box::new(function),
            placement,
            takes_pieces,
            sizes: Sizes::default(),
            cancel_on_disconnect: None,
        })
    }

    /// Whether it takes content while that comes in.
    pub(crate) fn takes_pieces(&self) -> bool {
        self.takes_pieces
    }

    pub(crate) fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        self.function.call(request)
    }

    /// Bytes that its next answer may have; 0 as long as all were small.
    pub(crate) fn expected_answer(&self) -> usize {
        self.sizes.expected()
    }

    /// It has given an answer of this size.
    pub(crate) fn learn(&self, bytes: usize) {
        self.sizes.learn(bytes);
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({:?})", self.placement)
    }
}

/// A Rust closure.
struct Closure<F>(F);

impl<F, A> Inline for Closure<F>
where
    F: Fn(&Request) -> A + Send + Sync,
    A: IntoAnswer,
{
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        (self.0)(request).into_answer()
    }
}

/// What can be set on a route.
///
/// Closures need their argument's type written out: `|request: &Request| …`.
pub trait IntoHandler<Kind> {
    /// The handler, or why it cannot be one.
    fn into_handler(self) -> Result<Handler, Error>;
}

impl<F, A> IntoHandler<A> for F
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Inline(Function::new(Closure(self), None)))
    }
}

/// A function that says itself whether it blocks: [`blocking`] and [`never_blocking`].
#[derive(Clone, Copy, Debug)]
pub struct Said<F> {
    function: F,
    blocking: bool,
}

/// Says that a function waits (for a database, another server, a lock): it always runs on a thread of the pool, so that
/// not even its first call delays anybody. Without this a route finds out by itself.
pub fn blocking<F>(function: F) -> Said<F> {
    Said { function, blocking: true }
}

/// Says that a function never waits: it always runs on the event loop's thread.
pub fn never_blocking<F>(function: F) -> Said<F> {
    Said { function, blocking: false }
}

impl<F, A> IntoHandler<(A,)> for Said<F>
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Inline(Function::new(Closure(self.function), Some(self.blocking))))
    }
}

/// A function that takes content while it comes in: [`streaming`].
#[derive(Clone, Copy, Debug)]
pub struct Streaming<F>(F);

/// Says that a function takes the content of its requests piece by piece while it comes in: it begins when the head is
/// there. What it does not take is not read.
pub fn streaming<F>(function: F) -> Streaming<F> {
    Streaming(function)
}

impl<F, A> IntoHandler<(A, ())> for Streaming<F>
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Inline(Function::streaming(Closure(self.0))))
    }
}

/// Marks what is a handler as it stands.
#[derive(Debug)]
pub struct Ready;

impl IntoHandler<Ready> for Handler {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(self)
    }
}

/// A file or a folder on a route, by its path; it has to exist when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath<P = String>(pub P);

impl<P: AsRef<Path>> IntoHandler<Ready> for FilePath<P> {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Files(Arc::new(Files::at(&self.0)?)))
    }
}

impl IntoHandler<Ready> for WebSocket {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::WebSocket(Arc::new(self)))
    }
}

impl IntoHandler<Ready> for Folder {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Files(Arc::new(Files::folder(self))))
    }
}
