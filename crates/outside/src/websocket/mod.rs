//! WebSockets for handlers: the settings of a route, and connections with their two queues.
//!
//! The bytes are those of `protocol/websocket`. `connection/websocket` drives the socket: it fills the inbox of a
//! [`WebSocketConnection`], and empties its queue through a `FrameSink`. This room knows no socket, and calls no user
//! code while it holds a lock.
//!
//! ```
//! use outside::websocket::{Message, WhenFull};
//! use outside::{OutsideHttp, WebSocket, WebSocketConnection};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! let chat = WebSocket::new()
//!     .on_message(|connection: &WebSocketConnection, message: Message| connection.send(message))
//!     .with_queue(1 << 20, WhenFull::DropOldest);
//! server.set_route("/chat", chat)?;
//! # Ok::<(), outside::Error>(())
//! ```

mod bounds;
mod connection;
mod delivery;
mod driving;
mod few;
mod flush_queue;
mod joining;
mod leading;
mod listening;
mod memory;
mod message;
mod octets;
mod pressure;
mod queue;
mod reader;
mod room;
mod shared;
mod signal;
mod subscribing;
mod subscriptions;
mod topics;
mod turn;
mod wire;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use delivery::{BusError, Delivery, MessageId, NoMessageId};
pub(crate) use driving::{FlushStatus, Frames};
pub(crate) use few::Few;
pub use message::{BorrowedMessage, Message, WebSocketExit};
pub use reader::{TopicEvent, TopicReader};
pub use shared::{Bus, Joining, SessionData, TopicInterest, Topics, WebSocketConnection};
pub(crate) use shared::{FlushQueue, FrameSink, Room, WebSocketBounds};
pub(crate) use topics::Admission;
pub use wire::WebSocketDriver;

use crate::error::Error;
use crate::message::{Headers, Response};
use crate::protocol::websocket::{DeflateSettings, Origins};

/// The way in which the handler of a WebSocket runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// [`SessionHandler::open`] has a thread of its own and may block for the whole life of the connection.
    Blocking,
    /// [`SessionHandler::open`] and [`SessionHandler::message`] are called by the executor, one message after the
    /// other.
    Callbacks,
    /// [`SessionHandler::open`] is called inside the event loop, hands the connection on, and must not block.
    Async,
}

/// The handler of a WebSocket's connections, in any language.
pub trait SessionHandler: Send + Sync {
    /// The way in which the handler runs.
    fn style(&self) -> Style;

    /// Called before a connection opens; `attachment` comes from the site's gate. Called inside the event loop, so it
    /// must not block.
    fn prepare(&self, connection: &WebSocketConnection, attachment: Option<&(dyn Any + Send)>) {
        let _ = (connection, attachment); // by default nothing is prepared
    }

    /// Called when a connection has opened. An error ends the connection with 1011.
    fn open(&self, connection: &WebSocketConnection) -> Result<(), Error>;

    /// Called for each message, if the style is [`Style::Callbacks`]. An error ends the connection with 1011.
    fn message(&self, connection: &WebSocketConnection, message: Message) -> Result<(), Error> {
        let _ = (connection, message); // other styles take messages themselves
        Ok(())
    }

    /// Called when published messages of a topic to which the connection has subscribed were lost. Called inside the
    /// event loop, so it must not block.
    fn gap(&self, connection: &WebSocketConnection, topic: &str) {
        let _ = (connection, topic); // by default nothing is told
    }

    /// Called once when the connection has ended, for any reason. Not for handlers of [`Style::Async`].
    fn exit(&self, connection: &WebSocketConnection) {
        let _ = connection; // by default nothing is to be cleaned up
    }
}

/// The decision of an asynchronous handler to take the WebSocket that its client asks for. For bindings.
pub struct Acceptance {
    /// Handlers and options of the connection.
    pub websocket: Arc<WebSocket>,
    /// The subprotocol that is agreed on.
    pub subprotocol: Option<String>,
    /// Further fields of the answer to the opening handshake.
    pub headers: Headers,
    /// A value for [`SessionHandler::prepare`]; dropped if the connection cannot be opened.
    pub attachment: Box<dyn Any + Send>,
}

impl Acceptance {
    /// The answer of the handler that stands for this decision.
    pub fn into_response(self) -> Response {
        Response { status: 101, attachment: Some(Box::new(self)), ..Response::default() }
    }

    /// Takes the decision out of the answer of a handler, if it stands for one.
    pub(crate) fn take_from(response: &mut Response) -> Option<Box<Self>> {
        if response.status != 101 {
            return None;
        }
        // No other answer may have this status.
        response.status = 500;
        response.attachment.take().and_then(|attachment| attachment.downcast().ok())
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptance").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}

/// The reaction when a client reads too slowly and its queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// `send` waits, except in a callback: there all messages of one call are queued, and the server stops reading from
    /// the client until the queue has room. Messages that are published to a topic or sent by the callback of another
    /// connection cannot wait: they end the connection with 1013.
    #[default]
    Wait,
    /// The oldest waiting messages are dropped.
    DropOldest,
    /// The connection ends with 1013.
    Close,
}

/// The reaction when published messages of a topic were lost on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenGap {
    /// The connection goes on.
    #[default]
    Ignore,
    /// The connection ends with 1012, so that its page connects again and fetches its state anew.
    Close,
}

/// A WebSocket on a route.
///
/// ```no_run
/// # let server = outside::OutsideHttp::new(("127.0.0.1", 8080))?;
/// use outside::{WebSocket, WebSocketConnection};
/// use outside::websocket::WebSocketExit;
///
/// let echo = WebSocket::new().on_connection(|connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
///     loop {
///         connection.send(connection.recv()?)?;
///     }
/// });
/// server.set_route("/ws", echo)?;
/// # Ok::<(), outside::Error>(())
/// ```
pub struct WebSocket {
    functions: Functions,
    foreign: Option<Arc<dyn SessionHandler>>,
    pub(crate) options: Options,
}

/// The options of a WebSocket; the defaults are safe on the open internet.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) subprotocols: Vec<String>,
    pub(crate) origins: Origins,
    pub(crate) max_message: usize,
    pub(crate) deflate: Option<DeflateSettings>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) max_queue: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) when_gap: WhenGap,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            origins: Origins::Same,
            max_message: 1 << 20,
            deflate: None,
            ping_interval: Some(Duration::from_secs(25)),
            ping_timeout: Duration::from_secs(10),
            max_queue: 1 << 20,
            when_full: WhenFull::Wait,
            when_gap: WhenGap::Ignore,
        }
    }
}

/// Handlers that are Rust functions.
#[derive(Default)]
struct Functions {
    connection: Option<Box<ConnectionFunction>>,
    open: Option<Box<ConnectionFunction>>,
    message: Option<Box<MessageFunction>>,
    exit: Option<Box<ExitFunction>>,
}

type ConnectionFunction = dyn Fn(&WebSocketConnection) -> Result<(), Error> + Send + Sync;
type MessageFunction = dyn Fn(&WebSocketConnection, Message) -> Result<(), Error> + Send + Sync;
type ExitFunction = dyn Fn(&WebSocketConnection) + Send + Sync;

impl SessionHandler for Functions {
    fn style(&self) -> Style {
        if self.connection.is_some() { Style::Blocking } else { Style::Callbacks }
    }

    fn open(&self, connection: &WebSocketConnection) -> Result<(), Error> {
        if let Some(open) = &self.open {
            open(connection)?;
        }
        self.connection.as_ref().map_or(Ok(()), |function| function(connection))
    }

    fn message(&self, connection: &WebSocketConnection, message: Message) -> Result<(), Error> {
        self.message.as_ref().map_or(Ok(()), |function| function(connection, message))
    }

    fn exit(&self, connection: &WebSocketConnection) {
        if let Some(exit) = &self.exit {
            exit(connection);
        }
    }
}

impl WebSocket {
    /// A WebSocket without handlers: it opens connections and drops all messages until the client leaves.
    pub fn new() -> Self {
        Self { functions: Functions::default(), foreign: None, options: Options::default() }
    }

    /// A WebSocket with a handler of another language: for bindings.
    pub fn with_handler(handler: Arc<dyn SessionHandler>) -> Self {
        Self { foreign: Some(handler), ..Self::new() }
    }

    /// Sets a function that runs once for each connection, for its whole life, on a thread of its own: it may block.
    /// When it returns, the connection ends with 1000, on an error with 1011; [`WebSocketExit`] does not count as an
    /// error.
    #[must_use]
    pub fn on_connection<F, E>(mut self, function: F) -> Self
    where
        F: Fn(&WebSocketConnection) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Error>,
    {
        self.functions.connection = Some(Box::new(move |connection| function(connection).map_err(Into::into)));
        self
    }

    /// Sets a function that is called for each message, between two turns of the event loop, without a thread of its
    /// own.
    #[must_use]
    pub fn on_message<F, E>(mut self, function: F) -> Self
    where
        F: Fn(&WebSocketConnection, Message) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Error>,
    {
        self.functions.message =
            Some(Box::new(move |connection, message| function(connection, message).map_err(Into::into)));
        self
    }

    /// Sets a function that is called when a connection has opened, before its first message.
    #[must_use]
    pub fn on_open<F, E>(mut self, function: F) -> Self
    where
        F: Fn(&WebSocketConnection) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Error>,
    {
        self.functions.open = Some(Box::new(move |connection| function(connection).map_err(Into::into)));
        self
    }

    /// Sets a function that is called once when a connection has ended, for any reason.
    #[must_use]
    pub fn on_exit<F>(mut self, function: F) -> Self
    where
        F: Fn(&WebSocketConnection) + Send + Sync + 'static,
    {
        self.functions.exit = Some(Box::new(function));
        self
    }

    /// The subprotocols of this WebSocket, the preferred one first (RFC 6455 section 1.9).
    #[must_use]
    pub fn with_subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.options.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The origins whose pages may connect, such as `https://example.com`; `"*"` is every origin. Default: the origin
    /// of the server itself.
    ///
    /// # Errors
    /// A text is no origin.
    pub fn with_origins<S: AsRef<str>>(mut self, origins: &[S]) -> Result<Self, Error> {
        self.options.origins = Origins::listed(origins)?;
        Ok(self)
    }

    /// Bytes of the largest message, counted after inflating; a larger one ends the connection with 1009.
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.options.max_message = bytes;
        self
    }

    /// Compresses messages for clients that offer it (RFC 7692).
    #[must_use]
    pub fn with_deflate(mut self, deflate: bool) -> Self {
        self.options.deflate = deflate.then(DeflateSettings::default);
        self
    }

    /// Pings a client that was silent for `interval`; it has `timeout` to answer. `None`: no pings, and a client that
    /// is silent for `process_timeout` is disconnected.
    #[must_use]
    pub fn with_ping(mut self, interval: Option<Duration>, timeout: Duration) -> Self {
        self.options.ping_interval = interval;
        self.options.ping_timeout = timeout;
        self
    }

    /// Sets the bytes of memory for frames that wait for a slow client, and the reaction when they are used up. A
    /// message takes about 100 bytes beside its payload.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize, when_full: WhenFull) -> Self {
        self.options.max_queue = bytes;
        self.options.when_full = when_full;
        self
    }

    /// Sets the reaction when messages of a topic were lost on their way to this process or within it.
    #[must_use]
    pub fn with_gaps(mut self, when_gap: WhenGap) -> Self {
        self.options.when_gap = when_gap;
        self
    }

    pub(crate) fn handler(&self) -> &dyn SessionHandler {
        match &self.foreign {
            Some(handler) => &**handler,
            None => &self.functions,
        }
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("style", &self.handler().style()).field("options", &self.options).finish()
    }
}
