//! A published message as it comes from what carries it: its place in its topic, and its bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::message::Message;
use super::octets::{Octets, SharedBytes};
use crate::protocol::websocket::{MAX_SERVER_HEAD, MessageKind, encode_frame};

/// An answer that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// It did not come within its time.
    TimedOut,
    /// The other end is gone.
    Ended,
    /// The message is larger than the bus carries.
    TooLarge,
    /// The connection to the broker was lost.
    Cut,
    /// The broker takes messages too slowly.
    Full,
    /// The broker has refused the message.
    Refused,
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "there was no answer within the timeout",
            Self::Ended => "the process that was started is gone",
            Self::TooLarge => "the message is too large",
            Self::Cut => "the connection to the broker was lost: the message may have been sent or not",
            Self::Full => "the broker takes messages more slowly than they are published: the message was dropped",
            Self::Refused => "the broker has refused the message: the log says why",
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

    pub(super) fn to_frame(self) -> SharedBytes {
        let mut frame = Vec::new();
        encode_frame(&mut frame, self.kind().into(), self.payload);
        Arc::new(frame.into())
    }

    /// The frame for one subscriber alone, with the id before the message if it wants that.
    pub(super) fn to_octets(self, with_ids: bool) -> Octets {
        let id = if with_ids { format!("{} ", self.id) } else { String::new() };
        let payload = [id.as_bytes(), self.payload].concat();
        Octets::filled(MAX_SERVER_HEAD + payload.len(), |frame| encode_frame(frame, self.kind().into(), &payload))
    }

    /// The id, a space, and the message.
    pub(super) fn to_numbered_frame(self) -> SharedBytes {
        let mut payload = format!("{} ", self.id).into_bytes();
        payload.extend_from_slice(self.payload);
        let mut frame = Vec::new();
        encode_frame(&mut frame, self.kind().into(), &payload);
        Arc::new(frame.into())
    }

    fn kind(&self) -> MessageKind {
        if self.is_text { MessageKind::Text } else { MessageKind::Binary }
    }
}
