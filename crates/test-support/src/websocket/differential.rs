//! The codec beside tungstenite: never more lenient, and the same messages where both accept.
//!
//! Every input that tungstenite refuses is refused, no later than there. Where only the codec refuses, its reason must
//! be one of those below.

use std::io::{self, Read, Write};

use outside::testing::websocket::{TestHeard, TestSession};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::invariants::pieces;

const MAX_MESSAGE: usize = 2000;

/// Inputs that the codec refuses and tungstenite accepts, with the source.
const STRICTER: &[(&str, &str)] = &[
    ("a length that is longer than it needs to be", "RFC 6455 §5.2: the minimal number of bytes MUST be used"),
    (
        "a control frame of more than 125 bytes",
        "RFC 6455 §5.2: told by the form of its length; fewer have the short one",
    ),
];

/// Inputs that tungstenite would refuse as well, once it has the whole frame.
const SOONER: &[&str] = &[
    "a reserved bit is set",
    "a reserved opcode",
    "a frame without a mask",
    "a fragmented control frame",
    "a text message is not UTF-8",
    "a message larger than max_message",
    "a message within another one",
    "a continuation of nothing",
    "a length of 2^63 or more",
];

/// Reads a stream of frames with both.
pub fn compare(input: &[u8]) -> Result<(), String> {
    let session = pieces(input, [], || TestSession::new(MAX_MESSAGE));
    let (heard, failed) = match session.heard().split_last() {
        Some((TestHeard::Failed(_, reason), rest)) => (rest, Some(*reason)),
        _ => (session.heard(), None),
    };
    let mut theirs = Theirs::read(input);
    // Bad gateway, in the registry since 2015; tungstenite does not know it.
    if let Some(close @ TestHeard::Close(Some(1014), _)) = heard.last()
        && theirs.refusal.take().is_some()
    {
        theirs.heard.push(close.clone());
    }
    let fault = |what: &str| Err(format!("{what}\nours: {heard:?}, {failed:?}\ntungstenite: {theirs:?}"));
    if heard != theirs.heard.get(..heard.len()).unwrap_or_default() {
        return fault("the codec has heard what tungstenite has not");
    }
    match (failed, theirs.refusal.is_some()) {
        (None, true) => fault("tungstenite alone refuses"),
        (None, false) if heard.len() < theirs.heard.len() => fault("tungstenite has heard more"),
        (Some(reason), refused) => {
            let same = refused && heard.len() == theirs.heard.len();
            let sooner = theirs.in_frame && heard.len() == theirs.heard.len() && SOONER.contains(&reason);
            let stricter = STRICTER.iter().any(|(known, _)| *known == reason);
            if same || sooner || stricter { Ok(()) } else { fault("the codec alone refuses") }
        }
        _ => Ok(()),
    }
}

/// The result of tungstenite.
#[derive(Debug)]
struct Theirs {
    heard: Vec<TestHeard>,
    refusal: Option<String>,
    /// It waits for more.
    in_frame: bool,
}

impl Theirs {
    fn read(input: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .read_buffer_size(4096);
        let mut socket = WebSocket::from_raw_socket(Stream { rest: input }, Role::Server, Some(config));
        let mut theirs = Self { heard: Vec::new(), refusal: None, in_frame: false };
        loop {
            match socket.read() {
                // In this way it reports a code that it takes for invalid.
                Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                    theirs.refusal = Some("a close code".to_owned());
                }
                Ok(message) => theirs.heard.extend(translated(message)),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => theirs.in_frame = true,
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
                Err(error) => theirs.refusal = Some(error.to_string()),
            }
            if theirs.in_frame || theirs.refusal.is_some() || matches!(theirs.heard.last(), Some(TestHeard::Close(..)))
            {
                return theirs;
            }
        }
    }
}

fn translated(message: Message) -> Option<TestHeard> {
    Some(match message {
        Message::Text(text) => TestHeard::Text(text.as_bytes().to_vec()),
        Message::Binary(bytes) => TestHeard::Binary(bytes.to_vec()),
        Message::Ping(bytes) => TestHeard::Ping(bytes.to_vec()),
        Message::Pong(bytes) => TestHeard::Pong(bytes.to_vec()),
        Message::Close(None) => TestHeard::Close(None, String::new()),
        Message::Close(Some(close)) => TestHeard::Close(Some(close.code.into()), close.reason.to_string()),
        Message::Frame(_) => return None,
    })
}

/// Yields the given bytes, then waits forever; accepts all output.
struct Stream<'a> {
    rest: &'a [u8],
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.rest.read(buffer) }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
