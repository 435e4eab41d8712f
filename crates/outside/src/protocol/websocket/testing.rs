//! The WebSocket codec without a socket, for fuzzers and tests of this project: bytes in, in pieces, events out.
//!
//! It calls the functions that a session calls, and no others. Compiled under the feature `testing` only, and no part
//! of the public interface.

use std::borrow::Cow;
use std::sync::Arc;

use super::{
    AcceptKey, Close, CloseHandshake, DeflatePool, DeflateSettings, DeflateTerms, Deflater, Failure,
    MAX_CONTROL_PAYLOAD, MessageKind, Opcode, Origins, ReceivedFrame, Receiver, UPGRADE_REQUIRED_FIELDS, check_opening,
    choose_subprotocol, close_code_name, encode_frame, encode_frame_head, negotiate, opening_fields,
};
use crate::error::{Error, Refusal};
use crate::message::Request;

/// An event that the server has received on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is what it spells")]
pub enum TestHeard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason of a Close frame.
    Close(Option<u16>, String),
    /// The connection fails, with this code and reason.
    Failed(u16, &'static str),
}

/// The server's side of one open connection: it answers pings and Close frames, and sends nothing else.
#[derive(Debug)]
pub struct TestSession {
    receiver: Receiver,
    closing: CloseHandshake,
    heard: Vec<TestHeard>,
    said: Vec<u8>,
    borrowed: usize,
}

impl TestSession {
    /// Without compression.
    pub fn new(max_message: usize) -> Self {
        Self::with(Receiver::new(max_message))
    }

    /// With compression.
    pub fn with_deflate(max_message: usize, terms: &TestTerms) -> Self {
        Self::with(Receiver::with_deflate(max_message, &terms.terms, Arc::clone(&terms.pool)))
    }

    fn with(receiver: Receiver) -> Self {
        Self { receiver, closing: CloseHandshake::default(), heard: Vec::new(), said: Vec::new(), borrowed: 0 }
    }

    /// Takes the bytes of one read of the socket.
    pub fn receive(&mut self, piece: &[u8]) {
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        loop {
            let event = match self.receiver.receive(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(failure) => {
                    self.closing.close_to_send(&failure.into(), &mut self.said);
                    let Failure { code, reason } = failure;
                    self.heard.push(TestHeard::Failed(code, reason));
                    break;
                }
            };
            self.hear(event);
        }
    }

    fn hear(&mut self, event: ReceivedFrame<'_>) {
        self.borrowed += usize::from(matches!(event, ReceivedFrame::Message(_, Cow::Borrowed(_))));
        self.heard.push(match event {
            ReceivedFrame::Message(MessageKind::Text, payload) => TestHeard::Text(payload.into_owned()),
            ReceivedFrame::Message(MessageKind::Binary, payload) => TestHeard::Binary(payload.into_owned()),
            ReceivedFrame::Ping(payload) => {
                assert!(payload.len() <= MAX_CONTROL_PAYLOAD);
                if self.closing.is_open() {
                    encode_frame(&mut self.said, Opcode::Pong, &payload);
                }
                TestHeard::Ping(payload.into_owned())
            }
            ReceivedFrame::Pong(payload) => TestHeard::Pong(payload.into_owned()),
            ReceivedFrame::Close(close) => {
                self.closing.receive_close(close, &mut self.said);
                assert!(self.closing.is_complete());
                let code = self.closing.code();
                TestHeard::Close(Some(code).filter(|&code| code != 1005), self.closing.reason().to_owned())
            }
        });
    }

    /// Begins the end from the server's side.
    ///
    /// # Errors
    /// The code or the reason cannot be sent.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<bool, Error> {
        Ok(self.closing.close_to_send(&Close::new(code, reason)?, &mut self.said))
    }

    /// All events so far, in order.
    pub fn heard(&self) -> &[TestHeard] {
        &self.heard
    }

    /// Forgets the events.
    pub fn clear(&mut self) {
        self.heard.clear();
    }

    /// The bytes that the server has sent so far.
    pub fn said(&self) -> &[u8] {
        &self.said
    }

    /// Number of messages that were handed out without a copy.
    pub fn borrowed(&self) -> usize {
        self.borrowed
    }

    /// Bytes held for an unfinished message.
    pub fn held(&self) -> usize {
        self.receiver.held()
    }
}

/// TestTerms of compression.
#[derive(Clone, Debug)]
pub struct TestTerms {
    terms: DeflateTerms,
    pool: Arc<DeflatePool>,
}

impl TestTerms {
    /// The terms that a server with or without context takeover accepts for these values of Sec-WebSocket-Extensions.
    pub fn negotiate<'r>(values: impl IntoIterator<Item = &'r [u8]>, takeover: bool) -> Option<Self> {
        let settings = DeflateSettings {
            server_no_context_takeover: !takeover,
            client_no_context_takeover: !takeover,
            threshold: 0,
            ..DeflateSettings::default()
        };
        let terms = negotiate(values, &settings)?;
        Some(Self { terms, pool: Arc::default() })
    }

    /// The field value of the answer.
    pub fn to_field_value(&self) -> String {
        self.terms.to_field_value()
    }

    /// A compressor with these terms.
    pub fn compressor(&self) -> Compressor {
        Compressor { deflater: Deflater::new(&self.terms, Arc::clone(&self.pool)) }
    }
}

/// Compresses messages.
#[derive(Debug)]
pub struct Compressor {
    deflater: Deflater,
}

impl Compressor {
    /// The frame in which the server sends a message.
    pub fn frame(&mut self, text: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.deflater.encode_message(&mut out, if text { MessageKind::Text } else { MessageKind::Binary }, payload);
        out
    }
}

/// The fields of the answer to a request that opens a WebSocket, each line with its CRLF.
///
/// # Errors
/// The refusal of the request.
pub fn open(request: &Request, subprotocols: &[String], origins: &[&str], takeover: bool) -> Result<String, Refusal> {
    let key: AcceptKey = check_opening(request)?;
    let origins = if origins.is_empty() { Ok(Origins::Same) } else { Origins::listed(origins) };
    if !origins.is_ok_and(|origins| origins.allow(request)) {
        return Err(Refusal::new(403, "a page of another origin"));
    }
    let offers = request.headers().get_all("Sec-WebSocket-Extensions");
    let terms = TestTerms::negotiate(offers, takeover).map(|terms| terms.terms);
    let headers = opening_fields(&key, choose_subprotocol(request, subprotocols), terms.as_ref());
    Ok(String::from_utf8_lossy(headers.wire()).into_owned())
}

/// The fields of an answer with 426.
pub fn upgrade_required_fields() -> [(&'static str, &'static str); 2] {
    UPGRADE_REQUIRED_FIELDS
}

/// The meaning of a close code.
pub fn code_name(code: u16) -> &'static str {
    close_code_name(code)
}

/// The head of a server's message frame that is not compressed.
pub fn message_head(text: bool, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = if text { MessageKind::Text } else { MessageKind::Binary };
    encode_frame_head(&mut out, kind.into(), false, length);
    out
}

/// A frame as a client sends it, right or wrong: `first` is its first byte, `0x81` for a whole text.
pub fn client_frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame_head(&mut frame, Opcode::Binary, false, payload.len());
    frame[0] = first;
    match mask {
        Some(mask) => {
            frame[1] |= 0x80;
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => frame.extend_from_slice(payload),
    }
    frame
}
