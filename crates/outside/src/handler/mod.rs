//! The kinds of handlers: a closed list, with one open trait for other languages.
//!
//! A [`SyncHandler`] is called by the executor, between two turns of the event loop. An [`AsyncHandler`] has an event
//! loop of its own: it takes the request and answers later. A closure is made into a handler by [`IntoHandler`]; the
//! functions here say more about one:
//!
//! ```
//! use outside::handler::{asynchronous, blocking};
//! use outside::{OutsideHttp, Request};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.set_route("/report", blocking(|_request: &Request| std::fs::read("report.pdf").unwrap_or_default()))?;
//! server.set_route("/later", asynchronous(|_request| async { "done" }))?;
//! # Ok::<(), outside::Error>(())
//! ```

mod after;
mod answering;
mod asynchronous;
mod held_wakes;
mod leaving;
mod named;
mod response_sizes;
mod runtime;
mod typed;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use answering::Answering;
pub use asynchronous::{Asynchronous, asynchronous};
pub(crate) use held_wakes::wake_overdue;
pub use held_wakes::{hold_wakes, release_wakes, wake_held};
pub use leaving::{CancelOnDisconnect, cancel_on_disconnect};
pub use named::{HasName, NamedHandler, named};
pub use response_sizes::ResponseSizes;
pub use runtime::{LanguageRuntime, NoRuntime, RunningCall, StackSource};
pub use typed::TakesInput;

use crate::error::Error;
use crate::files::{Files, Folder};
use crate::message::{Headers, IntoAnswer, Request, Response};
use crate::placement::Placement;
use crate::websocket::WebSocket;

/// The kinds of handlers.
#[derive(Clone)]
pub enum Handler {
    /// Called by the executor; may block.
    Sync(Arc<Function>),
    /// Answers from an event loop of its own.
    Async(Arc<dyn AsyncHandler>),
    /// A file, or the files of a folder.
    Files(Arc<Files>),
    /// A WebSocket: the connection is taken over.
    WebSocket(Arc<WebSocket>),
    /// Redirects every request to the same path of another origin.
    Redirect(Arc<str>),
}

/// A function that answers a request, in any language.
pub trait SyncHandler: Send + Sync {
    /// Answers the request. The error handler of a code answers an error of [`Error::status`].
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error>;

    /// For bindings: calls the functions before this one, or before everything if this is a gate, for a request whose
    /// content is outstanding ([`Request::is_outstanding`]). The result is their answer, [`Response::pass`], or
    /// [`Response::content_first`]; `call` then must not call the same functions once more.
    fn admit(&self, _request: &Arc<Request>) -> Result<Response, Error> {
        Ok(Response::content_first())
    }

    /// The same for a function made by [`Function::answering`], which may send its answer while it runs.
    fn call_answering(&self, request: &Arc<Request>, answering: Answering) -> Result<Response, Error> {
        drop(answering);
        self.call(request)
    }
}

/// A handler with an event loop of its own.
pub trait AsyncHandler: Send + Sync {
    /// Takes a request over. Called inside the event loop: must not block and must not call foreign code.
    fn submit(&self, request: Arc<Request>, reply: Reply) -> Ticket;

    /// As [`SyncHandler::admit`]; called on a thread of the executor.
    fn admit(&self, _request: &Arc<Request>) -> Result<Response, Error> {
        Ok(Response::content_first())
    }

    /// Cancels a request whose answer will not be sent, because it is late, or because the client has left and the
    /// route does not wait.
    fn cancel(&self, ticket: Ticket);

    /// The route's setting for clients that leave, if it has one: see [`cancel_on_disconnect`].
    fn cancel_on_disconnect(&self) -> Option<bool> {
        None
    }

    /// Whether the handler takes the content of a request while the content arrives.
    fn takes_pieces(&self) -> bool {
        false
    }

    /// Whether the handler is an application that keeps limits of its own: its content may have any size, its answer any
    /// time and the coding that it came with. A client that leaves is reported by [`AsyncHandler::cancel`].
    fn is_hosted(&self) -> bool {
        false
    }

    /// The known sizes of the handler's answers, if the handler remembers them.
    fn sizes(&self) -> Option<&ResponseSizes> {
        None
    }
}

/// Identifies a request that was submitted to an [`AsyncHandler`].
pub type Ticket = u64;

/// Takes the answer of an [`AsyncHandler`]; if it is dropped without an answer, the client gets a 500.
pub struct Reply(Option<Deliver>);

type Deliver = Box<dyn FnMut(ReplyPart) + Send>;

/// A part of a reply, on its way to the connection.
pub(crate) enum ReplyPart {
    /// Fields that are sent before the answer, with the status 103 (RFC 8297).
    Hints(Headers),
    Answer(Result<Response, Error>),
}

impl Reply {
    /// A reply that passes the answer to this function.
    pub fn new(deliver: impl FnOnce(Result<Response, Error>) + Send + 'static) -> Self {
        let mut deliver = Some(deliver);
        Self::in_parts(move |part| {
            if let ReplyPart::Answer(answer) = part
                && let Some(deliver) = deliver.take()
            {
                deliver(answer);
            }
        })
    }

    pub(crate) fn in_parts(deliver: impl FnMut(ReplyPart) + Send + 'static) -> Self {
        Self(Some(Box::new(deliver)))
    }

    /// Delivers the answer; can be called from any thread.
    pub fn send(mut self, answer: Result<Response, Error>) {
        if let Some(mut deliver) = self.0.take() {
            deliver(ReplyPart::Answer(answer));
        }
    }

    /// Sends these fields before the answer, as an informational one (103 Early Hints, RFC 8297). Clients of HTTP/1.0 do
    /// not get them.
    pub fn hint(&mut self, fields: Headers) {
        if let Some(deliver) = &mut self.0 {
            deliver(ReplyPart::Hints(fields));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(mut deliver) = self.0.take() {
            deliver(ReplyPart::Answer(Err(Error::new("a handler was given up before it answered"))));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl Handler {
    /// Whether the handler takes the content of a request piece by piece, while it arrives.
    pub(crate) fn takes_pieces(&self) -> bool {
        match self {
            Self::Sync(function) => function.takes_pieces,
            Self::Async(handler) => handler.takes_pieces(),
            _ => false,
        }
    }
}

impl Handler {
    /// Whether it is an application of another interface, which gets requests as they were received.
    pub(crate) fn is_hosted(&self) -> bool {
        match self {
            Self::Sync(function) => function.is_answering(),
            Self::Async(handler) => handler.is_hosted(),
            _ => false,
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync(_) => f.write_str("Sync"),
            Self::Async(_) => f.write_str("Async"),
            Self::WebSocket(websocket) => websocket.fmt(f),
            Self::Files(files) => write!(f, "Files({})", files.path().display()),
            Self::Redirect(destination) => write!(f, "Redirect({destination})"),
        }
    }
}

/// A function on a route, with the measurements that decide on which thread its calls run.
pub struct Function {
    function: Box<dyn SyncHandler>,
    pub(crate) placement: Placement,
    takes_pieces: bool,
    /// Whether it may send its answer while it runs, and has no deadline.
    is_answering: bool,
    sizes: ResponseSizes,
    /// The route's setting for clients that leave, if it has one.
    pub(crate) cancel_on_disconnect: Option<bool>,
}

impl Function {
    /// A function whose measured time decides on which thread it runs, unless `blocking` does: `Some(true)` means
    /// always a thread of the pool, `Some(false)` never.
    pub fn new(function: impl SyncHandler + 'static, blocking: Option<bool>) -> Arc<Self> {
        Self::with(function, Placement::new(blocking), false)
    }

    /// A function that begins when the head of a request is there, and takes the content while it arrives
    /// ([`Request::pieces`]). It waits for the content, so it runs on a thread of the pool.
    pub fn streaming(function: impl SyncHandler + 'static) -> Arc<Self> {
        Self::with(function, Placement::new(Some(true)), true)
    }

    /// A function that may send its answer while it runs ([`SyncHandler::call_answering`]). It has no deadline.
    pub fn answering(function: impl SyncHandler + 'static) -> Arc<Self> {
        let mut made = Self::with(function, Placement::new(None), false);
        if let Some(made) = Arc::get_mut(&mut made) {
            made.is_answering = true;
        }
        made
    }

    fn with(function: impl SyncHandler + 'static, placement: Placement, takes_pieces: bool) -> Arc<Self> {
        Arc::new(Self {
            function: Box::new(function),
            placement,
            takes_pieces,
            is_answering: false,
            sizes: ResponseSizes::default(),
            cancel_on_disconnect: None,
        })
    }

    /// Whether the function takes content while the content arrives.
    pub(crate) fn takes_pieces(&self) -> bool {
        self.takes_pieces
    }

    /// Whether it may send its answer while it runs, and has no deadline.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering
    }

    pub(crate) fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        self.function.call(request)
    }

    pub(crate) fn call_answering(&self, request: &Arc<Request>, answering: Answering) -> Result<Response, Error> {
        self.function.call_answering(request, answering)
    }

    /// Bytes that the next answer may have; 0 while all answers were small.
    pub(crate) fn expected_answer(&self) -> usize {
        self.sizes.expected()
    }

    /// Records the size of an answer.
    pub(crate) fn learn(&self, bytes: usize) {
        self.sizes.learn(bytes);
    }
}

/// The functions before a handler, as a function of its own.
struct FunctionsBefore<H: ?Sized>(Arc<H>);

impl SyncHandler for FunctionsBefore<Function> {
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        self.0.function.admit(request)
    }
}

impl SyncHandler for FunctionsBefore<dyn AsyncHandler> {
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        self.0.admit(request)
    }
}

/// The functions before this function, to be called before the content of a request has come in.
pub(crate) fn before_function(function: &Arc<Function>) -> Arc<Function> {
    Function::new(FunctionsBefore(Arc::clone(function)), None)
}

/// The functions before this handler, to be called before the content of a request has come in.
pub(crate) fn before_async(handler: &Arc<dyn AsyncHandler>) -> Arc<Function> {
    Function::new(FunctionsBefore(Arc::clone(handler)), None)
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({:?})", self.placement)
    }
}

/// A Rust closure.
struct Closure<F>(F);

impl<F, A> SyncHandler for Closure<F>
where
    F: Fn(&Request) -> A + Send + Sync,
    A: IntoAnswer,
{
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        (self.0)(request).into_answer()
    }
}

/// Values that can be set on a route.
///
/// Closures need their argument's type written out: `|request: &Request| …`.
pub trait IntoHandler<Kind> {
    /// The handler, or the reason why this value cannot be one.
    fn into_handler(self) -> Result<Handler, Error>;

    /// The name of the handler's route for [`crate::Request::url_for`], if it has one: see [`named`].
    fn route_name(&self) -> Option<String> {
        None
    }
}

impl<F, A> IntoHandler<A> for F
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Sync(Function::new(Closure(self), None)))
    }
}

/// A function that declares whether it blocks: [`blocking`] and [`never_blocking`].
#[derive(Clone, Copy, Debug)]
pub struct DeclaredBlocking<F> {
    function: F,
    blocking: bool,
}

/// Declares that a function waits (for a database, another server, a lock): it always runs on a thread of the pool, so
/// that not even its first call delays other requests. Without this, the server measures the route's calls.
pub fn blocking<F>(function: F) -> DeclaredBlocking<F> {
    DeclaredBlocking { function, blocking: true }
}

/// Declares that a function never waits: it always runs on the event loop's thread.
pub fn never_blocking<F>(function: F) -> DeclaredBlocking<F> {
    DeclaredBlocking { function, blocking: false }
}

impl<F, A> IntoHandler<(A,)> for DeclaredBlocking<F>
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Sync(Function::new(Closure(self.function), Some(self.blocking))))
    }
}

/// A function that takes content while the content arrives: [`streaming`].
#[derive(Clone, Copy, Debug)]
pub struct Streaming<F>(F);

/// Declares that a function takes the content of its requests piece by piece while it arrives. The function begins when
/// the head is there; content that it does not take is not read.
pub fn streaming<F>(function: F) -> Streaming<F> {
    Streaming(function)
}

impl<F, A> IntoHandler<(A, ())> for Streaming<F>
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Sync(Function::streaming(Closure(self.0))))
    }
}

/// Marks values that are handlers as they are.
#[derive(Debug)]
pub struct ReadyHandler;

impl IntoHandler<ReadyHandler> for Handler {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(self)
    }
}

/// A file or a folder on a route, by its path; it must exist when the route is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath<P = String>(pub P);

impl<P: AsRef<Path>> IntoHandler<ReadyHandler> for FilePath<P> {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Files(Arc::new(Files::at(&self.0)?)))
    }
}

impl IntoHandler<ReadyHandler> for WebSocket {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::WebSocket(Arc::new(self)))
    }
}

impl IntoHandler<ReadyHandler> for Folder {
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Files(Arc::new(Files::folder(self))))
    }
}
