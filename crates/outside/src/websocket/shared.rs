//! The types of connections, rooms, flush queues and topics, which refer to one another.
//!
//! A connection belongs to a room; a room has its subscribers, which are connections, and the flush queue of its event
//! loop, in which connections wait. The topics of a server know its rooms, and the [`Bus`] that carries messages between
//! processes. Their functions are in the files of their subjects.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::WebSocket;
use super::delivery::{BusError, MessageId};
use super::few::Few;
use super::message::{Message, WebSocketExit};
use super::octets::{Octets, SharedBytes};
use super::queue::SendQueue;
use super::reader::TopicReader;
use super::signal::Signal;
use super::subscriptions::Subscriptions;
use crate::budget::{Account, Holding};
use crate::message::Request;
use crate::metrics::{BusCells, Cells};
use crate::protocol::websocket::{CloseHandshake, Deflater};

/// A WebSocket connection; clones are the same connection.
#[derive(Clone)]
pub struct WebSocketConnection(pub(super) Arc<WebSocketShared>);

pub(super) struct WebSocketShared {
    pub(super) request: Arc<Request>,
    pub(super) websocket: Arc<WebSocket>,
    #[expect(clippy::box_collection, reason = "few connections have one, and its room would be in each")]
    pub(super) subprotocol: Option<Box<String>>,
    pub(super) room: Arc<Room>,
    /// Called after an event for which an event loop of a binding waits.
    pub(super) listener: OnceLock<Box<CalledOnEvent>>,
    /// The sink that takes its frames to the client; missing if the server does not own the socket.
    pub(super) frame_sink: OnceLock<Arc<dyn FrameSink>>,
    pub(super) state: Mutex<WebSocketState>,
    /// Whether the connection has ended or begun to end.
    pub(super) is_ending: AtomicBool,
    /// Whether callbacks of this connection are being called.
    pub(super) turn: AtomicU8,
    /// The reasons why they are not called for now.
    pub(super) pressure: AtomicU8,
    pub(super) data: Mutex<SessionData>,
    /// Notified when a message came, or the end.
    pub(super) received: Signal,
    /// Notified when queue or inbox have room again, or the end came.
    pub(super) drained: Signal,
}

#[derive(Default)]
pub(super) struct WebSocketState {
    pub(super) inbox: Few<Message>,
    /// Bytes of memory that the inbox takes.
    pub(super) inbox_cost: usize,
    /// Bytes that the session has read and that are no message yet.
    pub(super) unread: usize,
    pub(super) queue: SendQueue,
    /// The memory of this connection in that of the process, once it has been more than a little.
    pub(super) holding: Option<Box<Holding>>,
    pub(super) closing: CloseHandshake,
    pub(super) deflater: Option<Box<Deflater>>,
    /// The code and reason of the end, once it has begun.
    pub(super) exit: Option<Box<WebSocketExit>>,
    /// Whether the socket is gone, so that no more can be sent.
    pub(super) is_over: bool,
    /// The waker of the session; `calls_session` says whether the session is to check the state.
    pub(super) session: Option<Waker>,
    pub(super) calls_session: bool,
    /// Whether the connection has been put into the flush queue since its own queue was last looked at.
    pub(super) is_queued: bool,
    /// Whether the session stops reading until the inbox has room.
    pub(super) is_paused: bool,
    /// Whether the listener is to be called.
    pub(super) is_listening: bool,
    pub(super) topics: Subscriptions,
}

/// The socket's side of a connection: sends frames to the client as far as that is possible without waiting.
pub(crate) trait FrameSink: Send + Sync {
    /// Sends queued frames, inside the event loop. Returns `false` if the session has to check the state.
    fn flush(&self, connection: &WebSocketConnection) -> bool;

    /// An account for the memory of this connection's messages, if it is counted. Called with the connection locked.
    fn account(&self) -> Option<Arc<Account>> {
        None
    }

    /// Reads a part of the memory that [`FrameSink::flush`] needs, so that the processor fetches it. The result depends
    /// on that memory, so that the compiler keeps the reads.
    fn prefetch(&self) -> bool;
}

/// A listener. A connection has it behind another pointer, of one word: most have none, and its room would be in each.
pub(super) type CalledOnEvent = Box<dyn Fn() + Send + Sync>;

/// The data that a handler keeps for one connection, from its opening to its end.
pub type SessionData = Option<Box<dyn Any + Send>>;

/// Subscribers by topic and by their addresses in memory: visiting ten thousand of them in another order takes longer than
/// writing to them.
pub(super) type Subscribers = HashMap<Arc<str>, BTreeMap<usize, WebSocketConnection>>;

/// The subscribers of one reactor.
#[derive(Default)]
pub(crate) struct Room {
    pub(super) topics: Mutex<Subscribers>,
    /// Subscribers that get the id of each message before it.
    pub(super) numbered: Mutex<Subscribers>,
    /// Subscribers that wait in `published`: messages behind them are theirs too.
    pub(super) joining: AtomicUsize,
    /// Everything that is not handed out yet, in its order.
    pub(super) published: Mutex<Vec<Published>>,
    /// The topics of the server.
    pub(super) all: Weak<Topics>,
    /// `None` where there is no event loop.
    pub(super) flush_queue: Option<Arc<FlushQueue>>,
    pub(super) bounds: Arc<WebSocketBounds>,
}

/// Something that is to be handed out to subscribers, inside the event loop.
pub(super) enum Published {
    /// A frame for the subscribers of a topic.
    Message(Box<str>, SharedBytes),
    /// The same with an id before the message, for those that have asked for it.
    Numbered(Box<str>, SharedBytes),
    /// A subscriber, with the messages that it has missed.
    Joining(Box<JoiningConnection>),
    /// Messages of a topic, or of all topics, were lost.
    Gap(Option<Box<str>>),
}

/// The flush queue of one event loop.
#[derive(Default)]
pub(crate) struct FlushQueue {
    pub(super) list: Mutex<List>,
    /// Whether there is something in the list, set under its lock: the loop looks at this in each turn.
    pub(super) has_news: AtomicBool,
    pub(super) woken: Notify,
}

#[derive(Default)]
pub(super) struct List {
    /// Connections with queued frames, or with news for their sessions.
    pub(super) connections: Vec<WebSocketConnection>,
    /// Whether the loop is to be woken at its next flush, because the leader called [`FlushQueue::wake`] outside of it.
    pub(super) is_called: bool,
    /// The number of times that a thread has begun to lead.
    pub(super) epoch: u64,
    /// Whether the loop has ended.
    pub(super) is_over: bool,
}

/// The bounds, the current use, and the function for complaints in the log.
pub(crate) struct WebSocketBounds {
    /// Topics of one connection.
    pub(super) max_topics: usize,
    /// Bytes of memory that waiting published messages may take.
    pub(super) max_published: usize,
    /// Bytes of memory that they take now.
    pub(super) published: AtomicUsize,
    pub(super) dropped: AtomicU64,
    /// Connections that are held until fewer bytes wait.
    pub(super) held: Mutex<Vec<Weak<WebSocketShared>>>,
    pub(super) complaints: Option<Box<Complain>>,
    /// Counts messages that were received and that were queued to be sent, if anything is counted.
    pub(super) counted: Option<[Cells; 2]>,
}

/// Called with the configuration key of a bound and a text about its use.
pub(super) type Complain = dyn Fn(&'static str, &str) + Send + Sync;

/// All topics of a server in this process.
#[derive(Default)]
pub struct Topics {
    pub(super) rooms: RwLock<Vec<Arc<Room>>>,
    pub(super) readers: RwLock<HashMap<Arc<str>, Vec<Arc<TopicReader>>>>,
    pub(super) bus: OnceLock<Arc<dyn Bus>>,
    /// The broker of several machines, before the bus of this one.
    pub(super) broker: OnceLock<Arc<dyn Bus>>,
    pub(super) local: OnceLock<fn() -> Arc<dyn Bus>>,
    pub(super) interests: Mutex<HashMap<Arc<str>, TopicInterest>>,
    /// Counts the messages that this process publishes, if anything is counted.
    pub(super) published: OnceLock<Cells>,
    /// The same for messages between processes.
    pub(super) bus_cells: OnceLock<BusCells>,
}

/// The interest of this process in a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicInterest {
    /// Connections that have subscribed.
    pub subscribers: usize,
    /// Whether a function of the program listens.
    pub listens: bool,
}

/// Carries published messages to every process that serves the topic, this one included.
pub trait Bus: Send + Sync {
    /// Begins to carry, with tasks on the event loop of the first reactor if it needs any.
    ///
    /// # Errors
    /// The system is out of descriptors.
    fn start(self: Arc<Self>, topics: &Arc<Topics>, runtime: &Handle) -> io::Result<Vec<AbortHandle>> {
        let _ = (topics, runtime); // by default there is nothing to begin
        Ok(Vec::new())
    }

    /// Sends a message on its way. Never waits: a message for which there is no room is dropped, and subscribers are
    /// told that something is missing.
    fn publish(&self, topics: &Topics, topic: &str, message: &Message);

    /// The same, and waits for the id of the message.
    ///
    /// # Errors
    /// There was no answer in time: the message may have been sent or not.
    fn publish_and_wait(
        &self,
        topics: &Topics,
        topic: &str,
        message: &Message,
        timeout: Duration,
    ) -> Result<MessageId, BusError>;

    /// This process has this interest in a topic from now on.
    fn set_interest(&self, topics: &Topics, topic: &str, interest: TopicInterest);

    /// Asks for the messages after this one; the answer is [`Topics::join`]. The interest was set before.
    fn replay(&self, topics: &Topics, topic: &str, after: MessageId, joining: Joining);

    /// How many connections have subscribed to a topic, in all processes.
    ///
    /// # Errors
    /// There was no answer in time.
    fn subscribers(&self, topics: &Topics, topic: &str, timeout: Duration) -> Result<usize, BusError>;

    /// Bytes of the longest topic and of the largest message that it carries; `None`: any.
    fn max_sizes(&self) -> Option<(usize, usize)> {
        None
    }

    /// Has the last messages of these topics kept: lines of messages, bytes and pattern.
    fn keep(&self, topics: &Topics, rules: &str);

    /// Bytes that wait to be sent, and whether the broker is there, if messages go by one.
    fn load(&self) -> (usize, Option<bool>) {
        (0, None)
    }

    /// The value behind the trait, for the room that has made it.
    fn as_any(self: Arc<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// A subscriber that waits for the messages that it has missed.
pub struct Joining(pub(super) JoiningSubscriber);

/// The kinds of such subscribers.
pub(super) enum JoiningSubscriber {
    Connection { connection: WebSocketConnection, topic: Arc<str>, with_ids: bool },
    Reader { reader: Arc<TopicReader>, ticket: u64 },
}

/// A connection, with the frames that it has missed.
pub(super) struct JoiningConnection {
    pub(super) connection: WebSocketConnection,
    pub(super) topic: Arc<str>,
    pub(super) with_ids: bool,
    /// They are this connection's alone: others have missed other messages.
    pub(super) missed: Vec<Octets>,
    pub(super) has_gap: bool,
}
