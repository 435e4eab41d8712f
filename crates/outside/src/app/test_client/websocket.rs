//! The client's end of a WebSocket for tests (RFC 6455): whole messages, pings answered, the closing handshake.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::exchange::{receive, receive_head};
use super::{PATIENCE, TestClient, TestRequest, TestResponse};
use crate::error::Error;
use crate::websocket::{Message, WebSocketExit};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The example of RFC 6455 section 1.3: the key of an opening, and the answer that shows that it was understood.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl TestClient {
    /// The opening of a WebSocket at this path; fields such as `Sec-WebSocket-Protocol` can be added before it is sent by
    /// [`TestRequest::open`].
    pub fn websocket(&self, target: &str) -> TestRequest<'_> {
        self.get(target)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY)
    }
}

impl TestRequest<'_> {
    /// Sends the opening of a WebSocket, on a connection of its own.
    ///
    /// # Errors
    /// The server answers something else than 101: the text has status and content.
    pub fn open(self) -> Result<TestWebSocket, Error> {
        let (client, bytes) = (self.client, self.into_bytes());
        let mut stream = client.connect()?;
        stream.write_all(&bytes)?;
        let mut received = Vec::new();
        let head = receive_head(&mut stream, &mut received)?;
        if head.status != 101 {
            let (answer, _) = receive(&mut stream, head, received, false)?;
            return Err(Error::new(format!("no WebSocket: {} {}", answer.status, answer.text().trim())));
        }
        if head.headers.get("Sec-WebSocket-Accept") != Some(ACCEPT) {
            return Err(Error::new("the answer to the opening of a WebSocket has a wrong Sec-WebSocket-Accept"));
        }
        client.remember(&head.headers);
        let response = TestResponse { status: head.status, headers: head.headers, content: Vec::new() };
        Ok(TestWebSocket { stream, received, begun: None, ended: None, response })
    }
}

/// A WebSocket as its client has it; closed when dropped.
///
/// ```
/// use outside::websocket::Message;
/// use outside::{OutsideHttp, WebSocket, WebSocketConnection};
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// let echo = |connection: &WebSocketConnection, message: Message| connection.send(message);
/// server.set_route("/echo", WebSocket::new().on_message(echo))?;
///
/// let client = server.test_client()?;
/// let mut websocket = client.websocket("/echo").open()?;
/// websocket.send("hello")?;
/// assert_eq!(websocket.recv()?, "hello".into());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Debug)]
pub struct TestWebSocket {
    stream: UnixStream,
    received: Vec<u8>,
    /// The beginning of a message: whether it is a text, and the bytes so far.
    begun: Option<(bool, Vec<u8>)>,
    ended: Option<WebSocketExit>,
    response: TestResponse,
}

impl TestWebSocket {
    /// Sends a message: a text from a `&str`, bytes from a `Vec<u8>`.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketExit> {
        if let Some(exit) = &self.ended {
            return Err(exit.clone());
        }
        let message = message.into();
        let opcode = if message.is_text() { TEXT } else { TEXT + 1 };
        self.send_frame(opcode, message.as_bytes())
    }

    /// Sends a value as JSON, in a text.
    ///
    /// # Errors
    /// The connection has ended, or JSON cannot hold the value.
    pub fn send_json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        Ok(self.send(serde_json::to_string(value)?)?)
    }

    /// The next message; waits for half a minute at most.
    ///
    /// # Errors
    /// The connection has ended, or no message came: 1006.
    pub fn recv(&mut self) -> Result<Message, WebSocketExit> {
        match self.recv_timeout(PATIENCE)? {
            Some(message) => Ok(message),
            None => Err(self.end(1006, "no message came in time")),
        }
    }

    /// The same; `None` if no message comes within this time. The next call goes on waiting for it.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn recv_timeout(&mut self, at_most: Duration) -> Result<Option<Message>, WebSocketExit> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(exit) = &self.ended {
                return Err(exit.clone());
            }
            match self.next_frame() {
                Some((is_final, opcode, payload)) => {
                    if let Some(message) = self.take_frame(is_final, opcode, payload)? {
                        return Ok(Some(message));
                    }
                }
                None if !self.fill(deadline)? => return Ok(None),
                None => {}
            }
        }
    }

    /// The next message as JSON.
    ///
    /// # Errors
    /// The connection has ended, or the message does not fit.
    pub fn recv_json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        Ok(serde_json::from_slice(self.recv()?.as_bytes())?)
    }

    /// The closing handshake; messages before its end are dropped. Returns the end of the connection.
    pub fn close(&mut self, code: u16, reason: &str) -> WebSocketExit {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        if self.ended.is_none() && self.send_frame(CLOSE, &payload).is_ok() {
            while self.recv().is_ok() {}
        }
        self.end(1006, "")
    }

    /// The negotiated subprotocol.
    pub fn subprotocol(&self) -> Option<&str> {
        self.response.headers().get("Sec-WebSocket-Protocol")
    }

    /// The answer to the opening.
    pub fn response(&self) -> &TestResponse {
        &self.response
    }

    fn end(&mut self, code: u16, reason: &str) -> WebSocketExit {
        self.ended.get_or_insert_with(|| WebSocketExit { code, reason: reason.into() }).clone()
    }

    /// Sends a frame, masked as those of clients are (RFC 6455 section 5.3).
    fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), WebSocketExit> {
        let length = payload.len();
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(0x80 | length as u8),
            126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let [mask @ .., _, _, _, _] = RandomState::new().hash_one(length).to_be_bytes();
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        match self.stream.write_all(&frame) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.end(1006, "")),
        }
    }

    /// Takes a whole frame of the server (section 5.2) out of the bytes received; `None` if there is none yet.
    fn next_frame(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let (first, rest) = self.received.split_first()?;
        let (short, rest) = rest.split_first()?;
        let (length, rest) = match short & 0x7f {
            126 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), rest))?,
            127 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
            short => (u64::from(short), rest),
        };
        let payload = rest.get(..usize::try_from(length).ok()?)?.to_vec();
        let (first, taken) = (*first, self.received.len() - rest.len() + payload.len());
        self.received.drain(..taken);
        Some((first & 0x80 != 0, first & 0x0f, payload))
    }

    /// Takes a frame in: the message that it completes, if it does.
    fn take_frame(&mut self, is_final: bool, opcode: u8, payload: Vec<u8>) -> Result<Option<Message>, WebSocketExit> {
        match opcode {
            PING => self.send_frame(PONG, &payload)?,
            PONG => {}
            CLOSE => {
                let (code, reason) = payload
                    .split_first_chunk()
                    .map_or((1005, &[][..]), |(code, reason)| (u16::from_be_bytes(*code), reason));
                let exit = self.end(code, &String::from_utf8_lossy(reason));
                // The server does not wait for the answer.
                drop(self.send_frame(CLOSE, &payload[..payload.len().min(2)]));
                return Err(exit);
            }
            opcode => {
                let (is_text, mut message) = self.begun.take().unwrap_or((opcode == TEXT, Vec::new()));
                message.extend_from_slice(&payload);
                if is_final {
                    return Ok(Some(Message::received(is_text, message.into())));
                }
                self.begun = Some((is_text, message));
            }
        }
        Ok(None)
    }

    /// Waits for bytes. Returns whether some came before the deadline.
    fn fill(&mut self, deadline: Instant) -> Result<bool, WebSocketExit> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut piece = [0; 16 << 10];
        let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut piece));
        match read {
            Ok(0) => Err(self.end(1006, "")),
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(_) => Err(self.end(1006, "")),
        }
    }
}

impl Drop for TestWebSocket {
    fn drop(&mut self) {
        if self.ended.is_none() {
            drop(self.send_frame(CLOSE, &1000_u16.to_be_bytes()));
        }
    }
}
