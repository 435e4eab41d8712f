//! A client written by hand, which sees every byte and may send any.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use outside::testing::websocket::client_frame;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// The bit of a compressed message.
pub(crate) const COMPRESSED: u8 = 0x40;

/// The fields of a request that opens a WebSocket.
pub(crate) const OPENING: &str = "Host: sessions\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// An answer, or a 101.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A frame of the server: its first byte, and its payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame(pub(crate) u8, pub(crate) Vec<u8>);

/// A frame with a mask.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    client_frame(first, MASK, payload.as_ref())
}

pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// An open WebSocket.
    pub(crate) fn open(address: SocketAddr, target: &str) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.ask(target, OPENING).status, 101);
        client
    }

    pub(crate) fn ask(&mut self, target: &str, fields: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
        self.answer()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(frame(TEXT, text));
    }

    /// Writes until the socket has accepted nothing for this long, or all is written. Returns the bytes written.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.stream.set_write_timeout(Some(DEADLINE)).unwrap();
        sent
    }

    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(self.received.drain(..end + 4).collect()).unwrap();
                let status = head[9..12].parse().unwrap();
                let mut answer = Answer { status, head, body: String::new() };
                let length: usize = answer.header("Content-Length").map_or(0, |length| length.parse().unwrap());
                while self.received.len() < length {
                    self.fill();
                }
                answer.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
                return answer;
            }
            self.fill();
        }
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Frame {
        loop {
            if let Some((frame, length)) = parse(&self.received) {
                self.received.drain(..length);
                return frame;
            }
            self.fill();
        }
    }

    /// The next frame, if one comes within this time.
    pub(crate) fn receive_within(&mut self, patience: Duration) -> Option<Frame> {
        let deadline = Instant::now() + patience;
        loop {
            if parse(&self.received).is_some() {
                self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
                return Some(self.receive());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.read_within(left) {
                self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
                return None;
            }
        }
    }

    pub(crate) fn receive_text(&mut self) -> String {
        match self.receive() {
            Frame(TEXT, payload) => String::from_utf8(payload).unwrap(),
            other => panic!("{other:?} is no text"),
        }
    }

    /// A Close frame must be next; its code and reason. 1005 if it has none.
    pub(crate) fn receive_close(&mut self) -> (u16, String) {
        match self.receive() {
            Frame(CLOSE, payload) if payload.is_empty() => (1005, String::new()),
            Frame(CLOSE, payload) => {
                (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
            }
            other => panic!("{other:?} is no close"),
        }
    }

    /// The server must have closed its side, without further frames.
    pub(crate) fn receive_end(&mut self) {
        assert!(self.received.is_empty(), "{}", self.received.escape_ascii());
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "{}", rest.escape_ascii()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// The code of the Close frame that must be next, and the end behind it.
    pub(crate) fn receive_last(&mut self) -> u16 {
        let (code, _) = self.receive_close();
        self.receive_end();
        code
    }

    /// Ends with the closing handshake.
    pub(crate) fn close(mut self) {
        self.send(close_frame(1000, ""));
        assert_eq!(self.receive_last(), 1000);
    }

    /// Breaks the connection: the server's next read fails.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn fill(&mut self) {
        assert!(self.read_within(DEADLINE), "nothing comes; so far {}", self.received.escape_ascii());
    }

    fn read_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                assert!(count > 0, "ended inside of {}", self.received.escape_ascii());
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// The first frame, if it is complete, and its length in bytes. A server does not mask.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert!(second < 0x80, "a masked frame");
    let (head, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap()),
        length => (2, usize::from(length)),
    };
    Some((Frame(first, bytes.get(head..head + length)?.to_vec()), head + length))
}
