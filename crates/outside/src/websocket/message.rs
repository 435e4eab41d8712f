//! A message, and the end of a connection.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::octets::{Octets, SharedBytes};
use crate::protocol::websocket::{MessageKind, encode_frame};

/// A whole message, text or binary (RFC 6455 section 5.6).
#[derive(Clone)]
pub struct Message {
    is_text: bool,
    payload: Octets,
}

impl Message {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { is_text: true, payload: text.into().into_bytes().into() }
    }

    /// Bytes of any kind.
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self { is_text: false, payload: Octets::Shared(Arc::new(payload.into())) }
    }

    /// A received payload; UTF-8 if it is a text.
    pub(crate) fn received(is_text: bool, payload: Cow<'_, [u8]>) -> Self {
        let payload = match payload {
            Cow::Borrowed(payload) => Octets::copy_of(payload),
            Cow::Owned(payload) => payload.into(),
        };
        Self { is_text, payload }
    }

    /// Bytes of memory that the message takes while it waits.
    pub(crate) fn cost(&self) -> usize {
        self.payload.cost()
    }

    /// Whether the message is a text.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    pub(super) fn kind(&self) -> MessageKind {
        if self.is_text { MessageKind::Text } else { MessageKind::Binary }
    }

    /// As one uncompressed frame, which every client understands.
    pub(super) fn to_frame(&self) -> SharedBytes {
        let mut frame = Vec::new();
        encode_frame(&mut frame, self.kind().into(), &self.payload);
        Arc::new(frame.into())
    }

    /// The bytes of the message; UTF-8 if it is a text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The text of the message, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        self.is_text.then(|| std::str::from_utf8(&self.payload).ok()).flatten()
    }

    /// The bytes of the message, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.payload.into_bytes()
    }
}

/// A message in memory that its sender keeps: a text from `&str`, binary from `&[u8]`.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedMessage<'a> {
    pub(super) kind: MessageKind,
    pub(super) payload: &'a [u8],
}

impl<'a> From<&'a Message> for BorrowedMessage<'a> {
    fn from(message: &'a Message) -> Self {
        Self { kind: message.kind(), payload: &message.payload }
    }
}

impl<'a> From<&'a str> for BorrowedMessage<'a> {
    fn from(text: &'a str) -> Self {
        Self { kind: MessageKind::Text, payload: text.as_bytes() }
    }
}

impl<'a> From<&'a [u8]> for BorrowedMessage<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self { kind: MessageKind::Binary, payload }
    }
}

impl From<BorrowedMessage<'_>> for Message {
    fn from(message: BorrowedMessage<'_>) -> Self {
        Self { is_text: message.kind == MessageKind::Text, payload: Octets::copy_of(message.payload) }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.is_text == other.is_text && *self.payload == *other.payload
    }
}

impl Eq for Message {}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self { is_text: true, payload: Octets::copy_of(text.as_bytes()) }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(payload: Vec<u8>) -> Self {
        Self { is_text: false, payload: payload.into() }
    }
}

impl From<&[u8]> for Message {
    fn from(payload: &[u8]) -> Self {
        Self { is_text: false, payload: Octets::copy_of(payload) }
    }
}

impl From<Bytes> for Message {
    fn from(payload: Bytes) -> Self {
        Self::binary(payload)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) => write!(f, "Message({text:?})"),
            None => write!(f, "Message({} bytes)", self.payload.len()),
        }
    }
}

/// The connection has ended, or begun to end: there will be no message, and none can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketExit {
    /// The close code: the client's, or the server's if it ended the connection; 1005 if there was none, 1006 if the
    /// connection broke (RFC 6455 section 7.1.5).
    pub code: u16,
    /// The reason that came with the code.
    pub reason: Box<str>,
}

impl fmt::Display for WebSocketExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.reason {
            "" => write!(f, "the connection has ended with {}", self.code),
            reason => write!(f, "the connection has ended with {}: {reason}", self.code),
        }
    }
}

impl std::error::Error for WebSocketExit {}

/// The connection broke (RFC 6455 section 7.1.5).
pub(super) fn abnormal() -> WebSocketExit {
    WebSocketExit { code: 1006, reason: Box::default() }
}
