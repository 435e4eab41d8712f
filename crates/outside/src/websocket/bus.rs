//! The way of published messages between processes, and between machines: the seam between topics and what carries them.
//!
//! A [`Bus`] takes messages, numbers them, and brings each of them back at most once to every process with an interest
//! in its topic, in one order for all of them. The topics of a process know nothing else about it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::message::Message;
use super::reader::TopicReader;
use super::shared::WebSocketConnection;
use super::topics::{TopicInterest, Topics};
use crate::protocol::websocket::{MessageKind, encode_frame};

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
}

/// An answer that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// It did not come within its time.
    TimedOut,
    /// The other end is gone.
    Ended,
    /// The message is larger than the bus carries.
    TooLarge,
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "there was no answer within the timeout",
            Self::Ended => "the process that was started is gone",
            Self::TooLarge => "the message is too large",
        })
    }
}

impl std::error::Error for BusError {}

/// The place of a message in its topic. Written as `epoch-number`; the numbers of one epoch follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The life of the topic: other lives have other epochs.
    pub epoch: u64,
    /// The number of the message in this life, from 1 on.
    pub number: u64,
}

impl MessageId {
    /// Before the first message: everything that is kept comes after it.
    pub const BEGINNING: Self = Self { epoch: 0, number: 0 };
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.number)
    }
}

impl FromStr for MessageId {
    type Err = NoMessageId;

    fn from_str(text: &str) -> Result<Self, NoMessageId> {
        let (epoch, number) = text.split_once('-').ok_or(NoMessageId)?;
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_plain(epoch) || !is_plain(number) {
            return Err(NoMessageId);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NoMessageId)?;
        Ok(Self { epoch, number: number.parse().map_err(|_| NoMessageId)? })
    }
}

/// The text is not the id of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMessageId;

impl fmt::Display for NoMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a message has the form epoch-number")
    }
}

impl std::error::Error for NoMessageId {}

/// A message as it comes from the bus.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The place of the message in the topic.
    pub id: MessageId,
    /// Whether the message is a text.
    pub is_text: bool,
    /// The bytes of the message.
    pub payload: &'a [u8],
}

impl Delivery<'_> {
    /// The message, with memory of its own.
    pub fn to_message(&self) -> Message {
        Message::received(self.is_text, self.payload.into())
    }

    pub(super) fn to_frame(self) -> Bytes {
        let mut frame = Vec::new();
        encode_frame(&mut frame, self.kind().into(), self.payload);
        frame.into()
    }

    /// The id, a space, and the message.
    pub(super) fn to_numbered_frame(self) -> Bytes {
        let mut payload = format!("{} ", self.id).into_bytes();
        payload.extend_from_slice(self.payload);
        let mut frame = Vec::new();
        encode_frame(&mut frame, self.kind().into(), &payload);
        frame.into()
    }

    fn kind(&self) -> MessageKind {
        if self.is_text { MessageKind::Text } else { MessageKind::Binary }
    }
}

/// A subscriber that waits for the messages that it has missed.
pub struct Joining(JoiningSubscriber);

enum JoiningSubscriber {
    Connection { connection: WebSocketConnection, topic: Arc<str>, with_ids: bool },
    Reader { reader: Arc<TopicReader>, ticket: u64 },
}

/// A connection, with the frames that it has missed.
pub(super) struct JoiningConnection {
    pub(super) connection: WebSocketConnection,
    pub(super) topic: Arc<str>,
    pub(super) with_ids: bool,
    pub(super) missed: Vec<Bytes>,
    pub(super) has_gap: bool,
}

impl Joining {
    pub(super) fn connection(connection: WebSocketConnection, topic: Arc<str>, with_ids: bool) -> Self {
        Self(JoiningSubscriber::Connection { connection, topic, with_ids })
    }

    pub(crate) fn reader(reader: Arc<TopicReader>, ticket: u64) -> Self {
        Self(JoiningSubscriber::Reader { reader, ticket })
    }

    pub(super) fn finish(self, topic: &str, missed: &[Delivery<'_>], has_gap: bool) {
        match self.0 {
            JoiningSubscriber::Connection { connection, topic, with_ids } => {
                let to_frame = |delivery: &Delivery<'_>| {
                    if with_ids { delivery.to_numbered_frame() } else { delivery.to_frame() }
                };
                let missed = missed.iter().map(to_frame).collect();
                connection.put_joining(JoiningConnection {
                    connection: connection.clone(),
                    topic,
                    with_ids,
                    missed,
                    has_gap,
                });
            }
            JoiningSubscriber::Reader { reader, ticket } => reader.push_joined(topic, ticket, missed, has_gap),
        }
    }
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Joining")
    }
}
